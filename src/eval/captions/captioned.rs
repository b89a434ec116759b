//! A generated caption and its references as lists of words, and their n-grams.

use super::words::words;
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
    /// Splits captions into [`words`].
    ///
    /// # Panics
    /// Panics without a reference, against which nothing can be scored.
    #[track_caller]
    pub fn new<S: AsRef<str>>(candidate: &str, references: &[S]) -> Self {
        assert!(!references.is_empty(), "the caption {candidate:?} has no reference");
        let references = references.iter().map(|reference| words(reference.as_ref())).collect();
        Self { candidate: words(candidate), references }
    }
}

/// Returns the number of times that each run of n words stands in a sentence, in a fixed order.
pub(super) fn ngrams(words: &[String], n: usize) -> BTreeMap<&[String], usize> {
    let mut counts = BTreeMap::new();
    words.windows(n).for_each(|run| *counts.entry(run).or_default() += 1);
    counts
}

/// Returns the mean of one score per caption, or 0 without captions.
pub(super) fn mean(scores: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = scores.len().max(1);
    scores.sum::<f64>() / n as f64
}
