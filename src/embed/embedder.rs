//! The interface of a model that embeds pictures and captions, be it loaded or in training.

use super::session::{Pool, Session};
use super::source::{Painted, Pictures};
use super::stream::{BATCH, Batch, Embedded, Tower, collect};
use crate::datasets::BadReport;
use crate::models::Captions;
use crate::models::clip::model::{Inference, Model};
use crate::pictures::{Picture, Preprocess};
use crate::text::Tokenizer;
use ndarray::{Array2, ArrayView2};

/// A model that embeds pictures and captions.
pub trait Embed {
    /// Returns e, the width of the embeddings.
    fn embed_dim(&self) -> usize;

    /// Embeds the pictures of a source and passes the embeddings to `each` batch by batch, in order, until it fails.
    /// Pictures that cannot be read are left out, and each batch says which ones and why.
    ///
    /// # Errors
    /// Returns the error of `each`.
    fn stream<S: Pictures, E>(
        &self,
        source: &S,
        each: impl FnMut(Batch<S::Note>) -> Result<(), E>,
    ) -> Result<BadReport, E>;

    /// Returns unit-length embeddings of N captions.
    ///
    /// result (N,e)
    fn captions<S: AsRef<str>>(&self, texts: &[S]) -> Array2<f32>;

    /// Embeds all pictures of a source.
    fn all<S: Pictures>(&self, source: &S) -> Embedded<S::Note> {
        collect(source.len(), self.embed_dim(), |each| self.stream(source, each))
    }

    /// Returns unit-length embeddings of N pictures, of which `paint(i, picture)` makes picture i.
    ///
    /// result (N,e)
    fn pictures(&self, n: usize, paint: impl Fn(usize, &mut Picture) + Sync) -> Array2<f32> {
        self.all(&Painted { n, paint }).rows
    }
}

/// A model in training together with everything it needs to embed pictures and captions.
pub struct Embedder<'a> {
    model: &'a Model,
    preprocess: &'a Preprocess,
    tokenizer: &'a Tokenizer,
    sessions: Pool<Session<Inference>>,
}

impl<'a> Embedder<'a> {
    /// Makes an embedder, which keeps its memory from call to call.
    pub fn new(model: &'a Model, preprocess: &'a Preprocess, tokenizer: &'a Tokenizer) -> Self {
        Self { model, preprocess, tokenizer, sessions: Pool::default() }
    }
}

impl Embed for Embedder<'_> {
    fn embed_dim(&self) -> usize {
        self.model.config.embed_dim
    }

    fn stream<S: Pictures, E>(
        &self,
        source: &S,
        each: impl FnMut(Batch<S::Note>) -> Result<(), E>,
    ) -> Result<BadReport, E> {
        let encode = |buffers: &mut Inference, images: ArrayView2<f32>| self.model.encode_images(images, buffers);
        let tower = Tower { preprocess: self.preprocess, batch: BATCH, encode };
        tower.stream(&mut self.sessions.lend(), source, each)
    }

    fn captions<S: AsRef<str>>(&self, texts: &[S]) -> Array2<f32> {
        let words = (self.tokenizer, self.model.config.text_cfg.context_length);
        let encode = |buffers: &mut Inference, captions: Captions| self.model.encode_texts(captions, buffers);
        self.sessions.lend().captions(words, texts, self.embed_dim(), encode)
    }
}
