//! Both encoders on a micro-batch, as far as ITC needs them: from pictures and texts to features, and back.

use super::batch::Batch;
use super::vision::Vision;
use crate::layers::dropout::Pass;
use crate::layers::linear::{self, Linear};
use crate::layers::rows;
use crate::layers::sequences::Pool;
use crate::models::blip::text::{self, Workspace as TextWorkspace};
use crate::models::blip::{Blip, Config};
use crate::models::{Keep, Packed};
use crate::tree::{Arena, Dim, tree};
use kernels::Write;
use ndarray::{ArrayView2, ArrayViewMut2};
use std::ops::Range;

tree! {
    /// The rows of B pictures and texts that become features, and their gradients.
    ///
    /// `class`, `dclass` (B,D), `first`, `dfirst` (B,d)
    Rows { class, dclass, first, dfirst }
}

impl Rows<Dim> {
    fn dims(config: &Config, n: usize) -> Self {
        let (class, first) = (Dim(n, config.vision.width), Dim(n, config.text.width));
        Rows { class, dclass: class, first, dfirst: first }
    }
}

/// What both encoders keep, and their scratch.
#[derive(Default)]
pub(super) struct Towers {
    pub vision: Vision,
    /// The memory of the text Transformer, which others may have as soon as the texts went backward.
    pub text: TextWorkspace,
    pub scratch: Arena,
    rows: Arena,
    /// The texts of the micro-batch, each behind `[CLS]`.
    texts: Packed,
}

impl Towers {
    /// image = class token W_visionᵀ + b_vision, text = first row W_textᵀ + b_text
    ///
    /// `image`, `text` (B,e)
    ///
    /// Unless nothing is kept, the pictures' tokens are too. `drops` are those of pictures and of texts.
    pub fn forward(
        &mut self,
        p: &Blip<&[f32]>,
        config: &Config,
        batch: &Batch,
        range: &Range<usize>,
        keep: Keep,
        drops: [Option<Pass>; 2],
        [image, text]: [ArrayViewMut2<f32>; 2],
    ) {
        let Towers { vision, text: workspace, scratch, rows: arena, texts } = self;
        let Rows { mut class, mut first, .. } = arena.carve(&Rows::dims(config, range.len()));
        let (images, shape) = (rows(batch.images, range), config.vit());
        match keep {
            Keep::All | Keep::Inputs => {
                let tokens = vision.look(&p.visual_encoder, &shape, images, keep, drops[0], scratch);
                let classes = tokens.rows().into_iter().step_by(shape.grid.tokens());
                class.rows_mut().into_iter().zip(classes).for_each(|(mut class, token)| class.assign(&token));
            }
            Keep::Nothing => {
                vision.class_tokens(&p.visual_encoder, &shape, images, drops[0], class.view_mut(), scratch)
            }
        }
        linear::forward(vision_proj(p), class.view(), image);
        texts.fill(config.text.ids.cls, range.clone().map(|i| &batch.texts.of(i)[1..]));
        let (encoder, shape) = (p.encoder().expect("a text encoder"), config.encoder());
        let (texts, how) = (texts.captions(), (Pool::First, keep));
        text::forward(encoder, &shape, texts, None, how, drops[1], first.view_mut(), workspace, scratch);
        linear::forward(text_proj(p), first.view(), text);
    }

    /// Adds to `g` the gradients of the text encoder and its projection.
    ///
    /// `dtext` (B,e)
    pub fn backward_texts(
        &mut self,
        p: &Blip<&[f32]>,
        config: &Config,
        dtext: ArrayView2<f32>,
        g: &mut Blip<&mut [f32]>,
    ) {
        let Towers { text, scratch, rows: arena, texts, .. } = self;
        let Rows { first, mut dfirst, .. } = arena.carve(&Rows::dims(config, dtext.nrows()));
        // in the forward pass: text = first W_tᵀ + b_t
        let g_proj = g.text_proj.as_mut().expect("a projection of texts");
        linear::backward(text_proj(p), first.view(), dtext, Write::Set, dfirst.view_mut(), g_proj);
        // in the forward pass: first = the first row of each text behind the last block
        let (encoder, shape) = (p.encoder().expect("a text encoder"), config.encoder());
        let g = g.text_encoder.as_mut().expect("a text encoder").as_mut();
        text::backward(encoder, &shape, texts.captions(), None, Pool::First, dfirst.view(), text, scratch, g);
    }

    /// Adds to `g` the gradients of the image encoder and its projection. What else reads the tokens has added its
    /// gradient before.
    ///
    /// `dimage` (B,e)
    pub fn backward_images(
        &mut self,
        p: &Blip<&[f32]>,
        config: &Config,
        images: ArrayView2<f32>,
        dimage: ArrayView2<f32>,
        g: &mut Blip<&mut [f32]>,
    ) {
        let Towers { vision, rows: arena, scratch, .. } = self;
        let Rows { class, mut dclass, .. } = arena.carve(&Rows::dims(config, images.nrows()));
        // in the forward pass: image = class W_visionᵀ + b_vision
        let g_proj = g.vision_proj.as_mut().expect("a projection of pictures");
        linear::backward(vision_proj(p), class.view(), dimage, Write::Set, dclass.view_mut(), g_proj);
        // in the forward pass: class = the first token of each picture
        let shape = config.vit();
        let mut dtokens = vision.seen(&shape, images.nrows()).dtokens;
        let classes = dtokens.rows_mut().into_iter().step_by(shape.grid.tokens());
        classes.zip(dclass.rows()).for_each(|(mut sum, dclass)| sum += &dclass);
        vision.backward(&p.visual_encoder, &shape, images, scratch, &mut g.visual_encoder);
    }
}

fn vision_proj<T>(p: &Blip<T>) -> &Linear<T> {
    p.vision_proj.as_ref().expect("a projection of pictures")
}

fn text_proj<T>(p: &Blip<T>) -> &Linear<T> {
    p.text_proj.as_ref().expect("a projection of texts")
}
