//! Linear: y = x Wᵀ + b.
//!
//! # Derivation
//! With dy = ∂loss/∂y, the chain rule gives for each number that was used the sum over all places where it was:
//!
//! ```text
//! yₙₒ  = Σᵢ xₙᵢ Wₒᵢ + bₒ
//! dxₙᵢ = Σₒ dyₙₒ Wₒᵢ
//! dWₒᵢ = Σₙ dyₙₒ xₙᵢ
//! dbₒ  = Σₙ dyₙₒ
//! ```
//!
//! These are three matrix products, two of them backward, so training costs three times what inference costs. What
//! follows the layer (an activation, a residual) is fused to the product's last pass over its tile, see [`Epilogue`].

use super::dropout::Residual;
use super::{floats, floats_mut, mat, mat_mut};
use crate::params::{Init, Spec};
use crate::tree::tree;
use crate::weights::{Read, Weight};
use kernels::{
    Activation, Epilogue, Mat, Write, dropout,
    gemm::{gemm, gemm_fetched, gemm_panels, int8::gemm_int8},
    reduce,
};
use ndarray::{ArrayView2, ArrayViewMut2};

tree! {
    /// The weights and the biases of a linear layer.
    ///
    /// `weight` (O,I), `bias` (O)
    Linear { weight, bias }
}

impl Linear<Spec> {
    /// Returns the parameter table of a layer I → O, whose weights are drawn as `weight` says and whose biases as
    /// `bias` says.
    pub fn spec(inputs: usize, outputs: usize, weight: Init, bias: Init) -> Self {
        Linear { weight: Spec::linear(outputs, inputs, weight), bias: Spec::new(&[outputs], bias) }
    }

    /// Returns the same table for a layer whose product inference may round.
    pub fn rounds(self) -> Self {
        Linear { weight: self.weight.rounds(), ..self }
    }
}

/// Returns PyTorch's default for weights and biases of a linear layer, U(±1/√fan_in).
pub fn default_init(fan_in: usize) -> Init {
    Init::Uniform((fan_in as f32).powf(-0.5))
}

/// y = x Wᵀ + b
///
/// `x` (N,I), `W` (O,I), `y` (N,O)
#[track_caller]
pub fn forward(p: &Linear<impl Read>, x: ArrayView2<f32>, y: ArrayViewMut2<f32>) {
    product(p, x, y, Epilogue::Bias(p.bias.rows()));
}

/// y = x Wᵀ + b + residual, or m ∘ (x Wᵀ + b) + residual with a [mask](super::dropout)
///
/// `x` (N,I), `residual`, `y` (N,O)
#[track_caller]
pub fn forward_residual<'a>(
    p: &Linear<impl Read>,
    x: ArrayView2<f32>,
    residual: impl Into<Residual<'a>>,
    mut y: ArrayViewMut2<f32>,
) {
    match residual.into() {
        Residual { x: residual, dropout: None } => {
            product(p, x, y, Epilogue::BiasResidual { bias: p.bias.rows(), residual: mat(residual) });
        }
        Residual { x: residual, dropout: Some(dropout) } => {
            forward(p, x, y.view_mut());
            dropout::add_residual(dropout, y.ncols(), floats(residual), floats_mut(y));
        }
    }
}

/// preact = x Wᵀ + b, y = act(preact)
///
/// `x` (N,I), `preact`, `y` (N,O)
///
/// The backward pass needs `preact`. An empty one is not written, where no backward pass follows.
#[track_caller]
pub fn forward_activation(
    p: &Linear<impl Read>,
    activation: Activation,
    x: ArrayView2<f32>,
    preact: ArrayViewMut2<f32>,
    y: ArrayViewMut2<f32>,
) {
    let bias = p.bias.rows();
    let epilogue = if preact.is_empty() {
        Epilogue::BiasActivation { bias, activation }
    } else {
        Epilogue::BiasActivationSave { bias, activation, preact: mat_mut(preact) }
    };
    product(p, x, y, epilogue);
}

/// dx = dy W, dW += dyᵀ x, db += Σₙ dy
///
/// `x`, `dx` (N,I), `dy` (N,O)
///
/// With [`Write::Add`] dx is added to what is there.
#[track_caller]
pub fn backward(
    p: &Linear<&[f32]>,
    x: ArrayView2<f32>,
    dy: ArrayView2<f32>,
    write: Write,
    dx: ArrayViewMut2<f32>,
    g: &mut Linear<&mut [f32]>,
) {
    backward_params(x, dy, g);
    let beta = if write == Write::Add { 1.0 } else { 0.0 };
    gemm(1.0, mat(dy), Mat::new(p.weight, dy.ncols(), dx.ncols()), beta, mat_mut(dx), Epilogue::None);
}

/// dpreact = (dy W) ∘ act′(preact), for a layer whose input is x = act(preact)
///
/// `preact`, `dpreact` (N,I), `dy` (N,O)
///
/// x is not needed, so dpreact may take its place after [`backward_params`].
#[track_caller]
pub fn backward_activation(
    p: &Linear<&[f32]>,
    activation: Activation,
    preact: ArrayView2<f32>,
    dy: ArrayView2<f32>,
    dpreact: ArrayViewMut2<f32>,
) {
    let through = Epilogue::ActivationGrad { activation, preact: mat(preact) };
    gemm(1.0, mat(dy), Mat::new(p.weight, dy.ncols(), dpreact.ncols()), 0.0, mat_mut(dpreact), through);
}

/// dW += dyᵀ x, db += Σₙ dy
///
/// `x` (N,I), `dy` (N,O)
#[track_caller]
pub fn backward_params(x: ArrayView2<f32>, dy: ArrayView2<f32>, g: &mut Linear<&mut [f32]>) {
    let dw = kernels::MatMut::new(g.weight, dy.ncols(), x.ncols());
    gemm(1.0, mat(dy).t(), mat(x), 1.0, dw, Epilogue::None);
    reduce::add_column_sums(floats(dy), g.bias);
}

#[track_caller]
fn product(p: &Linear<impl Read>, x: ArrayView2<f32>, y: ArrayViewMut2<f32>, epilogue: Epilogue) {
    let bias = p.bias.rows().len();
    assert_eq!(bias, y.ncols(), "linear: bias of {bias} for y {:?}", y.dim());
    match p.weight.weight() {
        Weight::Plain(rows) => {
            gemm(1.0, mat(x), Mat::new(rows, y.ncols(), x.ncols()).t(), 0.0, mat_mut(y), epilogue);
        }
        Weight::Half(_) => panic!("weights of 16 bits are multiplied in panels"),
        Weight::Panels(panels) => gemm_panels(mat(x), panels, mat_mut(y), epilogue),
        Weight::Int8(int8) => gemm_int8(mat(x), int8, mat_mut(y), epilogue),
        Weight::Fetched(fetched) => gemm_fetched(mat(x), fetched, mat_mut(y), epilogue),
    }
}
