//! Beam search in its two published forms.
//!
//! A step looks at the 2n best continuations of n beams, because up to n of them may end their text. What the forms do
//! with these differs; see [`BeamStyle`].

use super::options::{BeamStyle, Options, Search};
use super::scores::{Candidate, Top, log_softmax, penalize};
use super::{Decoder, Generated, Request};
use ndarray::ArrayView2;

/// A text that is still open.
#[derive(Clone, Debug)]
struct Beam {
    ids: Vec<u32>,
    /// The sum of the log-probabilities behind the prompt.
    sum: f32,
    /// The decoder's row.
    row: usize,
}

/// The beams of a request, and its finished texts.
struct Hunt<'a> {
    options: &'a Options,
    count: usize,
    style: BeamStyle,
    prompt: usize,
    open: Vec<Beam>,
    finished: Vec<Generated>,
    /// Whether nothing can be added to the finished texts any more.
    settled: bool,
}

/// Writes one text for each request: the best that its beams found.
pub(super) fn search(
    decoder: &mut impl Decoder,
    requests: &[Request],
    options: &Options,
    count: usize,
    style: BeamStyle,
) -> Vec<Generated> {
    let prompts: Vec<&[u32]> = requests.iter().map(|request| request.prompt).collect();
    let first = |(row, prompt): (usize, &&[u32])| {
        let open = vec![Beam { ids: prompt.to_vec(), sum: 0.0, row }];
        Hunt { options, count, style, prompt: prompt.len(), open, finished: vec![], settled: false }
    };
    let mut hunts: Vec<Hunt> = prompts.iter().enumerate().map(first).collect();
    let mut logits = decoder.start(&prompts);
    loop {
        let (mut parents, mut tokens) = (vec![], vec![]);
        for hunt in hunts.iter_mut().filter(|hunt| !hunt.settled) {
            hunt.step(logits);
            for beam in hunt.open.iter_mut().filter(|_| !hunt.settled) {
                parents.push(beam.row);
                tokens.push(*beam.ids.last().expect("a token was added"));
                beam.row = parents.len() - 1;
            }
        }
        if parents.is_empty() {
            return hunts.into_iter().map(Hunt::best).collect();
        }
        logits = decoder.advance(&parents, &tokens);
    }
}

impl Hunt<'_> {
    /// Adds one token to every open beam.
    fn step(&mut self, logits: ArrayView2<f32>) {
        let candidates = self.candidates(logits);
        let best = candidates.first().map_or(f32::NEG_INFINITY, |candidate| candidate.sum);
        let before = self.open[0].ids.len();
        let mut next = vec![];
        for (rank, candidate) in candidates.into_iter().enumerate() {
            if next.len() == self.count {
                break;
            }
            let Beam { ids, row, .. } = &self.open[candidate.beam];
            if self.ends(candidate, before + 1) {
                if rank < self.count {
                    let ids = [ids, &[candidate.token][..]].concat();
                    self.finish(ids, candidate.sum, candidate.token == self.options.end);
                }
            } else {
                let ids = [ids, &[candidate.token][..]].concat();
                next.push(Beam { ids, sum: candidate.sum, row: *row });
            }
        }
        self.open = next;
        self.settle(best, before);
    }

    /// Returns the 2n best continuations of all open beams, descending.
    fn candidates(&self, logits: ArrayView2<f32>) -> Vec<Candidate> {
        let (mut top, mut scores) = (Top::new(2 * self.count), vec![]);
        for (beam, Beam { ids, sum, row }) in self.open.iter().enumerate() {
            let logits = logits.row(*row);
            log_softmax(logits.as_slice().expect("rows of whole matrices"), &mut scores);
            penalize(&mut scores, ids, self.options);
            for (token, score) in scores.iter().enumerate() {
                top.offer(Candidate { beam, token: token as u32, sum: sum + score });
            }
        }
        top.candidates
    }

    /// Whether a continuation of this length ends its text. The original form goes on to the largest length with open
    /// beams and judges them there.
    fn ends(&self, candidate: Candidate, length: usize) -> bool {
        let is_full = self.style == BeamStyle::Transformers && length == self.options.max_length;
        candidate.token == self.options.end || is_full
    }

    /// Keeps a text if it is one of the n best. The later of equals is the better one in the original form, which takes
    /// the last of its sorted list, and the earlier one in the form of today.
    fn finish(&mut self, ids: Vec<u32>, sum: f32, has_end: bool) {
        let length = match self.style {
            BeamStyle::Original => ids.len() - usize::from(has_end),
            BeamStyle::Transformers => ids.len() - self.prompt,
        };
        let score = sum / self.power(length);
        let place = match self.style {
            BeamStyle::Original => self.finished.partition_point(|text| text.score > score),
            BeamStyle::Transformers => self.finished.partition_point(|text| text.score >= score),
        };
        let is_worse = place == self.finished.len();
        if is_worse && self.finished.len() >= self.count {
            return;
        }
        self.finished.insert(place, Generated { ids, score });
        self.finished.truncate(self.count);
    }

    /// Finds out whether anything can still be gained, after a step from `before` tokens in which the best continuation
    /// had the sum `best`.
    fn settle(&mut self, best: f32, before: usize) {
        let is_full = self.finished.len() == self.count;
        let worst = self.finished.last().map_or(f32::NEG_INFINITY, |text| text.score);
        let Search::Beams { early_stopping, .. } = self.options.search else { unreachable!("a search by beams") };
        let hopeless = match self.style {
            BeamStyle::Original => worst >= best / self.power(before),
            BeamStyle::Transformers => {
                let best = self.open.first().map_or(f32::NEG_INFINITY, |beam| beam.sum);
                best / self.power(before + 1 - self.prompt) <= worst
            }
        };
        self.settled = is_full && (early_stopping || hopeless);
        if !self.settled && (before + 1 == self.options.max_length || self.open.is_empty()) {
            for Beam { ids, sum, .. } in std::mem::take(&mut self.open) {
                self.finish(ids, sum, false);
            }
            self.settled = true;
        }
    }

    /// Returns length to the power of the length penalty.
    fn power(&self, length: usize) -> f32 {
        let Search::Beams { length_penalty, .. } = self.options.search else { unreachable!("a search by beams") };
        (length as f32).powf(length_penalty)
    }

    /// Returns the best finished text. A model that gives nothing but NaN finishes none.
    fn best(self) -> Generated {
        let open = self.open.into_iter().map(|beam| Generated { ids: beam.ids, score: f32::NEG_INFINITY });
        self.finished.into_iter().chain(open).next().unwrap_or(Generated { ids: vec![], score: f32::NEG_INFINITY })
    }
}
