//! Copies heads from the packed rows of the caller, whose stride makes them collide in the cache, into small dense
//! blocks, and keeps the memory for those blocks.

use crate::gemm::{Mat, transpose_matrix};
use crate::isa::{Isa, multiversion};
use crate::memory::LINE;
use crate::scratch::{self, Scratch};

/// Widths of blocks are multiples of this: an AVX-512 register, which is a cache line.
pub(super) const LANES: usize = LINE;

/// Rounds up to whole registers.
pub(super) fn padded(width: usize) -> usize {
    width.next_multiple_of(LANES)
}

/// Rows of a matrix from some element on: row i starts at `data[i·stride]`.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub data: &'a [f32],
    pub stride: usize,
}

impl<'a> Source<'a> {
    /// Returns the first `len` elements of row i.
    pub fn row(self, i: usize, len: usize) -> &'a [f32] {
        &self.data[i * self.stride..][..len]
    }

    /// Leaves out the first rows.
    pub fn skip(self, rows: usize) -> Self {
        Source { data: &self.data[(rows * self.stride).min(self.data.len())..], ..self }
    }
}

multiversion! {
    /// Row i of `to`, `padded(width)` apart, becomes scale·row i of `from`.
    pub(super) fn pack_rows(from: Source<'_>, rows: usize, width: usize, scale: f32, to: &mut [f32]) {
        for (i, to) in to.chunks_exact_mut(padded(width)).take(rows).enumerate() {
            to.iter_mut().zip(from.row(i, width)).for_each(|(to, x)| *to = scale * x);
        }
    }
}

/// Column i of `to`, whose rows are `padded(rows)` apart, becomes row i of `from`. What the padding holds is unspecified.
pub(super) fn pack_transposed(isa: Isa, from: Source<'_>, rows: usize, width: usize, to: &mut [f32]) {
    let from = Mat { data: from.data, rows, cols: width, row_stride: from.stride, col_stride: 1 };
    transpose_matrix(isa, from, padded(rows), &mut to[..width * padded(rows)]);
}

thread_local! {
    /// The heads of a task, packed, and its scores.
    static SCRATCH: Scratch = const { Scratch::new(0) };
}

/// Calls `work` with blocks of the given sizes and unspecified contents, each from a cache line on.
pub(super) fn with_scratch<const N: usize>(sizes: [usize; N], work: impl FnOnce([&mut [f32]; N])) {
    scratch::with_blocks(&SCRATCH, sizes, work);
}
