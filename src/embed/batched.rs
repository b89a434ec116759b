//! Pictures and captions to embeddings, batch by batch.

use crate::layers::patch_embed::CHANNELS;
use crate::models::clip::model::{Inference, Model};
use crate::models::clip::text::{self, Captions, Text};
use crate::models::clip::visual::{self, Visual};
use crate::pictures::{Picture, Preprocess, Scratch};
use crate::text::Tokenizer;
use crate::weights::Read;
use ndarray::{Array2, ArrayView2, Axis, concatenate};
use rayon::prelude::*;

/// Pictures or captions in a tower at a time: enough rows for fast products, few enough for little memory.
const BATCH: usize = 128;

/// A model with everything needed to show it pictures and captions.
#[derive(Clone, Copy)]
pub struct Embedder<'a> {
    pub model: &'a Model,
    pub preprocess: &'a Preprocess,
    pub tokenizer: &'a Tokenizer,
}

/// What embeds pictures and captions.
pub trait Embed {
    /// Unit-length embeddings (n, e) of n pictures; `paint(i, picture)` makes picture i.
    fn pictures(&self, n: usize, paint: impl Fn(usize, &mut Picture) + Sync) -> Array2<f32>;
    /// Unit-length embeddings (n, e).
    fn captions<S: AsRef<str>>(&self, texts: &[S]) -> Array2<f32>;
}

impl Embed for Embedder<'_> {
    fn pictures(&self, n: usize, paint: impl Fn(usize, &mut Picture) + Sync) -> Array2<f32> {
        let shape = self.model.config.vision();
        pictures(&self.model.params.view().visual, &shape, self.preprocess, n, paint)
    }

    fn captions<S: AsRef<str>>(&self, texts: &[S]) -> Array2<f32> {
        captions(&self.model.params.view().text, &self.model.config.text(), self.tokenizer, texts)
    }
}

/// Unit-length embeddings (n, e) of n pictures; `paint(i, picture)` makes picture i.
pub fn pictures(
    p: &Visual<impl Read>,
    shape: &visual::Shape,
    preprocess: &Preprocess,
    n: usize,
    paint: impl Fn(usize, &mut Picture) + Sync,
) -> Array2<f32> {
    let pixels = CHANNELS * preprocess.size.pow(2);
    let mut images = vec![0.0; BATCH.min(n) * pixels];
    batches(n, shape.embed_dim(), |start, len, buffers| {
        let images = &mut images[..len * pixels];
        let scratch = || (Picture::default(), Scratch::default());
        images.par_chunks_exact_mut(pixels).enumerate().for_each_init(scratch, |(picture, scratch), (i, image)| {
            paint(start + i, picture);
            preprocess.apply(picture, scratch, image);
        });
        let images = ArrayView2::from_shape((len, pixels), images).expect("len pictures");
        buffers.encode_images(p, shape, images)
    })
}

/// Unit-length embeddings (n, e) of n captions.
pub fn captions<S: AsRef<str>>(
    p: &Text<impl Read>,
    shape: &text::Shape,
    tokenizer: &Tokenizer,
    texts: &[S],
) -> Array2<f32> {
    batches(texts.len(), shape.embed_dim, |start, len, buffers| {
        let (mut ids, mut offsets) = (vec![], vec![0]);
        for text in &texts[start..start + len] {
            tokenizer.encode_into(text.as_ref(), shape.context_length, &mut ids);
            offsets.push(ids.len());
        }
        buffers.encode_texts(p, shape, Captions { ids: &ids, offsets: &offsets })
    })
}

/// `embed(start, len, buffers)` for each batch of 0..n, one below the other.
fn batches(
    n: usize,
    embed_dim: usize,
    mut embed: impl FnMut(usize, usize, &mut Inference) -> Array2<f32>,
) -> Array2<f32> {
    let mut buffers = Inference::default();
    let parts: Vec<_> = (0..n).step_by(BATCH).map(|start| embed(start, BATCH.min(n - start), &mut buffers)).collect();
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    let empty = Array2::zeros((0, embed_dim));
    if views.is_empty() { empty } else { concatenate(Axis(0), &views).expect("rows of one width") }
}
