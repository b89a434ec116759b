//! OpenBLAS as a backend. Each call runs on one thread, because OpenBLAS's own threads would compete with rayon's.

use crate::gemm::block::Block;
use crate::gemm::matrix::Mat;
use crate::gemm::product::Product;
use cblas_sys::{CBLAS_LAYOUT, CBLAS_TRANSPOSE, cblas_sgemm};
use std::borrow::Cow;
use std::ffi::c_int;
use std::sync::Once;

// This links the library that has the symbols of `cblas_sys`.
use blas_src as _;

unsafe extern "C" {
    fn openblas_set_num_threads(threads: c_int);
}

/// Computes the product by OpenBLAS, a block of C at a time.
pub fn run(p: &Product) {
    static ONE_THREAD: Once = Once::new();
    // SAFETY: this setter has no preconditions.
    ONE_THREAD.call_once(|| unsafe { openblas_set_num_threads(1) });
    p.by_blocks(multiply);
}

/// Computes a block of C.
fn multiply(alpha: f32, a: Mat, b: Mat, beta: f32, c: Block) {
    let (m, n, k) = (int(c.rows), int(c.cols), int(a.cols));
    let (a, b) = (Operand::new(a), Operand::new(b));
    let layout = CBLAS_LAYOUT::CblasRowMajor;
    let (a_ptr, b_ptr, ldc) = (a.data.as_ptr(), b.data.as_ptr(), int(c.row_stride.max(c.cols)));
    // SAFETY: `Product` has checked that A and B fit their data, and `Operand` keeps to that or copies them;
    // `by_blocks` gives each block of C to one task.
    unsafe { cblas_sgemm(layout, a.transpose, b.transpose, m, n, k, alpha, a_ptr, a.ld, b_ptr, b.ld, beta, c.ptr, ldc) }
}

/// A matrix as BLAS knows it: one stride is 1, and the other is at least the length of a row (or column).
struct Operand<'a> {
    data: Cow<'a, [f32]>,
    transpose: CBLAS_TRANSPOSE,
    ld: c_int,
}

impl<'a> Operand<'a> {
    /// Views the matrix if BLAS can read it, else copies it.
    fn new(m: Mat<'a>) -> Self {
        let Mat { data, rows, cols, row_stride, col_stride } = m;
        let (data, transpose, ld) = if col_stride == 1 && (row_stride >= cols || rows == 1) {
            (Cow::Borrowed(data), CBLAS_TRANSPOSE::CblasNoTrans, row_stride.max(cols))
        } else if row_stride == 1 && (col_stride >= rows || cols == 1) {
            (Cow::Borrowed(data), CBLAS_TRANSPOSE::CblasTrans, col_stride.max(rows))
        } else {
            let element = |e: usize| data[e / cols * row_stride + e % cols * col_stride];
            (Cow::Owned((0..rows * cols).map(element).collect()), CBLAS_TRANSPOSE::CblasNoTrans, cols)
        };
        Operand { data, transpose, ld: int(ld.max(1)) }
    }
}

fn int(n: usize) -> c_int {
    n.try_into().expect("a BLAS dimension fits an int")
}
