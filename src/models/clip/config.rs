//! Model configurations as OpenCLIP writes them (`model_cfg` of `open_clip_config.json`), and the presets.

use crate::layers::block::Size;
use crate::layers::patch_embed::Grid;
use crate::models::clip::{resnet, text, visual, vit};
use crate::optim::adamw::Hyper;
use crate::params;
use kernels::Activation;
use serde::{Deserialize, Serialize};

/// ε of every LayerNorm of every published CLIP.
pub const LAYER_NORM_EPS: f32 = 1e-5;

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

/// A Vision Transformer, or a ResNet: that has a list of layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionConfig {
    /// Pixels along an edge.
    pub image_size: usize,
    pub layers: Layers,
    pub width: usize,
    /// A ResNet has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch_size: Option<usize>,
    /// Of a ResNet's attention pool, which is 32 times as wide as `width`.
    #[serde(default = "default_head_width", skip_serializing_if = "is_default_head_width")]
    pub head_width: usize,
    #[serde(default = "default_mlp_ratio", skip_serializing_if = "is_default_mlp_ratio")]
    pub mlp_ratio: f64,
}

/// Residual blocks of a ViT, or of each stage of a ResNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "layers: invalid value, expected a number (ViT) or a list of four (ResNet)")]
pub enum Layers {
    Vit(usize),
    ResNet([usize; 4]),
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
    #[error("a ViT needs vision_cfg.patch_size")]
    NoPatches,
    #[error("a ResNet has no vision_cfg.patch_size")]
    Patches,
    #[error("a ResNet halves vision_cfg.width, {width}")]
    OddWidth { width: usize },
    #[error("a ResNet cannot reduce vision_cfg.image_size {image_size} to {} pixels", image_size / REDUCTION)]
    ImageSize { image_size: usize },
}

/// `(name, [embed_dim, quick_gelu; image, layers, width, patch, head width; context, width, heads, layers])`
type Preset = (&'static str, (usize, bool, VisionPreset, [usize; 4]));

/// Image size, layers, width, patch size (0: none), head width.
type VisionPreset = (usize, Layers, usize, usize, usize);

/// What a ResNet divides the edges of a picture by.
pub const REDUCTION: usize = 32;

/// Of a whole model: 17 GB. The largest CLIP of this kind that was published, ViT-bigG, has 2.5 billion.
const PARAMETERS: usize = 1 << 32;

/// CLIP's own tokenizer, whatever the model.
pub const VOCAB_SIZE: usize = 49_408;

const PRESETS: [Preset; 13] = [
    ("Emoji-ViT-S", (256, false, (64, Layers::Vit(6), 256, 16, 64), [32, 256, 4, 3])),
    ("Emoji-ViT-M", (256, false, (64, Layers::Vit(8), 256, 8, 64), [32, 256, 4, 4])),
    ("Emoji-RN-S", (256, false, (64, Layers::ResNet([1, 1, 1, 1]), 24, 0, 64), [32, 256, 4, 1])),
    ("RN50", (1024, true, (224, Layers::ResNet([3, 4, 6, 3]), 64, 0, 64), [77, 512, 8, 12])),
    ("RN101", (512, true, (224, Layers::ResNet([3, 4, 23, 3]), 64, 0, 64), [77, 512, 8, 12])),
    ("RN50x4", (640, true, (288, Layers::ResNet([4, 6, 10, 6]), 80, 0, 64), [77, 640, 10, 12])),
    ("RN50x16", (768, true, (384, Layers::ResNet([6, 8, 18, 8]), 96, 0, 64), [77, 768, 12, 12])),
    ("RN50x64", (1024, true, (448, Layers::ResNet([3, 15, 36, 10]), 128, 0, 64), [77, 1024, 16, 12])),
    ("ViT-B-32", (512, true, (224, Layers::Vit(12), 768, 32, 64), [77, 512, 8, 12])),
    ("ViT-B-16", (512, true, (224, Layers::Vit(12), 768, 16, 64), [77, 512, 8, 12])),
    ("ViT-L-14", (768, true, (224, Layers::Vit(24), 1024, 14, 64), [77, 768, 12, 12])),
    ("ViT-L-14-336", (768, true, (336, Layers::Vit(24), 1024, 14, 64), [77, 768, 12, 12])),
    ("ViT-H-14", (1024, false, (224, Layers::Vit(32), 1280, 14, 80), [77, 1024, 16, 24])),
];

impl Config {
    /// The names that [`Config::preset`] knows.
    pub fn preset_names() -> impl Iterator<Item = &'static str> {
        PRESETS.iter().map(|(name, _)| *name)
    }

    /// AdamW's hyper-parameters as the paper chose them for this kind of image tower (table 19).
    pub fn hyper(&self) -> Hyper {
        match self.vision_cfg.layers {
            Layers::Vit(_) => Hyper::VIT,
            Layers::ResNet(_) => Hyper::RESNET,
        }
    }

    /// A published architecture, or one of the small ones for the embedded pictures.
    pub fn preset(name: &str) -> Result<Config, ConfigError> {
        let unknown = || ConfigError::UnknownPreset { name: name.into() };
        let &(_, preset) = PRESETS.iter().find(|preset| preset.0 == name).ok_or_else(unknown)?;
        let (embed_dim, quick_gelu, (image_size, layers, width, patch_size, head_width), text) = preset;
        let patch_size = (patch_size > 0).then_some(patch_size);
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
        self.text_cfg.check()?;
        // Each of the sizes can be allowed and all of them together more than any memory.
        check_sizes(&[("the number of parameters", self.parameters(), PARAMETERS)])
    }

    /// How many parameters the model has: both towers' and the temperature.
    fn parameters(&self) -> usize {
        params::count(&self.vision().spec()) + params::count(&self.text().spec()) + 1
    }

    /// The image tower's shape.
    pub fn vision(&self) -> visual::Shape {
        self.vision_cfg.shape(self.embed_dim, self.activation())
    }

    /// The text tower's shape.
    pub fn text(&self) -> text::Shape {
        self.text_cfg.shape(self.embed_dim, self.activation())
    }

    /// The activation of both towers' Transformers.
    pub fn activation(&self) -> Activation {
        if self.quick_gelu { Activation::QuickGelu } else { Activation::Gelu }
    }
}

/// Refuses a size of 0 and one beyond its limit.
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
        return Ok(());
    }
    Err(ConfigError::NotAMultiple { whole_name, whole, part_name, part })
}

impl VisionConfig {
    /// As [`Config::check`], for this tower alone.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_sizes(&[
            ("vision_cfg.image_size", self.image_size, 1 << 14),
            ("vision_cfg.width", self.width, 1 << 16),
            ("vision_cfg.head_width", self.head_width, 1 << 16),
        ])?;
        match self.layers {
            Layers::Vit(layers) => self.check_vit(layers),
            Layers::ResNet(layers) => self.check_resnet(layers),
        }
    }

    fn check_vit(&self, layers: usize) -> Result<(), ConfigError> {
        let patch_size = self.patch_size.ok_or(ConfigError::NoPatches)?;
        check_sizes(&[
            ("vision_cfg.layers", layers, 1 << 10),
            ("vision_cfg.patch_size", patch_size, 1 << 14),
            ("vision_cfg.mlp_ratio × width", self.mlp_width(), 1 << 18),
        ])?;
        check_multiple("vision_cfg.image_size", self.image_size, "vision_cfg.patch_size", patch_size)?;
        check_multiple("vision_cfg.width", self.width, "vision_cfg.head_width", self.head_width)
    }

    fn check_resnet(&self, layers: [usize; 4]) -> Result<(), ConfigError> {
        if self.patch_size.is_some() {
            return Err(ConfigError::Patches);
        }
        check_sizes(&layers.map(|layers| ("vision_cfg.layers", layers, 1 << 10)))?;
        check_sizes(&[("vision_cfg.width", self.width, 1 << 11)])?;
        if !self.width.is_multiple_of(2) {
            return Err(ConfigError::OddWidth { width: self.width });
        }
        let pool = REDUCTION * self.width;
        check_multiple("32 × vision_cfg.width", pool, "vision_cfg.head_width", self.head_width)?;
        // The table of positions has this many, whatever the pooling leaves of an odd size.
        let pixels = (self.image_size / REDUCTION).pow(2);
        if pixels == 0 || self.resnet(layers, 1).pool().pixels != pixels {
            return Err(ConfigError::ImageSize { image_size: self.image_size });
        }
        Ok(())
    }

    /// The tower's shape, before a joint space of width `embed_dim`.
    pub fn shape(&self, embed_dim: usize, activation: Activation) -> visual::Shape {
        match self.layers {
            Layers::Vit(layers) => visual::Shape::Vit(self.vit(layers, embed_dim, activation)),
            Layers::ResNet(layers) => visual::Shape::ResNet(self.resnet(layers, embed_dim)),
        }
    }

    fn vit(&self, layers: usize, embed_dim: usize, activation: Activation) -> vit::Shape {
        let size = Size {
            width: self.width,
            mlp_width: self.mlp_width(),
            heads: self.width / self.head_width,
            layers,
            activation,
            causal: false,
            eps: LAYER_NORM_EPS,
        };
        let patch_size = self.patch_size.expect("a checked configuration");
        vit::Shape { grid: Grid { image_size: self.image_size, patch_size }, size, embed_dim }
    }

    fn resnet(&self, layers: [usize; 4], embed_dim: usize) -> resnet::Shape {
        let (image_size, width, heads) = (self.image_size, self.width, REDUCTION * self.width / self.head_width);
        resnet::Shape { image_size, width, layers, heads, embed_dim }
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
            eps: LAYER_NORM_EPS,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::clip::model;
    use crate::params::count;

    /// The counts of OpenAI's and OpenCLIP's own models.
    #[test]
    fn presets_have_the_published_parameter_counts() {
        let published = [
            ("RN50", 102_007_137, 38_316_896),
            ("RN101", 119_688_033, 56_259_936),
            ("RN50x4", 178_300_601, 87_137_080),
            ("RN50x16", 290_979_217, 167_328_912),
            ("RN50x64", 623_258_305, 420_380_352),
            ("ViT-B-32", 151_277_313, 87_849_216),
            ("ViT-B-16", 149_620_737, 86_192_640),
            ("ViT-L-14", 427_616_513, 303_966_208),
            ("ViT-L-14-336", 427_944_193, 304_293_888),
            ("ViT-H-14", 986_109_441, 632_076_800),
        ];
        for (name, total, visual) in published {
            let config = Config::preset(name).unwrap();
            assert_eq!(count(&model::spec(&config)), total, "{name}");
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
        assert_eq!(broken(|c| c.vision_cfg.patch_size = Some(0)), "vision_cfg.patch_size is 0");
        assert_eq!(broken(|c| c.vision_cfg.patch_size = None), "a ViT needs vision_cfg.patch_size");
        let resnet = |c: &mut Config| c.vision_cfg = Config::preset("Emoji-RN-S").unwrap().vision_cfg;
        let broken_resnet = |change: fn(&mut VisionConfig)| {
            let mut config = Config::preset("ViT-B-32").unwrap();
            resnet(&mut config);
            change(&mut config.vision_cfg);
            config.check().unwrap_err().to_string()
        };
        assert_eq!(broken_resnet(|v| v.patch_size = Some(8)), "a ResNet has no vision_cfg.patch_size");
        assert_eq!(broken_resnet(|v| v.layers = Layers::ResNet([1, 0, 1, 1])), "vision_cfg.layers is 0");
        assert!(broken_resnet(|v| v.width = 33).contains("halves vision_cfg.width, 33"));
        assert!(broken_resnet(|v| v.image_size = 31).contains("image_size 31 to 0"));
        assert!(broken_resnet(|v| v.image_size = 63).contains("image_size 63 to 1"));
        assert!(broken_resnet(|v| v.head_width = 40).contains("768 is not a multiple of vision_cfg.head_width 40"));
        assert!(broken(|c| c.text_cfg.vocab_size = usize::MAX).contains("more than"));
    }
}
