//! Matrix product with a fused last pass: C ← epilogue(α·A·B + β·C).

use crate::Activation;

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
    /// c · act′(preact\[i, j\]): the backward pass through an activation
    ActivationGrad { activation: Activation, preact: Mat<'a> },
}

/// C ← epilogue(α·A·B + β·C) with A (M,K), B (K,N), C (M,N). With β = 0, C is never read.
#[track_caller]
pub fn gemm(alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, epilogue: Epilogue) {
    naive(alpha, a, b, beta, c, epilogue)
}

/// The definition, element by element.
#[track_caller]
pub fn naive(alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, mut epilogue: Epilogue) {
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
    for i in 0..c.rows {
        for j in 0..c.cols {
            let dot: f32 = (0..a.cols)
                .map(|k| a.data[i * a.row_stride + k * a.col_stride] * b.data[k * b.row_stride + j * b.col_stride])
                .sum();
            let out = &mut c.data[i * c.row_stride + j];
            let v = alpha * dot + if beta == 0.0 { 0.0 } else { beta * *out };
            *out = match &mut epilogue {
                Epilogue::None => v,
                Epilogue::Bias(bias) => v + bias[j],
                Epilogue::BiasResidual { bias, residual: r } => {
                    v + bias[j] + r.data[i * r.row_stride + j * r.col_stride]
                }
                Epilogue::BiasActivation { bias, activation } => activation.apply(v + bias[j]),
                Epilogue::BiasActivationSave { bias, activation, preact } => {
                    preact.data[i * preact.row_stride + j] = v + bias[j];
                    activation.apply(v + bias[j])
                }
                Epilogue::ActivationGrad { activation, preact: p } => {
                    v * activation.derivative(p.data[i * p.row_stride + j * p.col_stride])
                }
            };
        }
    }
}
