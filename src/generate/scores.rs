//! What changes the scores of the next token, in the order in which it does: repetition penalty, smallest length,
//! temperature, the k best, the smallest set of probability p.

use super::options::Options;
use std::cmp::Ordering;

/// Writes to `out` the log-probabilities of logits: xᵢ − ln Σ exp(xⱼ)
pub(super) fn log_softmax(logits: &[f32], out: &mut Vec<f32>) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|x| (x - max).exp()).sum();
    let lse = sum.ln();
    out.clear();
    out.extend(logits.iter().map(|x| x - max - lse));
}

/// Applies the repetition penalty and the smallest length to the scores of the token behind `ids`: logits, or in beam
/// search log-probabilities.
pub fn penalize(scores: &mut [f32], ids: &[u32], options: &Options) {
    if options.repetition_penalty != 1.0 {
        let mut seen = ids.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for id in seen {
            if let Some(score) = scores.get_mut(id as usize) {
                let penalty = options.repetition_penalty;
                *score = if *score < 0.0 { *score * penalty } else { *score / penalty };
            }
        }
    }
    if ids.len() < options.min_length
        && let Some(end) = scores.get_mut(options.end as usize)
    {
        *end = f32::NEG_INFINITY;
    }
}

/// Turns logits into the probabilities that a token is drawn with; those that cannot be drawn get 0.
///
/// Of the `top_k` best (0: all) the smallest set of best ones stays that has the probability `top_p`, the one that
/// reaches it included.
pub fn probabilities(logits: &mut [f32], temperature: f32, top_k: usize, top_p: f32) {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let descending = |&a: &usize, &b: &usize| by_score(logits[b], logits[a]).then(a.cmp(&b));
    let kept = if top_k == 0 { order.len() } else { top_k.min(order.len()) };
    if kept < order.len() {
        order.select_nth_unstable_by(kept, descending);
        // Tokens that score what the last one kept scores stay as well, as torch's comparison leaves them.
        let least = order[..kept].iter().map(|&i| logits[i]).fold(f32::INFINITY, f32::min);
        order.retain(|&i| logits[i] >= least);
    }
    order.sort_unstable_by(descending);
    let max = order.first().map_or(0.0, |&i| logits[i]);
    let weights: Vec<f32> = order.iter().map(|&i| ((logits[i] - max) / temperature).exp()).collect();
    let sum: f32 = weights.iter().sum();
    let mut reached = 0.0;
    let mut set = 0;
    while set < weights.len() && (set == 0 || reached < top_p) {
        reached += weights[set] / sum;
        set += 1;
    }
    let sum: f32 = weights[..set].iter().sum();
    logits.fill(0.0);
    for (&i, weight) in order[..set].iter().zip(&weights) {
        logits[i] = weight / sum;
    }
}

/// Orders scores; NaN is below all numbers.
fn by_score(a: f32, b: f32) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// Returns the place of the largest score, the first of equals.
pub(super) fn best(scores: &[f32]) -> usize {
    let mut best = 0;
    for (i, &score) in scores.iter().enumerate() {
        if by_score(score, scores[best]) == Ordering::Greater {
            best = i;
        }
    }
    best
}

/// A beam to go on with, and by which token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub beam: usize,
    pub token: u32,
    /// The sum of log-probabilities with that token.
    pub sum: f32,
}

/// The best candidates so far, descending; of equals the first offered stands first.
pub(super) struct Top {
    most: usize,
    pub candidates: Vec<Candidate>,
}

impl Top {
    pub fn new(most: usize) -> Self {
        Top { most, candidates: Vec::with_capacity(most + 1) }
    }

    /// Takes the candidate if it is one of the best. NaN never is.
    pub fn offer(&mut self, candidate: Candidate) {
        let full = self.candidates.len() == self.most;
        let beats = |other: &Candidate| candidate.sum > other.sum;
        if candidate.sum.is_nan() || (full && !self.candidates.last().is_some_and(beats)) {
            return;
        }
        let place = self.candidates.partition_point(|other| other.sum >= candidate.sum);
        self.candidates.insert(place, candidate);
        self.candidates.truncate(self.most);
    }
}
