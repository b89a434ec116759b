//! How well texts fit pictures, as a BLIP finds.

use super::model::Blip;
use crate::embed::task::{BlipError, Task};
use crate::models::blip::model::Source;
use crate::pictures::Picture;
use ndarray::{Array2, ArrayView2, Axis};
use std::ops::Range;
use std::slice::from_ref;

/// Number of texts that look at a picture at a time, where there may be many.
const TEXTS: usize = 256;

/// How well texts fit pictures: a row for each picture, a column for each text.
#[derive(Clone, Debug, PartialEq)]
pub struct Matches {
    /// The probability that the text fits the picture, by the head that judges matches.
    pub probabilities: Array2<f32>,
    /// The logit of a match, before the softmax with that of a mismatch.
    pub logits: Array2<f32>,
    /// The cosine of both embeddings.
    pub cosines: Array2<f32>,
}

impl Matches {
    /// Returns the scores by which the original ranks candidates again: logit + cosine.
    pub fn scores(&self) -> Array2<f32> {
        &self.logits + &self.cosines
    }
}

impl Blip {
    /// Judges how well texts fit pictures, every text with every picture.
    ///
    /// # Errors
    /// Returns an error if the model compares no pictures with texts.
    pub fn match_texts<S: AsRef<str>>(&self, pictures: &[Picture], texts: &[S]) -> Result<Matches, BlipError> {
        self.check(Task::Match)?;
        self.match_seen(&self.look(pictures), texts, self.encode_text(texts)?.view())
    }

    /// Judges how well texts fit pictures that were looked at, as [`Blip::match_texts`] does. `embedded` are the texts'
    /// embeddings, which [`Blip::encode_text`] returns.
    ///
    /// `embedded` (N,e)
    ///
    /// # Errors
    /// Returns an error if the model compares no pictures with texts.
    pub fn match_seen<S: AsRef<str>>(
        &self,
        seen: &Source,
        texts: &[S],
        embedded: ArrayView2<f32>,
    ) -> Result<Matches, BlipError> {
        self.check(Task::Match)?;
        let (p, config) = (self.weights.view(), &self.config);
        let buffers = &mut self.sessions.lend().inference;
        let images = buffers.embed_images(&p, config, seen);
        let texts = self.pack_for_pictures(texts);
        let n = texts.captions().len();
        let (mut logits, mut margins) = (Array2::zeros((seen.rows.len(), n)), Array2::zeros((seen.rows.len(), n)));
        for picture in 0..seen.rows.len() {
            let seen = seen.alone(picture);
            let z = buffers.match_logits(&p, config, &seen, texts.captions(), from_ref(&(0..n)));
            logits.row_mut(picture).assign(&z.column(1));
            margins.row_mut(picture).assign(&z.map_axis(Axis(1), |z| z[1] - z[0]));
        }
        let probabilities = margins.mapv(probability);
        Ok(Matches { probabilities, logits, cosines: images.dot(&embedded.t()) })
    }

    /// Returns the logits of a match of a picture that was looked at with each text, as [`Blip::match_seen`] does.
    ///
    /// # Errors
    /// Returns an error if the model compares no pictures with texts.
    ///
    /// # Panics
    /// If there is not one picture.
    #[track_caller]
    pub fn match_logits<S: AsRef<str>>(&self, seen: &Source, texts: &[S]) -> Result<Vec<f32>, BlipError> {
        self.check(Task::Match)?;
        assert_eq!(seen.rows.len(), 1, "one picture");
        let (p, buffers) = (self.weights.view(), &mut self.sessions.lend().inference);
        let judged = texts.chunks(TEXTS).flat_map(|texts| {
            let texts = self.pack_for_pictures(texts);
            let all = 0..texts.captions().len();
            buffers.match_logits(&p, &self.config, seen, texts.captions(), from_ref(&all)).column(1).to_vec()
        });
        Ok(judged.collect())
    }

    /// Returns the probabilities that texts fit pictures that were looked at, each text with one picture: `texts_of[i]` are
    /// those of picture i.
    ///
    /// # Errors
    /// Returns an error if the model compares no pictures with texts.
    ///
    /// # Panics
    /// If there are not as many lists of texts as pictures.
    #[track_caller]
    pub fn match_each<S: AsRef<str>>(
        &self,
        seen: &Source,
        texts: &[S],
        texts_of: &[Range<usize>],
    ) -> Result<Vec<f32>, BlipError> {
        self.check(Task::Match)?;
        assert_eq!(seen.rows.len(), texts_of.len(), "pictures and their texts");
        let (texts, buffers) = (self.pack_for_pictures(texts), &mut self.sessions.lend().inference);
        let logits = buffers.match_logits(&self.weights.view(), &self.config, seen, texts.captions(), texts_of);
        Ok(logits.rows().into_iter().map(|z| probability(z[1] - z[0])).collect())
    }
}

/// Returns the probability of a match by how much its logit is above that of a mismatch.
fn probability(margin: f32) -> f32 {
    1.0 / (1.0 + (-margin).exp())
}
