//! The image encoder of BLIP: a ViT as timm has it (Dosovitskiy et al. 2021), all of whose rows are read.
//!
//! It is CLIP's but for three things: patches have a bias, no LayerNorm stands before the blocks, and the last one is
//! applied to all rows. The first row goes to the joint space, all of them are what texts look at. Where only the first
//! is asked for, the last block computes no other.

use super::initial::initial;
use crate::layers::block::{Block, BlockInit, Size};
use crate::layers::dropout::Pass;
use crate::layers::layer_norm::LayerNorm;
use crate::layers::linear::default_init;
use crate::layers::patch_embed::{self, CHANNELS, Grid, PatchEmbed, Scratch as PatchScratch};
use crate::layers::sequences::Pool;
use crate::models::stack::{self, Saved, Scratch as StackScratch, Stack, StackMut, Transformer};
use crate::models::{Keep, Workspace};
use crate::params::{Init, Spec};
use crate::tree::{Arena, Dim, tree};
use crate::weights::Read;
use ndarray::{ArrayView2, ArrayViewMut2};

tree! {
    /// The parameters of the encoder.
    Vit { embed as "": PatchEmbed, transformer as "": Transformer, norm: LayerNorm }
}

tree! {
    Scratch { patch: PatchScratch, stack: StackScratch }
}

/// The sizes of the encoder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// How a picture is cut into patches.
    pub grid: Grid,
    /// The sizes of the Transformer's blocks.
    pub size: Size,
}

impl Shape {
    /// Returns the parameter table. Matrices and tables have the initial values of their width, but for the patches,
    /// which have PyTorch's defaults.
    pub fn spec(&self) -> Vit<Spec> {
        let (width, patch_size) = (self.size.width, self.grid.patch_size);
        let (normal, patches) = (initial(width), default_init(self.grid.patch_len()));
        let init = BlockInit { in_proj: normal, out_proj: normal, c_fc: normal, c_proj: normal };
        let mut transformer = Transformer::spec(&self.size, &init);
        for Block { mlp, .. } in &mut transformer.resblocks {
            mlp.c_fc.bias.init = Init::Const(0.0);
            mlp.c_proj.bias.init = Init::Const(0.0);
        }
        Vit {
            embed: PatchEmbed {
                class_embedding: Some(Spec::new(&[width], normal)),
                positional_embedding: Spec::new(&[self.grid.tokens(), width], normal),
                conv1_weight: Spec::new(&[width, CHANNELS, patch_size, patch_size], patches),
                conv1_bias: Some(Spec::new(&[width], patches)),
            },
            transformer,
            norm: LayerNorm::spec(width),
        }
    }

    pub(super) fn saved(&self, pictures: usize, pool: Pool, keep: Keep) -> Saved<Dim> {
        Saved::dims(&self.size, pictures * self.grid.tokens(), pictures, pool, keep)
    }

    fn scratch(&self, pictures: usize, pool: Pool) -> Scratch<Dim> {
        let rows = pictures * self.grid.tokens();
        Scratch {
            patch: PatchScratch::dims(self.grid, pictures * self.grid.patches(), self.size.width),
            stack: StackScratch::dims(&self.size, rows, pictures, pool),
        }
    }
}

impl<T> Vit<T> {
    fn stack(&self) -> Stack<'_, T> {
        Stack { resblocks: &self.transformer.resblocks, ln: &self.norm }
    }

    fn stack_mut(&mut self) -> StackMut<'_, T> {
        StackMut { resblocks: &mut self.transformer.resblocks, ln: &mut self.norm }
    }
}

/// tokens = norm(x), where x are the rows behind the last block: of each picture the class token, or the class token and
/// then its patches
///
/// `images` (B,3·height·width), `tokens` (B,d) or (B·(1+patches),d)
///
/// The values of a picture are ordered by channel, row and column; each is (x − mean)/std of its channel. `depth` drops
/// whole branches by stochastic depth; [`backward`] drops the same.
#[track_caller]
pub fn forward(
    p: &Vit<impl Read>,
    shape: &Shape,
    images: ArrayView2<f32>,
    (pool, keep): (Pool, Keep),
    depth: Option<Pass>,
    tokens: ArrayViewMut2<f32>,
    workspace: &mut Workspace,
    scratch: &mut Arena,
) {
    let pictures = images.nrows();
    let Workspace { sequences, saved, keep: kept, .. } = workspace;
    *kept = keep;
    sequences.fill((0..=pictures).map(|i| i * shape.grid.tokens()), pool);
    sequences.drop(depth);
    let saved = &mut saved.carve(&shape.saved(pictures, pool, keep));
    let Scratch { patch, stack } = &mut scratch.carve(&shape.scratch(pictures, pool));
    patch_embed::forward(&p.embed, shape.grid, None, images, saved.xs[0].view_mut(), patch);
    stack::forward(p.stack(), &shape.size, sequences, tokens, saved, stack);
}

/// Adds to `g` the gradients of all parameters.
///
/// `images` (B,3·height·width), `dtokens` (B·(1+patches),d)
///
/// The last [`forward`] in `workspace` must have been one of these pictures with [`Pool::All`] that kept all or the
/// inputs.
#[track_caller]
pub fn backward(
    p: &Vit<&[f32]>,
    shape: &Shape,
    images: ArrayView2<f32>,
    dtokens: ArrayView2<f32>,
    workspace: &mut Workspace,
    scratch: &mut Arena,
    g: &mut Vit<&mut [f32]>,
) {
    let pictures = images.nrows();
    let Workspace { sequences, saved, keep, .. } = workspace;
    let saved = &saved.carve(&shape.saved(pictures, Pool::All, *keep));
    let Scratch { patch, stack } = &mut scratch.carve(&shape.scratch(pictures, Pool::All));
    // in the forward pass: tokens = stack(xs[0])
    stack::backward(p.stack(), &shape.size, sequences, 0, dtokens, saved, stack, g.stack_mut());
    // in the forward pass: xs[0] = class token and patches, plus positions
    patch_embed::backward(shape.grid, None, images, stack.dx.view(), patch, &mut g.embed);
}
