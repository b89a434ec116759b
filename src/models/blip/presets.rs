//! The architectures that have a name.

use super::config::{Config, Parts, TextConfig, TokenIds, VisionConfig};
use kernels::Activation;

const VIT_B: VisionConfig = VisionConfig {
    image_size: [384, 384],
    patch_size: 16,
    width: 768,
    mlp_width: 3072,
    heads: 12,
    layers: 12,
    activation: Activation::Gelu,
    eps: 1e-6,
};

const VIT_L: VisionConfig = VisionConfig { width: 1024, mlp_width: 4096, heads: 16, layers: 24, ..VIT_B };

const TEXT: TextConfig = TextConfig {
    vocab_size: 30524,
    positions: 512,
    width: 768,
    mlp_width: 3072,
    heads: 12,
    layers: 12,
    activation: Activation::Gelu,
    eps: 1e-12,
    label_smoothing: 0.0,
    ids: TokenIds::BERT,
};

/// The image encoder of Emoji-BLIP-S: a short run learns more from many pictures than with many blocks.
const SMALL_VIT: VisionConfig =
    VisionConfig { image_size: [64, 64], width: 128, mlp_width: 512, heads: 4, layers: 4, ..VIT_B };

/// The text Transformer of Emoji-BLIP-S. What is said of the embedded pictures is short.
const SMALL_TEXT: TextConfig = TextConfig { positions: 64, width: 128, mlp_width: 512, heads: 4, layers: 2, ..TEXT };

impl Config {
    /// The architectures that have a name: the small one for the embedded pictures, then the published ones.
    pub const PRESETS: [&str; 3] = ["Emoji-BLIP-S", "BLIP-base", "BLIP-large"];

    /// Returns the architecture of this name, if it is one of [`Config::PRESETS`].
    pub fn preset(name: &str, parts: Parts) -> Option<Config> {
        match name {
            "Emoji-BLIP-S" => Some(Config { vision: SMALL_VIT, text: SMALL_TEXT, embed_dim: 256, parts }),
            "BLIP-base" => Some(Config::base(parts)),
            "BLIP-large" => Some(Config::large(parts)),
            _ => None,
        }
    }

    /// Returns BLIP with a ViT-B/16.
    pub fn base(parts: Parts) -> Config {
        Config { vision: VIT_B, text: TEXT, embed_dim: 256, parts }
    }

    /// Returns BLIP with a ViT-L/16. Its text Transformer is that of the base model.
    pub fn large(parts: Parts) -> Config {
        Config { vision: VIT_L, ..Config::base(parts) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::blip::spec;
    use crate::params::count;

    #[test]
    fn presets_have_names_and_sizes_that_fit() {
        for name in Config::PRESETS {
            Config::preset(name, Parts::Pretrained).unwrap().check().unwrap();
        }
        assert_eq!(Config::preset("BLIP-large", Parts::Matcher), Some(Config::large(Parts::Matcher)));
        assert_eq!(Config::preset("ViT-B-32", Parts::Matcher), None);
    }

    #[test]
    fn sizes_are_the_published_ones() {
        let counts = |config: fn(Parts) -> Config| {
            [Parts::Captioner, Parts::Matcher, Parts::Answerer].map(|parts| count(&spec(&config(parts))))
        };
        assert_eq!(counts(Config::base), [223_971_644, 223_744_258, 361_230_140]);
        assert_eq!(counts(Config::large)[..2], [446_290_492, 446_128_642]);
        assert_eq!(count(&Config::base(Parts::Captioner).vit().spec()), 86_090_496);
        assert_eq!(count(&Config::large(Parts::Captioner).vit().spec()), 303_690_752);
    }
}
