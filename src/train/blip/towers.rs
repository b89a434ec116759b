//! Both encoders on a micro-batch, as far as ITC needs them: from pictures and texts to features, and back.

use super::batch::Batch;
use crate::layers::linear::{self, Linear};
use crate::layers::sequences::Pool;
use crate::layers::{floats_mut, rows};
use crate::models::blip::text::{self, Workspace as TextWorkspace};
use crate::models::blip::{Blip, Config, vit};
use crate::models::{Keep, Packed, Workspace};
use crate::tree::{Arena, Dim, tree};
use kernels::Write;
use ndarray::{ArrayView2, ArrayViewMut2};
use std::ops::Range;

tree! {
    /// The rows of R pictures and texts that leave the encoders, and their gradients. There are no `tokens` where only
    /// class tokens leave.
    ///
    /// `tokens`, `dtokens` (R·(1+patches),dv), `class`, `dclass` (R,dv), `first`, `dfirst` (R,d)
    Rows { tokens, dtokens, class, dclass, first, dfirst }
}

impl Rows<Dim> {
    fn dims(config: &Config, n: usize, pool: Pool) -> Self {
        let tokens = if pool == Pool::All { n * config.vit().grid.tokens() } else { 0 };
        let (tokens, class) = (Dim(tokens, config.vision.width), Dim(n, config.vision.width));
        let first = Dim(n, config.text.width);
        Rows { tokens, dtokens: tokens, class, dclass: class, first, dfirst: first }
    }
}

/// What both encoders keep, and their scratch.
#[derive(Default)]
pub(super) struct Towers {
    image: Workspace,
    text: TextWorkspace,
    rows: Arena,
    scratch: Arena,
    /// The texts of the micro-batch, each behind `[CLS]`.
    texts: Packed,
}

/// The tokens of a micro-batch's pictures with their gradient, which is to be added to, and the memory of the text
/// Transformer.
pub(super) struct Seen<'a> {
    pub tokens: ArrayView2<'a, f32>,
    pub dtokens: ArrayViewMut2<'a, f32>,
    pub workspace: &'a mut TextWorkspace,
    pub scratch: &'a mut Arena,
}

impl Towers {
    /// image = class token W_vᵀ + b_v, text = first row W_tᵀ + b_t
    ///
    /// `image`, `text` (R,e)
    ///
    /// If all is kept, the pictures' tokens are too.
    pub fn forward(
        &mut self,
        p: &Blip<&[f32]>,
        config: &Config,
        batch: &Batch,
        range: &Range<usize>,
        keep: Keep,
        [image, text]: [ArrayViewMut2<f32>; 2],
    ) {
        let Towers { image: image_workspace, text: text_workspace, rows: arena, scratch, texts } = self;
        let pool = if keep == Keep::All { Pool::All } else { Pool::First };
        let Rows { mut tokens, mut class, mut first, .. } = arena.carve(&Rows::dims(config, range.len(), pool));
        let (images, shape) = (rows(batch.images, range), config.vit());
        let leaving = if pool == Pool::All { tokens.view_mut() } else { class.view_mut() };
        vit::forward(&p.visual_encoder, &shape, images, (pool, keep), None, leaving, image_workspace, scratch);
        if pool == Pool::All {
            let classes = tokens.rows().into_iter().step_by(shape.grid.tokens());
            class.rows_mut().into_iter().zip(classes).for_each(|(mut class, token)| class.assign(&token));
        }
        linear::forward(vision_proj(p), class.view(), image);
        texts.fill(config.text.ids.cls, range.clone().map(|i| &batch.texts.of(i)[1..]));
        let (encoder, shape) = (p.encoder().expect("a text encoder"), config.encoder());
        let (texts, how) = (texts.captions(), (Pool::First, keep));
        text::forward(encoder, &shape, texts, None, how, None, first.view_mut(), text_workspace, scratch);
        linear::forward(text_proj(p), first.view(), text);
    }

    /// Adds to `g` the gradients of the text encoder and its projection.
    ///
    /// `dtext` (R,e)
    pub fn backward_texts(
        &mut self,
        p: &Blip<&[f32]>,
        config: &Config,
        dtext: ArrayView2<f32>,
        g: &mut Blip<&mut [f32]>,
    ) {
        let Towers { text, rows: arena, scratch, texts, .. } = self;
        let Rows { first, mut dfirst, .. } = arena.carve(&Rows::dims(config, dtext.nrows(), Pool::All));
        // in the forward pass: text = first W_tᵀ + b_t
        let g_proj = g.text_proj.as_mut().expect("a projection of texts");
        linear::backward(text_proj(p), first.view(), dtext, Write::Set, dfirst.view_mut(), g_proj);
        // in the forward pass: first = the first row of each text behind the last block
        let (encoder, shape) = (p.encoder().expect("a text encoder"), config.encoder());
        let g = g.text_encoder.as_mut().expect("a text encoder").as_mut();
        text::backward(encoder, &shape, texts.captions(), None, Pool::First, dfirst.view(), text, scratch, g);
    }

    /// Returns the tokens of the micro-batch's n pictures, with a gradient of zeros.
    pub fn seen(&mut self, config: &Config, n: usize) -> Seen<'_> {
        let Rows { tokens, mut dtokens, .. } = self.rows.carve(&Rows::dims(config, n, Pool::All));
        dtokens.fill(0.0);
        let tokens = ArrayView2::from_shape(tokens.dim(), floats_mut(tokens)).expect("the same sizes");
        Seen { tokens, dtokens, workspace: &mut self.text, scratch: &mut self.scratch }
    }

    /// Adds to `g` the gradients of the image encoder and its projection. What else reads the tokens has left its
    /// gradient in [`Seen`].
    ///
    /// `dimage` (R,e)
    pub fn backward_images(
        &mut self,
        p: &Blip<&[f32]>,
        config: &Config,
        images: ArrayView2<f32>,
        dimage: ArrayView2<f32>,
        g: &mut Blip<&mut [f32]>,
    ) {
        let Towers { image, rows: arena, scratch, .. } = self;
        let Rows { mut dtokens, class, mut dclass, .. } = arena.carve(&Rows::dims(config, images.nrows(), Pool::All));
        // in the forward pass: image = class W_vᵀ + b_v
        let g_proj = g.vision_proj.as_mut().expect("a projection of pictures");
        linear::backward(vision_proj(p), class.view(), dimage, Write::Set, dclass.view_mut(), g_proj);
        // in the forward pass: class = the first token of each picture
        let shape = config.vit();
        let classes = dtokens.rows_mut().into_iter().step_by(shape.grid.tokens());
        classes.zip(dclass.rows()).for_each(|(mut sum, dclass)| sum += &dclass);
        // in the forward pass: tokens = vit(images)
        vit::backward(&p.visual_encoder, &shape, images, dtokens.view(), image, scratch, &mut g.visual_encoder);
    }
}

fn vision_proj<T>(p: &Blip<T>) -> &Linear<T> {
    p.vision_proj.as_ref().expect("a projection of pictures")
}

fn text_proj<T>(p: &Blip<T>) -> &Linear<T> {
    p.text_proj.as_ref().expect("a projection of texts")
}
