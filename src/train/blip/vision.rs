//! The image encoder on a micro-batch, and the tokens that everything else looks at.

use crate::layers::dropout::Pass;
use crate::layers::floats_mut;
use crate::layers::sequences::Pool;
use crate::models::blip::vit::{self, Shape, Vit};
use crate::models::{Keep, Workspace};
use crate::tree::{Arena, Dim, tree};
use ndarray::{ArrayView2, ArrayViewMut2};

tree! {
    /// The tokens of B pictures, and their gradient.
    ///
    /// `tokens`, `dtokens` (B·(1+patches),D)
    Tokens { tokens, dtokens }
}

impl Tokens<Dim> {
    fn dims(shape: &Shape, pictures: usize) -> Self {
        let tokens = Dim(pictures * shape.grid.tokens(), shape.size.width);
        Tokens { tokens, dtokens: tokens }
    }
}

/// What the encoder keeps of a micro-batch.
#[derive(Default)]
pub(super) struct Vision {
    workspace: Workspace,
    tokens: Arena,
}

/// The tokens of a micro-batch's pictures with their gradient, which is to be added to.
pub(super) struct Seen<'a> {
    pub tokens: ArrayView2<'a, f32>,
    pub dtokens: ArrayViewMut2<'a, f32>,
}

impl Vision {
    /// Writes the class token of each picture, and keeps nothing.
    ///
    /// `images` (B,3·height·width), `class` (B,D)
    pub fn class_tokens(
        &mut self,
        p: &Vit<&[f32]>,
        shape: &Shape,
        images: ArrayView2<f32>,
        depth: Option<Pass>,
        class: ArrayViewMut2<f32>,
        scratch: &mut Arena,
    ) {
        vit::forward(p, shape, images, (Pool::First, Keep::Nothing), depth, class, &mut self.workspace, scratch);
    }

    /// Returns all tokens, with a gradient of zeros, and keeps them and what the backward pass needs, which is `keep`.
    ///
    /// `images` (B,3·height·width)
    pub fn look(
        &mut self,
        p: &Vit<&[f32]>,
        shape: &Shape,
        images: ArrayView2<f32>,
        keep: Keep,
        depth: Option<Pass>,
        scratch: &mut Arena,
    ) -> ArrayView2<'_, f32> {
        let Vision { workspace, tokens: arena } = self;
        let Tokens { mut tokens, mut dtokens } = arena.carve(&Tokens::dims(shape, images.nrows()));
        vit::forward(p, shape, images, (Pool::All, keep), depth, tokens.view_mut(), workspace, scratch);
        dtokens.fill(0.0);
        ArrayView2::from_shape(tokens.dim(), floats_mut(tokens)).expect("the same sizes")
    }

    /// Returns the tokens of the n pictures that were last looked at, and their gradient as it is by now.
    pub fn seen(&mut self, shape: &Shape, n: usize) -> Seen<'_> {
        let Tokens { tokens, dtokens } = self.tokens.carve(&Tokens::dims(shape, n));
        let tokens = ArrayView2::from_shape(tokens.dim(), floats_mut(tokens)).expect("the same sizes");
        Seen { tokens, dtokens }
    }

    /// Adds to `g` the gradients of all parameters, once everything that reads the tokens has added its gradient.
    ///
    /// `images` (B,3·height·width)
    pub fn backward(
        &mut self,
        p: &Vit<&[f32]>,
        shape: &Shape,
        images: ArrayView2<f32>,
        scratch: &mut Arena,
        g: &mut Vit<&mut [f32]>,
    ) {
        let Vision { workspace, tokens: arena } = self;
        let Tokens { dtokens, .. } = arena.carve(&Tokens::dims(shape, images.nrows()));
        // in the forward pass: tokens = vit(images)
        vit::backward(p, shape, images, dtokens.view(), workspace, scratch, g);
    }
}
