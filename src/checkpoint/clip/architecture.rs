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
    /// The activation of both towers, but for the form of GELU that each has.
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
    /// Takes this activation for both towers, in the place of what a configuration says.
    pub(super) fn activate(&mut self, activation: Activation) {
        let is_tanh = activation == Activation::GeluTanh;
        self.activation = if is_tanh { Activation::Gelu } else { activation };
        self.vision.iter_mut().for_each(|vision| vision.gelu_tanh = is_tanh);
        self.text.iter_mut().for_each(|text| text.gelu_tanh = is_tanh);
    }

    /// Whether a tower is SigLIP's.
    pub(crate) fn is_siglip(&self) -> bool {
        let vision = self.vision.as_ref().is_some_and(|vision| vision.map_head);
        vision || self.text.as_ref().is_some_and(|text| text.no_causal_mask)
    }

    /// Whether the GELU of a tower has the form with the hyperbolic tangent.
    pub fn has_tanh(&self) -> bool {
        let vision = self.vision.as_ref().is_some_and(|vision| vision.gelu_tanh);
        vision || self.text.as_ref().is_some_and(|text| text.gelu_tanh)
    }

    /// Refuses sizes that do not fit together, before anything is allocated for them.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.vision.as_ref().map_or(Ok(()), VisionConfig::check)?;
        if let Some(&VisionConfig { width, .. }) = self.vision.as_ref().filter(|vision| vision.map_head)
            && width != self.embed_dim
        {
            return Err(ConfigError::MapHead { embed_dim: self.embed_dim, width });
        }
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
    model::spec(&smallest_config(vision, text))
}

/// Returns the same of a SigLIP.
pub(super) fn smallest_siglip(vision: usize, text: usize) -> ClipParams<Spec> {
    let mut config = smallest_config(Layers::Vit(vision), text);
    (config.embed_dim, config.vision_cfg.map_head) = (config.vision_cfg.width, true);
    config.text_cfg.no_causal_mask = true;
    model::spec(&config)
}

fn smallest_config(vision: Layers, text: usize) -> Config {
    let patch_size = matches!(vision, Layers::Vit(_)).then_some(REDUCTION);
    let vision_cfg = VisionConfig {
        image_size: REDUCTION,
        layers: vision,
        width: 2,
        patch_size,
        head_width: 2,
        mlp_ratio: 1.0,
        patch_dropout: 0.0,
        gelu_tanh: false,
        map_head: false,
    };
    let text_cfg = TextConfig {
        context_length: 1,
        vocab_size: 1,
        width: 1,
        heads: 1,
        layers: text,
        mlp_ratio: 1.0,
        gelu_tanh: false,
        no_causal_mask: false,
    };
    let (init_logit_scale, init_logit_bias) = (None, Some(SIGLIP_LOGIT_BIAS));
    Config { embed_dim: 1, quick_gelu: false, init_logit_scale, init_logit_bias, vision_cfg, text_cfg }
}

/// Returns the parameter table of the smallest CLIP, with one block in each tower.
pub(super) fn smallest() -> ClipParams<Spec> {
    smallest_of(Layers::Vit(1), 1)
}
