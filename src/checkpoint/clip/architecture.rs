//! What a checkpoint's towers look like, whatever says so.

use crate::models::clip::config::{ConfigError, REDUCTION};
use crate::models::clip::{ClipParams, Config, Layers, TextConfig, VisionConfig, model, text, visual};
use crate::params::Spec;
use crate::tree::Path as TreePath;
use kernels::Activation;

/// A CLIP of which a tower may be absent.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// e
    pub embed_dim: usize,
    pub activation: Activation,
    pub vision: Option<VisionConfig>,
    pub text: Option<TextConfig>,
}

/// Where a tree's names begin, in the tree of a whole CLIP.
pub(super) const VISION: TreePath = TreePath::at("visual");
pub(super) const TEXT: TreePath = TreePath::ROOT;

impl Architecture {
    /// Refuses sizes that do not fit together, before anything is allocated for them.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.vision.as_ref().map_or(Ok(()), VisionConfig::check)?;
        self.text.as_ref().map_or(Ok(()), TextConfig::check)
    }

    /// The image tower's shape.
    pub(crate) fn vision(&self) -> Option<visual::Shape> {
        self.vision.as_ref().map(|vision| vision.shape(self.embed_dim, self.activation))
    }

    /// The text tower's shape.
    pub(crate) fn text(&self) -> Option<text::Shape> {
        self.text.as_ref().map(|text| text.shape(self.embed_dim, self.activation))
    }

    /// The configuration of a whole CLIP, if both towers are there.
    pub(crate) fn config(&self) -> Option<Config> {
        Some(Config {
            embed_dim: self.embed_dim,
            quick_gelu: self.activation == Activation::QuickGelu,
            vision_cfg: self.vision.clone()?,
            text_cfg: self.text.clone()?,
        })
    }

    /// A tower alone may come without its projection; the joint space is then as wide as the tower.
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
            vision: Some(config.vision_cfg.clone()),
            text: Some(config.text_cfg.clone()),
        }
    }
}

/// The parameter table of a CLIP that has these blocks and is otherwise as small as can be: for its names.
pub(super) fn smallest_of(vision: Layers, text: usize) -> ClipParams<Spec> {
    let patch_size = matches!(vision, Layers::Vit(_)).then_some(REDUCTION);
    let vision_cfg =
        VisionConfig { image_size: REDUCTION, layers: vision, width: 2, patch_size, head_width: 2, mlp_ratio: 1.0 };
    let text_cfg = TextConfig { context_length: 1, vocab_size: 1, width: 1, heads: 1, layers: text, mlp_ratio: 1.0 };
    model::spec(&Config { embed_dim: 1, quick_gelu: false, vision_cfg, text_cfg })
}

/// The same with one block in each tower.
pub(super) fn smallest() -> ClipParams<Spec> {
    smallest_of(Layers::Vit(1), 1)
}
