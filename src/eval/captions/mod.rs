//! Scores of generated captions against the captions that people gave to the same pictures.
//!
//! The same numbers as those of `pycocoevalcap`, with which nearly all published results were computed.
//!
//! | file | what it knows |
//! |---|---|
//! | [`words`] | the words of a caption |
//! | [`bleu`] | which share of the generated n-grams do the references have? |
//! | [`rouge`] | how long is the longest common subsequence? |
//! | [`cider`] | how alike are the n-grams, weighted by how much they tell? |
//!
//! METEOR and SPICE need word lists and parsers of their own and are left out.

pub mod bleu;
pub mod cider;
pub mod rouge;
pub mod words;

use std::collections::BTreeMap;

/// Longest n-gram that BLEU and CIDEr count.
pub const MAX_N: usize = 4;

/// The words of a generated caption and of its references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captioned {
    pub candidate: Vec<String>,
    pub references: Vec<Vec<String>>,
}

impl Captioned {
    /// Splits captions into [words](words::words).
    ///
    /// # Panics
    /// Panics without a reference, against which nothing can be scored.
    #[track_caller]
    pub fn new<S: AsRef<str>>(candidate: &str, references: &[S]) -> Self {
        assert!(!references.is_empty(), "the caption {candidate:?} has no reference");
        let references = references.iter().map(|reference| words::words(reference.as_ref())).collect();
        Self { candidate: words::words(candidate), references }
    }
}

/// The scores of a set of captions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CaptionScores {
    /// BLEU@1 to BLEU@4, in [0, 1].
    pub bleu: [f64; MAX_N],
    /// ROUGE-L, in [0, 1].
    pub rouge_l: f64,
    /// CIDEr-D, in [0, 10].
    pub cider: f64,
}

impl CaptionScores {
    /// Scores a set of captions; all are 0 without captions.
    pub fn of(captions: &[Captioned]) -> Self {
        Self { bleu: bleu::bleu(captions), rouge_l: rouge::rouge_l(captions), cider: cider::cider_d(captions) }
    }
}

/// Returns the number of times that each run of n words stands in a sentence, in a fixed order.
fn ngrams(words: &[String], n: usize) -> BTreeMap<&[String], usize> {
    let mut counts = BTreeMap::new();
    words.windows(n).for_each(|run| *counts.entry(run).or_default() += 1);
    counts
}

/// Returns the mean of one score per caption, or 0 without captions.
fn mean(scores: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = scores.len().max(1);
    scores.sum::<f64>() / n as f64
}
