//! What may be fused to the end of a product.

use super::matrix::{Mat, MatMut};
use crate::activation::Activation;

/// What is done to each finished element `c` (row i, column j) while it is still in registers or cache.
#[derive(Debug)]
pub enum Epilogue<'a> {
    /// c, as the product left it
    None,
    /// c + bias\[j\]
    Bias(&'a [f32]),
    /// c + bias\[j\] + residual\[i, j\]
    BiasResidual { bias: &'a [f32], residual: Mat<'a> },
    /// act(c + bias\[j\])
    BiasActivation { bias: &'a [f32], activation: Activation },
    /// preact\[i, j\] ← c + bias\[j\], which the backward pass needs, then act(preact\[i, j\])
    BiasActivationSave { bias: &'a [f32], activation: Activation, preact: MatMut<'a> },
    /// c · scale\[j\] + shift\[j\] (+ residual\[i, j\]), then max(0, ·) if `relu`: a batch normalisation with fixed
    /// statistics
    ScaleShift { scale: &'a [f32], shift: &'a [f32], residual: Option<Mat<'a>>, relu: bool },
    /// c · act′(preact\[i, j\]): the backward pass through an activation
    ActivationGrad { activation: Activation, preact: Mat<'a> },
}

impl Epilogue<'_> {
    /// Panics unless every operand fits a C of this shape.
    #[track_caller]
    pub(super) fn check(&self, shape: (usize, usize)) {
        let check_bias = |bias: &[f32]| assert_eq!(bias.len(), shape.1, "gemm bias for {} columns", shape.1);
        match self {
            Epilogue::None => {}
            Epilogue::Bias(bias) | Epilogue::BiasActivation { bias, .. } => check_bias(bias),
            Epilogue::BiasResidual { bias, residual } => {
                check_bias(bias);
                residual.check("residual", shape);
            }
            Epilogue::BiasActivationSave { bias, preact, .. } => {
                check_bias(bias);
                preact.check("preact", shape);
            }
            Epilogue::ScaleShift { scale, shift, residual, .. } => {
                let sizes = (scale.len(), shift.len());
                assert_eq!(sizes, (shape.1, shape.1), "gemm scale and shift for {} columns", shape.1);
                if let Some(residual) = residual {
                    residual.check("residual", shape);
                }
            }
            Epilogue::ActivationGrad { preact, .. } => preact.check("preact", shape),
        }
    }
}
