//! A few rows times a matrix of weights as it lies: y = x·Wᵀ for one caption or one token.
//!
//! With so few rows every weight is used a handful of times, and reading them from memory is most of the work. So
//! nothing is packed: rows of x and rows of W are both contiguous along K, and each element of C is a dot product of
//! two.

use super::blocking::{FETCH_COST, MIN_PARALLEL_WORK, even, pieces};
use super::dots::{Dots, WIDTH};
use super::kernel::Kernel;
use super::product::Product;
use crate::parallel::in_shares;

/// The most rows for which dot products are faster than packing.
pub const MAX_ROWS: usize = 16;

/// Whether dot products are the way to compute this product.
pub(super) fn fits(p: &Product) -> bool {
    p.out.c.rows <= MAX_ROWS && p.a.cols > 0 && p.a.col_stride == 1 && p.b.row_stride == 1
}

/// Computes the product, some columns of C at a time.
pub(super) fn run(p: &Product) {
    let c = p.out.c;
    let n = c.cols;
    let parallel = c.rows.max(FETCH_COST) * n * p.a.cols >= MIN_PARALLEL_WORK;
    let tasks = if parallel { 4 * rayon::current_num_threads() } else { 1 };
    let cols = even(n, n.div_ceil(tasks), WIDTH);
    let task = |t: usize| {
        let (j, n) = (t * cols, cols.min(n - t * cols));
        for (first, n) in pieces(n, WIDTH) {
            columns(p, j + first, n);
        }
        // SAFETY: this task alone has these columns.
        unsafe { p.out.finish.apply(p.isa, c.part(0, c.rows, j, n), 0, j) }
    };
    in_shares(parallel, n.div_ceil(cols), |mine| mine.for_each(task));
}

/// Computes columns `j..j + n` of C, with n ≤ [`WIDTH`].
fn columns(p: &Product, j: usize, n: usize) {
    let (c, kernel) = (p.out.c, Kernel::of(p.isa));
    // A missing column is computed as another copy of the last one.
    let b = std::array::from_fn(|s| p.b.data[(j + s.min(n - 1)) * p.b.col_stride..].as_ptr());
    for (i, rows) in pieces(c.rows, even(c.rows, kernel.dots.len(), 1)) {
        let a = p.a.data[i * p.a.row_stride..].as_ptr();
        let mut dots = Dots::default();
        // SAFETY: the kernel came from an `Isa`, which proves the instruction set; the views were checked to fit, and
        // the columns of B ascend.
        unsafe { kernel.dots[rows - 1](p.a.cols, a, p.a.row_stride, b, &mut dots) }
        for (r, dots) in dots.iter().enumerate().take(rows) {
            // SAFETY: this task alone has these columns.
            let row = unsafe { c.part(i + r, 1, j, n).row(0) };
            for (c, dot) in row.iter_mut().zip(dots) {
                *c = p.alpha * dot + if p.beta == 0.0 { 0.0 } else { p.beta * *c };
            }
        }
    }
}
