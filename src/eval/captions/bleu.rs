//! BLEU: the geometric mean of the n-gram precisions of a whole set of captions, with a penalty for brevity.
//!
//! ```text
//! BLEU@n = min(1, exp(1 − r/c)) · (p₁ · … · pₙ)^(1/n)
//! pₙ     = Σ clipped matches / Σ n-grams of the candidates
//! ```
//!
//! A candidate's n-gram matches at most as often as the reference has it that has it most often. c is the number of all
//! the candidates' words, and r the sum of the lengths of the references that are closest in length, the shorter of two
//! equally close ones. Source: Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation".
//!
//! There is no smoothing but the constants by which `pycocoevalcap` avoids divisions by zero: `TINY` is added to the
//! matches and to c, `SMALL` to the n-grams and to r.

use super::captioned::{Captioned, MAX_N, ngrams};
use std::collections::BTreeMap;

const TINY: f64 = 1e-15;
const SMALL: f64 = 1e-9;

/// Returns BLEU@1 to BLEU@4, or 0 without captions.
pub fn bleu(captions: &[Captioned]) -> [f64; MAX_N] {
    if captions.is_empty() {
        return [0.0; MAX_N];
    }
    let length: usize = captions.iter().map(|caption| caption.candidate.len()).sum();
    let reference_length: usize = captions.iter().map(closest_length).sum();
    let ratio = (length as f64 + TINY) / (reference_length as f64 + SMALL);
    let brevity = if ratio < 1.0 { (1.0 - 1.0 / ratio).exp() } else { 1.0 };
    let mut product = 1.0;
    std::array::from_fn(|at| {
        let n = at + 1;
        let matches: usize = captions.iter().map(|caption| matches(caption, n)).sum();
        let all: usize = captions.iter().map(|caption| (caption.candidate.len() + 1).saturating_sub(n)).sum();
        product *= (matches as f64 + TINY) / (all as f64 + SMALL);
        product.powf(1.0 / n as f64) * brevity
    })
}

/// Returns the length of the reference that is closest in length to the candidate.
fn closest_length(caption: &Captioned) -> usize {
    let own = caption.candidate.len();
    let lengths = caption.references.iter().map(Vec::len);
    lengths.min_by_key(|&length| (length.abs_diff(own), length)).expect("a reference")
}

/// Returns the number of the candidate's n-grams that the references have, each as often as one reference has it.
fn matches(caption: &Captioned, n: usize) -> usize {
    let mut most: BTreeMap<&[String], usize> = BTreeMap::new();
    for (ngram, count) in caption.references.iter().flat_map(|reference| ngrams(reference, n)) {
        most.entry(ngram).and_modify(|most| *most = count.max(*most)).or_insert(count);
    }
    ngrams(&caption.candidate, n)
        .into_iter()
        .map(|(ngram, count)| most.get(ngram).map_or(0, |&most| count.min(most)))
        .sum()
}
