//! The text encoder of CLIP (Radford et al. 2021, section 2.4): a causal Transformer over tokens, read at the
//! end-of-text token.
//!
//! A caption has as many rows as tokens. The reference pads every caption to 77 tokens and pools at the end-of-text
//! token. Under a causal mask no later row can influence that one, so there is no padding here.
//!
//! That of SigLIP (Zhai et al. 2023) has no mask, is read at the last place, whatever stands there, and its projection has
//! a bias. Padding is a part of its input: every caption fills the context.

use crate::layers::block::{BlockInit, Size};
use crate::layers::layer_norm::{self, LayerNorm, Saved as NormSaved};
use crate::layers::projection;
use crate::layers::sequences::{Pool, Sequences};
use crate::layers::token_embed;
use crate::models::stack::{self, Saved as StackSaved, Scratch as StackScratch, Stack, StackMut, Transformer, Turn};
use crate::models::{Captions, Keep, Workspace};
use crate::params::{Init, Spec};
use crate::tree::{Arena, Dim, tree};
use crate::weights::{Balance, Read};
use kernels::in_pool;
use ndarray::{Array2, Array3, ArrayView2, ArrayViewMut2};

tree! {
    /// The parameters of the tower, which a checkpoint of CLIP has at the top, without a name in front.
    ///
    /// `token_embedding` (V,d), `positional_embedding` (T,d), `text_projection` (d,e), `text_projection_bias` (e)
    Text {
        positional_embedding,
        text_projection,
        text_projection_bias as "text_projection.bias": [_?],
        token_embedding as "token_embedding.weight",
        transformer: Transformer,
        ln_final: LayerNorm,
    }
}

tree! {
    /// `normed` and `dnormed` are the input of the projection and its gradient.
    ///
    /// `normed`, `dnormed` (B,d)
    Scratch { stack: StackScratch, normed, dnormed }
}

/// The sizes of a text encoder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// The largest number T of tokens of a caption, start and end included.
    pub context_length: usize,
    /// The number V of tokens in the vocabulary.
    pub vocab_size: usize,
    /// The sizes of the Transformer's blocks.
    pub size: Size,
    /// The width e of the joint space.
    pub embed_dim: usize,
}

impl Shape {
    /// Returns the parameter table, initialised as OpenAI does it (`initialize_parameters` of its model.py), or without a
    /// causal mask as big_vision does.
    pub fn spec(&self) -> Text<Spec> {
        if self.size.causal { self.causal() } else { self.siglip() }
    }

    fn siglip(&self) -> Text<Spec> {
        let width = self.size.width;
        let root = Init::Normal((width as f32).powf(-0.5));
        Text {
            positional_embedding: Spec::new(&[self.context_length, width], root),
            text_projection: Spec::new(&[width, self.embed_dim], root),
            text_projection_bias: Some(Spec::new(&[self.embed_dim], Init::Const(0.0))),
            token_embedding: Spec::lookup(self.vocab_size, width, root),
            transformer: Transformer::xavier(&self.size),
            ln_final: LayerNorm::spec(width),
        }
    }

    fn causal(&self) -> Text<Spec> {
        let width = self.size.width;
        let attention = (width as f32).powf(-0.5);
        let residual = Init::Normal(attention * (2.0 * self.size.layers as f32).powf(-0.5));
        let init = BlockInit {
            in_proj: Init::Normal(attention),
            out_proj: residual,
            c_fc: Init::Normal((2.0 * width as f32).powf(-0.5)),
            c_proj: residual,
        };
        Text {
            positional_embedding: Spec::new(&[self.context_length, width], Init::Normal(0.01)),
            text_projection: Spec::new(&[width, self.embed_dim], Init::Normal(attention)),
            text_projection_bias: None,
            token_embedding: Spec::lookup(self.vocab_size, width, Init::Normal(0.02)),
            transformer: Transformer::spec(&self.size, &init),
            ln_final: LayerNorm::spec(width),
        }
    }

    /// Makes room for captions that all fill the context, so that no later batch of as many allocates.
    fn reserve(&self, captions: usize, keep: Keep, saved: &mut Arena, scratch: &mut Arena) {
        let rows = captions * self.context_length;
        saved.reserve(&self.saved(rows, captions, keep));
        scratch.reserve(&self.scratch(rows, captions));
    }

    pub(super) fn saved(&self, rows: usize, captions: usize, keep: Keep) -> StackSaved<Dim> {
        StackSaved::dims(&self.size, rows, captions, Pool::Last, keep)
    }

    fn scratch(&self, rows: usize, captions: usize) -> Scratch<Dim> {
        let normed = Dim(captions, self.size.width);
        let stack = StackScratch::dims(&self.size, rows, captions, Pool::Last);
        Scratch { stack, normed, dnormed: normed }
    }

    #[track_caller]
    fn check(&self, captions: &Captions) {
        for pair in captions.offsets.windows(2) {
            let len = pair[1] - pair[0];
            let fits = if self.size.causal { len <= self.context_length } else { len == self.context_length };
            assert!(fits, "caption of {len} tokens, context of {}", self.context_length);
        }
    }
}

impl Balance<Text<Spec>> for Text<&mut [f32]> {
    fn balance(&mut self, spec: &mut Text<Spec>) {
        self.transformer.balance(&mut spec.transformer);
    }
}

impl<T> Text<T> {
    fn stack(&self) -> Stack<'_, T> {
        Stack { resblocks: &self.transformer.resblocks, ln: &self.ln_final }
    }

    fn stack_mut(&mut self) -> StackMut<'_, T> {
        StackMut { resblocks: &mut self.transformer.resblocks, ln: &mut self.ln_final }
    }
}

/// features = ln_final(x) text_projection + bias, where the rows of x are the last rows of the captions behind the last
/// block
///
/// `features` (B,e)
///
/// The features are not of unit length.
#[track_caller]
pub fn forward(
    p: &Text<impl Read>,
    shape: &Shape,
    captions: Captions,
    keep: Keep,
    features: ArrayViewMut2<f32>,
    workspace: &mut Workspace,
    scratch: &mut Arena,
) {
    let block = stack::in_order(&p.transformer.resblocks);
    let Ok(()) = forward_by_blocks(p, shape, captions, keep, features, workspace, scratch, block);
}

/// Computes the same as [`forward`] with blocks that need not be there at the same time: `block` gets each one ready and
/// lets it [take](Turn::take) its turn. Those of `p` are not read.
///
/// # Errors
/// Returns the error of `block`.
#[track_caller]
pub fn forward_by_blocks<E>(
    p: &Text<impl Read>,
    shape: &Shape,
    captions: Captions,
    keep: Keep,
    features: ArrayViewMut2<f32>,
    workspace: &mut Workspace,
    scratch: &mut Arena,
    block: impl FnMut(Turn) -> Result<(), E>,
) -> Result<(), E> {
    shape.check(&captions);
    let Workspace { sequences, saved, keep: kept, .. } = workspace;
    *kept = keep;
    sequences.fill(captions.own_offsets(), Pool::Last);
    shape.reserve(captions.len(), keep, saved, scratch);
    let saved = &mut saved.carve(&shape.saved(sequences.rows(), captions.len(), keep));
    let scratch = &mut scratch.carve(&shape.scratch(sequences.rows(), captions.len()));
    let x = saved.xs[0].view_mut();
    token_embed::forward(&p.token_embedding, &p.positional_embedding, captions.own_ids(), sequences.positions(), x);
    let normed = scratch.normed.view_mut();
    stack::forward_by_blocks(&p.ln_final, &shape.size, sequences, normed, saved, &mut scratch.stack, block)?;
    projection::forward(&p.text_projection, p.text_projection_bias.as_ref(), scratch.normed.view(), features);
    Ok(())
}

/// Adds to `g` the gradients of all parameters that the workspace does not lock.
///
/// `dfeatures` (B,e)
///
/// The last [`forward`] in `workspace` must have been one of these captions that kept all or the inputs.
#[track_caller]
pub fn backward(
    p: &Text<&[f32]>,
    shape: &Shape,
    captions: Captions,
    dfeatures: ArrayView2<f32>,
    workspace: &mut Workspace,
    scratch: &mut Arena,
    g: &mut Text<&mut [f32]>,
) {
    let Workspace { sequences, saved, keep, locked, .. } = workspace;
    let saved = &saved.carve(&shape.saved(sequences.rows(), captions.len(), *keep));
    let Scratch { stack: scratch, normed, dnormed } =
        &mut scratch.carve(&shape.scratch(sequences.rows(), captions.len()));
    // in the forward pass: features = normed W + b
    stack::recompute(p.stack(), saved, normed.view_mut());
    let (x, dx, dbias) = (normed.view(), dnormed.view_mut(), g.text_projection_bias.as_deref_mut());
    projection::backward(p.text_projection, x, dfeatures, dx, g.text_projection, dbias);
    if *locked > shape.size.layers {
        return;
    }
    // in the forward pass: normed = stack(xs[0])
    let (first, dnormed) = (locked.saturating_sub(1), dnormed.view());
    stack::backward(p.stack(), &shape.size, sequences, first, dnormed, saved, scratch, g.stack_mut());
    if *locked > 0 {
        return;
    }
    // in the forward pass: xs[0] = token_embedding[ids] + positional_embedding
    let dx = scratch.dx.view();
    token_embed::backward(captions.own_ids(), sequences.positions(), dx, g.token_embedding, g.positional_embedding);
}

/// Returns the attention probabilities (H,T,T) of every block for one caption of T tokens.
#[track_caller]
pub fn attention(p: &Text<impl Read>, shape: &Shape, ids: &[u32]) -> Vec<Array3<f32>> {
    let (captions, mut workspace) = (Captions { ids, offsets: &[0, ids.len()] }, Workspace::default());
    in_pool(|| {
        let mut features = Array2::zeros((1, shape.embed_dim));
        forward(p, shape, captions, Keep::All, features.view_mut(), &mut workspace, &mut Arena::default());
        let saved = workspace.saved.carve(&shape.saved(ids.len(), 1, Keep::All));
        stack::attention(p.stack(), &shape.size, &saved)
    })
}

/// Returns all hidden states: the embedded rows, then every block's output, then the last one after `ln_final`.
///
/// each state (Σ lengths,d)
///
/// The rows are those of `captions`. Stable Diffusion 2 and XL read the third state from the end, which is the output
/// of the last block but one.
#[track_caller]
pub fn hidden_states(p: &Text<impl Read>, shape: &Shape, captions: Captions) -> Vec<Array2<f32>> {
    shape.check(&captions);
    in_pool(|| states(p, shape, captions))
}

fn states(p: &Text<impl Read>, shape: &Shape, captions: Captions) -> Vec<Array2<f32>> {
    let mut sequences = Sequences::default();
    sequences.fill(captions.own_offsets(), Pool::All);
    let (size, rows) = (&shape.size, sequences.rows());
    let (mut saved, mut scratch) = (Arena::default(), Arena::default());
    let saved = &mut saved.carve(&StackSaved::of_states(size, rows, captions.len(), Pool::All));
    let scratch = &mut scratch.carve(&StackScratch::dims(size, rows, captions.len(), Pool::All));

    let (table, positional, x) = (&p.token_embedding, &p.positional_embedding, saved.xs[0].view_mut());
    token_embed::forward(table, positional, captions.own_ids(), sequences.positions(), x);
    let mut normed = Array2::zeros((rows, size.width));
    stack::forward(p.stack(), size, &sequences, normed.view_mut(), saved, scratch);
    let states = saved.xs.iter().chain([&saved.out]).map(|x| x.to_owned());
    states.chain([normed]).collect()
}

/// Applies `ln_final` to hidden states, as Stable Diffusion 2 does to the output of the last block but one.
///
/// `states` (N,d); returns (N,d)
#[track_caller]
pub fn final_norm(p: &Text<impl Read>, shape: &Shape, states: ArrayView2<f32>) -> Array2<f32> {
    let mut normed = Array2::zeros(states.raw_dim());
    let mut stats = Arena::default();
    let stats = &mut stats.carve(&NormSaved::dims(states.nrows()));
    layer_norm::forward(&p.ln_final, shape.size.eps, states, normed.view_mut(), stats);
    normed
}
