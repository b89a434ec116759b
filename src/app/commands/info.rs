//! `clipwright info`: prints the architecture and the settings of a checkpoint.

use super::context::PrecisionName;
use super::{CliError, Context, info_blip};
use crate::app::sizes::{ImageKind, Transformer, millions};
use crate::checkpoint::{self, Changed, Checkpoint, Kind, Scheme, Tower};
use crate::files::serialize_name;
use crate::models::clip::config::VOCAB_SIZE;
use crate::params::count;
use crate::pictures::Preprocess;
use crate::weights::Rounding;
use clap::Args;
use kernels::Activation;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Describe a model: architecture, parameters, activation, preparation of pictures
///
/// With --precision f16 or bf16 it also reads all matrices, and says of how many this would change a number; with int8,
/// how many of those that may be rounded are.
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// Model folder or file of weights [default: that of --model]
    path: Option<PathBuf>,
}

impl Info {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        let path = match self.path {
            Some(path) => {
                context.refuse_model("info takes PATH or --model, not both")?;
                path
            }
            None => context.model_path()?,
        };
        if checkpoint::kind(&path)? == Some(Kind::Blip) {
            return context.output.show(&info_blip::Report::of(context.describe_blip(&path)?));
        }
        let checkpoint = context.open(&path, None)?;
        let rounded = match (context.rounded(), checkpoint.rounding) {
            (Some(to), Rounding::Half(_) | Rounding::Int8) => {
                let Changed { matrices, changed } = checkpoint.changed()?;
                Some(Rounded { to, matrices, changed })
            }
            _ => None,
        };
        context.output.show(&Report { rounded, ..Report::of(&checkpoint)? })
    }
}

#[derive(Serialize)]
struct Report {
    #[serde(serialize_with = "serialize_name")]
    path: PathBuf,
    kind: &'static str,
    names: &'static str,
    dtypes: Vec<String>,
    /// What `--precision` would change.
    #[serde(skip_serializing_if = "Option::is_none")]
    rounded: Option<Rounded>,
    embed_dim: usize,
    parameters: usize,
    activation: &'static str,
    activation_from: String,
    image: Option<ImageTower>,
    text: Option<TextTower>,
    logit_scale: Option<f32>,
    /// The factor exp(`logit_scale`) by which cosines are multiplied.
    scale: Option<f32>,
    /// What is added to the scaled cosines; only a model for the sigmoid loss has it.
    logit_bias: Option<f32>,
    loss: Option<Loss>,
}

/// How many matrices there are, and how many of them rounding changes.
#[derive(Serialize)]
struct Rounded {
    to: PrecisionName,
    matrices: usize,
    changed: usize,
}

/// The loss that a model was made for, which the parameters of its logits show.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Loss {
    InfoNce,
    Sigmoid,
}

#[derive(Serialize)]
struct ImageTower {
    image_size: usize,
    #[serde(flatten)]
    kind: ImageKind,
    parameters: usize,
    preprocess: Preprocess,
}

#[derive(Serialize)]
struct TextTower {
    context_length: usize,
    vocab_size: usize,
    #[serde(flatten)]
    transformer: Transformer,
    parameters: usize,
    tokenizer: TokenizerOf,
}

/// The tokenizer of the text tower.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum TokenizerOf {
    Clip,
    #[serde(serialize_with = "serialize_name")]
    File(PathBuf),
    /// The vocabulary is not CLIP's and there is no tokenizer.json.
    Missing,
}

impl Report {
    fn of(checkpoint: &Checkpoint) -> Result<Self, CliError> {
        let architecture = &checkpoint.architecture;
        let image = architecture.vision.as_ref().zip(architecture.vision()).map(|(config, shape)| ImageTower {
            image_size: config.image_size,
            kind: ImageKind::of(&shape),
            parameters: count(&shape.spec()),
            preprocess: checkpoint.preprocess.clone(),
        });
        let text = architecture.text().map(|shape| TextTower {
            context_length: shape.context_length,
            vocab_size: shape.vocab_size,
            transformer: Transformer::of(&shape.size),
            parameters: count(&shape.spec()),
            tokenizer: match &checkpoint.tokenizer {
                Some(path) => TokenizerOf::File(path.clone()),
                None if shape.size.causal && shape.vocab_size >= VOCAB_SIZE => TokenizerOf::Clip,
                None if shape.vocab_size == VOCAB_SIZE => TokenizerOf::Clip,
                None => TokenizerOf::Missing,
            },
        });
        let towers = [image.as_ref().map(|t| t.parameters), text.as_ref().map(|t| t.parameters)];
        let (logit_scale, logit_bias) = (checkpoint.logit_scale()?, checkpoint.logit_bias()?);
        let scalars = [logit_scale, logit_bias].into_iter().flatten().count();
        Ok(Report {
            path: checkpoint.path().into(),
            kind: "clip",
            names: match checkpoint.scheme() {
                Scheme::OpenAi { .. } => "OpenAI",
                Scheme::HuggingFace { .. } => "Hugging Face",
            },
            dtypes: checkpoint.dtypes(),
            rounded: None,
            embed_dim: architecture.embed_dim,
            parameters: towers.iter().flatten().sum::<usize>() + scalars,
            activation: match architecture.activation {
                Activation::QuickGelu => "quick_gelu",
                _ if architecture.has_tanh() => "gelu_tanh",
                _ => "gelu",
            },
            activation_from: checkpoint.activation_source.to_string(),
            image,
            text,
            logit_scale,
            scale: logit_scale.map(f32::exp),
            logit_bias,
            loss: logit_scale.map(|_| if logit_bias.is_some() { Loss::Sigmoid } else { Loss::InfoNce }),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "{}", self.path.display())?;
        writeln!(
            f,
            "  tensors      {} names, {}, {}",
            self.names,
            self.dtypes.join(" and "),
            millions(self.parameters)
        )?;
        match &self.rounded {
            Some(Rounded { to: to @ PrecisionName::Int8, matrices, changed }) => {
                let rest = if changed < matrices { "; those before sharp attention keep 32 bits" } else { "" };
                writeln!(f, "  in {to:<10}{changed} of {matrices} matrices of linear layers are rounded{rest}")?;
            }
            Some(Rounded { to, matrices, changed: 0 }) => {
                writeln!(f, "  in {to:<10}all {matrices} matrices are exact, so embeddings keep their bits")?;
            }
            Some(Rounded { to, matrices, changed }) => {
                writeln!(f, "  in {to:<10}{changed} of {matrices} matrices change")?;
            }
            None => {}
        }
        match &self.image {
            Some(ImageTower { image_size, kind, parameters, preprocess }) => {
                writeln!(f, "  image tower  {kind}")?;
                writeln!(f, "               {}", millions(*parameters))?;
                let Preprocess { mean, std, interpolation, resize_mode, .. } = preprocess;
                writeln!(
                    f,
                    "               {image_size} pixels along an edge, {resize_mode:?} resize, {interpolation:?}"
                )?;
                writeln!(f, "               mean {mean:?}, std {std:?}")?;
            }
            None => writeln!(f, "  no {} tower", Tower::Image)?,
        }
        match &self.text {
            Some(TextTower { context_length, vocab_size, transformer, parameters, tokenizer }) => {
                let tokenizer = match tokenizer {
                    TokenizerOf::Clip => "CLIP's own".into(),
                    TokenizerOf::File(path) => path.display().to_string(),
                    TokenizerOf::Missing => "its own file is missing".into(),
                };
                writeln!(f, "  text tower   {transformer}")?;
                writeln!(f, "               {}", millions(*parameters))?;
                writeln!(f, "               {context_length} of {vocab_size} tokens; tokenizer: {tokenizer}")?;
            }
            None => writeln!(f, "  no {} tower", Tower::Text)?,
        }
        writeln!(f, "  embeddings   {} wide", self.embed_dim)?;
        if let (Some(logit_scale), Some(scale)) = (self.logit_scale, self.scale) {
            writeln!(f, "  temperature  cosines × {scale:.2} (logit_scale {logit_scale:.4})")?;
        }
        if let Some(logit_bias) = self.logit_bias {
            writeln!(f, "  bias         {logit_bias:+.2} (logit_bias)")?;
        }
        match self.loss {
            Some(Loss::InfoNce) => {
                writeln!(f, "  loss         InfoNCE: which caption of a batch fits, and which picture")?
            }
            Some(Loss::Sigmoid) => writeln!(f, "  loss         sigmoid (SigLIP): whether a pair fits, each by itself")?,
            None => {}
        }
        write!(f, "  activation   {} ({})", self.activation, self.activation_from)
    }
}
