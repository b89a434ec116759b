//! Model configurations as OpenCLIP writes them (`model_cfg` of `open_clip_config.json`).

use crate::layers::block::Size;
use crate::layers::patch_embed::Grid;
use crate::models::clip::{config_json, resnet, text, visual, vit};
use crate::models::sizes::{MAX_PARAMETERS, SizeError, check_multiple, check_sizes};
use crate::params;
use kernels::Activation;
use serde::{Deserialize, Serialize};

/// The ε of every LayerNorm of every published CLIP.
pub const LAYER_NORM_EPS: f32 = 1e-5;

/// The ε of every LayerNorm of SigLIP's towers.
pub const SIGLIP_LAYER_NORM_EPS: f32 = 1e-6;

/// SigLIP's scale starts at ln 10 (Zhai et al. 2023, section 3.2).
pub const SIGLIP_LOGIT_SCALE: f32 = std::f32::consts::LN_10;

/// SigLIP's bias starts at −10, so that at first no pair seems to fit (Zhai et al. 2023, section 3.2).
pub const SIGLIP_LOGIT_BIAS: f32 = -10.0;

/// The sizes of both towers, and how the logits begin. A field of `open_clip_config.json` that is not here would change
/// the architecture, so it is refused, not ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The width e of the joint space.
    pub embed_dim: usize,
    /// Whether both towers have QuickGELU, as every OpenAI checkpoint has; otherwise they have GELU, in the form that each
    /// tower says.
    #[serde(default)]
    pub quick_gelu: bool,
    /// The logit scale of a model that is made anew; ln(1/0.07) without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_logit_scale: Option<f32>,
    /// The logit bias of a model that is made anew. A model has a bias if this is given, and then the sigmoid loss is
    /// its objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_logit_bias: Option<f32>,
    /// The sizes of the image tower.
    pub vision_cfg: VisionConfig,
    /// The sizes of the text tower.
    pub text_cfg: TextConfig,
}

/// The sizes of the image tower: a Vision Transformer if `layers` is a number, a ResNet if it is a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionConfig {
    /// The edge of a picture, in pixels.
    pub image_size: usize,
    /// The number of residual blocks of the tower.
    pub layers: Layers,
    /// The width d of a ViT, or the number of channels that a ResNet's stem gives.
    pub width: usize,
    /// The edge of a ViT's patches, in pixels; a ResNet has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch_size: Option<usize>,
    /// The width of an attention head: of every block of a ViT, or of a ResNet's attention pool, which is 32 times as
    /// wide as `width`.
    #[serde(default = "default_head_width", skip_serializing_if = "is_default_head_width")]
    pub head_width: usize,
    /// The width of the MLP in a ViT's block as a multiple of `width`; a ResNet does not use it.
    #[serde(default = "default_mlp_ratio", skip_serializing_if = "is_default_mlp_ratio")]
    pub mlp_ratio: f64,
    /// The share of a ViT's patches that training drops; inference sees all patches.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub patch_dropout: f64,
    /// Whether a ViT's GELU has the form with the hyperbolic tangent.
    #[serde(rename = "act_kwargs", with = "config_json::tanh", default, skip_serializing_if = "is_false")]
    pub gelu_tanh: bool,
    /// Whether a ViT is that of SigLIP: without class token and first LayerNorm, with a bias of the patches and a MAP head
    /// in place of the projection.
    #[serde(rename = "timm_pool", with = "config_json::map", default, skip_serializing_if = "is_false")]
    pub map_head: bool,
}

/// The number of residual blocks of a ViT, or of each stage of a ResNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "layers: invalid value, expected a number (ViT) or a list of four (ResNet)")]
pub enum Layers {
    Vit(usize),
    ResNet([usize; 4]),
}

/// The sizes of the text tower, a causal Transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextConfig {
    /// The largest number of tokens of a caption, start and end included.
    pub context_length: usize,
    /// The number of tokens that the tokenizer knows.
    pub vocab_size: usize,
    /// The width d of the Transformer.
    pub width: usize,
    /// The number of attention heads of every block.
    pub heads: usize,
    /// The number of residual blocks of the Transformer.
    pub layers: usize,
    /// The width of the MLP in a block as a multiple of `width`.
    #[serde(default = "default_mlp_ratio", skip_serializing_if = "is_default_mlp_ratio")]
    pub mlp_ratio: f64,
    /// Whether the GELU has the form with the hyperbolic tangent.
    #[serde(rename = "act_kwargs", with = "config_json::tanh", default, skip_serializing_if = "is_false")]
    pub gelu_tanh: bool,
    /// Whether the tower is that of SigLIP: without a causal mask, read at the last place of captions that all fill the
    /// context, with a bias of the projection.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_causal_mask: bool,
}

pub(super) const fn default_head_width() -> usize {
    64
}

fn is_default_head_width(width: &usize) -> bool {
    *width == default_head_width()
}

pub(super) const fn default_mlp_ratio() -> f64 {
    4.0
}

fn is_default_mlp_ratio(ratio: &f64) -> bool {
    *ratio == default_mlp_ratio()
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

/// A configuration that no model can have.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ConfigError {
    #[error("unknown model {name:?}; there are {known}")]
    UnknownPreset { name: String, known: String },
    #[error(transparent)]
    Size(#[from] SizeError),
    #[error("a ViT needs vision_cfg.patch_size")]
    NoPatches,
    #[error("a ResNet has no vision_cfg.patch_size")]
    Patches,
    #[error("vision_cfg.patch_dropout is {0}, which is no share from 0 to below 1")]
    PatchDropout(f64),
    #[error("a ResNet has no patches, and vision_cfg.patch_dropout is {0}")]
    NoPatchesToDrop(f64),
    #[error("a ResNet halves vision_cfg.width, {width}")]
    OddWidth { width: usize },
    #[error("a ResNet cannot reduce vision_cfg.image_size {image_size} to {} pixels", image_size / REDUCTION)]
    ImageSize { image_size: usize },
    #[error("a ResNet has no MAP head")]
    NoMapHead,
    #[error("embed_dim is {embed_dim} and vision_cfg.width {width}; behind a MAP head both are the same")]
    MapHead { embed_dim: usize, width: usize },
    #[error("a tower with QuickGELU has no act_kwargs")]
    TwoForms,
    #[error("{field} is {value}, which an f32 cannot hold")]
    NotFinite { field: &'static str, value: f32 },
}

/// The factor by which a ResNet reduces the edges of a picture.
pub const REDUCTION: usize = 32;

/// The number of tokens that CLIP's own tokenizer knows, whatever the model.
pub const VOCAB_SIZE: usize = 49_408;

impl Config {
    /// Checks that the sizes fit together, before anything is allocated for them.
    ///
    /// # Errors
    /// Returns an error if a size is 0, too large, or not a multiple of what it is divided by.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_sizes(&[("embed_dim", self.embed_dim, 1 << 16)])?;
        self.vision_cfg.check()?;
        self.text_cfg.check()?;
        let (embed_dim, width) = (self.embed_dim, self.vision_cfg.width);
        if self.vision_cfg.map_head && embed_dim != width {
            return Err(ConfigError::MapHead { embed_dim, width });
        }
        if self.quick_gelu && (self.vision_cfg.gelu_tanh || self.text_cfg.gelu_tanh) {
            return Err(ConfigError::TwoForms);
        }
        for (field, value) in [("init_logit_scale", self.init_logit_scale), ("init_logit_bias", self.init_logit_bias)] {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                return Err(ConfigError::NotFinite { field, value });
            }
        }
        // Each size can be within its limit while all of them together exceed any memory.
        Ok(check_sizes(&[("the number of parameters", self.parameters(), MAX_PARAMETERS)])?)
    }

    /// Counts the parameters of both towers, the temperature and the bias.
    fn parameters(&self) -> usize {
        let scalars = 1 + usize::from(self.init_logit_bias.is_some());
        params::count(&self.vision().spec()) + params::count(&self.text().spec()) + scalars
    }

    /// Returns the same architecture for the sigmoid loss, with the scale and the bias with which SigLIP begins.
    #[must_use]
    pub fn siglip(self) -> Self {
        let (scale, bias) = (SIGLIP_LOGIT_SCALE, SIGLIP_LOGIT_BIAS);
        Config { init_logit_scale: Some(scale), init_logit_bias: Some(bias), ..self }
    }

    /// Returns the shape of the image tower.
    pub fn vision(&self) -> visual::Shape {
        self.vision_cfg.shape(self.embed_dim, self.activation())
    }

    /// Returns the shape of the text tower.
    pub fn text(&self) -> text::Shape {
        self.text_cfg.shape(self.embed_dim, self.activation())
    }

    /// Whether a tower is SigLIP's.
    pub fn is_siglip(&self) -> bool {
        self.vision_cfg.map_head || self.text_cfg.no_causal_mask
    }

    /// Returns the activation of both towers' Transformers, but for the form of GELU that each has.
    pub fn activation(&self) -> Activation {
        if self.quick_gelu { Activation::QuickGelu } else { Activation::Gelu }
    }
}

impl VisionConfig {
    /// Checks that the sizes of this tower fit together.
    ///
    /// # Errors
    /// Returns an error if [`Config::check`] would return one for this tower.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_sizes(&[
            ("vision_cfg.image_size", self.image_size, 1 << 14),
            ("vision_cfg.width", self.width, 1 << 16),
            ("vision_cfg.head_width", self.head_width, 1 << 16),
        ])?;
        if !(0.0..1.0).contains(&self.patch_dropout) {
            return Err(ConfigError::PatchDropout(self.patch_dropout));
        }
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
        match self.image_size.checked_sub(patch_size) {
            // The pixels that fill no patch are not looked at: 6 of SigLIP's 384 under patches of 14.
            Some(_) if self.map_head => {}
            _ => check_multiple("vision_cfg.image_size", self.image_size, "vision_cfg.patch_size", patch_size)?,
        }
        Ok(check_multiple("vision_cfg.width", self.width, "vision_cfg.head_width", self.head_width)?)
    }

    fn check_resnet(&self, layers: [usize; 4]) -> Result<(), ConfigError> {
        if self.patch_size.is_some() {
            return Err(ConfigError::Patches);
        }
        if self.patch_dropout > 0.0 {
            return Err(ConfigError::NoPatchesToDrop(self.patch_dropout));
        }
        if self.map_head {
            return Err(ConfigError::NoMapHead);
        }
        check_sizes(&layers.map(|layers| ("vision_cfg.layers", layers, 1 << 10)))?;
        check_sizes(&[("vision_cfg.width", self.width, 1 << 11)])?;
        if !self.width.is_multiple_of(2) {
            return Err(ConfigError::OddWidth { width: self.width });
        }
        let pool = REDUCTION * self.width;
        check_multiple("32 × vision_cfg.width", pool, "vision_cfg.head_width", self.head_width)?;
        // The checkpoint's table has a position for this many pixels, whatever the pooling leaves of an odd size.
        let pixels = (self.image_size / REDUCTION).pow(2);
        if pixels == 0 || self.resnet(layers, 1).pool().pixels != pixels {
            return Err(ConfigError::ImageSize { image_size: self.image_size });
        }
        Ok(())
    }

    /// Returns the tower's shape in front of a joint space of width `embed_dim`.
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
            activation: of_form(activation, self.gelu_tanh),
            causal: false,
            eps: eps(self.map_head),
        };
        let patch_size = self.patch_size.expect("a checked configuration");
        vit::Shape { grid: Grid::square(self.image_size, patch_size), size, embed_dim, map_head: self.map_head }
    }

    fn resnet(&self, layers: [usize; 4], embed_dim: usize) -> resnet::Shape {
        let (image_size, width, heads) = (self.image_size, self.width, REDUCTION * self.width / self.head_width);
        resnet::Shape { image_size, width, layers, heads, embed_dim }
    }

    /// Returns the width m of the MLP in a block.
    pub fn mlp_width(&self) -> usize {
        mlp_width(self.width, self.mlp_ratio)
    }
}

impl TextConfig {
    /// Checks that the sizes of this tower fit together.
    ///
    /// # Errors
    /// Returns an error if [`Config::check`] would return one for this tower.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_sizes(&[
            ("text_cfg.context_length", self.context_length, 1 << 16),
            ("text_cfg.vocab_size", self.vocab_size, 1 << 24),
            ("text_cfg.width", self.width, 1 << 16),
            ("text_cfg.heads", self.heads, 1 << 16),
            ("text_cfg.layers", self.layers, 1 << 10),
            ("text_cfg.mlp_ratio × width", self.mlp_width(), 1 << 18),
        ])?;
        Ok(check_multiple("text_cfg.width", self.width, "text_cfg.heads", self.heads)?)
    }

    /// Returns the tower's shape in front of a joint space of width `embed_dim`.
    pub fn shape(&self, embed_dim: usize, activation: Activation) -> text::Shape {
        let size = Size {
            width: self.width,
            mlp_width: self.mlp_width(),
            heads: self.heads,
            layers: self.layers,
            activation: of_form(activation, self.gelu_tanh),
            causal: !self.no_causal_mask,
            eps: eps(self.no_causal_mask),
        };
        let (context_length, vocab_size) = (self.context_length, self.vocab_size);
        text::Shape { context_length, vocab_size, size, embed_dim }
    }

    /// Returns the width m of the MLP in a block.
    pub fn mlp_width(&self) -> usize {
        mlp_width(self.width, self.mlp_ratio)
    }
}

/// Returns the activation of a tower whose GELU has one of two forms.
fn of_form(activation: Activation, is_tanh: bool) -> Activation {
    if is_tanh && activation == Activation::Gelu { Activation::GeluTanh } else { activation }
}

/// Returns the ε of every LayerNorm of a tower.
const fn eps(is_siglip: bool) -> f32 {
    if is_siglip { SIGLIP_LAYER_NORM_EPS } else { LAYER_NORM_EPS }
}

/// Returns m = ⌊ratio·width⌋, rounded down as in OpenCLIP.
fn mlp_width(width: usize, ratio: f64) -> usize {
    (width as f64 * ratio) as usize
}

/// Returns the ratio for which a block of this width has an MLP of width `mlp_width`.
pub fn mlp_ratio(width: usize, mlp_width: usize) -> f64 {
    let ratio = mlp_width as f64 / width as f64;
    // The quotient may have been rounded down to just below an integral product.
    if self::mlp_width(width, ratio) < mlp_width { ratio.next_up() } else { ratio }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let dropout = "vision_cfg.patch_dropout is 1, which is no share from 0 to below 1";
        assert_eq!(broken(|c| c.vision_cfg.patch_dropout = 1.0), dropout);
        let resnet = |c: &mut Config| c.vision_cfg = Config::preset("Emoji-RN-S").unwrap().vision_cfg;
        let broken_resnet = |change: fn(&mut VisionConfig)| {
            let mut config = Config::preset("ViT-B-32").unwrap();
            resnet(&mut config);
            change(&mut config.vision_cfg);
            config.check().unwrap_err().to_string()
        };
        assert_eq!(broken_resnet(|v| v.patch_size = Some(8)), "a ResNet has no vision_cfg.patch_size");
        assert!(
            broken_resnet(|v| v.patch_dropout = 0.5).contains("has no patches, and vision_cfg.patch_dropout is 0.5")
        );
        assert_eq!(broken_resnet(|v| v.layers = Layers::ResNet([1, 0, 1, 1])), "vision_cfg.layers is 0");
        assert!(broken_resnet(|v| v.width = 33).contains("halves vision_cfg.width, 33"));
        assert!(broken_resnet(|v| v.image_size = 31).contains("image_size 31 to 0"));
        assert!(broken_resnet(|v| v.image_size = 63).contains("image_size 63 to 1"));
        assert!(broken_resnet(|v| v.head_width = 40).contains("768 is not a multiple of vision_cfg.head_width 40"));
        assert!(broken(|c| c.text_cfg.vocab_size = usize::MAX).contains("more than"));
    }
}
