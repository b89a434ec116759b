//! The Transformer's MLP, whose activation is QuickGELU (OpenAI) or GELU.
//!
//! ```text
//! preact = x W₁ᵀ + b₁
//! y      = act(preact) W₂ᵀ + b₂ + residual
//! ```
//!
//! # Derivation
//! These are two [linear] layers around an elementwise activation, through which the gradient goes by its derivative:
//!
//! ```text
//! dpreact = (dy W₂) ∘ act′(preact)
//! dx      = dpreact W₁
//! ```
//!
//! Only `preact` is saved; act(preact) takes four widths a row and is cheap, so the backward pass computes it again. If
//! [inputs alone](super::Keep::Inputs) are kept, it computes `preact` again too.

use super::dropout::Residual;
use super::linear::{self, Linear};
use super::{floats, floats_mut};
use crate::params::{Init, Spec};
use crate::tree::tree;
use crate::weights::Read;
use kernels::{Activation, Write};
use ndarray::{ArrayView2, ArrayViewMut2};

tree! {
    /// The two layers; `hidden` is four widths in every published CLIP but the largest two.
    ///
    /// `c_fc` d → hidden, `c_proj` hidden → d
    Mlp { c_fc: Linear, c_proj: Linear }
}

impl Mlp<Spec> {
    /// Returns the parameter table. The biases start as PyTorch's default, as in both of OpenAI's towers.
    pub fn spec(width: usize, mlp_width: usize, c_fc: Init, c_proj: Init) -> Self {
        Mlp {
            c_fc: Linear::spec(width, mlp_width, c_fc, linear::default_init(width)).rounds(),
            c_proj: Linear::spec(mlp_width, width, c_proj, linear::default_init(mlp_width)).rounds(),
        }
    }

    /// Returns the parameter table as big_vision draws it: both matrices by [`Init::xavier`], and biases of nearly zero.
    pub fn xavier(width: usize, mlp_width: usize) -> Self {
        let (matrix, bias) = (Init::xavier(width, mlp_width), Init::Normal(1e-6));
        Mlp {
            c_fc: Linear::spec(width, mlp_width, matrix, bias).rounds(),
            c_proj: Linear::spec(mlp_width, width, matrix, bias).rounds(),
        }
    }
}

/// y = m ∘ (act(x W₁ᵀ + b₁) W₂ᵀ + b₂) + residual, with m of the residual's [dropout](super::dropout)
///
/// `x`, `residual`, `y` (N,d), `preact` (N,hidden) or empty, `act` (N,hidden)
///
/// `preact` is for the backward pass, and is empty if it is not kept; `act` is scratch.
#[track_caller]
pub fn forward<'a>(
    p: &Mlp<impl Read>,
    activation: Activation,
    x: ArrayView2<f32>,
    residual: impl Into<Residual<'a>>,
    y: ArrayViewMut2<f32>,
    preact: ArrayViewMut2<f32>,
    mut act: ArrayViewMut2<f32>,
) {
    linear::forward_activation(&p.c_fc, activation, x, preact, act.view_mut());
    linear::forward_residual(&p.c_proj, act.view(), residual, y);
}

/// dx = ((dy W₂) ∘ act′(preact)) W₁, where dy is the gradient of what the mask m is applied to
///
/// `x`, `dy`, `dx` (N,d), `preact` (N,hidden) or empty, `act`, `buffer` (N,hidden)
///
/// The gradients of the parameters are added to `g`; the residual has a gradient of its own. With [`Write::Add`]
/// dx is added to what is there. An empty `preact` is computed again from x. `act` and `buffer` are scratch.
#[track_caller]
pub fn backward(
    p: &Mlp<&[f32]>,
    activation: Activation,
    x: ArrayView2<f32>,
    preact: ArrayView2<f32>,
    dy: ArrayView2<f32>,
    write: Write,
    dx: ArrayViewMut2<f32>,
    mut act: ArrayViewMut2<f32>,
    mut buffer: ArrayViewMut2<f32>,
    g: &mut Mlp<&mut [f32]>,
) {
    let preact = if preact.is_empty() {
        linear::forward_activation(&p.c_fc, activation, x, buffer.view_mut(), act.view_mut());
        buffer.view()
    } else {
        activation.forward(floats(preact), floats_mut(act.view_mut()));
        preact
    };
    // in the forward pass: y = act W₂ᵀ + b₂
    linear::backward_params(act.view(), dy, &mut g.c_proj);
    // in the forward pass: act = act(preact). Now that it is used up, dpreact takes its place.
    let mut dpreact = act;
    linear::backward_activation(&p.c_proj, activation, preact, dy, dpreact.view_mut());
    // in the forward pass: preact = x W₁ᵀ + b₁
    linear::backward(&p.c_fc, x, dpreact.view(), write, dx, &mut g.c_fc);
}
