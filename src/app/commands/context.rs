//! What all commands share: where the model is, how results are written.

use super::{CliError, Output};
use crate::checkpoint::{Checkpoint, Overrides};
use crate::embed::{Clip, ImageEncoder, TextEncoder};
use crate::index::ModelId;
use crate::train::run_folder::newest_model;
use clap::{Args, ValueEnum};
use kernels::Activation;
use std::path::{Path, PathBuf};

/// Where the trainer leaves its runs.
const RUNS: &str = "runs";

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Model folder or file of weights [default: the newest run of the trainer in runs/]
    #[arg(long, global = true, value_name = "PATH")]
    model: Option<PathBuf>,
    /// Write results as JSON, one object per line
    #[arg(long, global = true)]
    json: bool,
    /// The activation of both towers, where the model does not say, or says it wrongly
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

/// The global options, understood.
pub struct Context {
    global: Global,
    pub output: Output,
}

impl Context {
    pub fn new(global: Global) -> Self {
        let output = Output::new(global.json);
        Context { global, output }
    }

    /// What `--model` says.
    pub fn named_model(&self) -> Option<&Path> {
        self.global.model.as_deref()
    }

    /// The model that was named, or the newest run of the trainer.
    pub fn model_path(&self) -> Result<PathBuf, CliError> {
        let newest = || newest_model(Path::new(RUNS)).ok_or(CliError::NoModel { runs: RUNS.into() });
        self.global.model.clone().map_or_else(newest, Ok)
    }

    /// Opens a model without reading its towers.
    pub fn open(&self, path: &Path, image_size: Option<usize>) -> Result<Checkpoint, CliError> {
        let activation = self.activation();
        Ok(Checkpoint::open(path, &Overrides { image_size, activation })?)
    }

    /// Opens the model that was named, or else the one that an index was made with.
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

    /// The model with both towers.
    pub fn clip(&self) -> Result<Clip, CliError> {
        Ok(Clip::new(&self.open(&self.model_path()?, None)?)?)
    }

    /// The model's image tower; the other is not read.
    pub fn image_encoder(&self) -> Result<ImageEncoder, CliError> {
        Ok(ImageEncoder::new(&self.open(&self.model_path()?, None)?)?)
    }

    /// The model's text tower; the other is not read.
    pub fn text_encoder(&self) -> Result<TextEncoder, CliError> {
        Ok(TextEncoder::new(&self.open(&self.model_path()?, None)?)?)
    }
}
