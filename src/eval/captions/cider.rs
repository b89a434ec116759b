//! CIDEr-D: the likeness of a caption's n-grams to those of its references, weighted by how much they tell.
//!
//! ```text
//! CIDEr-D = 10 · mean over n ≤ 4 of mean over j of exp(−(c − rⱼ)²/2σ²) · ⟨min(g, gⱼ), gⱼ⟩ / (|g| |gⱼ|)
//! idf     = ln(pictures / max(1, pictures that have the n-gram in one of their references))
//! ```
//!
//! g and g_j hold an entry for each n-gram of the candidate and of reference j: its count times its inverse document
//! frequency ln(I / max(1, d)), where d of the I pictures have the n-gram in one of their references. An n-gram that
//! every picture's references have tells nothing. The minimum keeps a candidate from gaining by repeating a word, the
//! factor in front from gaining by its length (c and r_j, counted in pairs of words). Source: Vedantam et al. 2015,
//! "CIDEr: Consensus-based Image Description Evaluation", as `pycocoevalcap` computes it.
//!
//! The frequencies are those of the set that is scored, so the score of a caption depends on the other captions, and
//! that of a single picture is 0.

use super::captioned::{Captioned, MAX_N, mean, ngrams};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const SIGMA: f64 = 6.0;

/// The number of pictures that have an n-gram in one of their references.
type Frequencies<'a> = HashMap<&'a [String], usize>;

/// Returns the mean of CIDEr-D over the captions, or 0 without captions.
pub fn cider_d(captions: &[Captioned]) -> f64 {
    let mut frequencies = Frequencies::new();
    for caption in captions {
        let of_reference = |reference| (1..=MAX_N).flat_map(move |n| ngrams(reference, n).into_keys());
        let of_picture: BTreeSet<_> = caption.references.iter().flat_map(|reference| of_reference(reference)).collect();
        of_picture.into_iter().for_each(|ngram| *frequencies.entry(ngram).or_default() += 1);
    }
    let pictures = captions.len() as f64;
    mean(captions.iter().map(|caption| {
        let candidate = Weighted::of(&caption.candidate, &frequencies, pictures);
        let references = caption.references.iter().map(|reference| Weighted::of(reference, &frequencies, pictures));
        10.0 * mean(references.map(|reference| candidate.likeness(&reference)))
    }))
}

/// The weighted n-grams of a sentence, for each n.
struct Weighted<'a> {
    weights: [BTreeMap<&'a [String], f64>; MAX_N],
    norms: [f64; MAX_N],
    /// The number of pairs of words.
    length: f64,
}

impl<'a> Weighted<'a> {
    fn of(words: &'a [String], frequencies: &Frequencies, pictures: f64) -> Self {
        let weight = |(ngram, count): (&'a [String], usize)| {
            let frequency = frequencies.get(ngram).map_or(1, |&frequency| frequency.max(1));
            (ngram, count as f64 * (pictures.ln() - (frequency as f64).ln()))
        };
        let weights = std::array::from_fn(|at| ngrams(words, at + 1).into_iter().map(weight).collect());
        let norm = |weights: &BTreeMap<_, f64>| weights.values().map(|weight| weight * weight).sum::<f64>().sqrt();
        Self { norms: weights.each_ref().map(norm), weights, length: words.len().saturating_sub(1) as f64 }
    }

    /// Returns the mean over n of the likeness to a reference.
    fn likeness(&self, reference: &Self) -> f64 {
        let difference = self.length - reference.length;
        let penalty = (-difference * difference / (2.0 * SIGMA * SIGMA)).exp();
        let cosine = |n: usize| {
            let other = |ngram| reference.weights[n].get(ngram).copied().unwrap_or(0.0);
            let shared: f64 = self.weights[n].iter().map(|(ngram, &own)| own.min(other(*ngram)) * other(*ngram)).sum();
            let norms = self.norms[n] * reference.norms[n];
            if norms == 0.0 { shared } else { shared / norms }
        };
        penalty * mean((0..MAX_N).map(cosine))
    }
}
