//! The reasons why the files of a model describe none that there is here.

use super::tower::Tower;
use crate::layers::patch_embed::CHANNELS;
use crate::models::clip::config::ConfigError;
use crate::pictures::PreprocessError;
use serde_json::Value;

/// A reason why a configuration cannot be read, or cannot be written for a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigFileError {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Size(#[from] ConfigError),
    #[error(transparent)]
    Pictures(#[from] PreprocessError),
    #[error("{section}: {source}")]
    Section { section: &'static str, source: Box<ConfigFileError> },
    #[error("not an object")]
    NotAnObject,
    #[error("not an object with a model's fields")]
    NoFields,
    #[error("{field} is {value}")]
    Field { field: String, value: Value },
    #[error("model_type {model_type} is not a {wanted}")]
    ModelType { model_type: Value, wanted: &'static str },
    #[error("the towers have different activations; here quick_gelu is that of both or of none")]
    TwoActivations,
    #[error("hidden_act is {hidden_act:?}; quick_gelu, gelu and gelu_pytorch_tanh are known")]
    Activation { hidden_act: String },
    #[error("layer_norm_eps is {eps}, not {wanted}")]
    Eps { eps: f64, wanted: f32 },
    #[error("vision_use_head is false; of SigLIP's image towers those with a head are here")]
    NoHead,
    #[error(
        "model_type siglip2 is NaFlex, for pictures of any proportions; SigLIP 2 of one size has model_type siglip"
    )]
    NaFlex,
    #[error("num_channels is {channels}; pictures here have {CHANNELS}")]
    Channels { channels: usize },
    #[error("hidden_size {width} is not a multiple of num_attention_heads {heads}")]
    Heads { width: usize, heads: usize },
    #[error(transparent)]
    Inference(#[from] InferenceError),
    #[error("{field} is {value}, out of range")]
    Range { field: &'static str, value: f64 },
    #[error("Hugging Face's CLIPModel cannot be a ResNet")]
    ResNet,
    #[error(
        "`timm_model_name` is {trunk:?}; of timm's image towers those of SigLIP are here: \
             vit_(base|large|so400m|giantopt)_patch(14|16|32)_siglip_(224|256|…)"
    )]
    Trunk { trunk: String },
    #[error("`no_causal_mask` with {field} {value}; SigLIP's text tower has {wanted}")]
    NotSiglip { field: &'static str, value: Value, wanted: &'static str },
    #[error("Hugging Face's CLIPModel has no logit_bias, which a model for the sigmoid loss needs")]
    LogitBias,
    #[error("Hugging Face's SiglipModel needs both of SigLIP's towers and a logit_bias")]
    HalfSiglip,
    #[error("Hugging Face has no class for a pre-trained BLIP, which does all tasks")]
    Pretrained,
    #[error("Hugging Face's BlipForQuestionAnswering has one width for pictures and texts")]
    TwoWidths,
    #[error("Hugging Face's BLIP has square pictures, not of {height}×{width}")]
    Square { height: usize, width: usize },
    #[error("Hugging Face's {class} neither crops nor pads pictures")]
    NotSquashed { class: &'static str },
    #[error("pictures are not resized or not rescaled; here they always are")]
    NotScaled,
    #[error("rescale_factor is not 1/255")]
    RescaleFactor,
    #[error("resample is {resample}; 2 (bilinear) and 3 (bicubic) are known")]
    Resample { resample: u8 },
    #[error("{field} {height}×{width} is not a square")]
    NotASquare { field: &'static str, height: usize, width: usize },
    #[error("pictures keep their proportions and are not cropped; here they end as squares")]
    NotCropped,
    #[error("size is 0")]
    NoSize,
    #[error("a crop of {crop} from a size of {size}; here both are the same")]
    Crop { crop: usize, size: usize },
    #[error("Hugging Face's CLIPImageProcessor cannot pad pictures to a square")]
    Padding,
}

impl ConfigFileError {
    /// Adds the name of the section that an error is in.
    pub(crate) fn within<E: Into<Self>>(section: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Section { section, source: Box::new(error.into()) }
    }
}

/// A reason why an architecture cannot be inferred from the names and shapes of tensors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferenceError {
    #[error("there are no tensors of a CLIP in it")]
    NoClip,
    #[error("it has neither a text encoder nor a text decoder")]
    NoText,
    #[error("nothing says which of its tokens begin and end a text; a vocabulary beside it would")]
    NoTokens,
    #[error("nothing says how many heads attention over {tower}s has, of width {width}")]
    NoHeads { tower: Tower, width: usize },
    #[error("tensor {tensor} is missing")]
    Missing { tensor: String },
    #[error("tensor {tensor} has shape {shape:?}")]
    Shape { tensor: String, shape: Vec<usize> },
    #[error("{positions} positions are not one and a square")]
    Positions { positions: usize },
    #[error("its {what} are too many")]
    TooMany { what: &'static str },
    #[error("heads of {head_width} do not fit a text tower of width {width}")]
    Heads { head_width: usize, width: usize },
}
