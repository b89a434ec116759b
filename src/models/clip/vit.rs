//! The Vision Transformer of CLIP (Dosovitskiy et al. 2021; Radford et al. 2021, section 2.4): patches, class token
//! and positions, an extra LayerNorm, pre-norm blocks, LayerNorm and projection of the class token.

use crate::layers::block::{BlockInit, Size};
use crate::layers::layer_norm::{self, LayerNorm, Saved as NormSaved};
use crate::layers::linear::default_init;
use crate::layers::patch_dropout::PatchDropout;
use crate::layers::patch_embed::{self, CHANNELS, Grid, PatchEmbed, Scratch as PatchScratch};
use crate::layers::projection;
use crate::layers::sequences::Pool;
use crate::models::stack::{self, Saved as StackSaved, Scratch as StackScratch, Stack, StackMut, Transformer, Turn};
use crate::models::{Keep, Workspace};
use crate::params::{Init, Spec};
use crate::tree::{Arena, Dim, tree};
use crate::weights::Read;
use kernels::Write;
use ndarray::{Array2, Array3, ArrayView2, ArrayViewMut2, Axis};

tree! {
    /// The parameters of the tower, which a checkpoint of CLIP has under `visual`.
    ///
    /// `proj` (d,e)
    Vit { embed as "": PatchEmbed, ln_pre: LayerNorm, transformer: Transformer, ln_post: LayerNorm, proj }
}

tree! {
    /// What the backward pass needs; `embedded` is the input of `ln_pre`.
    ///
    /// `embedded` (N,d)
    Saved { embedded, ln_pre: NormSaved, stack: StackSaved }
}

tree! {
    /// `dembedded` is the gradient of the embedded rows; `normed` and `dnormed` are the input of the projection and its
    /// gradient.
    ///
    /// `dembedded` (N,d), `normed`, `dnormed` (B,d)
    Scratch { patch: PatchScratch, dembedded, stack: StackScratch, normed, dnormed }
}

/// The sizes of a ViT.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// How a picture is cut into patches.
    pub grid: Grid,
    /// The sizes of the Transformer's blocks.
    pub size: Size,
    /// The width e of the joint space.
    pub embed_dim: usize,
}

impl Shape {
    /// Returns the parameter table, initialised as OpenCLIP does it: by PyTorch's defaults but for the three tables.
    /// (OpenAI published no initialisation of its ViT.)
    pub fn spec(&self) -> Vit<Spec> {
        let (Size { width, mlp_width, .. }, patch_size) = (self.size, self.grid.patch_size);
        let table = Init::Normal((width as f32).powf(-0.5));
        let init = BlockInit {
            // Xavier-uniform over the packed (3d,d) matrix: √(6/(fan_in + fan_out)).
            in_proj: Init::Uniform((6.0 / (4 * width) as f32).sqrt()),
            out_proj: default_init(width),
            c_fc: default_init(width),
            c_proj: default_init(mlp_width),
        };
        let conv1 = default_init(self.grid.patch_len());
        Vit {
            embed: PatchEmbed {
                class_embedding: Spec::new(&[width], table),
                positional_embedding: Spec::new(&[self.grid.tokens(), width], table),
                conv1_weight: Spec::new(&[width, CHANNELS, patch_size, patch_size], conv1),
                conv1_bias: None,
            },
            ln_pre: LayerNorm::spec(width),
            transformer: Transformer::spec(&self.size, &init),
            ln_post: LayerNorm::spec(width),
            proj: Spec::new(&[width, self.embed_dim], table),
        }
    }

    /// Returns how many [layer groups](super::groups) come before the [map of places](places_map): the embedding.
    pub fn groups_before_map(&self) -> usize {
        1
    }

    /// Returns the sizes for pictures of which so many patches each are embedded.
    pub(super) fn saved(&self, pictures: usize, patches: usize, keep: Keep) -> Saved<Dim> {
        let rows = pictures * (1 + patches);
        Saved {
            embedded: Dim(rows, self.size.width),
            ln_pre: NormSaved::dims(rows),
            stack: StackSaved::dims(&self.size, rows, pictures, Pool::First, keep),
        }
    }

    fn scratch(&self, pictures: usize, patches: usize) -> Scratch<Dim> {
        let rows = pictures * (1 + patches);
        Scratch {
            patch: PatchScratch::dims(self.grid, pictures * patches, self.size.width),
            dembedded: Dim(rows, self.size.width),
            stack: StackScratch::dims(&self.size, rows, pictures, Pool::First),
            normed: Dim(pictures, self.size.width),
            dnormed: Dim(pictures, self.size.width),
        }
    }
}

impl<T> Vit<T> {
    fn stack(&self) -> Stack<'_, T> {
        Stack { resblocks: &self.transformer.resblocks, ln: &self.ln_post }
    }

    fn stack_mut(&mut self) -> StackMut<'_, T> {
        StackMut { resblocks: &mut self.transformer.resblocks, ln: &mut self.ln_post }
    }
}

/// features = ln_post(x) proj, where the rows of x are the class tokens of the pictures behind the last block
///
/// `images` (B,3·edge²), `features` (B,e)
///
/// The values of a picture are ordered by channel, row and column; each is (x − mean)/std of its channel. The features
/// are not of unit length. `dropout` drops patches; [`backward`] drops the same.
#[track_caller]
pub fn forward(
    p: &Vit<impl Read>,
    shape: &Shape,
    images: ArrayView2<f32>,
    how: (Keep, Option<PatchDropout>),
    features: ArrayViewMut2<f32>,
    workspace: &mut Workspace,
    scratch: &mut Arena,
) {
    let block = stack::in_order(&p.transformer.resblocks);
    let Ok(()) = forward_by_blocks(p, shape, images, how, features, workspace, scratch, block);
}

/// Computes the same as [`forward`] with blocks that need not be there at the same time: `block` gets each one ready
/// and lets it [take](Turn::take) its turn. Those of `p` are not read.
///
/// # Errors
/// Returns the error of `block`.
#[track_caller]
pub fn forward_by_blocks<E>(
    p: &Vit<impl Read>,
    shape: &Shape,
    images: ArrayView2<f32>,
    (keep, dropout): (Keep, Option<PatchDropout>),
    features: ArrayViewMut2<f32>,
    workspace: &mut Workspace,
    scratch: &mut Arena,
    block: impl FnMut(Turn) -> Result<(), E>,
) -> Result<(), E> {
    let (pictures, size) = (images.nrows(), &shape.size);
    let Workspace { sequences, patches, saved, keep: kept, .. } = workspace;
    *kept = keep;
    patches.draw(shape.grid.patches(), pictures, dropout);
    sequences.fill((0..=pictures).map(|i| i * (1 + patches.of_each())), Pool::First);
    let saved = &mut saved.carve(&shape.saved(pictures, patches.of_each(), keep));
    let scratch = &mut scratch.carve(&shape.scratch(pictures, patches.of_each()));
    let embedded = saved.embedded.view_mut();
    patch_embed::forward(&p.embed, shape.grid, patches.kept(), images, embedded, &mut scratch.patch);
    let x = saved.stack.xs[0].view_mut();
    layer_norm::forward(&p.ln_pre, size.eps, saved.embedded.view(), x, &mut saved.ln_pre);
    let normed = scratch.normed.view_mut();
    stack::forward_by_blocks(&p.ln_post, size, sequences, normed, &mut saved.stack, &mut scratch.stack, block)?;
    projection::forward(&p.proj, scratch.normed.view(), features);
    Ok(())
}

/// Adds to `g` the gradients of all parameters that the workspace does not lock.
///
/// `images` (B,3·edge²), `dfeatures` (B,e)
///
/// The last [`forward`] in `workspace` must have been one of these pictures that kept all or the inputs.
#[track_caller]
pub fn backward(
    p: &Vit<&[f32]>,
    shape: &Shape,
    images: ArrayView2<f32>,
    dfeatures: ArrayView2<f32>,
    workspace: &mut Workspace,
    scratch: &mut Arena,
    g: &mut Vit<&mut [f32]>,
) {
    let (pictures, layers) = (images.nrows(), shape.size.layers);
    let Workspace { sequences, patches, saved, keep, locked, .. } = workspace;
    let saved = saved.carve(&shape.saved(pictures, patches.of_each(), *keep));
    let scratch = &mut scratch.carve(&shape.scratch(pictures, patches.of_each()));
    // in the forward pass: features = normed W
    stack::recompute(p.stack(), &saved.stack, scratch.normed.view_mut());
    projection::backward(p.proj, scratch.normed.view(), dfeatures, scratch.dnormed.view_mut(), g.proj);
    if *locked > layers {
        return;
    }
    // in the forward pass: normed = stack(xs[0])
    let (first, dnormed, stack_scratch) = (locked.saturating_sub(1), scratch.dnormed.view(), &mut scratch.stack);
    stack::backward(p.stack(), &shape.size, sequences, first, dnormed, &saved.stack, stack_scratch, g.stack_mut());
    if *locked > 0 {
        return;
    }
    // in the forward pass: xs[0] = ln_pre(embedded)
    let (x, dy, dx) = (saved.embedded.view(), stack_scratch.dx.view(), scratch.dembedded.view_mut());
    layer_norm::backward(&p.ln_pre, x, &saved.ln_pre, dy, Write::Set, dx, &mut g.ln_pre);
    // in the forward pass: embedded = class token and patches, plus positions
    let dembedded = scratch.dembedded.view();
    patch_embed::backward(shape.grid, patches.kept(), images, dembedded, &mut scratch.patch, &mut g.embed);
}

/// Returns the tokens of the patches that enter the first block, each of which knows its own patch alone, and the gradient
/// with respect to them.
///
/// each (patches,d)
///
/// The last [`forward`] and [`backward`] in `workspace` must have been of one picture that kept all, with the groups
/// [before the map](Shape::groups_before_map) locked, and nothing may have used `scratch` since.
#[track_caller]
pub fn places_map(shape: &Shape, workspace: &mut Workspace, scratch: &mut Arena) -> [Array2<f32>; 2] {
    let Workspace { sequences, patches, saved, keep, .. } = workspace;
    assert_eq!(sequences.len(), 1, "pictures with a map");
    let saved = saved.carve(&shape.saved(1, patches.of_each(), *keep));
    let scratch = scratch.carve(&shape.scratch(1, patches.of_each()));
    [&saved.stack.xs[0], &scratch.stack.dx].map(|rows| rows.slice_axis(Axis(0), (1..).into()).to_owned())
}

/// Returns the attention probabilities (H,T,T) of every block for the one picture of the last [`forward`] in
/// `workspace`, which kept all. The first of the T tokens is the class token.
#[track_caller]
pub fn attention(p: &Vit<impl Read>, shape: &Shape, workspace: &mut Workspace) -> Vec<Array3<f32>> {
    let Workspace { sequences, patches, saved, keep, .. } = workspace;
    assert_eq!(sequences.len(), 1, "pictures with attention");
    let saved = saved.carve(&shape.saved(1, patches.of_each(), *keep));
    stack::attention(p.stack(), &shape.size, &saved.stack)
}
