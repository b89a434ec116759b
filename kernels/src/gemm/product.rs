//! A matrix product that has been checked, as every backend is given it.

use super::block::Block;
use super::epilogue::Epilogue;
use super::finish::Output;
use super::matrix::{Mat, MatMut};
use crate::isa::Isa;
use rayon::prelude::*;

/// Another library computes blocks of this many rows and columns: large enough that packing inside it is amortised,
/// small enough to keep a few dozen cores busy.
const BLOCK: usize = 384;

/// The product α·A·B + β·C and what is done to it; the views have been checked, so that kernels need not check them
/// again.
pub(super) struct Product<'a> {
    pub isa: Isa,
    pub alpha: f32,
    pub a: Mat<'a>,
    pub b: Mat<'a>,
    pub beta: f32,
    pub out: Output<'a>,
}

impl<'a> Product<'a> {
    /// Panics unless the shapes agree and every view lies within its data. Gives nothing if C has no elements.
    #[track_caller]
    pub fn new(
        isa: Isa,
        alpha: f32,
        a: Mat<'a>,
        b: Mat<'a>,
        beta: f32,
        c: MatMut<'a>,
        epilogue: Epilogue<'a>,
    ) -> Option<Self> {
        check_shapes(&a, &b, &c);
        let out = Output::new(c, epilogue)?;
        Some(Product { isa, alpha, a, b, beta, out })
    }

    /// Runs `multiply(α, A, B, β, C)` for every block of C, then the epilogue on it.
    pub fn by_blocks(&self, multiply: impl Fn(f32, Mat, Mat, f32, Block) + Sync) {
        let (rows, cols) = (self.out.c.rows, self.out.c.cols);
        let across = cols.div_ceil(BLOCK);
        (0..rows.div_ceil(BLOCK) * across).into_par_iter().for_each(|t| {
            let (i, j) = (t / across * BLOCK, t % across * BLOCK);
            let c = self.out.c.part(i, BLOCK.min(rows - i), j, BLOCK.min(cols - j));
            let (a, b) = (self.a.rows_from(i, c.rows), self.b.t().rows_from(j, c.cols).t());
            multiply(self.alpha, a, b, self.beta, c);
            // SAFETY: this task alone has this block.
            unsafe { self.out.finish.apply(self.isa, c, i, j) }
        });
    }
}

/// Panics unless A, B and C agree in shape, and A and B lie within their data.
#[track_caller]
pub(super) fn check_shapes(a: &Mat, b: &Mat, c: &MatMut) {
    assert!(
        a.rows == c.rows && b.cols == c.cols && a.cols == b.rows,
        "gemm shapes: {}×{} · {}×{} → {}×{}",
        a.rows,
        a.cols,
        b.rows,
        b.cols,
        c.rows,
        c.cols
    );
    a.check("A", (a.rows, a.cols));
    b.check("B", (b.rows, b.cols));
}
