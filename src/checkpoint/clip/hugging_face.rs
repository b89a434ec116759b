//! Reads and writes `config.json` of Hugging Face's `CLIPModel`, `CLIPTextModel` and `CLIPVisionModel`, and of its
//! `SiglipModel`, `SiglipTextModel` and `SiglipVisionModel`.
//!
//! A field that a file leaves out has the default of these classes, and the defaults are those of ViT-B/32 or of SigLIP's
//! ViT-B/16. Old files may have a section twice: what `text_config_dict` and `vision_config_dict` hold overrides
//! `text_config` and `vision_config`.

use super::architecture::Architecture;
use crate::checkpoint::ConfigFileError;
use crate::checkpoint::dtype::Precision;
use crate::checkpoint::fields::{activation, activation_name, merged, section, unfit};
use crate::checkpoint::json::decimal;
use crate::layers::patch_embed::CHANNELS;
use crate::models::clip::config::{LAYER_NORM_EPS, SIGLIP_LAYER_NORM_EPS, mlp_ratio};
use crate::models::clip::model::INIT_LOGIT_SCALE;
use crate::models::clip::{Config, Layers, TextConfig, VisionConfig};
use kernels::Activation;
use serde::Deserialize;
use serde_json::{Value, json};

/// The fields of a text tower's section that decide its architecture.
#[derive(Deserialize)]
#[serde(default)]
struct TextFields {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    projection_dim: usize,
    /// The width of the joint space behind a SigLIP's text tower, which is its own unless the file says otherwise.
    projection_size: Option<usize>,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: usize,
    hidden_act: String,
    layer_norm_eps: f64,
}

impl Default for TextFields {
    fn default() -> Self {
        TextFields {
            projection_size: None,
            vocab_size: 49_408,
            hidden_size: 512,
            intermediate_size: 2048,
            projection_dim: 512,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: "quick_gelu".into(),
            layer_norm_eps: 1e-5,
        }
    }
}

/// The fields of an image tower's section that decide its architecture.
#[derive(Deserialize)]
#[serde(default)]
struct VisionFields {
    hidden_size: usize,
    intermediate_size: usize,
    projection_dim: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_channels: usize,
    image_size: usize,
    patch_size: usize,
    hidden_act: String,
    layer_norm_eps: f64,
    /// Whether a SigLIP's image tower has its head.
    vision_use_head: Option<bool>,
}

impl Default for VisionFields {
    fn default() -> Self {
        VisionFields {
            vision_use_head: None,
            hidden_size: 768,
            intermediate_size: 3072,
            projection_dim: 512,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 32,
            hidden_act: "quick_gelu".into(),
            layer_norm_eps: 1e-5,
        }
    }
}

/// Returns the architecture that the file describes.
///
/// # Errors
/// Returns an error that says what is wrong with the file.
pub(crate) fn parse(file: &Value) -> Result<Architecture, ConfigFileError> {
    if !file.is_object() {
        return Err(ConfigFileError::NoFields);
    }
    match file["model_type"].as_str() {
        Some("clip_text_model") => {
            let fields: TextFields = section(file)?;
            let (text, activation) = fields.tower()?;
            let embed_dim = fields.projection_dim;
            Ok(Architecture { embed_dim, activation, logit_bias: false, vision: None, text: Some(text) })
        }
        Some("clip_vision_model") => {
            let fields: VisionFields = section(file)?;
            let (vision, activation) = fields.tower()?;
            let embed_dim = fields.projection_dim;
            Ok(Architecture { embed_dim, activation, logit_bias: false, vision: Some(vision), text: None })
        }
        Some("siglip_text_model") => {
            let (text, embed_dim) = siglip_text(file)?;
            Ok(Architecture {
                embed_dim,
                activation: Activation::Gelu,
                logit_bias: false,
                vision: None,
                text: Some(text),
            })
        }
        Some("siglip_vision_model") => {
            let vision = siglip_vision(file)?;
            let (embed_dim, activation) = (vision.width, Activation::Gelu);
            Ok(Architecture { embed_dim, activation, logit_bias: false, vision: Some(vision), text: None })
        }
        Some("siglip") => {
            let vision = siglip_vision(&merged(file, "vision_config")?)?;
            let (text, embed_dim) = siglip_text(&merged(file, "text_config")?)?;
            let (vision, text) = (Some(vision), Some(text));
            Ok(Architecture { embed_dim, activation: Activation::Gelu, logit_bias: true, vision, text })
        }
        Some("siglip2") => Err(ConfigFileError::NaFlex),
        Some("clip") | None => both(file),
        Some(other) => Err(ConfigFileError::ModelType { model_type: other.into(), wanted: "CLIP" }),
    }
}

/// Returns the architecture of a model with both towers.
fn both(file: &Value) -> Result<Architecture, ConfigFileError> {
    let (vision, activation) = section::<VisionFields>(&merged(file, "vision_config")?)?.tower()?;
    let (text, text_activation) = section::<TextFields>(&merged(file, "text_config")?)?.tower()?;
    if activation != text_activation {
        return Err(ConfigFileError::TwoActivations);
    }
    let embed_dim = match &file["projection_dim"] {
        Value::Null => 512,
        value => value.as_u64().ok_or_else(|| unfit("projection_dim", value))? as usize,
    };
    Ok(Architecture { embed_dim, activation, logit_bias: false, vision: Some(vision), text: Some(text) })
}

/// Returns the image tower of a SigLIP.
fn siglip_vision(section: &Value) -> Result<VisionConfig, ConfigFileError> {
    let fields: VisionFields = self::section(&over(section, SIGLIP_VISION)?)?;
    if fields.vision_use_head == Some(false) {
        return Err(ConfigFileError::NoHead);
    }
    let (vision, activation) = fields.tower_of(SIGLIP_LAYER_NORM_EPS)?;
    Ok(VisionConfig { map_head: true, gelu_tanh: is_tanh(activation)?, ..vision })
}

/// Returns the text tower of a SigLIP, and the width of the joint space behind it.
fn siglip_text(section: &Value) -> Result<(TextConfig, usize), ConfigFileError> {
    let fields: TextFields = self::section(&over(section, SIGLIP_TEXT)?)?;
    let (text, activation) = fields.tower_of(SIGLIP_LAYER_NORM_EPS)?;
    let embed_dim = fields.projection_size.unwrap_or(text.width);
    Ok((TextConfig { no_causal_mask: true, gelu_tanh: is_tanh(activation)?, ..text }, embed_dim))
}

/// The defaults of transformers' `SiglipVisionConfig` and `SiglipTextConfig` that are not CLIP's.
const SIGLIP_VISION: &[(&str, u64)] = &[("patch_size", 16)];
const SIGLIP_TEXT: &[(&str, u64)] = &[
    ("vocab_size", 32_000),
    ("hidden_size", 768),
    ("intermediate_size", 3072),
    ("num_attention_heads", 12),
    ("max_position_embeddings", 64),
];

/// Returns a section over SigLIP's defaults of these fields.
fn over(section: &Value, defaults: &[(&str, u64)]) -> Result<Value, ConfigFileError> {
    let mut file = json!({ "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": SIGLIP_EPS });
    defaults.iter().for_each(|(name, value)| file[name] = json!(value));
    let fields = section.as_object().ok_or(ConfigFileError::NotAnObject)?;
    fields.iter().filter(|(_, value)| !value.is_null()).for_each(|(name, value)| file[name] = value.clone());
    Ok(file)
}

/// The ε of SigLIP's LayerNorms, as files write it.
const SIGLIP_EPS: f64 = 1e-6;

/// Returns the form of a SigLIP's GELU.
fn is_tanh(activation: Activation) -> Result<bool, ConfigFileError> {
    match activation {
        Activation::QuickGelu => Err(ConfigFileError::TwoActivations),
        activation => Ok(activation == Activation::GeluTanh),
    }
}

impl TextFields {
    fn tower(&self) -> Result<(TextConfig, Activation), ConfigFileError> {
        let (tower, activation) = self.tower_of(LAYER_NORM_EPS)?;
        Ok((TextConfig { gelu_tanh: activation == Activation::GeluTanh, ..tower }, plain(activation)))
    }

    /// Returns the tower of a model whose LayerNorms have this ε.
    fn tower_of(&self, eps: f32) -> Result<(TextConfig, Activation), ConfigFileError> {
        check_eps(self.layer_norm_eps, eps)?;
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        let mlp_ratio = mlp_ratio(width.max(1), self.intermediate_size);
        let (context_length, vocab_size) = (self.max_position_embeddings, self.vocab_size);
        let (layers, gelu_tanh, no_causal_mask) = (self.num_hidden_layers, false, false);
        let tower =
            TextConfig { context_length, vocab_size, width, heads, layers, mlp_ratio, gelu_tanh, no_causal_mask };
        Ok((tower, activation(&self.hidden_act)?))
    }
}

impl VisionFields {
    fn tower(&self) -> Result<(VisionConfig, Activation), ConfigFileError> {
        let (tower, activation) = self.tower_of(LAYER_NORM_EPS)?;
        Ok((VisionConfig { gelu_tanh: activation == Activation::GeluTanh, ..tower }, plain(activation)))
    }

    /// Returns the tower of a model whose LayerNorms have this ε.
    fn tower_of(&self, eps: f32) -> Result<(VisionConfig, Activation), ConfigFileError> {
        check_eps(self.layer_norm_eps, eps)?;
        if self.num_channels != CHANNELS {
            return Err(ConfigFileError::Channels { channels: self.num_channels });
        }
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        if heads == 0 || width % heads != 0 {
            return Err(ConfigFileError::Heads { width, heads });
        }
        let tower = VisionConfig {
            image_size: self.image_size,
            layers: Layers::Vit(self.num_hidden_layers),
            width,
            patch_size: Some(self.patch_size),
            head_width: width / heads,
            mlp_ratio: mlp_ratio(width.max(1), self.intermediate_size),
            patch_dropout: 0.0,
            gelu_tanh: false,
            map_head: false,
        };
        Ok((tower, activation(&self.hidden_act)?))
    }
}

/// Returns the activation without the form of GELU, which is a tower's own.
fn plain(activation: Activation) -> Activation {
    if activation == Activation::GeluTanh { Activation::Gelu } else { activation }
}

fn check_eps(eps: f64, wanted: f32) -> Result<(), ConfigFileError> {
    let fits = (eps - f64::from(wanted)).abs() <= 1e-9;
    if fits { Ok(()) } else { Err(ConfigFileError::Eps { eps, wanted }) }
}

/// Returns the file for a `SiglipModel`, or for a `CLIPModel`, which cannot be a ResNet and has no bias. The last
/// two tokens of a CLIP's vocabulary are those of the start and the end of a caption.
pub(crate) fn write(config: &Config, precision: Precision) -> Result<Value, ConfigFileError> {
    let (vision, text) = (&config.vision_cfg, &config.text_cfg);
    let Layers::Vit(layers) = vision.layers else { return Err(ConfigFileError::ResNet) };
    match (vision.map_head, text.no_causal_mask, config.init_logit_bias) {
        (true, true, Some(_)) => return Ok(write_siglip(config, layers, precision)),
        (false, false, _) => {}
        _ => return Err(ConfigFileError::HalfSiglip),
    }
    if config.init_logit_bias.is_some() {
        return Err(ConfigFileError::LogitBias);
    }
    let activations = [config.vision().activation(), Some(config.text().size.activation)];
    let [vision_act, text_act] = activations.map(|activation| activation_name(activation.expect("a ViT has one")));
    let dtype = precision.torch();
    let end_of_text = text.vocab_size - 1;
    Ok(json!({
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "dtype": dtype,
        "torch_dtype": dtype,
        "initializer_factor": 1.0,
        "logit_scale_init_value": decimal(INIT_LOGIT_SCALE),
        "projection_dim": config.embed_dim,
        "text_config": {
            "model_type": "clip_text_model",
            "vocab_size": text.vocab_size,
            "hidden_size": text.width,
            "intermediate_size": text.mlp_width(),
            "projection_dim": config.embed_dim,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "max_position_embeddings": text.context_length,
            "hidden_act": text_act,
            "layer_norm_eps": 1e-5,
            "bos_token_id": text.vocab_size.saturating_sub(2),
            "eos_token_id": end_of_text,
            "pad_token_id": end_of_text,
        },
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": vision.width,
            "intermediate_size": vision.mlp_width(),
            "projection_dim": config.embed_dim,
            "num_hidden_layers": layers,
            "num_attention_heads": vision.width / vision.head_width,
            "num_channels": CHANNELS,
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
            "hidden_act": vision_act,
            "layer_norm_eps": 1e-5,
        },
    }))
}

/// Returns the file for a `SiglipModel`. Its classes do without ids of tokens, which the tokenizer's files say.
fn write_siglip(config: &Config, layers: usize, precision: Precision) -> Value {
    let (vision, text, dtype) = (&config.vision_cfg, &config.text_cfg, precision.torch());
    let act = |tanh| activation_name(if tanh { Activation::GeluTanh } else { Activation::Gelu });
    json!({
        "architectures": ["SiglipModel"],
        "model_type": "siglip",
        "dtype": dtype,
        "torch_dtype": dtype,
        "initializer_factor": 1.0,
        "text_config": {
            "model_type": "siglip_text_model",
            "vocab_size": text.vocab_size,
            "hidden_size": text.width,
            "intermediate_size": text.mlp_width(),
            "projection_size": config.embed_dim,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "max_position_embeddings": text.context_length,
            "hidden_act": act(text.gelu_tanh),
            "layer_norm_eps": SIGLIP_EPS,
        },
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": vision.width,
            "intermediate_size": vision.mlp_width(),
            "num_hidden_layers": layers,
            "num_attention_heads": vision.width / vision.head_width,
            "num_channels": CHANNELS,
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
            "hidden_act": act(vision.gelu_tanh),
            "layer_norm_eps": SIGLIP_EPS,
            "vision_use_head": true,
        },
    })
}
