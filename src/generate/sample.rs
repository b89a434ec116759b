//! One step of sampling: the distribution, and the draw from it.

use crate::best::Best;
use crate::random::rng;
use rand::RngExt;

/// Lists the tokens that can be drawn with their probabilities, the likeliest first, and of equals the lowest.
///
/// `scores` (V), processed logits
///
/// 1. The logits are divided by the temperature.
/// 2. Those below the k-th highest are dropped. (Those that equal it are not.)
/// 3. The softmax of the rest is taken. The first tokens whose probabilities reach `top_p` are kept; the last of them
///    is the one that reaches it.
/// 4. Their probabilities are divided by their sum.
///
/// The exponentials and sums are f64, which matters to the 1e-7 of the draws that fall between two sums. A NaN counts
/// as −∞.
#[track_caller]
pub fn probabilities(scores: &[f32], temperature: f32, top_k: usize, top_p: f32) -> Vec<(u32, f32)> {
    assert!(!scores.is_empty(), "no scores to draw by");
    let kept = highest(scores, top_k);
    let max = kept[0].1;
    // −∞ for all would otherwise be −∞ − −∞. The likeliest has e⁰.
    let exponent = |score: f32| (f64::from(score) - f64::from(max)) / f64::from(temperature);
    let weight = |score: f32| if score == max { 1.0 } else { exponent(score).exp() };
    let mut weights: Vec<(u32, f64)> = kept.into_iter().map(|(token, score)| (token, weight(score))).collect();
    if top_p < 1.0 {
        let needed = f64::from(top_p) * sum(&weights);
        let mut reached = 0.0;
        let last = weights.iter().position(|&(_, weight)| {
            reached += weight;
            reached >= needed
        });
        weights.truncate(last.map_or(usize::MAX, |last| last + 1));
    }
    let sum = sum(&weights);
    weights.into_iter().map(|(token, weight)| (token, (weight / sum) as f32)).collect()
}

fn sum(weights: &[(u32, f64)]) -> f64 {
    weights.iter().map(|&(_, weight)| weight).sum()
}

/// Returns the k highest scores and those that equal the k-th, the highest first.
fn highest(scores: &[f32], k: usize) -> Vec<(u32, f32)> {
    let finite = |score: f32| score.max(f32::NEG_INFINITY);
    let mut kept: Vec<(u32, f32)> = if k >= scores.len() {
        scores.iter().enumerate().map(|(token, &score)| (token as u32, finite(score))).collect()
    } else {
        let mut best = Best::new(k);
        best.offer_sums(scores, 0.0, 0);
        let least = best.sorted().last().map_or(f32::INFINITY, |scored| scored.score);
        let kept = scores.iter().enumerate().filter(|&(_, &score)| finite(score) >= least);
        kept.map(|(token, &score)| (token as u32, finite(score))).collect()
    };
    kept.sort_by(|a, b| b.1.total_cmp(&a.1));
    kept
}

/// Draws one of the tokens. The draw is named by numbers and depends on nothing else: the first token whose cumulative
/// probability exceeds a uniform number.
///
/// # Panics
/// Panics if there is none.
#[track_caller]
pub fn draw(probabilities: &[(u32, f32)], name: &[u64]) -> u32 {
    let at: f64 = rng(name).random();
    let mut reached = 0.0;
    let drawn = probabilities.iter().find(|&&(_, probability)| {
        reached += f64::from(probability);
        at < reached
    });
    // Rounded probabilities may add up to less than 1, or be NaN: then it is the last that can be drawn, or the first.
    let last = || probabilities.iter().rfind(|&&(_, probability)| probability > 0.0);
    drawn.or_else(last).unwrap_or(&probabilities[0]).0
}
