//! Hard negatives of ITM: for each text a picture and for each picture a text, the likelier the more similar (Li et al.
//! 2021, ALBEF, section 3.2).
//!
//! They are drawn from the batch of all ranks, so that the same pairs are judged on any number of ranks. The original does
//! so for retrieval on COCO; elsewhere it draws from a rank's own part.

use super::options::Stage;
use crate::layers::{mat, mat_mut, rows_mut};
use crate::train::objective::StepId;
use crate::train::world::World;
use kernels::{Epilogue, gemm::gemm};
use ndarray::{Array2, ArrayView2};
use rand::RngExt;

/// In pre-training every negative has at least this share.
const FLOOR: f64 = 1e-4;
/// The names of the two uses of randomness in a step.
const IMAGES: u64 = 0;
const TEXTS: u64 = 1;

/// What was drawn for each text, or for each picture, of this rank.
#[derive(Clone, Debug, Default)]
pub struct Draw {
    /// What each row is drawn by (B,N); what cannot be drawn has weight 0.
    pub weights: Array2<f64>,
    /// The place in the batch of all ranks of what was drawn for each row, or nothing where that has no negative for it.
    pub drawn: Vec<Option<usize>>,
    scores: Array2<f32>,
}

/// The negatives of this rank's part of a batch.
#[derive(Clone, Debug, Default)]
pub struct Negatives {
    /// The picture that was drawn for each text.
    pub images: Draw,
    /// The text that was drawn for each picture.
    pub texts: Draw,
    /// The picture that was drawn for each text of all ranks.
    pub(super) of_all_texts: Vec<Option<usize>>,
    /// The place of this rank's first pair in the batch of all ranks.
    pub(super) first: usize,
}

/// The features that decide which negatives are similar. Unit rows.
#[derive(Clone, Copy)]
pub(super) struct Compared<'a> {
    /// The features of this rank's pictures and texts (B,e).
    pub images: ArrayView2<'a, f32>,
    pub texts: ArrayView2<'a, f32>,
    /// The features of all ranks' texts that pictures are compared with (N,e).
    pub texts_of_images: ArrayView2<'a, f32>,
    /// The features of all ranks' pictures that texts are compared with (N,e).
    pub images_of_texts: ArrayView2<'a, f32>,
}

/// What ranks send for a text for which nothing was drawn.
const NOTHING: u64 = u64::MAX;

/// How negatives are drawn.
#[derive(Clone, Copy)]
pub(super) struct Rule<'a> {
    pub stage: Stage,
    /// A key for each picture of all ranks.
    pub pictures: &'a [u64],
    pub temp: f32,
    pub id: StepId,
    /// The numbers to draw by on this rank, instead of those that follow from the step.
    pub uniforms: Option<&'a [f64]>,
}

impl Negatives {
    /// Draws a picture for each text, then a text for each picture.
    pub(super) fn draw(&mut self, compared: Compared, rule: &Rule) {
        let Compared { images, texts, texts_of_images, images_of_texts } = compared;
        self.first = rule.id.place(0, texts.nrows()) as usize;
        let (of_texts, of_images) = match rule.uniforms {
            Some(uniforms) => {
                let (of_texts, of_images) = uniforms.split_at(texts.nrows());
                (Some(of_texts), Some(of_images))
            }
            None => (None, None),
        };
        self.images.draw((texts, images_of_texts), rule, (IMAGES, of_texts));
        self.texts.draw((images, texts_of_images), rule, (TEXTS, of_images));
    }

    /// Learns from the other ranks which pictures were drawn for their texts.
    pub(super) fn exchange<W: World>(&mut self, world: &W) {
        let sent = |drawn: &Option<usize>| drawn.map_or(NOTHING, |picture| picture as u64);
        let (own, mut memory): (Vec<u64>, _) = (self.images.drawn.iter().map(sent).collect(), vec![]);
        let all = world.all_gather(&own, &mut memory).iter();
        self.of_all_texts.clear();
        self.of_all_texts.extend(all.map(|&picture| (picture != NOTHING).then_some(picture as usize)));
    }

    /// Returns the number of negative pairs whose picture is on this rank.
    pub(super) fn judged(&self) -> usize {
        let own = self.first..self.first + self.texts.drawn.len();
        let drawn_for_texts = self.of_all_texts.iter().flatten().filter(|picture| own.contains(picture)).count();
        drawn_for_texts + self.texts.drawn.iter().flatten().count()
    }
}

impl Draw {
    /// Draws one of the others for each row.
    fn draw(
        &mut self,
        (rows, others): (ArrayView2<f32>, ArrayView2<f32>),
        rule: &Rule,
        (name, uniforms): (u64, Option<&[f64]>),
    ) {
        let (n, all) = (rows.nrows(), others.nrows());
        let Draw { weights, drawn, scores } = self;
        if scores.dim() != (n, all) {
            (*scores, *weights) = (Array2::zeros((n, all)), Array2::zeros((n, all)));
        }
        for shard in rule.id.shards_of(n) {
            let (rows, scores) = (crate::layers::rows(rows, &shard), rows_mut(scores.view_mut(), &shard));
            gemm(1.0 / rule.temp, mat(rows), mat(others).t(), 0.0, mat_mut(scores), Epilogue::None);
        }
        weights.zip_mut_with(scores, |weight, &score| *weight = f64::from(score));
        drawn.clear();
        for (row, mut weights) in weights.rows_mut().into_iter().enumerate() {
            let weights = weights.as_slice_mut().expect("whole rows");
            let place = rule.id.place(row, n);
            let is_negative = |other: usize| match rule.stage {
                Stage::Pretraining => other as u64 != place,
                Stage::Retrieval => rule.pictures[other] != rule.pictures[place as usize],
            };
            turn_into_weights(weights, rule.stage, is_negative);
            let uniform =
                uniforms.map_or_else(|| rule.id.rng(&[name, place]).random::<f64>(), |uniforms| uniforms[row]);
            drawn.push(draw_one(weights, uniform));
        }
    }
}

/// Replaces a row of scores by what its negatives are drawn by.
///
/// The original takes the softmax over all, adds the floor, and sets what is no negative to 0. Without a floor the
/// softmax over negatives alone is the same distribution, and it cannot vanish beside a pair of far higher score.
fn turn_into_weights(scores: &mut [f64], stage: Stage, is_negative: impl Fn(usize) -> bool) {
    let floor = if stage == Stage::Pretraining { FLOOR } else { 0.0 };
    let counts = |i: usize| stage == Stage::Pretraining || is_negative(i);
    let counted = || scores.iter().enumerate().filter(|(i, _)| counts(*i)).map(|(_, &score)| score);
    let max = counted().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = counted().map(|score| (score - max).exp()).sum();
    for (i, score) in scores.iter_mut().enumerate() {
        *score = if is_negative(i) { (*score - max).exp() / sum + floor } else { 0.0 };
    }
}

/// Returns the first place whose cumulative share of the weights exceeds `uniform`, unless all weights are 0.
fn draw_one(weights: &[f64], uniform: f64) -> Option<usize> {
    let mut left = uniform * weights.iter().sum::<f64>();
    let passed = |&weight: &f64| {
        left -= weight;
        left < 0.0
    };
    // The last sum may be rounded to no more than the whole.
    weights.iter().position(passed).or_else(|| weights.iter().rposition(|&weight| weight > 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_is_the_first_whose_cumulative_share_exceeds_the_number() {
        let weights = [0.0, 1.0, 0.0, 2.0, 1.0, 0.0];
        let drawn = [0.0, 0.249, 0.25, 0.74, 0.75, 0.999, 1.0].map(|uniform| draw_one(&weights, uniform));
        assert_eq!(drawn, [1, 1, 3, 3, 4, 4, 4].map(Some));
        assert_eq!(draw_one(&[0.0, 0.0], 0.5), None);
    }

    /// At the lowest temperature a row's own score is so far above all others that their shares are 0 in f64.
    #[test]
    fn negatives_can_be_drawn_at_any_temperature() {
        let mut weights = [1000.0, -1000.0, -1000.0];
        turn_into_weights(&mut weights, Stage::Retrieval, |i| i != 0);
        assert_eq!(weights, [0.0, 0.5, 0.5]);
        let mut weights = [1000.0, -1000.0, -1000.0];
        turn_into_weights(&mut weights, Stage::Pretraining, |i| i != 0);
        assert_eq!(weights, [0.0, FLOOR, FLOOR]);
        let mut none = [3.0];
        turn_into_weights(&mut none, Stage::Retrieval, |_| false);
        assert_eq!(none, [0.0]);
    }
}
