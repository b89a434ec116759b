//! The architecture of a checkpoint, which a configuration describes or which is inferred from the tensors.

use crate::models::clip::config::{ConfigError, REDUCTION, SIGLIP_LOGIT_BIAS};
use crate::models::clip::{ClipParams, Config, Layers, TextConfig, VisionConfig, model, text, visual};
use crate::params::Spec;
use crate::tree::Path as TreePath;
use kernels::Activation;

/// The architecture of a CLIP, of which one tower may be absent.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// The width e of the joint space.
    pub embed_dim: usize,
    /// The activation of both towers.
    pub activation: Activation,
    /// Whether the logits have a bias, as those of a model for the sigmoid loss.
    pub logit_bias: bool,
    /// The configuration of the image tower, if there is one.
    pub vision: Option<VisionConfig>,
    /// The configuration of the text tower, if there is one.
    pub text: Option<TextConfig>,
}

/// The path of the image tower's parameters in the tree of a whole CLIP.
pub(super) const VISION: TreePath = TreePath::at("visual");
/// The path of the text tower's parameters in the tree of a whole CLIP.
pub(super) const TEXT: TreePath = TreePath::ROOT;

impl Architecture {
    /// Refuses sizes that do not fit together, before anything is allocated for them.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.vision.as_ref().map_or(Ok(()), VisionConfig::check)?;
        self.text.as_ref().map_or(Ok(()), TextConfig::check)
    }

    /// Returns the shape of the image tower, if there is one.
    pub(crate) fn vision(&self) -> Option<visual::Shape> {
        self.vision.as_ref().map(|vision| vision.shape(self.embed_dim, self.activation))
    }

    /// Returns the shape of the text tower, if there is one.
    pub(crate) fn text(&self) -> Option<text::Shape> {
        self.text.as_ref().map(|text| text.shape(self.embed_dim, self.activation))
    }

    /// Returns the configuration of a whole CLIP, if both towers are there. One with a bias begins as SigLIP does.
    pub(crate) fn config(&self) -> Option<Config> {
        let config = Config {
            embed_dim: self.embed_dim,
            quick_gelu: self.activation == Activation::QuickGelu,
            init_logit_scale: None,
            init_logit_bias: None,
            vision_cfg: self.vision.clone()?,
            text_cfg: self.text.clone()?,
        };
        Some(if self.logit_bias { config.siglip() } else { config })
    }

    /// Sets the width of the joint space to that of the tower if there is only one tower and it comes without its
    /// projection.
    pub(super) fn without_projection(&mut self, image_projection: bool, text_projection: bool) {
        match (&self.vision, &self.text) {
            (Some(vision), None) if !image_projection => self.embed_dim = vision.width,
            (None, Some(text)) if !text_projection => self.embed_dim = text.width,
            _ => {}
        }
    }
}

impl From<&Config> for Architecture {
    fn from(config: &Config) -> Self {
        Architecture {
            embed_dim: config.embed_dim,
            activation: config.activation(),
            logit_bias: config.init_logit_bias.is_some(),
            vision: Some(config.vision_cfg.clone()),
            text: Some(config.text_cfg.clone()),
        }
    }
}

/// Returns the parameter table of a CLIP that has these blocks and a bias, and is otherwise as small as possible. It is
/// made for its names.
pub(super) fn smallest_of(vision: Layers, text: usize) -> ClipParams<Spec> {
    let patch_size = matches!(vision, Layers::Vit(_)).then_some(REDUCTION);
    let vision_cfg = VisionConfig {
        image_size: REDUCTION,
        layers: vision,
        width: 2,
        patch_size,
        head_width: 2,
        mlp_ratio: 1.0,
        patch_dropout: 0.0,
    };
    let text_cfg = TextConfig { context_length: 1, vocab_size: 1, width: 1, heads: 1, layers: text, mlp_ratio: 1.0 };
    let (init_logit_scale, init_logit_bias) = (None, Some(SIGLIP_LOGIT_BIAS));
    model::spec(&Config { embed_dim: 1, quick_gelu: false, init_logit_scale, init_logit_bias, vision_cfg, text_cfg })
}

/// Returns the parameter table of the smallest CLIP, with one block in each tower.
pub(super) fn smallest() -> ClipParams<Spec> {
    smallest_of(Layers::Vit(1), 1)
}
