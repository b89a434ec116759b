//! The head of the decoder, which predicts the next token (Devlin et al. 2019; Li et al. 2022, section 3.2).
//!
//! ```text
//! normed = ln(gelu(x W_denseᵀ + b_dense))
//! logits = normed tableᵀ + b
//! ```
//!
//! The table is that of the word embeddings: a word is likely if a row points where its embedding does.
//!
//! # Derivation
//! These are a [linear] layer, an activation, a LayerNorm and the [streaming
//! cross-entropy](crate::loss::cross_entropy). The table is read twice, by the embedding and by the output product, so
//! its gradient is the sum of both.

use super::initial::initial;
use super::text::Shape;
use crate::layers::layer_norm::{self, LayerNorm, Saved as NormSaved};
use crate::layers::linear::{self, Linear};
use crate::layers::{floats, floats_mut};
use crate::loss::cross_entropy::{self, Labels, Scratch as LossScratch, Sums};
use crate::params::{Init, Spec};
use crate::tree::{Arena, Dim, tree};
use crate::weights::Read;
use kernels::Write;
use ndarray::{ArrayView2, ArrayViewMut2};

tree! {
    /// `dense` d → d, `bias` (V)
    Head { dense: Linear, ln: LayerNorm, bias }
}

tree! {
    /// `preact` and `act` are the layer before and behind its activation, `normed` is the output of `ln`.
    ///
    /// `preact`, `act`, `normed`, `dnormed`, `dact` (N,d)
    Buffers { preact, act, ln: NormSaved, normed, dnormed, dact, loss: LossScratch }
}

impl Head<Spec> {
    pub fn spec(shape: &Shape) -> Self {
        let width = shape.size.width;
        Head {
            dense: Linear::spec(width, width, initial(width), Init::Const(0.0)),
            ln: LayerNorm::spec(width),
            bias: Spec::new(&[shape.vocab_size], Init::Const(0.0)),
        }
    }
}

impl Buffers<Dim> {
    /// Returns the sizes for N rows, of which `labelled` have a label.
    fn dims(shape: &Shape, rows: usize, labelled: usize) -> Self {
        let row = Dim(rows, shape.size.width);
        Buffers {
            preact: row,
            act: row,
            ln: NormSaved::dims(rows),
            normed: row,
            dnormed: row,
            dact: row,
            loss: LossScratch::dims(labelled, shape.size.width, shape.vocab_size),
        }
    }
}

/// normed = ln(act(x W_denseᵀ + b_dense))
fn transform(p: &Head<impl Read>, shape: &Shape, x: ArrayView2<f32>, buffers: &mut Buffers<ArrayViewMut2<f32>>) {
    let Buffers { preact, act, ln, normed, .. } = buffers;
    linear::forward_activation(&p.dense, shape.size.activation, x, preact.view_mut(), act.view_mut());
    layer_norm::forward(&p.ln, shape.size.eps, act.view(), normed.view_mut(), ln);
}

/// logits = ln(gelu(x W_denseᵀ + b_dense)) tableᵀ + b
///
/// `x` (N,d), `table` (V,d), `logits` (N,V)
#[track_caller]
pub fn logits<R: Read>(
    p: &Head<R>,
    table: R,
    shape: &Shape,
    x: ArrayView2<f32>,
    logits: ArrayViewMut2<f32>,
    arena: &mut Arena,
) {
    let buffers = &mut arena.carve(&Buffers::dims(shape, x.nrows(), 0));
    transform(p, shape, x, buffers);
    linear::forward(&Linear { weight: table, bias: p.bias }, buffers.normed.view(), logits);
}

/// Writes to `losses` the cross-entropy of each row with a label; see [`cross_entropy`] for
/// smoothing.
///
/// `x` (N,d), `table` (V,d), `losses` (labels)
#[track_caller]
pub fn losses<R: Read>(
    p: &Head<R>,
    table: R,
    shape: &Shape,
    x: ArrayView2<f32>,
    labels: &Labels,
    smoothing: f32,
    losses: &mut [f32],
    arena: &mut Arena,
) {
    let buffers = &mut arena.carve(&Buffers::dims(shape, x.nrows(), labels.len()));
    transform(p, shape, x, buffers);
    let output = Linear { weight: table, bias: p.bias };
    cross_entropy::forward(&output, buffers.normed.view(), labels, smoothing, losses, &mut buffers.loss);
}

/// Returns what the rows with a label come to, Σ weight · loss first of all, writes `dx`, and adds to `g` and `g_table` the gradients of all
/// parameters. The forward pass is part of it.
///
/// `x`, `dx` (N,d), `table`, `g_table` (V,d), `losses` (labels)
#[track_caller]
pub fn backward(
    p: &Head<&[f32]>,
    table: &[f32],
    shape: &Shape,
    x: ArrayView2<f32>,
    labels: &Labels,
    smoothing: f32,
    losses: &mut [f32],
    dx: ArrayViewMut2<f32>,
    arena: &mut Arena,
    g: &mut Head<&mut [f32]>,
    g_table: &mut [f32],
) -> Sums {
    let buffers = &mut arena.carve(&Buffers::dims(shape, x.nrows(), labels.len()));
    transform(p, shape, x, buffers);
    let Buffers { preact, act, ln, normed, dnormed, dact, loss: scratch } = buffers;
    let (output, mut g_output) =
        (Linear { weight: table, bias: p.bias }, Linear { weight: g_table, bias: &mut *g.bias });
    let (normed, dnormed_mut) = (normed.view(), dnormed.view_mut());
    let sums = cross_entropy::backward(&output, normed, labels, smoothing, losses, dnormed_mut, &mut g_output, scratch);
    // in the forward pass: normed = ln(act)
    layer_norm::backward(&p.ln, act.view(), ln, dnormed.view(), Write::Set, dact.view_mut(), &mut g.ln);
    // in the forward pass: act = gelu(preact), so dact becomes dpreact
    shape.size.activation.backward(floats(preact.view()), floats_mut(dact.view_mut()));
    let dpreact = dact;
    // in the forward pass: preact = x W_denseᵀ + b_dense
    linear::backward(&p.dense, x, dpreact.view(), Write::Set, dx, &mut g.dense);
    sums
}
