//! Test shapes that are no multiples of a register width or a cache block.

use crate::support::{oracle_models::sequences, random};
use clipwright::layers::block::{Block, BlockInit, Size};
use clipwright::layers::dropout::Pass;
use clipwright::layers::sequences::{Pool, Sequences};
use clipwright::models::Captions;
use clipwright::models::clip::{Config, Layers, TextConfig, VisionConfig};
use clipwright::params::{Init, Spec};
use kernels::Activation;
use ndarray::Array2;
use std::ops::Range;

/// Tests draw their own values, see `random::params`.
pub const INIT: Init = Init::Const(0.0);

pub const ACTIVATIONS: [Activation; 3] = [Activation::Gelu, Activation::QuickGelu, Activation::GeluTanh];

/// Offsets of packed batches: one sequence, one of a single row, three and four of different lengths.
pub const OFFSETS: [&[usize]; 4] = [&[0, 7], &[0, 1], &[0, 1, 8, 10], &[0, 2, 15, 16, 23]];

/// Sequences of more rows than a tile of any attention kernel, and neighbours of one row.
pub const LONG: &[usize] = &[0, 1, 134, 135, 332];

/// A shape that is small enough for differences by every entry.
pub fn sizes() -> impl Iterator<Item = Size> {
    let sizes = [(6, 10, 1), (10, 21, 5), (21, 35, 3)];
    sizes.into_iter().zip(ACTIVATIONS.into_iter().cycle()).flat_map(|((width, mlp_width, heads), activation)| {
        // No model has this ε, which changes every digit.
        [false, true].map(|causal| Size { width, mlp_width, heads, layers: 1, activation, causal, eps: 0.03 })
    })
}

/// Returns the parameter table of one block.
pub fn block_spec(size: &Size) -> Block<Spec> {
    Block::spec(size, &BlockInit { in_proj: INIT, out_proj: INIT, c_fc: INIT, c_proj: INIT })
}

/// Returns the batch with these offsets. Captions are read at their last row, pictures at their first.
pub fn packed(offsets: &[usize], causal: bool) -> Sequences {
    sequences(offsets.iter().copied(), if causal { Pool::Last } else { Pool::First })
}

/// Drops of sequences that stand somewhere in a step's batch.
pub fn dropping(mut sequences: Sequences, rate: f32) -> Sequences {
    let places: Vec<u32> = (0..sequences.len() as u32).map(|s| 3 * s + 5).collect();
    sequences.drop(Some(Pass { rate, key: 0x0123_4567_89ab_cdef, places: &places }));
    sequences
}

/// Returns the range of rows of each sequence.
pub fn ranges(offsets: &[usize]) -> Vec<Range<usize>> {
    offsets.windows(2).map(|pair| pair[0]..pair[1]).collect()
}

/// A small CLIP and a batch for it.
pub struct Towers {
    pub config: Config,
    pub images: Array2<f32>,
    ids: Vec<u32>,
    offsets: Vec<usize>,
}

impl Towers {
    /// Makes a model and a batch with pictures of 10 rows and captions of 2, 9 and 5 rows.
    pub fn new(layers: usize, quick_gelu: bool) -> Self {
        let vision_cfg = VisionConfig {
            image_size: 6,
            layers: Layers::Vit(layers),
            width: 15,
            patch_size: Some(2),
            head_width: 5,
            mlp_ratio: 1.4,
            patch_dropout: 0.0,
            gelu_tanh: false,
            map_head: false,
        };
        let text_cfg = TextConfig {
            context_length: 9,
            vocab_size: 12,
            width: 10,
            heads: 5,
            layers,
            mlp_ratio: 4.0,
            gelu_tanh: false,
            no_causal_mask: false,
        };
        let (init_logit_scale, init_logit_bias) = (None, None);
        let config = Config { embed_dim: 7, quick_gelu, init_logit_scale, init_logit_bias, vision_cfg, text_cfg };
        let images = random::matrix((3, config.vision().image_len()), 4);
        let ids = (0..16).map(|i| i * i % 11).collect();
        Towers { config, images, ids, offsets: vec![0, 2, 11, 16] }
    }

    /// Makes a SigLIP, pictures of which a border is not looked at, and captions that fill the context.
    pub fn siglip(layers: usize) -> Self {
        let mut towers = Towers::new(layers, false);
        let Config { embed_dim, vision_cfg, text_cfg, .. } = &mut towers.config;
        (*embed_dim, vision_cfg.image_size, vision_cfg.map_head) = (vision_cfg.width, 7, true);
        (vision_cfg.gelu_tanh, text_cfg.gelu_tanh, text_cfg.no_causal_mask) = (true, true, true);
        towers.images = random::matrix((3, towers.config.vision().image_len()), 4);
        Towers { ids: (0..27).map(|i| i * i % 11).collect(), offsets: vec![0, 9, 18, 27], ..towers }
    }

    pub fn captions(&self) -> Captions<'_> {
        Captions { ids: &self.ids, offsets: &self.offsets }
    }
}
