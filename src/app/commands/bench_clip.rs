//! What `clipwright bench` times of a CLIP.

use super::timing::{Timer, Timing, Work, check, forget_peak_memory};
use crate::layers::normalize;
use crate::loss::info_nce::{self, Saved, Scratch};
use crate::loss::positives::Positives;
use crate::models::Captions;
use crate::models::clip::Config;
use crate::models::clip::model::{ClipParams, INIT_LOGIT_SCALE, Inference, Model};
use crate::random::normals;
use crate::train::clip::{ClipObjective, Pairs, hyper};
use crate::train::step::{Trainer, TrainerOptions};
use crate::tree::Arena;
use crate::weights::{Rounding, Stored, Weights};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// Sizes, and a batch of random pictures and captions for them.
pub(super) struct Inputs {
    config: Config,
    images: Array2<f32>,
    ids: Vec<u32>,
    offsets: Vec<usize>,
    keys: Vec<u64>,
    /// What inference rounds the weights to.
    rounding: Rounding,
}

impl Inputs {
    /// Makes a batch with `pictures` pictures. The number is 0 if only the loss is timed, since the pictures of a large
    /// batch may not fit the memory.
    pub(super) fn random(config: &Config, rounding: Rounding, batch: usize, pictures: usize, tokens: usize) -> Self {
        let mut rng = Pcg64::seed_from_u64(0);
        let pixels = 3 * config.vision_cfg.image_size.pow(2);
        let vocab_size = config.text_cfg.vocab_size as u32;
        Inputs {
            config: config.clone(),
            images: normals((pictures, pixels), 0),
            ids: (0..batch * tokens).map(|_| rng.random_range(0..vocab_size)).collect(),
            offsets: (0..=batch).map(|i| i * tokens).collect(),
            keys: (0..batch as u64).collect(),
            rounding,
        }
    }

    /// Draws a fresh model's weights.
    fn weights(&self) -> Weights<ClipParams<Stored>> {
        Model::new(self.config.clone(), 0).params.into_rounded(self.rounding)
    }

    fn captions(&self) -> Captions<'_> {
        Captions { ids: &self.ids, offsets: &self.offsets }
    }

    fn pairs(&self) -> Pairs<'_> {
        Pairs {
            images: self.images.view(),
            captions: self.captions(),
            concepts: &self.keys,
            caption_keys: &self.keys,
            examples: &self.keys,
            teacher_images: None,
        }
    }

    /// Times one work with a fresh model. Returns the times and the number of operations.
    pub(super) fn time(&self, work: Work, grad_checkpointing: bool, timer: &mut Timer) -> (Timing, f64) {
        let (config, mut buffers) = (&self.config, Inference::default());
        forget_peak_memory();
        let timing = match work {
            Work::EncodeImage => {
                let (weights, shape) = (self.weights(), config.vision());
                let images = self.images.view();
                timer.repeat(|| check(buffers.encode_images(&weights.view().visual, &shape, images).view()))
            }
            Work::EncodeText => {
                let (weights, shape) = (self.weights(), config.text());
                timer.repeat(|| check(buffers.encode_texts(&weights.view().text, &shape, self.captions()).view()))
            }
            Work::TrainStep => {
                let objective =
                    ClipObjective::new(Model::new(config.clone(), 0)).grad_checkpointing(grad_checkpointing);
                let mut trainer = Trainer::new(objective, TrainerOptions::new(hyper(config)));
                timer.repeat(|| {
                    let loss = trainer.gradients(&self.pairs(), self.keys.len())[0].value;
                    let grad_norm = trainer.update(1e-6).grad_norm;
                    assert!(loss.is_finite() && grad_norm.is_finite(), "loss {loss}, gradient {grad_norm}");
                })
            }
            Work::InfoNce => time_info_nce(self.keys.len(), config.embed_dim, timer),
            Work::Match | Work::Caption | Work::Answer => unreachable!("only BLIPs do this"),
        };
        (timing, self.flops(work))
    }

    /// Returns the number of floating-point operations of a whole batch.
    fn flops(&self, work: Work) -> f64 {
        let (config, batch) = (&self.config, self.keys.len());
        let caption_tokens = self.ids.len() / batch;
        let (image, text) =
            (config.vision().flops(config.vision_cfg.patch_dropout), config.text().flops(caption_tokens));
        let of_each = match work {
            Work::EncodeImage => image.forward,
            Work::EncodeText => text.forward,
            Work::TrainStep => image.train + text.train,
            // One product gives a row of logits, and two its gradients on both sides.
            Work::InfoNce => 3.0 * 2.0 * (batch * config.embed_dim) as f64,
            Work::Match | Work::Caption | Work::Answer => unreachable!("only BLIPs do this"),
        };
        batch as f64 * of_each
    }
}

/// Times the loss of random embeddings and its gradients, at the temperature that training begins with.
fn time_info_nce(n: usize, embed_dim: usize, timer: &mut Timer) -> Timing {
    let [images, texts] = [1, 2].map(|seed| normalize::unit(normals((n, embed_dim), seed).view()));
    let [mut dimages, mut dtexts] = [&images, &texts].map(|rows| Array2::zeros(rows.raw_dim()));
    let (images, texts, scale) = (images.view(), texts.view(), INIT_LOGIT_SCALE.exp());
    let positives = &Positives::diagonal(n);
    let (mut saved, mut scratch) = (Arena::default(), Arena::default());
    let (mut saved, mut scratch) = (saved.carve(&Saved::dims(n)), scratch.carve(&Scratch::dims(n)));
    timer.repeat(|| {
        let loss = info_nce::forward(images, texts, scale, positives, &mut saved, &mut scratch).mean();
        let (dimages, dtexts) = (dimages.view_mut(), dtexts.view_mut());
        let dscale = info_nce::backward(images, texts, scale, positives, &saved, dimages, dtexts, &mut scratch);
        assert!(loss.is_finite() && dscale.is_finite(), "loss {loss}, gradient of the scale {dscale}");
    })
}
