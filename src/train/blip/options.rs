//! What BLIP is trained for, and the numbers of its loss.

use crate::models::blip::{Config, Parts};

/// What a model is trained for.
///
/// | | pre-training | retrieval |
/// |---|---|---|
/// | ITC: the text of a row should choose | its own picture | its own picture, wherever it stands in batch and queue |
/// | ITM: negatives are likelier if | momentum features are similar | the model's own features are similar |
/// | ITM: no negative is | the pair itself | a pair with the same picture |
/// | ITM: every negative has at least | a share of 1e-4 | none |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The model learns from pairs of the web.
    Pretraining,
    /// The model learns to search pictures that have several captions each.
    Retrieval,
}

/// How much training drops at random. By default nothing is dropped.
///
/// The momentum copy drops as the model does, by draws of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// The share of values, and of the probabilities of attention, that the text Transformer drops in every use.
    pub dropout: f32,
    /// The share of residual branches that stochastic depth drops in the image encoder's last block. The share grows
    /// block by block from 0 in the first one.
    pub depth: f32,
}

impl Rates {
    /// Returns the original's rates. Only a ViT-L, or one that learns to answer, has branches dropped.
    pub fn original(config: &Config) -> Self {
        let depth = config.vision.layers >= VIT_L_LAYERS || config.parts == Parts::Answerer;
        Rates { dropout: 0.1, depth: if depth { 0.1 } else { 0.0 } }
    }
}

/// A ViT-L has this many blocks.
const VIT_L_LAYERS: usize = 24;

/// What a model is trained for, and the numbers of its loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// What the model is trained for.
    pub stage: Stage,
    /// The share of the momentum copy that stays in a step.
    pub momentum: f32,
    /// The number of earlier features that pictures and texts are contrasted with, at least 1.
    pub queue: usize,
    /// The highest share α of soft targets in ITC, which the momentum copy's similarities give.
    pub alpha: f32,
    /// The number of steps until α is at its highest; it begins with 0.
    pub ramp: u64,
    /// The lowest temperature.
    pub min_temp: f32,
    /// How much is dropped at random.
    pub rates: Rates,
}

impl Options {
    /// LM's label smoothing. It gives every token of the vocabulary a share, so no model's mean loss is below
    /// the entropy of such a target: 1.36 for BERT's vocabulary.
    pub const SMOOTHING: f32 = 0.1;

    /// Returns the original's options for pre-training a ViT-B with this many steps an epoch.
    pub fn pretraining(steps_per_epoch: u64) -> Self {
        let (ramp, rates) = (2 * steps_per_epoch, Rates { dropout: 0.1, depth: 0.0 });
        Options { stage: Stage::Pretraining, momentum: 0.995, queue: 57600, alpha: 0.4, ramp, min_temp: 0.001, rates }
    }

    /// Returns the original's options for retrieval by a ViT-B with this many steps an epoch.
    pub fn retrieval(steps_per_epoch: u64) -> Self {
        Options { stage: Stage::Retrieval, ramp: steps_per_epoch, ..Options::pretraining(steps_per_epoch) }
    }

    /// Returns these options for a small model that begins with random features, and whose run has few steps.
    ///
    /// The features of a random model are nearly equal for all pictures, and all of them move alike, step by step. Behind a
    /// long queue, whose features are older, the batch is then told from the queue by age alone: ITC falls to ln B, although
    /// no picture is told from another, and stays there. In a queue of one or two batches all features are of one age.
    ///
    /// The original learns the temperature itself, not its logarithm. At a learning rate of 1e-3 it falls from 0.07 to its
    /// lowest value within 70 steps. Below 0.01 the gradient of ITC is so large and uneven that the encoders learn little
    /// from the other losses.
    pub fn small(self) -> Self {
        Options { queue: 64, min_temp: 0.03, rates: Rates::default(), ..self }
    }

    /// α·min(1, step/ramp)
    pub(super) fn alpha_at(&self, step: u64) -> f32 {
        if step < self.ramp { (f64::from(self.alpha) * step as f64 / self.ramp as f64) as f32 } else { self.alpha }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_dropped_in_a_large_encoder_and_for_answers() {
        let depth = |config: Config| Rates::original(&config).depth;
        assert_eq!(Rates::original(&Config::base(Parts::Pretrained)), Options::pretraining(1).rates);
        assert_eq!([Parts::Captioner, Parts::Answerer].map(Config::base).map(depth), [0.0, 0.1]);
        assert_eq!([Parts::Pretrained, Parts::Matcher].map(Config::large).map(depth), [0.1, 0.1]);
    }

    #[test]
    fn a_small_model_keeps_the_task() {
        let small = Options::retrieval(10).small();
        assert_eq!((small.stage, small.ramp, small.rates), (Stage::Retrieval, 10, Rates::default()));
        assert!(small.queue < Options::retrieval(10).queue && small.min_temp > Options::retrieval(10).min_temp);
    }

    #[test]
    fn soft_targets_begin_with_nothing_and_stay_at_their_share() {
        let pretraining = Options::pretraining(10);
        let alphas = [0, 5, 10, 20, 1000].map(|step| pretraining.alpha_at(step));
        assert_eq!(alphas, [0.0, 0.1, 0.2, 0.4, 0.4]);
        assert_eq!([0, 5, 10, 11].map(|step| Options::retrieval(10).alpha_at(step)), [0.0, 0.2, 0.4, 0.4]);
        assert_eq!(Options { ramp: 0, ..pretraining }.alpha_at(0), 0.4);
    }
}
