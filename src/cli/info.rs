//! `clip info`: what a checkpoint is.

use super::{CliError, Context};
use crate::checkpoint::names::Scheme;
use crate::checkpoint::{Checkpoint, Tower};
use crate::input::Preprocess;
use crate::layers::block::Size;
use crate::models::config::VOCAB_SIZE;
use crate::params::count;
use clap::Args;
use kernels::Activation;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Say what a model is: architecture, parameters, activation, preparation of pictures
#[derive(Debug, Args)]
pub struct Info {
    /// Model folder or file of weights [default: as --model]
    path: Option<PathBuf>,
}

impl Info {
    pub fn run(self, context: &Context) -> Result<(), CliError> {
        let path = self.path.map_or_else(|| context.model_path(), Ok)?;
        context.output.show(&Report::of(&context.open(&path, None)?)?)
    }
}

#[derive(Serialize)]
struct Report {
    path: PathBuf,
    names: &'static str,
    dtypes: Vec<String>,
    embed_dim: usize,
    parameters: usize,
    activation: &'static str,
    activation_from: String,
    image: Option<ImageTower>,
    text: Option<TextTower>,
    logit_scale: Option<f32>,
    /// What cosines are multiplied by.
    scale: Option<f32>,
}

#[derive(Serialize)]
struct ImageTower {
    image_size: usize,
    patch_size: usize,
    #[serde(flatten)]
    transformer: Transformer,
    preprocess: Preprocess,
}

#[derive(Serialize)]
struct TextTower {
    context_length: usize,
    vocab_size: usize,
    #[serde(flatten)]
    transformer: Transformer,
    tokenizer: TokenizerOf,
}

/// Where the text tower's tokens come from.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum TokenizerOf {
    Clip,
    File(PathBuf),
    /// The vocabulary is not CLIP's and there is no tokenizer.json.
    Missing,
}

#[derive(Serialize)]
struct Transformer {
    width: usize,
    layers: usize,
    heads: usize,
    mlp_width: usize,
    parameters: usize,
}

impl Transformer {
    fn new(size: &Size, parameters: usize) -> Self {
        let Size { width, layers, heads, mlp_width, .. } = *size;
        Transformer { width, layers, heads, mlp_width, parameters }
    }
}

impl Report {
    fn of(checkpoint: &Checkpoint) -> Result<Self, CliError> {
        let architecture = &checkpoint.architecture;
        let image = architecture.vision().map(|shape| ImageTower {
            image_size: shape.grid.image_size,
            patch_size: shape.grid.patch_size,
            transformer: Transformer::new(&shape.size, count(&shape.spec())),
            preprocess: checkpoint.preprocess.clone(),
        });
        let text = architecture.text().map(|shape| TextTower {
            context_length: shape.context_length,
            vocab_size: shape.vocab_size,
            transformer: Transformer::new(&shape.size, count(&shape.spec())),
            tokenizer: match &checkpoint.tokenizer {
                Some(path) => TokenizerOf::File(path.clone()),
                None if shape.vocab_size >= VOCAB_SIZE => TokenizerOf::Clip,
                None => TokenizerOf::Missing,
            },
        });
        let towers = [image.as_ref().map(|t| &t.transformer), text.as_ref().map(|t| &t.transformer)];
        let logit_scale = checkpoint.logit_scale()?;
        Ok(Report {
            path: checkpoint.path().into(),
            names: match checkpoint.scheme() {
                Scheme::OpenAi { .. } => "OpenAI",
                Scheme::HuggingFace { .. } => "Hugging Face",
            },
            dtypes: checkpoint.dtypes(),
            embed_dim: architecture.embed_dim,
            parameters: towers.iter().flatten().map(|tower| tower.parameters).sum::<usize>()
                + usize::from(logit_scale.is_some()),
            activation: match architecture.activation {
                Activation::QuickGelu => "quick_gelu",
                Activation::Gelu => "gelu",
            },
            activation_from: checkpoint.activation_source.to_string(),
            image,
            text,
            logit_scale,
            scale: logit_scale.map(f32::exp),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let millions = |n: usize| format!("{:.1} M parameters", n as f64 / 1e6);
        writeln!(f, "{}", self.path.display())?;
        writeln!(
            f,
            "  tensors      {} names, {}, {}",
            self.names,
            self.dtypes.join(" and "),
            millions(self.parameters)
        )?;
        match &self.image {
            Some(ImageTower { image_size, patch_size, transformer, preprocess }) => {
                writeln!(f, "  image tower  ViT, {transformer}")?;
                writeln!(f, "               {image_size} pixels in patches of {patch_size}")?;
                let Preprocess { mean, std, interpolation, resize_mode, .. } = preprocess;
                writeln!(f, "               {resize_mode:?} resize, {interpolation:?}, mean {mean:?}, std {std:?}")?;
            }
            None => writeln!(f, "  no {} tower", Tower::Image)?,
        }
        match &self.text {
            Some(TextTower { context_length, vocab_size, transformer, tokenizer }) => {
                let tokenizer = match tokenizer {
                    TokenizerOf::Clip => "CLIP's own".into(),
                    TokenizerOf::File(path) => path.display().to_string(),
                    TokenizerOf::Missing => "its tokenizer.json is missing".into(),
                };
                writeln!(f, "  text tower   {transformer}")?;
                writeln!(f, "               {context_length} of {vocab_size} tokens; tokenizer: {tokenizer}")?;
            }
            None => writeln!(f, "  no {} tower", Tower::Text)?,
        }
        writeln!(f, "  embeddings   {} wide", self.embed_dim)?;
        if let (Some(logit_scale), Some(scale)) = (self.logit_scale, self.scale) {
            writeln!(f, "  temperature  cosines × {scale:.2} (logit_scale {logit_scale:.4})")?;
        }
        write!(f, "  activation   {} ({})", self.activation, self.activation_from)
    }
}

impl fmt::Display for Transformer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Transformer { width, layers, heads, mlp_width, parameters } = self;
        let millions = *parameters as f64 / 1e6;
        write!(f, "{layers} layers {width} wide, {heads} heads, MLP {mlp_width}, {millions:.1} M parameters")
    }
}
