//! The options that all commands share: where the model is and how results are written.

use super::{CliError, Output};
use crate::checkpoint::blip;
use crate::checkpoint::{self, Checkpoint, Kind, Overrides};
use crate::embed::{Blip, Clip, Opened, Task, TextEncoder};
use crate::index::ModelId;
use crate::train::run_folder::newest_finished;
use crate::weights::{Half, Rounding};
use clap::{Args, ValueEnum};
use kernels::Activation;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::{env, fmt};

/// The variable of the environment that names the model where `--model` does not. An empty value counts as none.
const MODEL: &str = "CLIP_MODEL";
/// The folder of the trainer's runs.
const RUNS: &str = "runs";

/// The options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Model folder, file of weights, or name of a model in the Hugging Face cache [default: what CLIP_MODEL in the
    /// environment says, or else the newest finished run in runs/, or for `bench` ViT-B-32]
    #[arg(long, global = true, value_name = "PATH")]
    model: Option<PathBuf>,
    /// Print results as JSON, one object per line
    #[arg(long, global = true)]
    json: bool,
    /// Activation of both towers, if the model names none or a wrong one [default: the model's own]
    #[arg(long, global = true, value_name = "NAME")]
    activation: Option<ActivationName>,
    /// Logarithm of what cosines are multiplied by, if the model was saved without it; 4.6052 is the usual end of
    /// training, × 100 [default: the model's own]
    #[arg(long, global = true, value_name = "NUMBER", value_parser = logit_scale, allow_negative_numbers = true)]
    logit_scale: Option<f32>,
    /// What a CLIP's embeddings are computed with [default: weights as they are stored, 8, 16 or 32 bits]
    ///
    /// f16 and bf16 round the matrices to 16 bits, which take half the memory, and compute in 32; a matrix that is stored
    /// so loses nothing. int8 rounds the weights of the Transformers' linear layers, and what they are multiplied with,
    /// to eight bits, except before attention so sharp that the error would change what it looks at.
    #[arg(long, global = true, value_name = "TYPE")]
    precision: Option<PrecisionName>,
}

/// The types that `--precision` offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PrecisionName {
    F32,
    F16,
    Bf16,
    Int8,
}

impl fmt::Display for PrecisionName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.to_possible_value().expect("a name").get_name())
    }
}

impl PrecisionName {
    /// Returns what weights are rounded to.
    fn rounding(self) -> Rounding {
        match self {
            PrecisionName::F32 => Rounding::None,
            PrecisionName::F16 => Rounding::Half(Half::F16),
            PrecisionName::Bf16 => Rounding::Half(Half::Bf16),
            PrecisionName::Int8 => Rounding::Int8,
        }
    }
}

/// The largest accepted logarithm; a larger one would make logits infinite or NaN after some arithmetic.
const MAX_LOGIT_SCALE: f32 = 20.0;

fn logit_scale(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if value.abs() <= MAX_LOGIT_SCALE => Ok(value),
        Ok(_) => Err(format!("a logarithm: at most {MAX_LOGIT_SCALE}, and 4.6052 for × 100")),
        Err(_) => Err("not a number".into()),
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ActivationName {
    #[value(name = "quick_gelu")]
    QuickGelu,
    #[value(name = "gelu")]
    Gelu,
}

/// The evaluated global options.
pub struct Context {
    global: Global,
    pub output: Output,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        let output = Output::new(global.json);
        Context { global, output }
    }

    /// Returns the path that `--model` or, without it, the environment names.
    pub(crate) fn named_model(&self) -> Option<PathBuf> {
        let from_environment = || env::var_os(MODEL).filter(|path| !path.is_empty()).map(PathBuf::from);
        self.global.model.clone().or_else(from_environment)
    }

    /// Refuses `--model`, for a command that takes the model in another way.
    pub(crate) fn refuse_model(&self, reason: &str) -> Result<(), CliError> {
        if self.global.model.is_some() { Err(CliError::Usage(reason.into())) } else { Ok(()) }
    }

    /// Refuses `--precision` for a command that has no use for it.
    pub(crate) fn refuse_precision(&self, reason: &str) -> Result<(), CliError> {
        match self.global.precision {
            Some(precision) => Err(CliError::Usage(format!("--precision {precision}: {reason}"))),
            None => Ok(()),
        }
    }

    /// Returns the path of the named model or, with a message, of the trainer's newest finished run.
    pub(crate) fn model_path(&self) -> Result<PathBuf, CliError> {
        self.found_model().ok_or(CliError::NoModel { runs: RUNS.into() })
    }

    /// Returns the same path, if there is a model, for a command that can do without.
    pub(crate) fn found_model(&self) -> Option<PathBuf> {
        self.named_model().or_else(|| {
            let newest = newest_finished(Path::new(RUNS))?;
            note!("model {}, the newest run that is finished", newest.display());
            Some(newest)
        })
    }

    /// Opens a CLIP without reading its towers, and prints what was assumed or ignored.
    pub(crate) fn open(&self, path: &Path, image_size: Option<usize>) -> Result<Checkpoint, CliError> {
        self.open_with(path, Overrides { image_size, ..self.overrides() })
    }

    /// Opens the model, of whichever family, and prints what was assumed or ignored.
    pub(crate) fn open_either(&self) -> Result<Opened, CliError> {
        self.open_found(&self.model_path()?)
    }

    /// Opens the model at a path, of whichever family, and prints what was assumed or ignored.
    pub(crate) fn open_found(&self, path: &Path) -> Result<Opened, CliError> {
        self.open_either_at(path, self.overrides())
    }

    /// Opens the model of `--model` or, without it, the one that an index was made with, whatever the environment says.
    pub(crate) fn open_for(&self, index: &ModelId) -> Result<Opened, CliError> {
        let overrides = self.overrides();
        if let Some(path) = &self.global.model {
            return self.open_either_at(path, overrides);
        }
        let activation = overrides.activation.or(index.activation());
        self.open_either_at(Path::new(&index.path), Overrides { activation, ..overrides })
    }

    fn open_either_at(&self, path: &Path, overrides: Overrides) -> Result<Opened, CliError> {
        Ok(match checkpoint::kind(path)? {
            Some(Kind::Blip) => Opened::Blip(Box::new(self.describe_blip(path)?)),
            _ => Opened::Clip(Box::new(self.open_with(path, overrides)?)),
        })
    }

    fn open_with(&self, path: &Path, overrides: Overrides) -> Result<Checkpoint, CliError> {
        let checkpoint = Checkpoint::open(path, &overrides)?;
        checkpoint.notes.iter().for_each(|note| note!("note: {note}"));
        Ok(checkpoint)
    }

    /// Returns to what the command line wants weights rounded.
    pub(crate) fn rounded(&self) -> Option<PrecisionName> {
        self.global.precision.filter(|&precision| precision != PrecisionName::F32)
    }

    /// Returns what embeddings are to be computed with, if the command line says it.
    pub(crate) fn precision(&self) -> Option<PrecisionName> {
        self.global.precision
    }

    /// Returns what weights are to be rounded to.
    pub(crate) fn rounding(&self) -> Rounding {
        self.global.precision.map_or(Rounding::Stored, PrecisionName::rounding)
    }

    /// Returns the settings of CLIPs that the command line has.
    fn overrides(&self) -> Overrides {
        let activation = self.global.activation.map(|name| match name {
            ActivationName::QuickGelu => Activation::QuickGelu,
            ActivationName::Gelu => Activation::Gelu,
        });
        Overrides { image_size: None, activation, logit_scale: self.global.logit_scale, rounding: self.rounding() }
    }

    /// Loads the model as a BLIP that can do a task. It must be named, since the trainer's runs are CLIPs.
    pub(crate) fn blip(&self, task: Task) -> Result<Blip, CliError> {
        let path = self.named_model().ok_or(CliError::NoBlip { task })?;
        Ok(Blip::open(self.describe_blip(&path)?, task)?)
    }

    /// Describes the BLIP at a path and computes its identity.
    pub(crate) fn identify_blip(&self, path: &Path) -> Result<(blip::Described, ModelId), CliError> {
        let opened = Opened::Blip(Box::new(self.describe_blip(path)?));
        let id = ModelId::of(&opened)?;
        let Opened::Blip(described) = opened else { unreachable!("it is a BLIP") };
        Ok((*described, id))
    }

    /// Reads a BLIP, and prints what was assumed or ignored.
    pub(crate) fn load_blip(&self, path: &Path, overrides: &blip::Overrides) -> Result<blip::Loaded, CliError> {
        self.check_blip_settings()?;
        let loaded = blip::load(path, overrides)?;
        loaded.notes.iter().for_each(|note| note!("note: {note}"));
        Ok(loaded)
    }

    /// Describes a BLIP without reading its values, and prints what was assumed or ignored.
    pub(crate) fn describe_blip(&self, path: &Path) -> Result<blip::Described, CliError> {
        self.check_blip_settings()?;
        let described = blip::describe(path, &blip::Overrides::default())?;
        described.notes.iter().for_each(|note| note!("note: {note}"));
        Ok(described)
    }

    /// Refuses settings that only CLIPs have.
    fn check_blip_settings(&self) -> Result<(), CliError> {
        let Global { activation, logit_scale, .. } = &self.global;
        let given = [
            ("--activation", activation.is_some()),
            ("--logit-scale", logit_scale.is_some()),
            ("--precision", self.rounded().is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(CliError::Usage(format!("{flag} is for CLIPs; a BLIP has no such choice"))),
            None => Ok(()),
        }
    }

    /// Loads a CLIP with both towers.
    pub(crate) fn clip(&self) -> Result<Clip, CliError> {
        Ok(Clip::new(&self.open(&self.model_path()?, None)?)?)
    }

    /// Loads a CLIP's text tower and does not read the image tower.
    pub(crate) fn text_encoder(&self) -> Result<TextEncoder, CliError> {
        Ok(TextEncoder::new(&self.open(&self.model_path()?, None)?)?)
    }
}
