//! Rankings of texts for a picture, which `classify`, `caption-match` and `match` show.

use ndarray::{ArrayView1, ArrayView2};
use serde::Serialize;
use std::fmt;

/// Width of the longest bar, in characters.
const BAR: usize = 24;

/// A picture and the texts that fit it best.
#[derive(Serialize)]
pub(crate) struct Ranking<'a> {
    pub image: String,
    pub best: Vec<Scored<'a>>,
}

/// A text with its scores for a picture.
#[derive(Serialize)]
pub(crate) struct Scored<'a> {
    /// Position in the list of texts, counted from 0.
    pub index: usize,
    pub text: &'a str,
    /// The cosine ⟨I, T̂⟩ of the embeddings.
    pub cosine: f32,
    /// The probability softmax(s·cosines) over all texts, not only the best ones; or that the text fits, by itself.
    pub probability: f64,
}

impl<'a> Ranking<'a> {
    /// Ranks the k best of n `texts` for a picture. Texts with equal scores keep their order.
    ///
    /// `embedding` (e), `rows` (n, e)
    ///
    /// `embedding` is that of the picture, `rows` are those of the texts, and `scale` is the model's s.
    pub(crate) fn new(
        image: String,
        embedding: ArrayView1<f32>,
        texts: &'a [String],
        rows: ArrayView2<f32>,
        scale: f32,
        k: usize,
    ) -> Self {
        let cosines = rows.dot(&embedding);
        let largest = cosines.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weight = |cosine: f32| f64::from(scale * (cosine - largest)).exp();
        let sum: f64 = cosines.iter().copied().map(weight).sum();
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by(|&a, &b| cosines[b].total_cmp(&cosines[a]));
        let scored = |index: usize| {
            let cosine = cosines[index];
            Scored { index, text: &texts[index], cosine, probability: weight(cosine) / sum }
        };
        Ranking { image, best: order.into_iter().take(k).map(scored).collect() }
    }

    /// Ranks the k texts that fit a picture with the highest probabilities. Texts with equal ones keep their order.
    ///
    /// `probabilities`, `cosines` (n)
    pub(crate) fn by_probability(
        image: String,
        texts: &'a [String],
        probabilities: ArrayView1<f32>,
        cosines: ArrayView1<f32>,
        k: usize,
    ) -> Self {
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
        let scored = |index: usize| {
            let (cosine, probability) = (cosines[index], f64::from(probabilities[index]));
            Scored { index, text: &texts[index], cosine, probability }
        };
        Ranking { image, best: order.into_iter().take(k).map(scored).collect() }
    }

    /// Gives the texts the positions that they have in a longer list: text i is at `places[i]`.
    pub(crate) fn at(mut self, places: &[usize]) -> Self {
        self.best.iter_mut().for_each(|scored| scored.index = places[scored.index]);
        self
    }
}

impl fmt::Display for Ranking<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.image)?;
        for Scored { text, cosine, probability, .. } in &self.best {
            write!(f, "\n{:6.2} % {} {cosine:6.3}  {text}", 100.0 * probability, bar(*probability))?;
        }
        Ok(())
    }
}

/// Draws a bar with a resolution of an eighth of a character.
fn bar(share: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share * 8.0 * BAR as f64).round() as usize;
    let bar = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
    format!("{bar:<BAR$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn bars_are_as_long_as_their_share() {
        assert_eq!(bar(1.0), "█".repeat(BAR));
        assert_eq!(bar(0.5).trim_end(), "█".repeat(BAR / 2));
        assert_eq!(bar(0.0), " ".repeat(BAR));
        assert_eq!(bar(1.0 / 48.0).trim_end(), "▌");
    }

    #[test]
    fn probabilities_are_the_softmax_over_all_texts() {
        let texts = ["a", "b", "c"].map(String::from);
        let rows = array![[0.0f32, 1.0], [1.0, 0.0], [0.0, 1.0]];
        let ranking = Ranking::new("p".into(), array![0.6f32, 0.8].view(), &texts, rows.view(), 10.0, 2);
        let sum = 2.0 + (-2.0f64).exp();
        assert_eq!(ranking.best.iter().map(|s| s.text).collect::<Vec<_>>(), ["a", "c"]);
        assert!(ranking.best.iter().all(|s| (s.probability - 1.0 / sum).abs() < 1e-6 && s.cosine == 0.8));
    }
}
