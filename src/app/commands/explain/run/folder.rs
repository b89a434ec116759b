//! The checkpoints of a run, and its log.

use super::look::Look;
use super::shown::Shown;
use crate::app::commands::{CliError, Context};
use crate::app::train::{Options, TrainError};
use crate::checkpoint::blip::{self, describe};
use crate::checkpoint::{self, Checkpoint, Kind};
use crate::eval::exam::Depth;
use crate::train::kept::Kept;
use crate::train::log::{Metrics, Step};
use crate::train::run_folder::{METRICS, OPTIONS, RunFolder};
use std::path::{Path, PathBuf};

/// A run, and what its models are shown.
pub(super) struct Trained {
    /// How the run is named.
    pub name: String,
    pub shown: Shown,
    metrics: Metrics,
    steps_per_epoch: u64,
    models: Vec<Saved>,
}

/// A model of the run.
struct Saved {
    /// How many epochs it has learnt; that of the last checkpoint is not known.
    epoch: Option<u64>,
    path: PathBuf,
}

impl Trained {
    /// Opens the run in a folder, and the data that it is judged by, of which `n` pictures are shown.
    pub fn open(path: &Path, n: usize) -> Result<Self, CliError> {
        let folder = RunFolder { path: path.into() };
        if !folder.file(OPTIONS).is_file() {
            return Err(CliError::NoRun { path: path.into() });
        }
        let options = Options::of(&folder).map_err(TrainError::from)?;
        let models = models(&folder)?;
        let (kind, image_size) = kind_and_size(&models[models.len() - 1].path)?;
        let data = options.reopen(kind, image_size)?;
        Ok(Trained {
            name: path.display().to_string(),
            shown: Shown::new(data.exam(Depth::Quick), n, options.blip.captions_begin()),
            metrics: Metrics::read(folder.file(METRICS)).map_err(TrainError::from)?,
            steps_per_epoch: options.steps_per_epoch(&data),
            models,
        })
    }

    /// Shows every model the pictures and captions.
    pub fn looks(&self, context: &Context) -> Result<Vec<Look>, CliError> {
        let bar = context.output.progress(self.models.len(), "checkpoints");
        let look = |Saved { epoch, path }: &Saved| {
            let look = Look::new(context.open_found(path)?, &self.shown)?;
            bar.inc(1);
            Ok(Look { epoch: *epoch, loss: self.loss(*epoch), ..look })
        };
        let looks = self.models.iter().map(look).collect();
        bar.finish_and_clear();
        looks
    }

    /// Returns the loss of the last step that was logged up to the end of an epoch, or of all.
    fn loss(&self, epoch: Option<u64>) -> Option<f64> {
        let end = epoch.map_or(u64::MAX, |epoch| epoch.saturating_mul(self.steps_per_epoch));
        self.metrics.steps.iter().rfind(|step| step.step <= end).map(Step::loss)
    }
}

/// Returns the models that a run has kept or, if it has kept none, its last checkpoint.
fn models(folder: &RunFolder) -> Result<Vec<Saved>, TrainError> {
    let kept = folder.kept()?;
    if kept.is_empty() {
        return Ok(vec![Saved { epoch: None, path: folder.path.clone() }]);
    }
    Ok(kept.into_iter().map(|Kept { epoch, path }| Saved { epoch: Some(epoch), path }).collect())
}

/// Returns the kind of a model, and the size of its pictures in pixels.
fn kind_and_size(path: &Path) -> Result<(Kind, usize), CliError> {
    match checkpoint::kind(path)? {
        Some(Kind::Blip) => {
            let [size, _] = describe(path, &blip::Overrides::default())?.config.vision.image_size;
            Ok((Kind::Blip, size))
        }
        _ => Ok((Kind::Clip, Checkpoint::open(path, &checkpoint::Overrides::default())?.preprocess.size)),
    }
}
