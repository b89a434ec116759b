//! The Vision Transformer of CLIP (Dosovitskiy et al. 2021; Radford et al. 2021, section 2.4): patches, class token
//! and positions, an extra LayerNorm, pre-norm blocks, LayerNorm and projection of the class token.
//!
//! That of SigLIP (Zhai et al. 2023) has neither class token nor extra LayerNorm. The rows of all patches leave its
//! blocks, and a [MAP head](map_head) makes the features of them.

use crate::layers::block::{BlockInit, Size};
use crate::layers::layer_norm::{self, LayerNorm, Saved as NormSaved};
use crate::layers::linear::default_init;
use crate::layers::map_head::{self, MapHead, Saved as MapSaved, Scratch as MapScratch};
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
    Vit {
        embed as "": PatchEmbed,
        ln_pre: [LayerNorm?],
        transformer: Transformer,
        ln_post: LayerNorm,
        proj: [_?],
        attn_pool: [MapHead?],
    }
}

tree! {
    /// What the backward pass needs.
    Saved { ln_pre: [Pre?], stack: StackSaved, attn_pool: [MapSaved?] }
}

tree! {
    /// The input of `ln_pre`, and what that saves.
    ///
    /// `embedded` (N,d)
    Pre { embedded, norm: NormSaved }
}

tree! {
    /// `dembedded` is the gradient of the embedded rows; `normed` and `dnormed` are the input of the projection or of the
    /// MAP head and its gradient.
    ///
    /// `dembedded` (N,d), `normed`, `dnormed` (B,d), or (N,d) for a MAP head
    Scratch { patch: PatchScratch, dembedded, stack: StackScratch, normed, dnormed, attn_pool: [MapScratch?] }
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
    /// Whether the tower is SigLIP's, whose e is its d.
    pub map_head: bool,
}

impl Shape {
    /// Returns the parameter table, initialised as OpenCLIP does it: by PyTorch's defaults but for the three tables.
    /// (OpenAI published no initialisation of its ViT.) With a MAP head it is initialised as big_vision does it.
    pub fn spec(&self) -> Vit<Spec> {
        if self.map_head { self.siglip() } else { self.class_token() }
    }

    fn siglip(&self) -> Vit<Spec> {
        let (width, patch_size) = (self.size.width, self.grid.patch_size);
        let fan_in = Init::Normal((self.grid.patch_len() as f32).powf(-0.5));
        let positions = Init::Normal((width as f32).powf(-0.5));
        Vit {
            embed: PatchEmbed {
                class_embedding: None,
                positional_embedding: Spec::new(&[self.grid.patches(), width], positions),
                conv1_weight: Spec::new(&[width, CHANNELS, patch_size, patch_size], fan_in),
                conv1_bias: Some(Spec::new(&[width], Init::Const(0.0))),
            },
            ln_pre: None,
            transformer: Transformer::xavier(&self.size),
            ln_post: LayerNorm::spec(width),
            proj: None,
            attn_pool: Some(MapHead::spec(&self.size)),
        }
    }

    fn class_token(&self) -> Vit<Spec> {
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
                class_embedding: Some(Spec::new(&[width], table)),
                positional_embedding: Spec::new(&[self.grid.tokens(), width], table),
                conv1_weight: Spec::new(&[width, CHANNELS, patch_size, patch_size], conv1),
                conv1_bias: None,
            },
            ln_pre: Some(LayerNorm::spec(width)),
            transformer: Transformer::spec(&self.size, &init),
            ln_post: LayerNorm::spec(width),
            proj: Some(Spec::new(&[width, self.embed_dim], table)),
            attn_pool: None,
        }
    }

    /// Returns the number of tokens of a picture of which so many patches are embedded.
    pub fn tokens_of(&self, patches: usize) -> usize {
        patches + usize::from(!self.map_head)
    }

    /// Returns the rows of a picture that leave the blocks.
    pub(super) fn pool(&self) -> Pool {
        if self.map_head { Pool::All } else { Pool::First }
    }

    /// Returns how many [layer groups](super::groups) come before the [map of places](places_map): the embedding.
    pub fn groups_before_map(&self) -> usize {
        1
    }

    /// Returns the sizes for pictures of which so many patches each are embedded.
    pub(super) fn saved(&self, pictures: usize, patches: usize, keep: Keep) -> Saved<Dim> {
        let (size, tokens) = (&self.size, self.tokens_of(patches));
        let rows = pictures * tokens;
        Saved {
            ln_pre: (!self.map_head).then(|| Pre { embedded: Dim(rows, size.width), norm: NormSaved::dims(rows) }),
            stack: StackSaved::dims(size, rows, pictures, self.pool(), keep),
            attn_pool: self.map_head.then(|| MapSaved::dims(size, tokens, pictures, keep)),
        }
    }

    fn scratch(&self, pictures: usize, patches: usize) -> Scratch<Dim> {
        let (size, tokens) = (&self.size, self.tokens_of(patches));
        let rows = pictures * tokens;
        let normed = Dim(self.pool().rows(rows, pictures), size.width);
        Scratch {
            patch: PatchScratch::dims(self.grid, pictures * patches, size.width),
            dembedded: Dim(rows, size.width),
            stack: StackScratch::dims(size, rows, pictures, self.pool()),
            normed,
            dnormed: normed,
            attn_pool: self.map_head.then(|| MapScratch::dims(size, tokens, pictures)),
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

/// features = ln_post(x) proj, where the rows of x are the class tokens of the pictures behind the last block, or the MAP
/// head of ln_post(x) of all rows
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
    let tokens = shape.tokens_of(patches.of_each());
    sequences.fill((0..=pictures).map(|i| i * tokens), shape.pool());
    let saved = &mut saved.carve(&shape.saved(pictures, patches.of_each(), keep));
    let scratch = &mut scratch.carve(&shape.scratch(pictures, patches.of_each()));
    let x = saved.stack.xs[0].view_mut();
    if let (Some(ln_pre), Some(Pre { embedded, norm })) = (&p.ln_pre, &mut saved.ln_pre) {
        let y = embedded.view_mut();
        patch_embed::forward(&p.embed, shape.grid, patches.kept(), images, y, &mut scratch.patch);
        layer_norm::forward(ln_pre, size.eps, embedded.view(), x, norm);
    } else {
        patch_embed::forward(&p.embed, shape.grid, patches.kept(), images, x, &mut scratch.patch);
    }
    let normed = scratch.normed.view_mut();
    stack::forward_by_blocks(&p.ln_post, size, sequences, normed, &mut saved.stack, &mut scratch.stack, block)?;
    let normed = scratch.normed.view();
    match (&p.proj, &p.attn_pool, &mut saved.attn_pool, &mut scratch.attn_pool) {
        (_, Some(p), Some(saved), Some(scratch)) => map_head::forward(p, size, normed, features, saved, scratch),
        (Some(proj), ..) => projection::forward(proj, None, normed, features),
        _ => panic!("the parameters are not of {shape:?}"),
    }
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
    // in the forward pass: features = normed W, or the MAP head of normed
    stack::recompute(p.stack(), &saved.stack, scratch.normed.view_mut());
    let (normed, dnormed) = (scratch.normed.view(), scratch.dnormed.view_mut());
    if let (Some(p), Some(saved), Some(scratch), Some(g)) =
        (&p.attn_pool, &saved.attn_pool, &mut scratch.attn_pool, &mut g.attn_pool)
    {
        map_head::backward(p, &shape.size, normed, dfeatures, dnormed, saved, scratch, g);
    } else if let (Some(proj), Some(dproj)) = (p.proj, &mut g.proj) {
        projection::backward(proj, normed, dfeatures, dnormed, dproj, None);
    }
    if *locked > layers {
        return;
    }
    // in the forward pass: normed = stack(xs[0])
    let (first, dnormed, stack_scratch) = (locked.saturating_sub(1), scratch.dnormed.view(), &mut scratch.stack);
    stack::backward(p.stack(), &shape.size, sequences, first, dnormed, &saved.stack, stack_scratch, g.stack_mut());
    if *locked > 0 {
        return;
    }
    // in the forward pass: xs[0] = ln_pre(embedded), or embedded
    let mut dembedded = stack_scratch.dx.view();
    if let (Some(ln_pre), Some(Pre { embedded, norm }), Some(g)) = (&p.ln_pre, &saved.ln_pre, &mut g.ln_pre) {
        let dx = scratch.dembedded.view_mut();
        layer_norm::backward(ln_pre, embedded.view(), norm, dembedded, Write::Set, dx, g);
        dembedded = scratch.dembedded.view();
    }
    // in the forward pass: embedded = class token and patches, plus positions
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
    let first = shape.tokens_of(0);
    [&saved.stack.xs[0], &scratch.stack.dx].map(|rows| rows.slice_axis(Axis(0), (first..).into()).to_owned())
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

/// Returns the attention probabilities (H,T) of the probe of the MAP head for the one picture of the last [`forward`] in
/// `workspace`, which kept all.
#[track_caller]
pub fn probe_attention(shape: &Shape, workspace: &mut Workspace) -> Array2<f32> {
    let Workspace { sequences, patches, saved, keep, .. } = workspace;
    assert_eq!(sequences.len(), 1, "pictures with attention");
    let saved = saved.carve(&shape.saved(1, patches.of_each(), *keep));
    saved.attn_pool.expect("a tower with a MAP head").query.probs.to_owned()
}
