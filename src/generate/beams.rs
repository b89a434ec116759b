//! One step of the beam search of one request, in either style (see [`BeamStyle`]).
//!
//! With n beams, the 2n best of the n·V continuations are candidates. At most n of them end their text, because each
//! beam has one end token, so at least n are left to go on. The end of a text counts if its candidate is among the n
//! best; the n best of the others are the beams of the next step.
//!
//! The n ended texts with the highest scores are kept,
//!
//! ```text
//! score = sum of log-probabilities / length^penalty
//! ```
//!
//! and the search is over when there are n and no open beam is expected to enter:
//!
//! | | original | transformers |
//! |---|---|---|
//! | length of an ended text | all its tokens but the end token | the tokens behind the prompt, the end token too |
//! | is over if the worst kept score ≥ | the best candidate's sum / (length before this step)^penalty | the best open beam's sum / (its tokens behind the prompt)^penalty |
//! | at `max_length` | the open beams enter, unless the search is over | each candidate ends its text |
//! | scores are | f64 | f32 |
//! | of equal scores, the better is | the later | the earlier |

use super::options::{BeamStyle, Options};
use crate::best::Best;

/// An open text.
#[derive(Clone, Debug)]
pub(super) struct Beam {
    /// Its row in the last call of the decoder.
    pub(super) row: usize,
    /// The sum of its log-probabilities.
    pub(super) sum: f32,
    pub(super) ids: Vec<u32>,
}

/// An ended text.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) score: f64,
    pub(super) ids: Vec<u32>,
}

/// The sum with which all beams but the first begin. They are equal to the first, so only that one should be continued.
const UNREACHED: f32 = -1e9;

/// Returns the beams of a prompt.
pub(super) fn start(beams: usize, row: usize, prompt: &[u32]) -> Vec<Beam> {
    let sums = std::iter::once(0.0).chain(std::iter::repeat(UNREACHED));
    sums.take(beams).map(|sum| Beam { row, sum, ids: prompt.to_vec() }).collect()
}

/// The beam search of one request.
pub(super) struct BeamSearch<'a> {
    pub(super) options: &'a Options,
    pub(super) beams: usize,
    pub(super) style: BeamStyle,
    /// Tokens of the prompt.
    pub(super) prompt: usize,
}

impl BeamSearch<'_> {
    /// Continues the open beams by one token, and keeps those that ended, the best first. There are no open beams left
    /// if the search is over.
    ///
    /// `scores` (rows,V), processed log-probabilities
    pub(super) fn step(&self, scores: &[f32], vocabulary: usize, open: &mut Vec<Beam>, kept: &mut Vec<Ended>) {
        let mut best = Best::new(2 * self.beams);
        for (i, beam) in open.iter().enumerate() {
            best.offer_sums(&scores[beam.row * vocabulary..][..vocabulary], beam.sum, i * vocabulary);
        }
        let candidates = best.sorted();
        let length = open[0].ids.len() + 1;
        let at_end = length == self.options.max_length;
        let mut next = Vec::with_capacity(self.beams);
        for (rank, candidate) in candidates.iter().enumerate() {
            let (parent, token) = (&open[candidate.place / vocabulary], (candidate.place % vocabulary) as u32);
            let ids = || parent.ids.iter().copied().chain([token]).collect();
            let ended = token == self.options.end || at_end && self.style == BeamStyle::Transformers;
            if ended && rank < self.beams {
                self.keep(kept, candidate.score, ids(), length);
            } else if !ended && next.len() < self.beams {
                next.push(Beam { row: parent.row, sum: candidate.score, ids: ids() });
            }
        }
        let bound = match self.style {
            BeamStyle::Original => self.score(candidates[0].score, length - 1),
            BeamStyle::Transformers => {
                let best = next.first().map_or(f32::NEG_INFINITY, |beam: &Beam| beam.sum);
                self.score(best, length - self.prompt)
            }
        };
        let worst = kept.last().map_or(f64::NEG_INFINITY, |ended| ended.score);
        let over = kept.len() == self.beams && (self.options.early_stopping || worst >= bound);
        if at_end && !over {
            next.iter_mut().for_each(|beam| self.keep(kept, beam.sum, std::mem::take(&mut beam.ids), length + 1));
        }
        *open = if at_end || over { vec![] } else { next };
    }

    /// Keeps an ended text if it is among the best; `length` counts all its tokens and the end token.
    fn keep(&self, kept: &mut Vec<Ended>, sum: f32, ids: Vec<u32>, length: usize) {
        let score = match self.style {
            BeamStyle::Original => self.score(sum, length - 1),
            BeamStyle::Transformers => self.score(sum, length - self.prompt),
        };
        if kept.len() == self.beams && kept.last().is_some_and(|worst| score <= worst.score) {
            return;
        }
        let better = |ended: &Ended| match self.style {
            BeamStyle::Original => ended.score > score,
            BeamStyle::Transformers => ended.score >= score,
        };
        kept.insert(kept.partition_point(better), Ended { score, ids });
        kept.truncate(self.beams);
    }

    /// sum / length^penalty
    fn score(&self, sum: f32, length: usize) -> f64 {
        let divisor = (length as f64).powf(f64::from(self.options.length_penalty));
        match self.style {
            BeamStyle::Original => f64::from(sum) / divisor,
            BeamStyle::Transformers => f64::from(sum / divisor as f32),
        }
    }
}
