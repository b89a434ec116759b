//! The options that all commands share: where the model is and how results are written.

use super::{CliError, Output};
use crate::checkpoint::{Checkpoint, Overrides};
use crate::embed::{Clip, ImageEncoder, TextEncoder};
use crate::index::ModelId;
use crate::train::run_folder::newest_model;
use clap::{Args, ValueEnum};
use kernels::Activation;
use std::path::{Path, PathBuf};

/// The folder of the trainer's runs.
const RUNS: &str = "runs";

/// The options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Model folder or file of weights [default: the newest training run in runs/]
    #[arg(long, global = true, value_name = "PATH")]
    model: Option<PathBuf>,
    /// Print results as JSON, one object per line
    #[arg(long, global = true)]
    json: bool,
    /// Activation of both towers, if the model names none or a wrong one [default: the model's own]
    #[arg(long, global = true, value_name = "NAME")]
    activation: Option<ActivationName>,
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
    pub fn new(global: Global) -> Self {
        let output = Output::new(global.json);
        Context { global, output }
    }

    /// Returns the path that `--model` names.
    pub fn named_model(&self) -> Option<&Path> {
        self.global.model.as_deref()
    }

    /// Returns the path of the named model or of the trainer's newest run.
    pub fn model_path(&self) -> Result<PathBuf, CliError> {
        let newest = || newest_model(Path::new(RUNS)).ok_or(CliError::NoModel { runs: RUNS.into() });
        self.global.model.clone().map_or_else(newest, Ok)
    }

    /// Opens a model without reading its towers.
    pub fn open(&self, path: &Path, image_size: Option<usize>) -> Result<Checkpoint, CliError> {
        let activation = self.activation();
        Ok(Checkpoint::open(path, &Overrides { image_size, activation })?)
    }

    /// Opens the named model or, without one, the model that an index was made with.
    pub fn open_for(&self, index: &ModelId) -> Result<Checkpoint, CliError> {
        if let Some(path) = &self.global.model {
            return self.open(path, None);
        }
        let activation = self.activation().or(Some(index.activation()));
        Ok(Checkpoint::open(Path::new(&index.path), &Overrides { image_size: None, activation })?)
    }

    fn activation(&self) -> Option<Activation> {
        self.global.activation.map(|name| match name {
            ActivationName::QuickGelu => Activation::QuickGelu,
            ActivationName::Gelu => Activation::Gelu,
        })
    }

    /// Loads the model with both towers.
    pub fn clip(&self) -> Result<Clip, CliError> {
        Ok(Clip::new(&self.open(&self.model_path()?, None)?)?)
    }

    /// Loads the model's image tower and does not read the text tower.
    pub fn image_encoder(&self) -> Result<ImageEncoder, CliError> {
        Ok(ImageEncoder::new(&self.open(&self.model_path()?, None)?)?)
    }

    /// Loads the model's text tower and does not read the image tower.
    pub fn text_encoder(&self) -> Result<TextEncoder, CliError> {
        Ok(TextEncoder::new(&self.open(&self.model_path()?, None)?)?)
    }
}
