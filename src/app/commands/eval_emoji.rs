//! `clipwright eval --emoji`: the table that ends a training run.

use super::Context;
use crate::Clip;
use crate::datasets::BadReport;
use crate::datasets::emoji::{Cut, Emoji};
use crate::embed::{Batch, Embed, Family, Pictures, source};
use crate::eval::exam::{Depth, EmojiExam};
use crate::eval::report::Report;
use indicatif::ProgressBar;
use ndarray::Array2;
use std::sync::Arc;

/// Returns the table that ends a training run.
pub(super) fn emoji_table(context: &Context, model: &Family<Clip>, emoji: &Arc<Emoji>) -> Report {
    let bar = context.output.progress(emoji.tiles(|_, _| true).len(), "pictures");
    let exam = EmojiExam::new(Arc::clone(emoji), Cut::Whole, Depth::Full);
    let table = exam.report(&Watched { model, bar: &bar });
    bar.finish_and_clear();
    table
}

/// A model with a progress bar, which counts the pictures that it embeds.
struct Watched<'a> {
    model: &'a Family<Clip>,
    bar: &'a ProgressBar,
}

impl Embed for Watched<'_> {
    fn embed_dim(&self) -> usize {
        Embed::embed_dim(self.model)
    }

    fn stream<S: Pictures, E>(
        &self,
        source: &S,
        each: impl FnMut(Batch<S::Note>) -> Result<(), E>,
    ) -> Result<BadReport, E> {
        Embed::stream(self.model, &source::Watched { source, done: || self.bar.inc(1) }, each)
    }

    fn captions<S: AsRef<str>>(&self, texts: &[S]) -> Array2<f32> {
        self.model.captions(texts)
    }
}
