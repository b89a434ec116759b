//! `clipwright bench`: measures how fast this machine runs a model and its loss, and the share of its peak arithmetic
//! that is used.

use super::context::PrecisionName;
use super::timing::{Measurement, Timer, Timing, Work};
use super::{CliError, Context, bench_blip, bench_clip};
use crate::app::train::values::share_below_one;
use crate::checkpoint::{self, Kind};
use crate::counted::counted;
use crate::models::blip::Parts;
use crate::models::clip::Layers;
use crate::models::clip::config::ConfigError;
use crate::models::{blip, clip};
use crate::weights::Rounding;
use clap::{Args, value_parser};
use kernels::gemm::int8::Integers;
use kernels::isa::Isa;
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// Time a model on this machine: encoding pictures and texts, training steps, and the loss alone
#[derive(Debug, Args)]
#[command(
    override_usage = "clipwright bench [--model NAME|PATH] [OPTIONS]",
    after_help = "--model is a preset (default ViT-B-32; of BLIP: Emoji-BLIP-S, BLIP-base, BLIP-large) or a model whose \
                  sizes are taken. \
                  Weights, pictures and captions are random: the time does not depend on them.\n\nOf a BLIP, match is \
                  one picture against --batch texts; caption is --batch pictures, and answer --batch pictures with a \
                  question each of --caption-tokens tokens, written with 3 beams to 20 and 10 tokens; \
                  train_step is one of pre-training with the original's dropout and queue of 57,600, which it took at \
                  --image-size 224.\n\nEvery time is the median over the \
                  repeats. A training step is forward, loss, backward and AdamW; info_nce is the loss \
                  and its gradients for a batch of embeddings. The peak is what the multiply-add \
                  units do from register to register, the best of readings between the repeats. The arithmetic counted \
                  is what the results depend on: neither padding nor recomputation raises the share. With --precision \
                  int8 encoding may pass the peak, which is that of f32; training and the loss are always in f32."
)]
pub(crate) struct Bench {
    /// Number of pictures and of captions in a batch
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// Length of every caption in tokens, start and end included
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u32).range(2..))]
    caption_tokens: u32,
    /// Edge of every picture in pixels [default: the model's]
    #[arg(long, value_name = "PIXELS")]
    image_size: Option<usize>,
    /// Share of a ViT's patches that the training step drops [default: the model's]
    #[arg(long, value_name = "SHARE", value_parser = share_below_one)]
    patch_dropout: Option<f64>,
    /// Number of times that each is timed
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = value_parser!(u32).range(1..=10_000))]
    repeats: u32,
    /// Keep the inputs alone of each block in a training step, and compute the other activations twice
    #[arg(long)]
    grad_checkpointing: bool,
    /// What to time, separated by commas [default: all that the model does]
    #[arg(long, value_name = "WHAT", value_delimiter = ',', value_enum)]
    only: Vec<Work>,
}

/// A family's sizes.
enum Sizes {
    Clip(Box<clip::Config>),
    Blip(Box<blip::Config>),
}

impl Sizes {
    /// Returns all that can be timed.
    fn works(&self) -> &'static [Work] {
        match self {
            Sizes::Clip(_) => &Work::OF_CLIPS,
            Sizes::Blip(_) => &Work::OF_BLIPS,
        }
    }

    /// Returns the longest text in tokens.
    fn longest_text(&self) -> usize {
        match self {
            Sizes::Clip(config) => config.text_cfg.context_length,
            Sizes::Blip(config) => config.text.positions,
        }
    }

    /// Returns the rows and columns of a picture.
    fn image_size(&self) -> [usize; 2] {
        match self {
            Sizes::Clip(config) => [config.vision_cfg.image_size; 2],
            Sizes::Blip(config) => config.vision.image_size,
        }
    }

    /// Checks that something is timed which keeps activations, and that it can keep fewer.
    fn check_checkpointing(&self, works: &[Work]) -> Result<(), CliError> {
        let reason = match self {
            _ if !works.contains(&Work::TrainStep) => "of all works, only train_step keeps activations",
            Sizes::Clip(config) if matches!(config.vision_cfg.layers, Layers::ResNet(_)) => {
                "a ResNet keeps all of them"
            }
            _ => return Ok(()),
        };
        Err(CliError::Usage(format!("--grad-checkpointing: {reason}")))
    }

    /// Returns the share of the patches that training drops.
    fn patch_dropout(&self) -> f64 {
        match self {
            Sizes::Clip(config) => config.vision_cfg.patch_dropout,
            Sizes::Blip(_) => 0.0,
        }
    }

    /// Takes square pictures of another size.
    fn resize(&mut self, edge: usize) -> Result<(), ConfigError> {
        match self {
            Sizes::Clip(config) => {
                config.vision_cfg.image_size = edge;
                config.check()
            }
            Sizes::Blip(config) => {
                config.vision.image_size = [edge; 2];
                Ok(config.check()?)
            }
        }
    }

    /// Drops a share of the patches in training.
    fn drop_patches(&mut self, rate: f64) -> Result<(), String> {
        match self {
            Sizes::Clip(config) => {
                config.vision_cfg.patch_dropout = rate;
                config.check().map_err(|error| error.to_string())
            }
            Sizes::Blip(_) => Err("a BLIP drops none".into()),
        }
    }
}

/// All measurements, as `--json` prints them.
#[derive(Debug, Serialize)]
pub struct Report {
    model: String,
    batch: usize,
    caption_tokens: usize,
    image_size: [usize; 2],
    /// The share of the patches that the training step drops.
    patch_dropout: f64,
    repeats: usize,
    grad_checkpointing: bool,
    /// What encoding computes in; training and the loss compute in f32.
    precision: PrecisionName,
    instruction_set: &'static str,
    /// The instructions of products of whole numbers, if there are any.
    integers: Option<&'static str>,
    threads: usize,
    /// The peak of all threads' multiply-adds in GFLOP/s.
    peak_gflops: f64,
    results: Vec<Measurement>,
}

impl Bench {
    pub fn run(self, context: &Context) -> Result<(), CliError> {
        let (model, mut sizes) = architecture(context)?;
        if let Some(edge) = self.image_size {
            sizes.resize(edge).map_err(|error| CliError::Usage(format!("--image-size {edge}: {error}")))?;
        }
        if let Some(rate) = self.patch_dropout {
            let refused = |reason: String| CliError::Usage(format!("--patch-dropout {rate}: {reason}"));
            sizes.drop_patches(rate).map_err(refused)?;
        }
        let (image_size, patch_dropout) = (sizes.image_size(), sizes.patch_dropout());
        let (batch, caption_tokens, repeats) =
            (self.batch as usize, self.caption_tokens as usize, self.repeats as usize);
        let limit = sizes.longest_text();
        // A SigLIP reads whole contexts.
        let reads_all = matches!(&sizes, Sizes::Clip(config) if config.text_cfg.no_causal_mask);
        let caption_tokens = if reads_all { limit } else { caption_tokens };
        if caption_tokens > limit {
            return Err(CliError::Usage(format!("--caption-tokens {caption_tokens}: {model} reads {limit} at most")));
        }
        let works = if self.only.is_empty() { sizes.works() } else { &self.only };
        if let Some(other) = works.iter().find(|work| !sizes.works().contains(work)) {
            let known: Vec<_> = sizes.works().iter().map(|work| work.name()).collect();
            let message = format!("--only {}: of {model} can be timed {}", other.name(), known.join(", "));
            return Err(CliError::Usage(message));
        }
        let grad_checkpointing = self.grad_checkpointing;
        if grad_checkpointing {
            sizes.check_checkpointing(works)?;
        }
        let progress = context.output.progress(works.len() * (1 + repeats), "timing");
        let mut timer = Timer { repeats, peak_gflops: 0.0, progress };
        let (timings, flops): (Vec<Timing>, Vec<f64>) = match sizes {
            Sizes::Clip(config) => {
                let pictures = if works == [Work::InfoNce] { 0 } else { batch };
                let inputs = bench_clip::Inputs::random(&config, context.rounding(), batch, pictures, caption_tokens);
                works.iter().map(|work| inputs.time(*work, grad_checkpointing, &mut timer)).unzip()
            }
            Sizes::Blip(config) => {
                let inputs = bench_blip::Inputs::random(&config, batch, caption_tokens);
                works.iter().map(|work| inputs.time(*work, grad_checkpointing, &mut timer)).unzip()
            }
        };
        let Timer { peak_gflops, .. } = timer;
        let results = works.iter().zip(timings).zip(flops);
        let results = results.map(|((work, t), flops)| t.measurement(*work, batch, flops, peak_gflops));
        context.output.show(&Report {
            model,
            batch,
            caption_tokens,
            image_size,
            patch_dropout,
            repeats,
            grad_checkpointing,
            precision: context.precision().unwrap_or(PrecisionName::F32),
            instruction_set: Isa::best().name(),
            integers: (context.rounding() == Rounding::Int8).then(|| Integers::best().name()),
            threads: rayon::current_num_threads(),
            peak_gflops,
            results: results.collect(),
        })
    }
}

/// Whether a name is that of no file. The name of a preset has no slash, while that of a model on the Hub has one.
pub(super) fn may_be_preset(name: &Path) -> bool {
    !name.exists() && !name.to_string_lossy().contains('/')
}

/// Returns the name and the configuration of the preset or model that `--model` names.
fn architecture(context: &Context) -> Result<(String, Sizes), CliError> {
    let name = context.named_model().unwrap_or_else(|| "ViT-B-32".into());
    let text = name.display().to_string();
    if !may_be_preset(&name) {
        let sizes = match checkpoint::kind(&name)? {
            Some(Kind::Blip) => Sizes::Blip(Box::new(context.describe_blip(&name)?.config)),
            _ => {
                let checkpoint = context.open(&name, None)?;
                if checkpoint.computes_in_int8() && context.precision().is_none() {
                    note!(
                        "the weights timed are drawn at random in 32 bits; --precision int8 times them as this model's are"
                    );
                }
                Sizes::Clip(Box::new(checkpoint.model()?.1.model_cfg))
            }
        };
        return Ok((text, sizes));
    }
    let sizes = match blip::Config::preset(&text, Parts::Matcher) {
        Some(config) => Sizes::Blip(Box::new(config)),
        None => Sizes::Clip(Box::new(clip::Config::preset(&text)?)),
    };
    Ok((text, sizes))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(
            f,
            "{}, batch {}, pictures of {} pixels, captions of {}\n{}, {}: peak {:.0} GFLOP/s\n",
            self.model,
            self.batch,
            self.image_size.map(|edge| edge.to_string()).join("×"),
            counted(self.caption_tokens, "token"),
            counted(self.threads, "thread"),
            self.instruction_set,
            self.peak_gflops
        )?;
        match (self.precision, self.integers) {
            (PrecisionName::F32, _) => {}
            (precision, Some(integers)) => {
                writeln!(f, "encoding in {precision}, by {integers}; the peak is that of f32\n")?;
            }
            (precision, None) => writeln!(f, "encoding with weights of {precision}\n")?,
        }
        if self.patch_dropout > 0.0 {
            writeln!(f, "the training step drops {:.0} % of the patches\n", 100.0 * self.patch_dropout)?;
        }
        writeln!(
            f,
            "{:14}{:>11}{:>12}{:>10}{:>11}{:>9}{:>13}",
            "", "median", "per second", "GFLOP", "GFLOP/s", "of peak", "peak memory"
        )?;
        for m in &self.results {
            let memory = m.peak_memory_mib.map_or("unknown".into(), |mib| format!("{mib:.0} MiB"));
            writeln!(
                f,
                "{:14}{:>9.2}ms{:>12.1}{:>10.1}{:>11.1}{:>8.0}%{memory:>13}",
                m.work.name(),
                1e3 * m.median_seconds,
                m.per_second,
                m.gflop,
                m.gflops,
                100.0 * m.share_of_peak
            )?;
        }
        Ok(())
    }
}
