//! Matrix product with a fused last pass: C ← epilogue(α·A·B + β·C).

mod backend;
mod block;
mod blocked;
mod epilogue;
mod filters;
mod gathered;
mod kernel;
mod naive;
mod pack;
mod panels;
mod patches;
pub mod peak;
mod runs;
mod skinny;
mod source;
#[cfg(test)]
mod tests;
mod vector;
mod winograd;

pub use backend::Backend;
pub(crate) use filters::Filters;
pub(crate) use gathered::{filter, patch_gradient};
pub use naive::naive;
pub(crate) use pack::Kept;
pub use panels::{Panels, Weight, gemm_panels, gemm_panels_on};
pub(crate) use patches::Patches;
pub(crate) use winograd::{Tiling, winograd};

use crate::Activation;
use crate::isa::Isa;
use block::Block;
use epilogue::Finish;

/// A read-only matrix: element (i, j) is `data[i·row_stride + j·col_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a> {
    pub data: &'a [f32],
    pub rows: usize,
    pub cols: usize,
    pub row_stride: usize,
    pub col_stride: usize,
}

impl<'a> Mat<'a> {
    /// Row-major `rows × cols`.
    #[track_caller]
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "{rows}×{cols} matrix");
        Mat { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// The transpose; no data moves.
    pub fn t(self) -> Self {
        Mat { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    /// Rows `first..first + rows`.
    fn rows_from(self, first: usize, rows: usize) -> Self {
        Mat { data: self.data.get(first * self.row_stride..).unwrap_or(&[]), rows, ..self }
    }
}

/// A writable matrix with contiguous rows: element (i, j) is `data[i·row_stride + j]`.
#[derive(Debug)]
pub struct MatMut<'a> {
    pub data: &'a mut [f32],
    pub rows: usize,
    pub cols: usize,
    pub row_stride: usize,
}

impl<'a> MatMut<'a> {
    /// Row-major `rows × cols`.
    #[track_caller]
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "{rows}×{cols} matrix");
        MatMut { data, rows, cols, row_stride: cols }
    }
}

/// What is done to each finished element `c` (row i, column j) while it is still in registers or cache.
#[derive(Debug)]
pub enum Epilogue<'a> {
    /// c
    None,
    /// c + bias\[j\]
    Bias(&'a [f32]),
    /// c + bias\[j\] + residual\[i, j\]
    BiasResidual { bias: &'a [f32], residual: Mat<'a> },
    /// act(c + bias\[j\])
    BiasActivation { bias: &'a [f32], activation: Activation },
    /// preact\[i, j\] ← c + bias\[j\] (what the backward pass needs), then act(preact\[i, j\])
    BiasActivationSave { bias: &'a [f32], activation: Activation, preact: MatMut<'a> },
    /// c · scale\[j\] + shift\[j\] (+ residual\[i, j\]), then max(0, ·) if `relu`: a batch normalisation with fixed
    /// statistics
    ScaleShift { scale: &'a [f32], shift: &'a [f32], residual: Option<Mat<'a>>, relu: bool },
    /// c · act′(preact\[i, j\]): the backward pass through an activation
    ActivationGrad { activation: Activation, preact: Mat<'a> },
}

/// C ← epilogue(α·A·B + β·C) with A (M,K), B (K,N), C (M,N). With β = 0, C is never read.
///
/// The bits of the result do not depend on the number of threads. `CLIP_GEMM` chooses who multiplies: `simd` (this
/// crate), `matrixmultiply`, or `openblas` where it is compiled in.
#[track_caller]
pub fn gemm(alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, epilogue: Epilogue) {
    gemm_by(Backend::chosen(), alpha, a, b, beta, c, epilogue)
}

/// [`gemm`] by a given backend.
#[track_caller]
pub fn gemm_by(backend: Backend, alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, epilogue: Epilogue) {
    if let Some(product) = Product::new(Isa::best(), alpha, a, b, beta, c, epilogue) {
        backend.run(&product);
    }
}

/// [`gemm`] by this crate on a given instruction set.
#[track_caller]
pub fn gemm_on(isa: Isa, alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, epilogue: Epilogue) {
    if let Some(product) = Product::new(isa, alpha, a, b, beta, c, epilogue) {
        Backend::Simd.run(&product);
    }
}

/// α·A·B + β·C and what is done to it; the views have been checked.
struct Product<'a> {
    isa: Isa,
    alpha: f32,
    a: Mat<'a>,
    b: Mat<'a>,
    beta: f32,
    c: Block<'a>,
    finish: Finish<'a>,
}

impl<'a> Product<'a> {
    /// Nothing if C has no elements.
    #[track_caller]
    fn new(
        isa: Isa,
        alpha: f32,
        a: Mat<'a>,
        b: Mat<'a>,
        beta: f32,
        c: MatMut<'a>,
        epilogue: Epilogue<'a>,
    ) -> Option<Self> {
        check(&a, &b, &c, &epilogue);
        let empty = c.rows == 0 || c.cols == 0;
        let (c, finish) = (Block::new(c), Finish::new(epilogue));
        (!empty).then_some(Product { isa, alpha, a, b, beta, c, finish })
    }
}

/// Panics unless the shapes agree and every view lies within its data, so that the kernels need not look again.
#[track_caller]
fn check(a: &Mat, b: &Mat, c: &MatMut, epilogue: &Epilogue) {
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
    check_mat("A", a, (a.rows, a.cols));
    check_mat("B", b, (b.rows, b.cols));
    check_output(c, epilogue);
}

/// The part of [`check`] that does not ask what is multiplied.
#[track_caller]
fn check_output(c: &MatMut, epilogue: &Epilogue) {
    let shape = (c.rows, c.cols);
    check_mat_mut("C", c, shape);
    let check_bias = |bias: &[f32]| assert_eq!(bias.len(), shape.1, "gemm bias for {} columns", shape.1);
    match epilogue {
        Epilogue::None => {}
        Epilogue::Bias(bias) | Epilogue::BiasActivation { bias, .. } => check_bias(bias),
        Epilogue::BiasResidual { bias, residual } => {
            check_bias(bias);
            check_mat("residual", residual, shape);
        }
        Epilogue::BiasActivationSave { bias, preact, .. } => {
            check_bias(bias);
            check_mat_mut("preact", preact, shape);
        }
        Epilogue::ScaleShift { scale, shift, residual, .. } => {
            assert_eq!((scale.len(), shift.len()), (shape.1, shape.1), "gemm scale and shift for {} columns", shape.1);
            if let Some(residual) = residual {
                check_mat("residual", residual, shape);
            }
        }
        Epilogue::ActivationGrad { preact, .. } => check_mat("preact", preact, shape),
    }
}

#[track_caller]
fn check_mat(name: &str, m: &Mat, shape: (usize, usize)) {
    assert_eq!((m.rows, m.cols), shape, "gemm {name}: shape");
    assert!(
        fits(m.data.len(), shape, m.row_stride, m.col_stride),
        "gemm {name}: {}×{} with strides {} and {} in {} elements",
        m.rows,
        m.cols,
        m.row_stride,
        m.col_stride,
        m.data.len()
    );
}

#[track_caller]
fn check_mat_mut(name: &str, m: &MatMut, shape: (usize, usize)) {
    assert_eq!((m.rows, m.cols), shape, "gemm {name}: shape");
    assert!(
        fits(m.data.len(), shape, m.row_stride, 1) && (m.row_stride >= m.cols || m.rows <= 1),
        "gemm {name}: {}×{} with row stride {} in {} elements",
        m.rows,
        m.cols,
        m.row_stride,
        m.data.len()
    );
}

/// Whether the last element of a strided matrix lies within `len` elements.
fn fits(len: usize, (rows, cols): (usize, usize), row_stride: usize, col_stride: usize) -> bool {
    if rows == 0 || cols == 0 {
        return true;
    }
    let last = (|| (rows - 1).checked_mul(row_stride)?.checked_add((cols - 1).checked_mul(col_stride)?))();
    last.is_some_and(|last| last < len)
}
