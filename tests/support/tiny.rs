//! Two tiny CLIPs and random batches for them.

use clipwright::models::Captions;
use clipwright::models::clip::{Config, Layers, TextConfig, VisionConfig};
use clipwright::train::clip::Pairs;
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;

/// Returns the configuration with a ResNet of this many channels behind its stem.
pub fn resnet(width: usize) -> Config {
    let mut config = config(4 * width);
    config.vision_cfg.layers = Layers::ResNet([1, 2, 1, 1]);
    (config.vision_cfg.width, config.vision_cfg.patch_size) = (width, None);
    config.vision_cfg.image_size = 32;
    config
}

pub fn config(width: usize) -> Config {
    Config {
        embed_dim: width,
        quick_gelu: true,
        init_logit_scale: None,
        init_logit_bias: None,
        vision_cfg: VisionConfig {
            image_size: 24,
            layers: Layers::Vit(3),
            width,
            patch_size: Some(8),
            head_width: width / 2,
            mlp_ratio: 4.0,
            patch_dropout: 0.0,
            gelu_tanh: false,
            map_head: false,
        },
        text_cfg: TextConfig {
            context_length: 20,
            vocab_size: 300,
            width,
            heads: 2,
            layers: 2,
            mlp_ratio: 4.0,
            gelu_tanh: false,
            no_causal_mask: false,
        },
    }
}

/// Random pictures and captions of different lengths.
pub struct Batch {
    images: Array2<f32>,
    ids: Vec<u32>,
    offsets: Vec<usize>,
    concepts: Vec<u64>,
    captions: Vec<u64>,
}

impl Batch {
    /// Makes a batch for a model of this configuration.
    pub fn of(config: &Config, n: usize, seed: u64) -> Batch {
        let pixels = 3 * config.vision_cfg.image_size.pow(2);
        let mut rng = Pcg64::seed_from_u64(seed);
        let images = Array2::from_shape_fn((n, pixels), |_| rng.sample::<f32, _>(StandardNormal));
        let (mut ids, mut offsets) = (vec![], vec![0]);
        for _ in 0..n {
            ids.extend((0..rng.random_range(1..20)).map(|_| rng.random_range(0..300)));
            offsets.push(ids.len());
        }
        let concepts = (0..n).map(|_| rng.random_range(0..n as u64)).collect();
        Batch { images, ids, offsets, concepts, captions: (0..n as u64).collect() }
    }

    pub fn pairs(&self) -> Pairs<'_> {
        Pairs {
            images: self.images.view(),
            captions: Captions { ids: &self.ids, offsets: &self.offsets },
            concepts: &self.concepts,
            caption_keys: &self.captions,
            examples: &self.captions,
            teacher_images: None,
        }
    }
}
