//! The options of the command line. They have OpenCLIP's names where it has them.

use super::blip_options::BlipOptions;
use super::data_options::DataOptions;
use super::error::OptionError;
use super::exercise_options::ExerciseOptions;
use super::savings_options::SavingsOptions;
use super::tune_options::TuneOptions;
use super::values::{below_one, non_negative, power_of_two, separator, share};
use crate::app::number::{above_zero, positive, up_to};
use crate::app::{VERSION, WIDTH};
use crate::models::blip::Config as BlipConfig;
use crate::models::clip::Config;
use crate::optim::adamw::Hyper;
use crate::train::run_folder::{RunFolder, RunFolderError};
use clap::{Arg, Args, Parser, ValueEnum};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Train CLIP or BLIP on a CPU.
///
/// Without options, a small CLIP learns 1,542 emoji concepts from the drawings of seven vendors, which are part of the
/// program, and is evaluated on those of an eighth. With --model Emoji-BLIP-S a small BLIP learns scenes of these
/// drawings; --task fine-tunes one. The run folder holds the model in a format that others read, the state to resume
/// from, the metrics, the curves and the pictures.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "train",
    version = VERSION,
    max_term_width = WIDTH,
    mut_args = not_with_resume,
    after_help = "RAYON_NUM_THREADS sets how many threads compute; the weights are the same bits with any number. \
                  CPUs with other instruction sets (AVX-512, AVX2, others) round otherwise."
)]
pub struct Cli {
    /// Resume a run: its folder, or `latest`. All options but --stop-after, --timeout and --epochs come from the run
    #[arg(long, value_name = "RUN")]
    pub resume: Option<String>,

    /// Save and stop once this many steps have been taken in total; go on with --resume [default: all steps]
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Run")]
    pub stop_after: Option<u64>,

    /// Seconds that the ranks of a run wait for one that does not come, before all of them end
    #[arg(long, value_name = "SECONDS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..), help_heading = "Run")]
    pub timeout: u64,

    #[command(flatten)]
    pub options: Options,
}

/// Makes an option conflict with --resume: a resumed run has its own options, all but --stop-after, --timeout and --epochs.
fn not_with_resume(arg: Arg) -> Arg {
    if ["resume", "stop_after", "timeout", "epochs"].contains(&arg.get_id().as_str()) {
        arg
    } else {
        arg.conflicts_with("resume")
    }
}

/// The preset without --model and --pretrained.
pub(super) const DEFAULT_MODEL: &str = "Emoji-RN-S";
/// Largest number of threads that prepare pictures; a system may not allow more.
const MAX_WORKERS: u32 = 1024;

/// The options that determine a run. They are kept in its folder, so that a resumed run is the same run.
#[derive(Clone, Debug, PartialEq, Args, Serialize, Deserialize)]
pub struct Options {
    #[command(flatten)]
    pub data: DataOptions,
    #[command(flatten)]
    #[serde(default)]
    pub blip: BlipOptions,
    #[command(flatten)]
    #[serde(default)]
    pub savings: SavingsOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub tune: TuneOptions,
    #[command(flatten)]
    #[serde(default)]
    pub exercise: ExerciseOptions,

    /// Preset, or path of a CLIP's open_clip_config.json [default: that of --pretrained, or else Emoji-RN-S]
    #[arg(long, long_help = model_help(), help_heading = "Model")]
    pub model: Option<String>,
    /// Start from these weights instead of random ones: a model folder, a file, or a name in the Hugging Face cache
    #[arg(long, value_name = "PATH", help_heading = "Model")]
    pub pretrained: Option<PathBuf>,
    /// Give a new CLIP a bias and train it by SigLIP's sigmoid loss, which judges every pair by itself
    ///
    /// The logit scale begins at 10 and the bias at -10. Weights from --pretrained say themselves which loss they
    /// were made for: a model with a logit_bias always has the sigmoid loss, and its scale may grow beyond 100.
    #[arg(long, conflicts_with = "pretrained", help_heading = "Model")]
    #[serde(default)]
    pub siglip: bool,

    /// Pairs in a batch; a batch passes through the towers at once [default: 256, or 32 with a BLIP]
    #[arg(long, value_parser = positive(), help_heading = "Optimisation")]
    pub batch_size: Option<usize>,
    /// Batches in a step; the loss is over the pairs of all of them, as if they were one batch
    #[arg(long, default_value_t = 1, value_parser = positive(), help_heading = "Optimisation")]
    pub accum_freq: usize,
    /// Parts of a step whose gradients are added up as a tree, a power of two. A run of so many shards can go on with that
    /// many ranks or fewer, to the same bits; --batch-size and --accum-freq are those of a shard [default: the number of
    /// ranks that a run begins with]
    #[arg(long, value_parser = power_of_two, help_heading = "Optimisation")]
    #[serde(default)]
    pub shards: Option<usize>,
    /// Keep two ninths of the activations and compute the others twice: less memory, a fifth slower
    ///
    /// Of each block of a Transformer, the inputs of attention and of the MLP are kept for the backward pass, which
    /// computes what follows them once more. The weights are the same bits. With a BLIP, texts that look at pictures keep
    /// all their activations.
    #[arg(long, help_heading = "Optimisation")]
    #[serde(default)]
    pub grad_checkpointing: bool,
    /// Epochs: how often every picture is seen [default: 26, or 4 with a BLIP]
    ///
    /// With --resume the run gets this length, and the learning rate goes on as in a run of this length: a finished
    /// run that is lengthened warms up to where it would have been.
    #[arg(long, value_parser = positive(), help_heading = "Optimisation")]
    pub epochs: Option<usize>,
    /// Highest learning rate [default: 0.001]
    #[arg(long, value_parser = above_zero::<f32>, help_heading = "Optimisation")]
    pub lr: Option<f32>,
    /// Steps over which the learning rate rises to its highest value [default: 50, or 10 in an exercise]
    #[arg(long, value_name = "STEPS", help_heading = "Optimisation")]
    pub warmup: Option<u64>,
    /// How the learning rate falls
    #[arg(long, value_enum, default_value_t, help_heading = "Optimisation")]
    #[serde(default)]
    pub lr_scheduler: LrScheduler,
    /// Weight decay of matrices and tables; biases, gains and scalars have none [default: 0.2, 0.05 with a BLIP]
    #[arg(long, value_parser = non_negative, help_heading = "Optimisation")]
    pub wd: Option<f32>,
    /// Let weight decay act on biases, gains and scalars too, as BLIP's original does
    #[arg(long, help_heading = "Optimisation")]
    #[serde(default)]
    pub wd_all: bool,
    /// AdamW's β₁
    #[arg(long, default_value_t = Hyper::VIT.beta1, value_parser = below_one, help_heading = "Optimisation")]
    pub beta1: f32,
    /// AdamW's β₂ [default: 0.98 with CLIP's ViTs and small BLIPs, else 0.999]
    #[arg(long, value_parser = below_one, help_heading = "Optimisation")]
    pub beta2: Option<f32>,
    /// AdamW's ε [default: 1e-6 with CLIP's ViTs, else 1e-8]
    #[arg(long, value_parser = non_negative, help_heading = "Optimisation")]
    pub eps: Option<f32>,
    /// Clip the norm of the gradient to this [default: no clipping]
    #[arg(long, value_name = "NORM", value_parser = above_zero::<f32>, help_heading = "Optimisation")]
    pub grad_clip_norm: Option<f32>,
    /// Seed of everything random; on the same instruction set it gives the same weights, bit for bit
    #[arg(long, default_value_t = 0, help_heading = "Optimisation")]
    pub seed: u64,

    /// Folder in which run folders are made
    #[arg(long, value_name = "FOLDER", default_value = "runs", help_heading = "Run")]
    pub logs: PathBuf,
    /// Name of the run folder [default: a number and the model]
    #[arg(long, help_heading = "Run")]
    pub name: Option<String>,
    /// Threads that prepare pictures, in addition to those that compute
    #[arg(long, default_value_t = 1, value_parser = up_to(MAX_WORKERS), help_heading = "Run")]
    pub workers: usize,
    /// Steps between two progress lines
    #[arg(long, value_name = "STEPS", default_value_t = 10, value_parser = positive(), help_heading = "Run")]
    pub log_every_n_steps: usize,
    /// Write the numbers of the log for another program as well
    #[arg(long, value_enum, default_value_t, help_heading = "Run")]
    #[serde(default)]
    pub report_to: ReportTo,
    /// Epochs between two evaluations; 0 evaluates only at the end [default: 4, or 1 with a BLIP]
    #[arg(long, value_name = "EPOCHS", help_heading = "Run")]
    pub val_frequency: Option<usize>,
    /// Epochs between two checkpoints; one is also written every ten minutes [default: 1, or all in an exercise]
    #[arg(long, value_name = "EPOCHS", value_parser = positive(), help_heading = "Run")]
    pub save_frequency: Option<usize>,
    /// Epochs between two models that are kept, in checkpoints/ in the run folder, for `clipwright explain run`
    ///
    /// The first is the one before any step, the last the finished one. Each is a model folder like any other, as large as the
    /// model itself. Without this a run keeps its last model alone.
    #[arg(long, value_name = "EPOCHS", value_parser = positive(), help_heading = "Run")]
    #[serde(default)]
    pub keep_frequency: Option<usize>,
}

impl Options {
    /// Reads the options that a run was started with from its folder.
    pub fn of(folder: &RunFolder) -> Result<Options, RunFolderError> {
        let options: Options = folder.options()?;
        options.check().map_err(|error| folder.bad_options(error))?;
        Ok(options)
    }

    /// Makes the folder of a new run.
    pub(crate) fn make_folder(&self) -> Result<RunFolder, RunFolderError> {
        RunFolder::create(&self.logs, self.name.as_deref(), &self.model_name(), self)
    }

    /// Returns the preset or the file of --model, or else the name of the weights to start from.
    pub(crate) fn model_name(&self) -> Cow<'_, str> {
        match (&self.model, self.pretrained.as_deref().and_then(Path::file_name)) {
            (Some(model), _) => model.into(),
            (None, Some(pretrained)) => pretrained.to_string_lossy(),
            (None, None) => DEFAULT_MODEL.into(),
        }
    }

    /// Returns the number of shards of a step; before the options are settled, one.
    pub(crate) fn shards(&self) -> usize {
        self.shards.unwrap_or(1)
    }

    /// Returns the number of pairs in a step.
    pub(crate) fn pairs_per_step(&self) -> usize {
        self.batch_size() * self.accum_freq * self.shards()
    }

    /// Checks options that were read from a file, which can hold values that the command line refuses.
    pub(crate) fn check(&self) -> Result<(), OptionError> {
        let counts = [
            ("batch_size", self.batch_size(), u32::MAX),
            ("accum_freq", self.accum_freq, u32::MAX),
            ("epochs", self.epochs(), u32::MAX),
            ("workers", self.workers, MAX_WORKERS),
            ("log_every_n_steps", self.log_every_n_steps, u32::MAX),
            ("save_frequency", self.save_frequency(), u32::MAX),
            ("keep_frequency", self.keep_frequency.unwrap_or(1), u32::MAX),
        ];
        if let Some((name, value, max)) =
            counts.into_iter().find(|(_, value, max)| !(1..=*max as usize).contains(value))
        {
            return Err(OptionError::Range { name, value, max });
        }
        let refused = |name| move |reason| OptionError::Refused { name, reason };
        // The parsers of the command line check the values here too.
        let numbers: [(&str, Option<f32>, NumberParser); 6] = [
            ("lr", self.lr, above_zero),
            ("wd", self.wd, non_negative),
            ("eps", self.eps, non_negative),
            ("grad_clip_norm", self.grad_clip_norm, above_zero),
            ("beta1", Some(self.beta1), below_one),
            ("beta2", self.beta2, below_one),
        ];
        for (name, value, parse) in numbers {
            value.map(|value| parse(&value.to_string())).transpose().map_err(refused(name))?;
        }
        power_of_two(&self.shards().to_string()).map_err(refused("shards"))?;
        self.tune.check().map_err(|(name, reason)| OptionError::Refused { name, reason })?;
        share(&self.data.bad_share.to_string()).map_err(refused("bad_share"))?;
        self.savings.check()?;
        if !self.exercise.is_sound() {
            return Err(OptionError::Refused { name: "overfit", reason: "too few or too many pairs".into() });
        }
        let own = self.data.storage.csv_separator.map(|c| separator(&c.to_string()));
        own.transpose().map(|_| ()).map_err(refused("csv_separator"))
    }
}

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LrScheduler {
    /// Step by step along half a cosine to zero
    #[default]
    Cosine,
    /// As BLIP's original, epoch by epoch: in pre-training by a tenth, in fine-tuning along half a cosine
    Epochs,
}

/// The program that reads the numbers of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportTo {
    /// No other program
    #[default]
    #[value(alias = "")]
    None,
    /// TensorBoard, under OpenCLIP's names: tensorboard --logdir runs
    Tensorboard,
}

type NumberParser = fn(&str) -> Result<f32, String>;

fn model_help() -> String {
    let names: Vec<_> = Config::preset_names().chain(BlipConfig::PRESETS).collect();
    format!(
        "Preset, or path of a CLIP's open_clip_config.json [default: that of --pretrained, or else {DEFAULT_MODEL}]\n\n\
         Presets: {}",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_survive_the_run_folder() {
        let sizes = "--image-size-schedule=32:0.75,64:0.25";
        let options =
            Cli::parse_from(["train", "--lr", "3e-4", "--languages", "en,de", "--report-to", "", sizes]).options;
        let json = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<Options>(&json).unwrap(), options);
        let mut older: serde_json::Value = serde_json::from_str(&json).unwrap();
        older.as_object_mut().unwrap().remove("savings");
        let options = Options { savings: SavingsOptions::default(), ..options };
        assert_eq!(serde_json::from_value::<Options>(older).unwrap(), options);
    }

    #[test]
    fn impossible_values_are_refused() {
        let bad = [
            ["--batch-size", "0"],
            ["--lr", "nan"],
            ["--beta2", "1"],
            ["--bad-share", "2"],
            ["--csv-separator", "ab"],
            ["--csv-separator", "\""],
            ["--languages", "xx"],
            ["--force-patch-dropout", "1"],
            ["--image-size-schedule", "96:0.8,224:0.3"],
        ];
        for flags in bad {
            assert!(Cli::try_parse_from(["train"].into_iter().chain(flags)).is_err(), "{flags:?}");
        }
        assert!(Cli::try_parse_from(["train", "--resume", "x", "--lr", "1"]).is_err());
    }
}
