//! What exercises learn, and what they have shown in the end.

use super::data_options::Embedded;
use super::error::TrainError;
use super::options::Options;
use crate::checkpoint::Kind;
use crate::datasets::emoji::{Cut, Language};
use crate::eval::report::{Report, Row};
use crate::train::data::TrainingData;

impl Options {
    /// Opens the data of an exercise, or else that which was chosen, or what is `embedded`. Scenes are made at a size of
    /// `image_size` pixels.
    ///
    /// # Errors
    /// Returns an error if an exercise cannot be done, or the data cannot be used.
    pub(super) fn open(&self, embedded: Embedded, image_size: usize) -> Result<TrainingData, TrainError> {
        let languages = &self.data.languages;
        match self.exercise.overfit {
            Some(_) if embedded == Embedded::Questions => {
                Err(TrainError::Unused { flag: "--overfit", needs: "a --task that learns captions" })
            }
            Some(pairs) => Ok(TrainingData::few(pairs, languages.first().copied().unwrap_or(Language::English))),
            None if self.exercise.lesson => Ok(TrainingData::emoji(Cut::Lesson, languages)),
            None => self.data.open(embedded, image_size),
        }
    }

    /// Opens the data of a run once more, whose model is of this kind and takes pictures of `image_size` pixels.
    ///
    /// # Errors
    /// Returns an error if the data cannot be used, such as files that are no longer there.
    pub(crate) fn reopen(&self, kind: Kind, image_size: usize) -> Result<TrainingData, TrainError> {
        let embedded = if kind == Kind::Clip { Embedded::Emoji } else { self.blip.embedded() };
        self.open(embedded, image_size)
    }

    /// Says what an exercise has shown, after the last step with this loss.
    ///
    /// # Errors
    /// Returns an error if a model should know pairs by heart and does not.
    pub(super) fn conclude(&self, report: &Report, steps: u64, loss: f64) -> Result<(), TrainError> {
        if let Some(pairs) = self.exercise.overfit {
            let known = known_by_heart(report);
            if known < 1.0 {
                return Err(TrainError::NotLearnt { pairs, steps, known, loss });
            }
            say!(
                "all {pairs} pairs are told apart, R@1 100 %, with a loss of {loss:.4} after {steps} steps: it can learn"
            );
        }
        if self.exercise.lesson {
            let line = |Row { pictures, retrieval, .. }: &Row| {
                let [captions, own] = [retrieval.image_to_text, retrieval.text_to_image].map(|r| 100.0 * r.at1);
                say!(
                    "R@1, {pictures}: {captions:.1} % of the pictures find their name, {own:.1} % of the names a picture"
                );
            };
            report.rows.iter().for_each(line);
        }
        Ok(())
    }
}

/// Returns the share of the pairs that are known for certain: of pictures that find their caption, of captions that find
/// their picture, whichever is less. Of a model that only writes, it is that of captions true to the letter.
fn known_by_heart(report: &Report) -> f64 {
    let found = report.rows.first().map(|row| row.retrieval.image_to_text.at1.min(row.retrieval.text_to_image.at1));
    found.or(report.captions.first().map(|row| row.score.exact)).unwrap_or(0.0)
}
