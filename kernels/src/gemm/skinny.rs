//! A few rows times a matrix of weights as it lies: y = x·Wᵀ for one caption or one token.
//!
//! With so few rows every weight is used a handful of times, and reading them from memory is most of the work. So
//! nothing is packed: rows of x and rows of W are both contiguous along K, and each element of C is a dot product of two.

use super::Product;
use super::blocked::{MEMORY, PARALLEL, even, pieces};
use super::kernel::Kernel;
use crate::parallel::in_shares;

/// Above this many rows packing pays off.
const ROWS: usize = 16;

/// Rows of W that one step of the micro-kernel reads; as many streams are easy on the prefetcher.
pub(super) const WIDTH: usize = 4;

/// Most rows of A that one step of any micro-kernel takes.
pub(super) const HEIGHT: usize = 6;

pub(super) type Dots = [[f32; WIDTH]; HEIGHT];

/// Whether this product is one for dot products.
pub(super) fn fits(p: &Product) -> bool {
    p.c.rows <= ROWS && p.a.cols > 0 && p.a.col_stride == 1 && p.b.row_stride == 1
}

pub(super) fn run(p: &Product) {
    let n = p.c.cols;
    let parallel = p.c.rows.max(MEMORY) * n * p.a.cols >= PARALLEL;
    let tasks = if parallel { 4 * rayon::current_num_threads() } else { 1 };
    let cols = even(n, n.div_ceil(tasks), WIDTH);
    let task = |t: usize| {
        let (j, n) = (t * cols, cols.min(n - t * cols));
        for (first, n) in pieces(n, WIDTH) {
            columns(p, j + first, n);
        }
        // SAFETY: this task alone has these columns.
        unsafe { p.finish.apply(p.isa, p.c.part(0, p.c.rows, j, n), 0, j) }
    };
    in_shares(parallel, n.div_ceil(cols), |mine| mine.for_each(task));
}

/// Columns `j..j + n` of C, with n ≤ [`WIDTH`].
fn columns(p: &Product, j: usize, n: usize) {
    let kernel = Kernel::of(p.isa);
    // A missing column is computed as another copy of the last one.
    let b = std::array::from_fn(|s| p.b.data[(j + s.min(n - 1)) * p.b.col_stride..].as_ptr());
    for (i, rows) in pieces(p.c.rows, even(p.c.rows, kernel.dots.len(), 1)) {
        let a = p.a.data[i * p.a.row_stride..].as_ptr();
        let mut dots = Dots::default();
        // SAFETY: the kernel came from an `Isa`, which proves the instruction set; the views were checked to fit.
        unsafe { kernel.dots[rows - 1](p.a.cols, a, p.a.row_stride, b, &mut dots) }
        for (r, dots) in dots.iter().enumerate().take(rows) {
            // SAFETY: this task alone has these columns.
            let c = unsafe { p.c.part(i + r, 1, j, n).row(0) };
            for (c, dot) in c.iter_mut().zip(dots) {
                *c = p.alpha * dot + if p.beta == 0.0 { 0.0 } else { p.beta * *c };
            }
        }
    }
}
