//! `clipwright eval --rerank`: the best candidates ranked again, by how well a BLIP finds that they fit.

use super::{CliError, Context};
use crate::Clip;
use crate::datasets::Questions;
use crate::embed::{Blip, BlipError, Family};
use crate::eval::exam::Seen;
use crate::eval::report::Row;
use crate::models::blip::model::Source;
use crate::text::blip_clean::{MAX_CAPTION_WORDS, caption};
use ndarray::ArrayView2;

/// A BLIP that ranks candidates again, and what it sees in each distinct picture.
pub(super) struct Rerank<'a> {
    k: usize,
    pub blip: &'a Blip,
    pub pictures: Vec<Source>,
}

impl<'a> Rerank<'a> {
    pub fn new(k: usize, model: &'a Family<Clip>, questions: &Questions) -> Result<Option<Self>, CliError> {
        match model {
            _ if questions.names.is_some() => {
                Err(CliError::Usage("--rerank needs pictures with captions, and these have classes".into()))
            }
            Family::Clip(_) => Ok(None),
            Family::Blip(blip) => Ok(Some(Rerank { k, blip, pictures: vec![] })),
        }
    }

    pub fn error(&self, source: BlipError) -> CliError {
        CliError::Blip { path: self.blip.path().into(), source }
    }

    /// Returns the row of the table for the scores of the second ranking.
    pub fn row(
        &self,
        context: &Context,
        seen: &Seen,
        captions: &[String],
        embedded: ArrayView2<f32>,
        truth: &[usize],
    ) -> Result<Row, CliError> {
        let cleaned: Vec<String> = captions.iter().map(|text| caption(text, MAX_CAPTION_WORDS)).collect();
        let bar = context.output.progress(self.pictures.len(), "pictures ranked again");
        let k = self.k.min(captions.len().max(self.pictures.len()));
        let judge = |(seen, texts): (&Source, &Vec<usize>)| {
            bar.inc(1);
            self.blip.match_logits(seen, &texts.iter().map(|&text| &cleaned[text]).collect::<Vec<_>>())
        };
        let row = seen.reranked_row(&format!("the best {k} ranked again"), embedded, truth, k, |texts_of| {
            self.pictures.iter().zip(texts_of).map(judge).collect()
        });
        bar.finish_and_clear();
        row.map_err(|error| self.error(error))
    }
}
