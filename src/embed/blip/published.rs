//! How BLIP's published captions and answers were searched for.

use super::model::Blip;
use crate::generate::{BeamStyle, Options, Search};

/// What captions begin with.
pub const PROMPT: &str = "a picture of";
/// Number of texts that a beam search follows.
pub const BEAMS: usize = 3;
/// Shortest caption in tokens, with those of the prompt and the one that begins every text.
pub const MIN_CAPTION: usize = 5;
/// Longest caption in tokens, counted likewise.
pub const MAX_CAPTION: usize = 20;
/// The lengths of an answer in tokens, with the one that begins every text.
const MIN_ANSWER: usize = 1;
const MAX_ANSWER: usize = 10;

impl Blip {
    /// Returns the search of BLIP's published captions.
    pub fn published_captions(&self) -> Options {
        self.beams(MIN_CAPTION, MAX_CAPTION)
    }

    /// Returns the search of BLIP's published answers.
    pub fn published_answers(&self) -> Options {
        self.beams(MIN_ANSWER, MAX_ANSWER)
    }

    fn beams(&self, min_length: usize, max_length: usize) -> Options {
        let search = Search::Beams { beams: BEAMS, style: BeamStyle::Original };
        Options { min_length, search, ..self.options(max_length) }
    }
}
