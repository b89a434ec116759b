//! ROUGE-L: the longest common subsequence of a caption and its references.
//!
//! ```text
//! F = (1 + β²) P R / (R + β² P)        β = 1.2
//! P = maxⱼ lⱼ / c
//! R = maxⱼ lⱼ / rⱼ
//! ```
//!
//! lⱼ is the length of the longest sequence of words that candidate and reference j have in common, in this order and
//! perhaps with other words between them; c and rⱼ are the lengths of both. P and R may come from different references.
//! The score of a set is the mean. Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries"; β and the
//! two maxima are those of `pycocoevalcap`, where a caption without words counts as one empty word.

use super::captioned::{Captioned, mean};

const BETA: f64 = 1.2;

/// Returns the mean of ROUGE-L over the captions, or 0 without captions.
pub fn rouge_l(captions: &[Captioned]) -> f64 {
    mean(captions.iter().map(one))
}

fn one(caption: &Captioned) -> f64 {
    let length = |words: &[String]| words.len().max(1) as f64;
    let (mut precision, mut recall) = (0.0_f64, 0.0_f64);
    for reference in &caption.references {
        let common = common(&caption.candidate, reference) as f64;
        precision = precision.max(common / length(&caption.candidate));
        recall = recall.max(common / length(reference));
    }
    if precision == 0.0 {
        return 0.0;
    }
    (1.0 + BETA * BETA) * precision * recall / (recall + BETA * BETA * precision)
}

/// Returns the length of the longest common subsequence.
///
/// l(i, j) = l(i−1, j−1) + 1 if word i of a is word j of b, else max(l(i−1, j), l(i, j−1)); one row is kept.
fn common(a: &[String], b: &[String]) -> usize {
    if a.is_empty() && b.is_empty() {
        return 1;
    }
    let mut row = vec![0; b.len() + 1];
    for word in a {
        let mut diagonal = 0;
        for (j, other) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if word == other { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}
