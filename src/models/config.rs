//! Model configurations as OpenCLIP writes them (`model_cfg` of `open_clip_config.json`), and the presets.

use super::{text, vit};
use crate::layers::block::Size;
use crate::layers::patch_embed::Grid;
use kernels::Activation;
use serde::{Deserialize, Serialize};

/// Both towers. Fields that are not here would change the architecture, so they are refused, not ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// e, the width of the joint space.
    pub embed_dim: usize,
    /// QuickGELU in both towers: every OpenAI checkpoint. Otherwise GELU.
    #[serde(default)]
    pub quick_gelu: bool,
    pub vision_cfg: VisionConfig,
    pub text_cfg: TextConfig,
}

/// A Vision Transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionConfig {
    /// Pixels along an edge.
    pub image_size: usize,
    pub layers: usize,
    pub width: usize,
    pub patch_size: usize,
    #[serde(default = "default_head_width", skip_serializing_if = "is_default_head_width")]
    pub head_width: usize,
    #[serde(default = "default_mlp_ratio", skip_serializing_if = "is_default_mlp_ratio")]
    pub mlp_ratio: f64,
}

/// A causal Transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextConfig {
    /// The longest caption in tokens, start and end included.
    pub context_length: usize,
    pub vocab_size: usize,
    pub width: usize,
    pub heads: usize,
    pub layers: usize,
}

fn default_head_width() -> usize {
    64
}

fn is_default_head_width(width: &usize) -> bool {
    *width == default_head_width()
}

fn default_mlp_ratio() -> f64 {
    4.0
}

fn is_default_mlp_ratio(ratio: &f64) -> bool {
    *ratio == default_mlp_ratio()
}

/// A configuration that no model can have.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ConfigError {
    #[error("unknown model {name:?}; there are {}", PRESETS.map(|(name, _)| name).join(", "))]
    UnknownPreset { name: String },
    #[error("{field} is 0")]
    Zero { field: &'static str },
    #[error("{whole_name} {whole} is not a multiple of {part_name} {part}")]
    NotAMultiple { whole_name: &'static str, whole: usize, part_name: &'static str, part: usize },
    #[error("{field} is {value}, more than {limit}")]
    TooLarge { field: &'static str, value: usize, limit: usize },
}

/// `(name, [embed_dim, quick_gelu; image, layers, width, patch, head width; context, width, heads, layers])`
type Preset = (&'static str, (usize, bool, [usize; 5], [usize; 4]));

/// CLIP's own tokenizer, whatever the model.
pub const VOCAB_SIZE: usize = 49_408;

const PRESETS: [Preset; 7] = [
    ("Emoji-ViT-S", (256, false, [64, 6, 256, 16, 64], [32, 256, 4, 3])),
    ("Emoji-ViT-M", (256, false, [64, 8, 256, 8, 64], [32, 256, 4, 4])),
    ("ViT-B-32", (512, true, [224, 12, 768, 32, 64], [77, 512, 8, 12])),
    ("ViT-B-16", (512, true, [224, 12, 768, 16, 64], [77, 512, 8, 12])),
    ("ViT-L-14", (768, true, [224, 24, 1024, 14, 64], [77, 768, 12, 12])),
    ("ViT-L-14-336", (768, true, [336, 24, 1024, 14, 64], [77, 768, 12, 12])),
    ("ViT-H-14", (1024, false, [224, 32, 1280, 14, 80], [77, 1024, 16, 24])),
];

impl Config {
    /// The names that [`Config::preset`] knows.
    pub fn preset_names() -> impl Iterator<Item = &'static str> {
        PRESETS.iter().map(|(name, _)| *name)
    }

    /// A published architecture, or one of the small ones for the embedded pictures.
    pub fn preset(name: &str) -> Result<Config, ConfigError> {
        let unknown = || ConfigError::UnknownPreset { name: name.into() };
        let &(_, preset) = PRESETS.iter().find(|preset| preset.0 == name).ok_or_else(unknown)?;
        let (embed_dim, quick_gelu, [image_size, layers, width, patch_size, head_width], text) = preset;
        let vision_cfg =
            VisionConfig { image_size, layers, width, patch_size, head_width, mlp_ratio: default_mlp_ratio() };
        let [context_length, width, heads, layers] = text;
        let text_cfg = TextConfig { context_length, vocab_size: VOCAB_SIZE, width, heads, layers };
        Ok(Config { embed_dim, quick_gelu, vision_cfg, text_cfg })
    }

    /// Refuses sizes that do not fit together, before anything is allocated for them.
    pub fn check(&self) -> Result<(), ConfigError> {
        let (v, t) = (&self.vision_cfg, &self.text_cfg);
        let sizes = [
            ("embed_dim", self.embed_dim, 1 << 16),
            ("vision_cfg.image_size", v.image_size, 1 << 14),
            ("vision_cfg.layers", v.layers, 1 << 10),
            ("vision_cfg.width", v.width, 1 << 16),
            ("vision_cfg.patch_size", v.patch_size, 1 << 14),
            ("vision_cfg.head_width", v.head_width, 1 << 16),
            ("vision_cfg.mlp_ratio × width", v.mlp_width(), 1 << 18),
            ("text_cfg.context_length", t.context_length, 1 << 16),
            ("text_cfg.vocab_size", t.vocab_size, 1 << 24),
            ("text_cfg.width", t.width, 1 << 16),
            ("text_cfg.heads", t.heads, 1 << 16),
            ("text_cfg.layers", t.layers, 1 << 10),
        ];
        for (field, value, limit) in sizes {
            if value == 0 {
                return Err(ConfigError::Zero { field });
            }
            if value > limit {
                return Err(ConfigError::TooLarge { field, value, limit });
            }
        }
        let multiples = [
            ("vision_cfg.image_size", v.image_size, "vision_cfg.patch_size", v.patch_size),
            ("vision_cfg.width", v.width, "vision_cfg.head_width", v.head_width),
            ("text_cfg.width", t.width, "text_cfg.heads", t.heads),
        ];
        match multiples.into_iter().find(|(_, whole, _, part)| whole % part != 0) {
            Some((whole_name, whole, part_name, part)) => {
                Err(ConfigError::NotAMultiple { whole_name, whole, part_name, part })
            }
            None => Ok(()),
        }
    }

    /// The image tower's shape.
    pub fn vision(&self) -> vit::Shape {
        let v = &self.vision_cfg;
        let size = Size {
            width: v.width,
            mlp_width: v.mlp_width(),
            heads: v.width / v.head_width,
            layers: v.layers,
            activation: self.activation(),
            causal: false,
        };
        let grid = Grid { image_size: v.image_size, patch_size: v.patch_size };
        vit::Shape { grid, size, embed_dim: self.embed_dim }
    }

    /// The text tower's shape.
    pub fn text(&self) -> text::Shape {
        let t = &self.text_cfg;
        let size = Size {
            width: t.width,
            mlp_width: 4 * t.width,
            heads: t.heads,
            layers: t.layers,
            activation: self.activation(),
            causal: true,
        };
        let (context_length, vocab_size) = (t.context_length, t.vocab_size);
        text::Shape { context_length, vocab_size, size, embed_dim: self.embed_dim }
    }

    fn activation(&self) -> Activation {
        if self.quick_gelu { Activation::QuickGelu } else { Activation::Gelu }
    }
}

impl VisionConfig {
    /// m, truncated as OpenCLIP does.
    fn mlp_width(&self) -> usize {
        (self.width as f64 * self.mlp_ratio) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{models::clip, params::count};

    /// The counts of OpenAI's and OpenCLIP's own models.
    #[test]
    fn presets_have_the_published_parameter_counts() {
        let published = [
            ("ViT-B-32", 151_277_313, 87_849_216),
            ("ViT-B-16", 149_620_737, 86_192_640),
            ("ViT-L-14", 427_616_513, 303_966_208),
            ("ViT-L-14-336", 427_944_193, 304_293_888),
            ("ViT-H-14", 986_109_441, 632_076_800),
        ];
        for (name, total, visual) in published {
            let config = Config::preset(name).unwrap();
            assert_eq!(count(&clip::spec(&config)), total, "{name}");
            assert_eq!(count(&config.vision().spec()), visual, "{name}, visual");
        }
    }

    #[test]
    fn every_preset_fits_together_and_survives_json() {
        for name in Config::preset_names() {
            let config = Config::preset(name).unwrap();
            config.check().unwrap();
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
        }
        assert!(Config::preset("ViT-B/33").unwrap_err().to_string().contains("ViT-B-32"));
    }

    #[test]
    fn sizes_that_do_not_fit_are_named() {
        let broken = |change: fn(&mut Config)| {
            let mut config = Config::preset("ViT-B-32").unwrap();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert_eq!(broken(|c| c.text_cfg.heads = 7), "text_cfg.width 512 is not a multiple of text_cfg.heads 7");
        assert_eq!(broken(|c| c.vision_cfg.patch_size = 0), "vision_cfg.patch_size is 0");
        assert!(broken(|c| c.text_cfg.vocab_size = usize::MAX).contains("more than"));
    }
}
