//! Strided rows that several threads write at once, each its own head of its own sequence.

use std::marker::PhantomData;

/// A buffer whose row i of head h starts at `i·stride + offset + h·head_dim`.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    start: *mut f32,
    len: usize,
    stride: usize,
    offset: usize,
    head_dim: usize,
    buffer: PhantomData<&'a mut [f32]>,
}

// SAFETY: it stands for a `&mut [f32]`, which may go to and be shared with other threads; the callers of `row`, its
// only access, promise that no two of them hold one element.
unsafe impl Send for Places<'_> {}
unsafe impl Sync for Places<'_> {}

impl<'a> Places<'a> {
    /// Takes a buffer of rows that are `stride` apart and hold heads of `head_dim` floats.
    pub fn new(buffer: &'a mut [f32], stride: usize, head_dim: usize) -> Self {
        Places { start: buffer.as_mut_ptr(), len: buffer.len(), stride, offset: 0, head_dim, buffer: PhantomData }
    }

    /// Moves the rows to column `offset`.
    pub fn at(self, offset: usize) -> Self {
        Places { offset, ..self }
    }

    /// Borrows row i of head h.
    ///
    /// # Safety
    /// Nothing else may use an element of the slice while it lives.
    pub unsafe fn row(&self, i: usize, h: usize) -> &'a mut [f32] {
        let start = i * self.stride + self.offset + h * self.head_dim;
        assert!(start + self.head_dim <= self.len, "attention: row {i} of head {h} lies outside of its buffer");
        // SAFETY: the assert keeps it inside of the buffer, which `new` borrowed for 'a; exclusive by the caller's
        // promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), self.head_dim) }
    }
}
