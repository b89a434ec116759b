//! `clipwright bench`: measures how fast this machine runs a model and its loss, and the share of its peak arithmetic
//! that is used.

use super::{CliError, Context};
use crate::counted::counted;
use crate::layers::normalize;
use crate::loss::info_nce::{self, Saved, Scratch};
use crate::loss::positives::Positives;
use crate::models::Captions;
use crate::models::clip::Config;
use crate::models::clip::model::{INIT_LOGIT_SCALE, Inference, Model};
use crate::train::clip::{ClipObjective, Pairs, hyper};
use crate::train::step::{Trainer, TrainerOptions};
use crate::tree::Arena;
use clap::{Args, ValueEnum, value_parser};
use indicatif::ProgressBar;
use kernels::gemm::peak::fma_peak_gflops;
use kernels::isa::Isa;
use ndarray::{Array2, ArrayView2, Axis};
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use serde::Serialize;
use std::fmt;
use std::time::Instant;

/// Time a model on this machine: encoding pictures and texts, training steps, and the loss alone
#[derive(Debug, Args)]
#[command(
    override_usage = "clipwright bench [--model NAME|PATH] [OPTIONS]",
    after_help = "--model is a preset (default ViT-B-32) or a model whose sizes are taken. Weights, pictures and \
                  captions are random: the time does not depend on them.\n\nEvery time is the median over the \
                  repeats. A training step is forward, loss, backward and AdamW; info_nce is the loss \
                  and its gradients for a batch of embeddings. The peak is what the multiply-add \
                  units do from register to register, the best of readings between the repeats. The arithmetic counted \
                  is what the results depend on: neither padding nor recomputation raises the share."
)]
pub(crate) struct Bench {
    /// Number of pictures and of captions in a batch
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// Length of every caption in tokens, start and end included
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u32).range(2..))]
    caption_tokens: u32,
    /// Number of times that each is timed
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = value_parser!(u32).range(1..=10_000))]
    repeats: u32,
    /// What to time, separated by commas
    #[arg(long, value_name = "WHAT", value_delimiter = ',', value_enum, default_values_t = Work::ALL)]
    only: Vec<Work>,
}

/// The kinds of work that can be timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
enum Work {
    EncodeImage,
    EncodeText,
    TrainStep,
    InfoNce,
}

impl Work {
    const ALL: [Work; 4] = [Work::EncodeImage, Work::EncodeText, Work::TrainStep, Work::InfoNce];

    fn name(self) -> &'static str {
        match self {
            Work::EncodeImage => "encode_image",
            Work::EncodeText => "encode_text",
            Work::TrainStep => "train_step",
            Work::InfoNce => "info_nce",
        }
    }
}

/// All measurements, as `--json` prints them.
#[derive(Debug, Serialize)]
pub struct Report {
    model: String,
    batch: usize,
    caption_tokens: usize,
    repeats: usize,
    instruction_set: &'static str,
    threads: usize,
    /// The peak of all threads' multiply-adds in GFLOP/s.
    peak_gflops: f64,
    results: Vec<Measurement>,
}

#[derive(Debug, Serialize)]
struct Measurement {
    work: Work,
    median_seconds: f64,
    fastest_seconds: f64,
    /// Number of pictures, captions, or pairs of both per second.
    per_second: f64,
    gflop: f64,
    gflops: f64,
    share_of_peak: f64,
    /// The largest memory of the process during this work in MiB, where the system reports it.
    peak_memory_mib: Option<f64>,
}

impl Bench {
    pub fn run(self, context: &Context) -> Result<(), CliError> {
        let (model, config) = architecture(context)?;
        let (batch, caption_tokens, repeats) =
            (self.batch as usize, self.caption_tokens as usize, self.repeats as usize);
        let limit = config.text_cfg.context_length;
        if caption_tokens > limit {
            return Err(CliError::Usage(format!("--caption-tokens {caption_tokens}: {model} reads {limit} at most")));
        }
        let pictures = if self.only.iter().all(|work| *work == Work::InfoNce) { 0 } else { batch };
        let inputs = Inputs::random(&config, batch, pictures, caption_tokens);
        let progress = context.output.progress(self.only.len() * (1 + repeats), "timing");
        let mut timer = Timer { repeats, peak_gflops: 0.0, progress };
        let timings: Vec<_> = self.only.iter().map(|work| timer.time(*work, &config, &inputs)).collect();
        let Timer { peak_gflops, .. } = timer;
        let flops = |work: &Work| work.flops(&config, batch, caption_tokens);
        let results =
            self.only.iter().zip(timings).map(|(work, t)| t.measurement(*work, batch, flops(work), peak_gflops));
        context.output.show(&Report {
            model,
            batch,
            caption_tokens,
            repeats,
            instruction_set: Isa::best().name(),
            threads: rayon::current_num_threads(),
            peak_gflops,
            results: results.collect(),
        })
    }
}

/// Returns the name and the configuration of the preset or model that `--model` names.
fn architecture(context: &Context) -> Result<(String, Config), CliError> {
    let name = context.named_model().unwrap_or_else(|| "ViT-B-32".into());
    let text = name.display().to_string();
    // The name of a preset has no slash, while that of a model on the Hub has one.
    if name.exists() || text.contains('/') {
        return Ok((text, context.open(&name, None)?.model()?.1.model_cfg));
    }
    let config = Config::preset(&text)?;
    Ok((text, config))
}

impl Work {
    /// Returns the number of floating-point operations of a whole batch.
    fn flops(self, config: &Config, batch: usize, caption_tokens: usize) -> f64 {
        let (image, text) = (config.vision().flops(), config.text().flops(caption_tokens));
        let of_each = match self {
            Work::EncodeImage => image.forward,
            Work::EncodeText => text.forward,
            Work::TrainStep => image.train + text.train,
            // One product gives a row of logits, and two its gradients on both sides.
            Work::InfoNce => 3.0 * 2.0 * (batch * config.embed_dim) as f64,
        };
        batch as f64 * of_each
    }
}

/// A batch of random pictures and captions.
struct Inputs {
    images: Array2<f32>,
    ids: Vec<u32>,
    offsets: Vec<usize>,
    keys: Vec<u64>,
}

impl Inputs {
    /// Makes a batch with `pictures` pictures. The number is 0 if only the loss is timed, since the pictures of a large
    /// batch may not fit the memory.
    fn random(config: &Config, batch: usize, pictures: usize, tokens: usize) -> Self {
        let mut rng = Pcg64::seed_from_u64(0);
        let pixels = 3 * config.vision_cfg.image_size.pow(2);
        let vocab_size = config.text_cfg.vocab_size as u32;
        Inputs {
            images: random(pictures, pixels, 0),
            ids: (0..batch * tokens).map(|_| rng.random_range(0..vocab_size)).collect(),
            offsets: (0..=batch).map(|i| i * tokens).collect(),
            keys: (0..batch as u64).collect(),
        }
    }

    fn captions(&self) -> Captions<'_> {
        Captions { ids: &self.ids, offsets: &self.offsets }
    }

    fn pairs(&self) -> Pairs<'_> {
        let images = self.images.view();
        Pairs { images, captions: self.captions(), concepts: &self.keys, caption_keys: &self.keys }
    }
}

/// Returns a matrix of standard normal numbers; the same seed gives the same numbers.
fn random(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
    let mut rng = Pcg64::seed_from_u64(seed);
    Array2::from_shape_simple_fn((rows, columns), || rng.sample(StandardNormal))
}

/// A timer, which repeats each work and measures its time, its memory and the machine's peak.
struct Timer {
    repeats: usize,
    peak_gflops: f64,
    progress: ProgressBar,
}

/// The times of all repeats of one work.
struct Timing {
    seconds: Vec<f64>,
    peak_memory_mib: Option<f64>,
}

impl Timer {
    fn time(&mut self, work: Work, config: &Config, inputs: &Inputs) -> Timing {
        let mut buffers = Inference::default();
        forget_peak_memory();
        match work {
            Work::EncodeImage => {
                let (weights, shape) = (Model::new(config.clone(), 0).params.into_weights(), config.vision());
                let images = inputs.images.view();
                self.repeat(|| check(buffers.encode_images(&weights.view().visual, &shape, images).view()))
            }
            Work::EncodeText => {
                let (weights, shape) = (Model::new(config.clone(), 0).params.into_weights(), config.text());
                self.repeat(|| check(buffers.encode_texts(&weights.view().text, &shape, inputs.captions()).view()))
            }
            Work::TrainStep => {
                let objective = ClipObjective::new(Model::new(config.clone(), 0));
                let mut trainer = Trainer::new(objective, TrainerOptions::new(hyper(config)));
                self.repeat(|| {
                    let loss = trainer.gradients(&inputs.pairs(), inputs.keys.len())[0].value;
                    let grad_norm = trainer.update(1e-6).grad_norm;
                    assert!(loss.is_finite() && grad_norm.is_finite(), "loss {loss}, gradient {grad_norm}");
                })
            }
            Work::InfoNce => self.time_info_nce(inputs.keys.len(), config.embed_dim),
        }
    }

    /// Times the loss of random embeddings and its gradients, at the temperature that training begins with.
    fn time_info_nce(&mut self, n: usize, embed_dim: usize) -> Timing {
        let [images, texts] = [1, 2].map(|seed| normalize::unit(random(n, embed_dim, seed).view()));
        let [mut dimages, mut dtexts] = [&images, &texts].map(|rows| Array2::zeros(rows.raw_dim()));
        let (images, texts, scale) = (images.view(), texts.view(), INIT_LOGIT_SCALE.exp());
        let positives = &Positives::diagonal(n);
        let (mut saved, mut scratch) = (Arena::default(), Arena::default());
        let (mut saved, mut scratch) = (saved.carve(&Saved::dims(n)), scratch.carve(&Scratch::dims(n)));
        self.repeat(|| {
            let loss = info_nce::forward(images, texts, scale, positives, &mut saved, &mut scratch).mean();
            let (dimages, dtexts) = (dimages.view_mut(), dtexts.view_mut());
            let dscale = info_nce::backward(images, texts, scale, positives, &saved, dimages, dtexts, &mut scratch);
            assert!(loss.is_finite() && dscale.is_finite(), "loss {loss}, gradient of the scale {dscale}");
        })
    }

    /// Times all repeats. A first run, in which the memory is touched, does not count.
    fn repeat(&mut self, mut work: impl FnMut()) -> Timing {
        let mut seconds = vec![];
        for run in 0..=self.repeats {
            self.peak_gflops = self.peak_gflops.max(fma_peak_gflops(Isa::best(), rayon::current_num_threads()));
            let start = Instant::now();
            work();
            if run > 0 {
                seconds.push(start.elapsed().as_secs_f64());
            }
            self.progress.inc(1);
        }
        Timing { seconds, peak_memory_mib: peak_memory_mib() }
    }
}

impl Timing {
    fn measurement(mut self, work: Work, batch: usize, flops: f64, peak_gflops: f64) -> Measurement {
        self.seconds.sort_by(f64::total_cmp);
        let median_seconds = self.seconds[self.seconds.len() / 2];
        let (gflop, gflops) = (flops / 1e9, flops / 1e9 / median_seconds);
        Measurement {
            work,
            median_seconds,
            fastest_seconds: self.seconds[0],
            per_second: batch as f64 / median_seconds,
            gflop,
            gflops,
            share_of_peak: gflops / peak_gflops,
            peak_memory_mib: self.peak_memory_mib,
        }
    }
}

fn check(features: ArrayView2<f32>) {
    let norms = features.map_axis(Axis(1), |row| row.dot(&row));
    assert!(norms.iter().all(|norm| (norm - 1.0).abs() < 1e-4), "embeddings of length {norms}");
}

/// Resets Linux's count of the largest memory that the process has held.
fn forget_peak_memory() {
    // If this fails, the largest memory is that of the whole run.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Returns the largest memory that the process has held in MiB, where the system reports it.
fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(
            f,
            "{}, batch {}, captions of {}\n{}, {}: peak {:.0} GFLOP/s\n",
            self.model,
            self.batch,
            counted(self.caption_tokens, "token"),
            counted(self.threads, "thread"),
            self.instruction_set,
            self.peak_gflops
        )?;
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
