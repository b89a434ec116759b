//! A rectangle of an output matrix that one task writes.

use super::matrix::MatMut;
use std::marker::PhantomData;

/// Part of a [`MatMut`]. Blocks that do not overlap may be written by different threads, which slices of whole rows
/// could not express.
///
/// `ptr` points to the first of `rows` rows of `cols` floats each, `row_stride` apart, all within one slice that is
/// borrowed for `'a`.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub ptr: *mut f32,
    pub rows: usize,
    pub cols: usize,
    pub row_stride: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: a block stands for a `&mut [f32]`, which may go to another thread. It gives access through unsafe methods
// only, whose callers promise that nothing else accesses the same elements.
unsafe impl Send for Block<'_> {}
// SAFETY: sharing a block shares nothing that the promise of its unsafe methods does not cover.
unsafe impl Sync for Block<'_> {}

impl<'a> Block<'a> {
    /// Covers all of `m`, which has been checked to lie within its data ([`MatMut::check`]).
    pub fn new(m: MatMut<'a>) -> Self {
        let MatMut { data, rows, cols, row_stride } = m;
        Block { ptr: data.as_mut_ptr(), rows, cols, row_stride, borrow: PhantomData }
    }

    /// Returns the `rows × cols` rectangle whose first element is (`i`, `j`).
    pub fn part(self, i: usize, rows: usize, j: usize, cols: usize) -> Self {
        assert!(i + rows <= self.rows && j + cols <= self.cols);
        Block { ptr: self.ptr.wrapping_add(i * self.row_stride + j), rows, cols, ..self }
    }

    /// Borrows row `i` of the block.
    ///
    /// # Safety
    /// Nothing else may access this part of the row while the slice lives.
    pub unsafe fn row(self, i: usize) -> &'a mut [f32] {
        assert!(i < self.rows);
        // SAFETY: the row is one of the block's, which lie within the borrowed slice; the caller has it to itself.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(i * self.row_stride), self.cols) }
    }

    /// Multiplies every element by `factor`.
    ///
    /// # Safety
    /// Nothing else may access the block.
    pub unsafe fn scale(self, factor: f32) {
        for i in 0..self.rows {
            // SAFETY: the caller has the block to itself, and one row is borrowed at a time.
            unsafe { self.row(i) }.iter_mut().for_each(|c| *c *= factor);
        }
    }
}
