//! The Vision Transformer of CLIP (Dosovitskiy et al. 2021; Radford et al. 2021, section 2.4): patches, class token
//! and positions, an extra LayerNorm, pre-norm blocks, LayerNorm and projection of the class token.

use crate::layers::block::{BlockInit, Size};
use crate::layers::layer_norm::{self, LayerNorm, Saved as NormSaved};
use crate::layers::linear::default_init;
use crate::layers::patch_embed::{self, CHANNELS, Grid, PatchEmbed, Scratch as PatchScratch};
use crate::layers::sequences::Pool;
use crate::models::tower::{self, Saved as TowerSaved, Scratch as TowerScratch, Tower, TowerMut, Transformer};
use crate::models::{Keep, Workspace};
use crate::params::{Init, Spec};
use crate::tree::{Arena, Dim, tree};
use crate::weights::Read;
use kernels::Write;
use ndarray::{ArrayView2, ArrayViewMut2};

tree! {
    /// The parameters of the tower, which a checkpoint of CLIP has under `visual`.
    ///
    /// `proj` (d,e)
    Vit { embed as "": PatchEmbed, ln_pre: LayerNorm, transformer: Transformer, ln_post: LayerNorm, proj }
}

tree! {
    /// What the backward pass needs; `embedded` (N,d) is the input of `ln_pre`.
    Saved { embedded, ln_pre: NormSaved, tower: TowerSaved }
}

tree! {
    /// `dembedded` (N,d) is the gradient of the embedded rows.
    Scratch { patch: PatchScratch, dembedded, tower: TowerScratch }
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
    /// Returns the parameter table, initialised as OpenCLIP does: by PyTorch's defaults but for the three tables.
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
            },
            ln_pre: LayerNorm::spec(width),
            transformer: Transformer::spec(&self.size, &init),
            ln_post: LayerNorm::spec(width),
            proj: Spec::new(&[width, self.embed_dim], table),
        }
    }

    fn saved(&self, pictures: usize, keep: Keep) -> Saved<Dim> {
        let rows = pictures * self.grid.tokens();
        Saved {
            embedded: Dim(rows, self.size.width),
            ln_pre: NormSaved::dims(rows),
            tower: TowerSaved::dims(&self.size, rows, pictures, keep),
        }
    }

    fn scratch(&self, pictures: usize) -> Scratch<Dim> {
        let rows = pictures * self.grid.tokens();
        Scratch {
            patch: PatchScratch::dims(self.grid, pictures, self.size.width),
            dembedded: Dim(rows, self.size.width),
            tower: TowerScratch::dims(&self.size, rows, pictures),
        }
    }
}

impl<T> Vit<T> {
    fn tower(&self) -> Tower<'_, T> {
        Tower { resblocks: &self.transformer.resblocks, ln: &self.ln_post, proj: &self.proj }
    }

    fn tower_mut(&mut self) -> TowerMut<'_, T> {
        TowerMut { resblocks: &mut self.transformer.resblocks, ln: &mut self.ln_post, proj: &mut self.proj }
    }
}

/// features = proj of `ln_post` of every picture's class token, not of unit length.
///
/// `images` (B,3S²), ordered channel, row, column, each colour less its mean and divided by its deviation; `features`
/// (B,e)
#[track_caller]
pub fn forward(
    p: &Vit<impl Read>,
    shape: &Shape,
    images: ArrayView2<f32>,
    keep: Keep,
    features: ArrayViewMut2<f32>,
    workspace: &mut Workspace,
    scratch: &mut Arena,
) {
    let (pictures, tokens) = (images.nrows(), shape.grid.tokens());
    let Workspace { sequences, saved, .. } = workspace;
    sequences.fill((0..=pictures).map(|i| i * tokens), Pool::First);
    let saved = &mut saved.carve(&shape.saved(pictures, keep));
    let scratch = &mut scratch.carve(&shape.scratch(pictures));
    patch_embed::forward(&p.embed, shape.grid, images, saved.embedded.view_mut(), &mut scratch.patch);
    layer_norm::forward(
        &p.ln_pre,
        shape.size.eps,
        saved.embedded.view(),
        saved.tower.xs[0].view_mut(),
        &mut saved.ln_pre,
    );
    tower::forward(p.tower(), &shape.size, sequences, features, &mut saved.tower, &mut scratch.tower);
}

/// Adds to `g` the gradients of all parameters.
///
/// `images` (B,3S²), `dfeatures` (B,e)
///
/// The last [`forward`] in `workspace` was one of these pictures with [`Keep::All`].
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
    let pictures = images.nrows();
    let Workspace { sequences, saved, .. } = workspace;
    let saved = saved.carve(&shape.saved(pictures, Keep::All));
    let scratch = &mut scratch.carve(&shape.scratch(pictures));
    let tower_scratch = &mut scratch.tower;
    tower::backward(p.tower(), &shape.size, sequences, dfeatures, &saved.tower, tower_scratch, g.tower_mut());
    // in the forward pass: xs[0] = ln_pre(embedded)
    let (x, dy, dx) = (saved.embedded.view(), tower_scratch.dx.view(), scratch.dembedded.view_mut());
    layer_norm::backward(&p.ln_pre, x, &saved.ln_pre, dy, Write::Set, dx, &mut g.ln_pre);
    // in the forward pass: embedded = class token and patches, plus positions
    patch_embed::backward(shape.grid, images, scratch.dembedded.view(), &mut scratch.patch, &mut g.embed);
}
