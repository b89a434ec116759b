//! `clipwright text-states`: writes the hidden states of the text tower, which Stable Diffusion reads.

use super::arrays::{Format, write_npy, write_safetensors};
use super::texts::warn_truncated;
use super::{CliError, Context};
use crate::checkpoint::Precision;
use crate::counted::counted;
use crate::embed::{TextEncoder, TextStates};
use crate::eval::templates::PLACE;
use crate::files;
use clap::{Args, ValueEnum};
use ndarray::{Array2, Array3, Axis, stack};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Write the text encoder's hidden states, one row per token, on which diffusion models are conditioned
///
/// A text is start of text, its tokens, end of text. The encoder is causal: no row depends on the rows after it, so
/// padding does not change the rows before it. But diffusion models read all 77 rows, padding included, and need the
/// kind of padding that they were trained with.
#[derive(Debug, Args)]
#[command(after_help = "\
What each model reads, from a CLIP with all its layers:
  Stable Diffusion 1  ViT-L/14       --layer last --final-norm --pad eot
  Stable Diffusion 2  OpenCLIP ViT-H --layer penultimate --final-norm --pad zero
  Stable Diffusion XL ViT-L/14       --layer penultimate --pad eot
     and beside it    OpenCLIP bigG  --layer penultimate --pad zero
XL joins the two along the width, and also takes bigG's \"pooled\". The text
encoder that comes with Stable Diffusion 2 lacks its last layer already: from
that one, --layer last --final-norm.

Output: .npy has the states (texts, tokens, d); .safetensors has them as
\"hidden_states\", and the texts' embeddings before they are brought to unit
length, (texts, e), as \"pooled\".

Example:
  clipwright text-states --text \"a horse on the moon\" --layer last \\
      --final-norm --pad eot --output prompt.npy")]
pub(crate) struct TextStatesCommand {
    /// Text to encode; repeat the option for more texts
    #[arg(long = "text", value_name = "TEXT", required = true)]
    texts: Vec<String>,
    /// Block whose output is written: `last`, `penultimate`, or a number; 0 is the embedded tokens
    #[arg(long, value_name = "LAYER", default_value = "last")]
    layer: Layer,
    /// Apply the final LayerNorm, as the tower itself does
    #[arg(long)]
    final_norm: bool,
    /// Pad to the context length with the end-of-text token or token 0 [default: no padding]
    #[arg(long, value_enum, value_name = "TOKEN")]
    pad: Option<Pad>,
    /// File to write: .npy or .safetensors
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug)]
enum Layer {
    Last,
    Penultimate,
    Number(usize),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Pad {
    Eot,
    Zero,
}

impl FromStr for Layer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "last" => Ok(Layer::Last),
            "penultimate" => Ok(Layer::Penultimate),
            number => number.parse().map(Layer::Number).map_err(|_| "not `last`, `penultimate` or a number"),
        }
    }
}

impl Layer {
    /// Returns the number of blocks that the states have passed, at most L.
    fn index(self, layers: usize) -> Result<usize, CliError> {
        let index = match self {
            Layer::Last => Some(layers),
            Layer::Penultimate => layers.checked_sub(1),
            Layer::Number(n) => Some(n).filter(|&n| n <= layers),
        };
        index.ok_or_else(|| CliError::Usage(format!("--layer {self}: the text tower has {}", counted(layers, "layer"))))
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Layer::Last => write!(f, "last"),
            Layer::Penultimate => write!(f, "penultimate"),
            Layer::Number(n) => write!(f, "{n}"),
        }
    }
}

impl TextStatesCommand {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        let known = [("npy", Format::Npy), ("safetensors", Format::Safetensors)];
        let format = Format::of(&self.output, &known)?;
        if self.pad.is_none() && self.texts.len() > 1 {
            return Err(CliError::Usage("several texts have different lengths: give --pad, or one --text".into()));
        }
        let encoder = context.text_encoder()?;
        let layer = self.layer.index(encoder.layers())?;
        warn_truncated(&encoder, &self.texts, &[PLACE]);
        let (states, pooled) = self.states(context, &encoder, layer);
        match format {
            Format::Npy => write_npy(&self.output, states.view(), Precision::F32)?,
            _ => {
                let arrays = [("hidden_states", states.view().into_dyn()), ("pooled", pooled.view().into_dyn())];
                let layer = layer.to_string();
                let final_norm = self.final_norm.to_string();
                write_safetensors(
                    &self.output,
                    &arrays,
                    Precision::F32,
                    [("layer", &*layer), ("final_norm", &*final_norm)],
                )?;
            }
        }
        let (texts, tokens, width) = states.dim();
        let (output, final_norm) = (files::name(&self.output).into_owned(), self.final_norm);
        context.output.show(&Report { output, texts, tokens, width, layer, final_norm })
    }

    /// Returns the states and the pooled features of all texts.
    ///
    /// states (N,T,d), features (N,e)
    fn states(&self, context: &Context, encoder: &TextEncoder, layer: usize) -> (Array3<f32>, Array2<f32>) {
        let padding = self.pad.map(|pad| match pad {
            Pad::Eot => encoder.end_of_text(),
            Pad::Zero => 0,
        });
        let bar = context.output.progress(self.texts.len(), "texts");
        let of_text = |text: &String| {
            let TextStates { states, pooled } = encoder.hidden_states(text, layer, self.final_norm, padding);
            bar.inc(1);
            (states, pooled)
        };
        let (states, pooled): (Vec<_>, Vec<_>) = self.texts.iter().map(of_text).unzip();
        bar.finish_and_clear();
        let states: Vec<_> = states.iter().map(|states| states.view()).collect();
        let pooled: Vec<_> = pooled.iter().map(|pooled| pooled.view()).collect();
        let alike = "padded to one length, or a single text";
        (stack(Axis(0), &states).expect(alike), stack(Axis(0), &pooled).expect("features of one width"))
    }
}

#[derive(Serialize)]
struct Report {
    output: String,
    texts: usize,
    tokens: usize,
    width: usize,
    layer: usize,
    final_norm: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Report { output, texts, tokens, width, layer, final_norm } = self;
        let norm = if *final_norm { ", final norm applied" } else { "" };
        write!(f, "{output}: ({texts}, {tokens}, {width}) after block {layer}{norm}")
    }
}
