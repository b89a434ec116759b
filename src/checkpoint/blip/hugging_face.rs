//! Reads and writes `config.json` of Hugging Face's `BlipForConditionalGeneration`, `BlipForImageTextRetrieval` and
//! `BlipForQuestionAnswering`.
//!
//! A field that a file leaves out has the default of these classes, and the files of the Hub leave out almost
//! everything. Only the number of heads is never defaulted.

use super::infer::Rules;
use crate::checkpoint::dtype::Precision;
use crate::checkpoint::fields::{activation, activation_name, eps, label_smoothing, merged, section, unfit};
use crate::checkpoint::json::decimal;
use crate::checkpoint::{ConfigFileError, Tower};
use crate::models::blip::{Config, Parts, TextConfig, TokenIds, VisionConfig};
use serde::Deserialize;
use serde_json::{Value, json};

/// The name of the file.
pub(super) const CONFIG: &str = "config.json";

/// The number of heads that Hugging Face's image encoder has unless a file says otherwise.
const VISION_HEADS: usize = 12;
/// The same of its text Transformer; no published model has this number.
const TEXT_HEADS: usize = 8;

/// The fields of the text Transformer's section that decide its architecture.
#[derive(Deserialize)]
#[serde(default)]
struct TextFields {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: Option<usize>,
    max_position_embeddings: usize,
    hidden_act: String,
    layer_norm_eps: f64,
    label_smoothing: f64,
    bos_token_id: u32,
    pad_token_id: u32,
    /// The token that ends a text; `eos_token_id` is another and means nothing.
    sep_token_id: u32,
    /// Our own field, for a model whose `[CLS]` does not stand before `[SEP]`.
    cls_token_id: Option<u32>,
    /// Our own field, for a model whose `[ENC]` is not the last token.
    enc_token_id: Option<u32>,
}

impl Default for TextFields {
    fn default() -> Self {
        TextFields {
            vocab_size: 30_524,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: None,
            max_position_embeddings: 512,
            hidden_act: "gelu".into(),
            layer_norm_eps: 1e-12,
            label_smoothing: 0.0,
            bos_token_id: 30_522,
            pad_token_id: 0,
            sep_token_id: 102,
            cls_token_id: None,
            enc_token_id: None,
        }
    }
}

/// The fields of the image encoder's section that decide its architecture.
#[derive(Deserialize)]
#[serde(default)]
struct VisionFields {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: Option<usize>,
    image_size: usize,
    patch_size: usize,
    hidden_act: String,
    layer_norm_eps: f64,
}

impl Default for VisionFields {
    fn default() -> Self {
        VisionFields {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: None,
            image_size: 384,
            patch_size: 16,
            hidden_act: "gelu".into(),
            layer_norm_eps: 1e-5,
        }
    }
}

/// Returns the configuration that the file describes, of a model with these parts.
///
/// # Errors
/// Returns an error that says what is wrong with the file.
pub(super) fn parse(file: &Value, parts: Parts, rules: &mut Rules) -> Result<Config, ConfigFileError> {
    if !file.is_object() {
        return Err(ConfigFileError::NoFields);
    }
    match &file["model_type"] {
        Value::Null => {}
        Value::String(kind) if kind == "blip" => {}
        other => return Err(ConfigFileError::ModelType { model_type: other.clone(), wanted: "BLIP" }),
    }
    let vision = section::<VisionFields>(&merged(file, "vision_config")?)?.encoder(rules)?;
    let text = section::<TextFields>(&merged(file, "text_config")?)?.transformer(rules)?;
    let embed_dim = match &file["image_text_hidden_size"] {
        Value::Null => 256,
        value => value.as_u64().ok_or_else(|| unfit("image_text_hidden_size", value))? as usize,
    };
    Ok(Config { vision, text, embed_dim, parts })
}

impl VisionFields {
    fn encoder(self, rules: &mut Rules) -> Result<VisionConfig, ConfigFileError> {
        let width = self.hidden_size;
        Ok(VisionConfig {
            image_size: [self.image_size; 2],
            patch_size: self.patch_size,
            width,
            mlp_width: self.intermediate_size,
            heads: rules.heads(Tower::Image, self.num_attention_heads, width, Some(VISION_HEADS))?,
            layers: self.num_hidden_layers,
            activation: activation(&self.hidden_act)?,
            eps: eps(self.layer_norm_eps)?,
        })
    }
}

impl TextFields {
    fn transformer(self, rules: &mut Rules) -> Result<TextConfig, ConfigFileError> {
        let (width, vocab_size) = (self.hidden_size, self.vocab_size);
        Ok(TextConfig {
            vocab_size,
            positions: self.max_position_embeddings,
            width,
            mlp_width: self.intermediate_size,
            heads: rules.heads(Tower::Text, self.num_attention_heads, width, Some(TEXT_HEADS))?,
            layers: self.num_hidden_layers,
            activation: activation(&self.hidden_act)?,
            eps: eps(self.layer_norm_eps)?,
            label_smoothing: label_smoothing(self.label_smoothing)?,
            ids: self.ids(rules)?,
        })
    }

    /// Returns the special tokens. Hugging Face's classes know neither `[CLS]`, which stands before `[SEP]` in every
    /// vocabulary of BERT, nor `[ENC]`, which was added last.
    fn ids(&self, rules: &Rules) -> Result<TokenIds, ConfigFileError> {
        if let Some(ids) = rules.overrides.ids {
            return Ok(ids);
        }
        let before_end = || self.sep_token_id.checked_sub(1).ok_or_else(|| unfit("sep_token_id", &json!(0)));
        let last = || u32::try_from(self.vocab_size).ok().and_then(|size| size.checked_sub(1));
        Ok(TokenIds {
            pad: self.pad_token_id,
            cls: self.cls_token_id.or(rules.special.id("[CLS]")).map_or_else(before_end, Ok)?,
            end: self.sep_token_id,
            decode: self.bos_token_id,
            encode: self
                .enc_token_id
                .or(rules.special.id("[ENC]"))
                .or_else(last)
                .ok_or_else(|| unfit("vocab_size", &json!(self.vocab_size)))?,
        })
    }
}

/// Returns the file for a model.
///
/// # Errors
/// Returns an error that says why Hugging Face has no class for the model.
pub(super) fn write(config: &Config, precision: Precision) -> Result<Value, ConfigFileError> {
    let Config { vision, text, embed_dim, parts } = config;
    let class = match parts {
        Parts::Captioner => "BlipForConditionalGeneration",
        Parts::Matcher => "BlipForImageTextRetrieval",
        Parts::Answerer if vision.width != text.width => {
            return Err(ConfigFileError::TwoWidths);
        }
        Parts::Answerer => "BlipForQuestionAnswering",
        Parts::Pretrained => return Err(ConfigFileError::Pretrained),
    };
    let [height, width] = vision.image_size;
    if height != width {
        return Err(ConfigFileError::Square { height, width });
    }
    let TokenIds { pad, cls, end, decode, encode } = text.ids;
    let dtype = precision.torch();
    let mut file = json!({
        "architectures": [class],
        "model_type": "blip",
        "dtype": dtype,
        "torch_dtype": dtype,
        "projection_dim": 512,
        "image_text_hidden_size": embed_dim,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "label_smoothing": 0.0,
        "logit_scale_init_value": 2.6592,
        "tie_word_embeddings": true,
        "text_config": {
            "model_type": "blip_text_model",
            "attention_probs_dropout_prob": 0.0,
            "bos_token_id": decode,
            "encoder_hidden_size": vision.width,
            "eos_token_id": 2,
            "hidden_act": activation_name(text.activation),
            "hidden_dropout_prob": 0.0,
            "hidden_size": text.width,
            "initializer_range": 0.02,
            "intermediate_size": text.mlp_width,
            "is_decoder": true,
            "label_smoothing": decimal(text.label_smoothing),
            "layer_norm_eps": decimal(text.eps),
            "max_position_embeddings": text.positions,
            "num_attention_heads": text.heads,
            "num_hidden_layers": text.layers,
            "pad_token_id": pad,
            "projection_dim": 768,
            "sep_token_id": end,
            "tie_word_embeddings": true,
            "use_cache": true,
            "vocab_size": text.vocab_size,
        },
        "vision_config": {
            "model_type": "blip_vision_model",
            "attention_dropout": 0.0,
            "hidden_act": activation_name(vision.activation),
            "hidden_size": vision.width,
            "image_size": height,
            "initializer_range": 1e-10,
            "intermediate_size": vision.mlp_width,
            "layer_norm_eps": decimal(vision.eps),
            "num_attention_heads": vision.heads,
            "num_hidden_layers": vision.layers,
            "patch_size": vision.patch_size,
            "projection_dim": 512,
        },
    });
    if cls.checked_add(1) != Some(end) {
        file["text_config"]["cls_token_id"] = json!(cls);
    }
    if encode as usize + 1 != text.vocab_size {
        file["text_config"]["enc_token_id"] = json!(encode);
    }
    Ok(file)
}
