//! Infers the sizes of a model from the shapes of its tensors, and what they do not show from what a file or a caller
//! says.

use super::names::{Format, Scheme};
use super::tokens::Special;
use crate::checkpoint::found::{count, found};
use crate::checkpoint::places::{Place, Places};
use crate::checkpoint::{InferenceError, Note, Tower};
use crate::models::blip::params::Decoder;
use crate::models::blip::text::{Shared, Text};
use crate::models::blip::{Blip, Config, TextConfig, TokenIds, VisionConfig};
use crate::tree::Path as TreePath;
use kernels::Activation;
use std::path::Path;

/// The width of a head of every published BLIP.
const HEAD_WIDTH: usize = 64;

/// The settings that replace what a checkpoint says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overrides {
    /// The wanted rows and columns of pictures, in pixels. If they are not the checkpoint's, the table of positions is
    /// resampled.
    pub image_size: Option<[usize; 2]>,
    /// The number of heads of the image encoder.
    pub vision_heads: Option<usize>,
    /// The number of heads of the text Transformer.
    pub text_heads: Option<usize>,
    /// The special tokens.
    pub ids: Option<TokenIds>,
}

/// What is said about a model beside its shapes.
pub(super) struct Said {
    pub image_size: Option<[usize; 2]>,
    pub vision_heads: Option<usize>,
    pub vision_eps: f32,
    pub vision_activation: Activation,
    pub text_heads: Option<usize>,
    pub text_eps: f32,
    pub text_activation: Activation,
    pub label_smoothing: f32,
    pub embed_dim: Option<usize>,
    pub ids: Option<TokenIds>,
}

impl Said {
    /// Returns what is true of every file of the original, which comes with no configuration.
    pub(super) fn original() -> Said {
        Said {
            image_size: None,
            vision_heads: None,
            vision_eps: 1e-6,
            vision_activation: Activation::Gelu,
            text_heads: None,
            text_eps: 1e-12,
            text_activation: Activation::Gelu,
            label_smoothing: 0.0,
            embed_dim: None,
            ids: None,
        }
    }
}

/// What decides where neither shapes nor a configuration do.
pub(super) struct Rules<'a> {
    pub path: &'a Path,
    pub overrides: &'a Overrides,
    pub special: Special,
    pub notes: Vec<Note>,
}

impl Rules<'_> {
    /// Returns the number of heads: what the caller asked for, what a file says, or as many as are 64 wide. In the last
    /// case there is a note, unless the file's library would take the same number.
    ///
    /// # Errors
    /// Returns an error if nothing says how many heads there are, and heads of 64 do not fit.
    pub(super) fn heads(
        &mut self,
        tower: Tower,
        said: Option<usize>,
        width: usize,
        default: Option<usize>,
    ) -> Result<usize, InferenceError> {
        let asked = match tower {
            Tower::Image => self.overrides.vision_heads,
            Tower::Text => self.overrides.text_heads,
        };
        if let Some(heads) = asked.or(said) {
            return Ok(heads);
        }
        let heads = width / HEAD_WIDTH;
        if heads * HEAD_WIDTH != width {
            return Err(InferenceError::NoHeads { tower, width });
        }
        if default != Some(heads) {
            self.notes.push(Note::Heads { path: self.path.into(), tower, heads, width: HEAD_WIDTH });
        }
        Ok(heads)
    }
}

/// Infers the configuration from the shapes that `shape_of` finds at the scheme's places.
///
/// # Errors
/// Returns an error that says what is missing or does not fit together.
pub(super) fn infer(
    scheme: &Scheme,
    shape_of: &dyn Fn(&[Place]) -> Option<Vec<usize>>,
    said: &Said,
    rules: &mut Rules,
) -> Result<Config, InferenceError> {
    let shapes = found(shape_of, &scheme.places(1, 1), &TreePath::ROOT);
    let vit = &shapes.visual_encoder;
    let [width, _, _, patch_size] = vit.embed.conv1_weight.shape()?;
    let [mlp_width, _] = vit.transformer.resblocks[0].mlp.c_fc.weight.shape()?;
    let vision = VisionConfig {
        image_size: match said.image_size {
            Some(size) => size,
            None => {
                [vit.embed
                    .positional_embedding
                    .grid()?
                    .checked_mul(patch_size)
                    .ok_or(InferenceError::TooMany { what: "patches" })?; 2]
            }
        },
        patch_size,
        width,
        mlp_width,
        heads: rules.heads(Tower::Image, said.vision_heads, width, None)?,
        layers: layers(
            |n| {
                scheme
                    .places(n, 1)
                    .visual_encoder
                    .transformer
                    .resblocks
                    .into_iter()
                    .map(|block| block.attn.in_proj_weight)
            },
            shape_of,
        ),
        activation: said.vision_activation,
        eps: said.vision_eps,
    };
    let shared = shared(&shapes).ok_or(InferenceError::NoText)?;
    let [vocab_size, width] = shared.embeddings.word_embeddings.shape()?;
    let [positions, _] = shared.embeddings.position_embeddings.shape()?;
    let [mlp_width, _] = shared.layers[0].mlp.c_fc.weight.shape()?;
    let ids = rules.overrides.ids.or(said.ids).or_else(|| rules.special.all(vocab_size));
    let text = TextConfig {
        vocab_size,
        positions,
        width,
        mlp_width,
        heads: rules.heads(Tower::Text, said.text_heads, width, None)?,
        layers: layers(
            |n| {
                let places = scheme.places(1, n);
                let attention = match places {
                    Blip { text_encoder: Some(Text { attention, .. }), .. } => attention,
                    Blip { text_decoder: Some(Decoder { attention, .. }), .. } => attention,
                    _ => vec![],
                };
                attention.into_iter().map(|attention| attention.attn.in_proj_weight)
            },
            shape_of,
        ),
        activation: said.text_activation,
        eps: said.text_eps,
        label_smoothing: said.label_smoothing,
        ids: ids.ok_or(InferenceError::NoTokens)?,
    };
    let embed_dim = match (&shapes.vision_proj, said.embed_dim) {
        (Some(projection), _) => projection.weight.shape().map(|[embed_dim, _]| embed_dim)?,
        (None, said) => said.unwrap_or(256),
    };
    Ok(Config { vision, text, embed_dim, parts: scheme.parts })
}

/// Returns the part of the text encoder, or of the decoder if there is no encoder, that has the tables.
fn shared<T>(blip: &Blip<T>) -> Option<&Shared<T>> {
    let encoder = blip.text_encoder.as_ref().map(|encoder| &encoder.shared);
    encoder.or_else(|| blip.text_decoder.as_ref()?.shared.as_ref())
}

/// Returns how many layers the file has, where `list(n)` returns a leaf of each of n.
fn layers<I: Iterator<Item = Places>>(
    list: impl Fn(usize) -> I,
    shape_of: &dyn Fn(&[Place]) -> Option<Vec<usize>>,
) -> usize {
    count(|n| list(n).collect(), |places| shape_of(places).is_some())
}

/// The ε of LayerNorms in the image encoder that every configuration of Hugging Face has.
const HUGGING_FACE_EPS: f32 = 1e-5;

impl Format {
    /// Returns what is true of every file with these names.
    pub(super) fn said(self) -> Said {
        match self {
            Format::Original => Said::original(),
            Format::HuggingFace => Said { vision_eps: HUGGING_FACE_EPS, ..Said::original() },
        }
    }
}
