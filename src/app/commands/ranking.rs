//! Rankings of texts for a picture, which `classify`, `caption-match` and `match` show.

use crate::embed::Clip;
use ndarray::{Array1, ArrayView1, ArrayView2};
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
    /// The cosine ⟨Î, T̂⟩ of the embeddings.
    pub cosine: f32,
    /// The probability softmax(s·cosines) over all texts, not only the best ones; or that the text fits, by itself.
    pub probability: f64,
}

/// How cosines become probabilities, which depends on the loss that a model was made for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Logits {
    /// The softmax of s·cosines: the texts share one probability.
    Softmax { scale: f32 },
    /// The sigmoid of each s·cosine + b: every text has a probability by itself.
    Sigmoid { scale: f32, bias: f32 },
}

impl Logits {
    /// Returns how the cosines of a CLIP become probabilities.
    pub(crate) fn of(clip: &Clip) -> Self {
        Logits::new(clip.scale(), clip.bias())
    }

    /// Returns how cosines become probabilities with a learnt scale and perhaps a bias.
    pub(crate) fn new(scale: f32, bias: Option<f32>) -> Self {
        bias.map_or(Logits::Softmax { scale }, |bias| Logits::Sigmoid { scale, bias })
    }

    /// Returns the probability of every text.
    fn probabilities(self, cosines: ArrayView1<f32>) -> Array1<f64> {
        match self {
            Logits::Softmax { scale } => {
                let largest = cosines.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let weights = cosines.mapv(|cosine| f64::from(scale * (cosine - largest)).exp());
                let sum = weights.sum();
                weights / sum
            }
            Logits::Sigmoid { scale, bias } => {
                cosines.mapv(|cosine| 1.0 / (1.0 + f64::from(-(scale * cosine + bias)).exp()))
            }
        }
    }
}

impl<'a> Ranking<'a> {
    /// Ranks the k best of n `texts` for a picture. Texts with equal scores keep their order.
    ///
    /// `embedding` (e), `rows` (N,e)
    ///
    /// `embedding` is that of the picture, and `rows` are those of the texts.
    pub(crate) fn new(
        image: String,
        embedding: ArrayView1<f32>,
        texts: &'a [String],
        rows: ArrayView2<f32>,
        logits: Logits,
        k: usize,
    ) -> Self {
        let cosines = rows.dot(&embedding);
        let probabilities = logits.probabilities(cosines.view());
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by(|&a, &b| cosines[b].total_cmp(&cosines[a]));
        let scored = |index: usize| Scored {
            index,
            text: &texts[index],
            cosine: cosines[index],
            probability: probabilities[index],
        };
        Ranking { image, best: order.into_iter().take(k).map(scored).collect() }
    }

    /// Ranks the k texts that fit a picture with the highest probabilities. Texts with equal ones keep their order.
    ///
    /// `probabilities`, `cosines` (N)
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
        let softmax = Logits::Softmax { scale: 10.0 };
        let ranking = Ranking::new("p".into(), array![0.6f32, 0.8].view(), &texts, rows.view(), softmax, 2);
        let sum = 2.0 + (-2.0f64).exp();
        assert_eq!(ranking.best.iter().map(|s| s.text).collect::<Vec<_>>(), ["a", "c"]);
        assert!(ranking.best.iter().all(|s| (s.probability - 1.0 / sum).abs() < 1e-6 && s.cosine == 0.8));
    }

    #[test]
    fn with_a_bias_every_text_has_its_own_probability() {
        let texts = ["a", "b", "c"].map(String::from);
        let rows = array![[0.0f32, 1.0], [1.0, 0.0], [0.0, 1.0]];
        let sigmoid = Logits::Sigmoid { scale: 10.0, bias: -7.0 };
        let ranking = Ranking::new("p".into(), array![0.6f32, 0.8].view(), &texts, rows.view(), sigmoid, 3);
        let expected = [1.0, 1.0, -1.0].map(|logit: f64| 1.0 / (1.0 + (-logit).exp()));
        assert_eq!(ranking.best.iter().map(|s| s.text).collect::<Vec<_>>(), ["a", "c", "b"]);
        assert!(ranking.best.iter().zip(expected).all(|(s, p)| (s.probability - p).abs() < 1e-6));
    }
}
