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
    #[serde(default = "default_mlp_ratio", skip_serializing_if = "is_default_mlp_ratio")]
    pub mlp_ratio: f64,
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
        let mlp_ratio = default_mlp_ratio();
        let text_cfg = TextConfig { context_length, vocab_size: VOCAB_SIZE, width, heads, layers, mlp_ratio };
        Ok(Config { embed_dim, quick_gelu, vision_cfg, text_cfg })
    }

    /// Refuses sizes that do not fit together, before anything is allocated for them.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_sizes(&[("embed_dim", self.embed_dim, 1 << 16)])?;
        self.vision_cfg.check()?;
        self.text_cfg.check()
    }

    /// The image tower's shape.
    pub fn vision(&self) -> vit::Shape {
        self.vision_cfg.shape(self.embed_dim, self.activation())
    }

    /// The text tower's shape.
    pub fn text(&self) -> text::Shape {
        self.text_cfg.shape(self.embed_dim, self.activation())
    }

    /// The activation of both towers.
    pub fn activation(&self) -> Activation {
        if self.quick_gelu { Activation::QuickGelu } else { Activation::Gelu }
    }
}

impl VisionConfig {
    /// As [`Config::check`], for this tower alone.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_sizes(&[
            ("vision_cfg.image_size", self.image_size, 1 << 14),
            ("vision_cfg.layers", self.layers, 1 << 10),
            ("vision_cfg.width", self.width, 1 << 16),
            ("vision_cfg.patch_size", self.patch_size, 1 << 14),
            ("vision_cfg.head_width", self.head_width, 1 << 16),
            ("vision_cfg.mlp_ratio × width", self.mlp_width(), 1 << 18),
        ])?;
        check_multiple("vision_cfg.image_size", self.image_size, "vision_cfg.patch_size", self.patch_size)?;
        check_multiple("vision_cfg.width", self.width, "vision_cfg.head_width", self.head_width)
    }

    /// The tower's shape, before a joint space of width `embed_dim`.
    pub fn shape(&self, embed_dim: usize, activation: Activation) -> vit::Shape {
        let size = Size {
            width: self.width,
            mlp_width: self.mlp_width(),
            heads: self.width / self.head_width,
            layers: self.layers,
            activation,
            causal: false,
        };
        let grid = Grid { image_size: self.image_size, patch_size: self.patch_size };
        vit::Shape { grid, size, embed_dim }
    }

    /// m
    pub fn mlp_width(&self) -> usize {
        mlp_width(self.width, self.mlp_ratio)
    }
}

impl TextConfig {
    /// As [`Config::check`], for this tower alone.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_sizes(&[
            ("text_cfg.context_length", self.context_length, 1 << 16),
            ("text_cfg.vocab_size", self.vocab_size, 1 << 24),
            ("text_cfg.width", self.width, 1 << 16),
            ("text_cfg.heads", self.heads, 1 << 16),
            ("text_cfg.layers", self.layers, 1 << 10),
            ("text_cfg.mlp_ratio × width", self.mlp_width(), 1 << 18),
        ])?;
        check_multiple("text_cfg.width", self.width, "text_cfg.heads", self.heads)
    }

    /// The tower's shape, before a joint space of width `embed_dim`.
    pub fn shape(&self, embed_dim: usize, activation: Activation) -> text::Shape {
        let size = Size {
            width: self.width,
            mlp_width: self.mlp_width(),
            heads: self.heads,
            layers: self.layers,
            activation,
            causal: true,
        };
        let (context_length, vocab_size) = (self.context_length, self.vocab_size);
        text::Shape { context_length, vocab_size, size, embed_dim }
    }

    /// m
    pub fn mlp_width(&self) -> usize {
        mlp_width(self.width, self.mlp_ratio)
    }
}

/// m, truncated as OpenCLIP does.
fn mlp_width(width: usize, ratio: f64) -> usize {
    (width as f64 * ratio) as usize
}

/// The ratio that gives this m.
pub fn mlp_ratio(width: usize, mlp_width: usize) -> f64 {
    let ratio = mlp_width as f64 / width as f64;
    // The quotient may have been rounded down to just below an integral product.
    if self::mlp_width(width, ratio) < mlp_width { ratio.next_up() } else { ratio }
}

/// Every `(field, value, limit)` is positive and within its limit.
fn check_sizes(sizes: &[(&'static str, usize, usize)]) -> Result<(), ConfigError> {
    for &(field, value, limit) in sizes {
        if value == 0 {
            return Err(ConfigError::Zero { field });
        }
        if value > limit {
            return Err(ConfigError::TooLarge { field, value, limit });
        }
    }
    Ok(())
}

fn check_multiple(
    whole_name: &'static str,
    whole: usize,
    part_name: &'static str,
    part: usize,
) -> Result<(), ConfigError> {
    if whole.is_multiple_of(part) {
        Ok(())
    } else {
        Err(ConfigError::NotAMultiple { whole_name, whole, part_name, part })
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
    fn a_ratio_gives_back_its_mlp_width() {
        for width in (1..2000).chain([1408, 1664, 65_536]) {
            for mlp_width in [1, width, 4 * width, 4 * width + 1, 6144, 8192] {
                assert_eq!(self::mlp_width(width, mlp_ratio(width, mlp_width)), mlp_width, "{width}");
            }
        }
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
