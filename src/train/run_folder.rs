//! The run folder: everything a run leaves behind.
//!
//! | file | what |
//! |---|---|
//! | `open_clip_model.safetensors`, `open_clip_config.json` | the model, as OpenCLIP loads it |
//! | `resume.safetensors`, `options.json` | parameters, buffers, both moments and the step; the command line |
//! | `metrics.jsonl` | a line for each logged step and evaluation |
//! | `loss.png`, `recall.png`, `schedule.png` | curves |
//! | `similarity.png`, `captions.png` | what the model thinks of held-out pictures |
//! | `report.md` | the last table |

use crate::app::train::{Options, TrainError};
use crate::checkpoint::safetensors::{Reader, Tensor, write};
use crate::checkpoint::{self, CheckpointError, ConfigFile, Dtype};
use crate::files::write_atomic;
use crate::models::clip::model::{self, Model};
use crate::optim::adamw::AdamW;
use crate::params::{self, Params};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder under `runs`.
#[derive(Clone, Debug)]
pub struct RunFolder {
    pub path: PathBuf,
}

const RESUME: &str = "resume.safetensors";
const OPTIONS: &str = "options.json";
/// No run is as long, and nothing that is counted from here on overflows.
const MOST_STEPS: u64 = 1 << 48;

impl RunFolder {
    /// Makes the folder of a new run: its name, or the next number and the model.
    pub fn create(options: &Options) -> Result<Self, TrainError> {
        let path = match &options.name {
            Some(name) => options.logs.join(name),
            None => options.logs.join(next_name(&options.logs, &options.model)),
        };
        let error = |source| TrainError::File { path: path.clone(), source };
        fs::create_dir_all(&options.logs).map_err(error)?;
        match fs::create_dir(&path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Err(TrainError::RunExists { path }),
            made => made.map_err(error)?,
        }
        let folder = RunFolder { path };
        let json = serde_json::to_vec_pretty(options).expect("options are plain data");
        folder.write(OPTIONS, &json)?;
        Ok(folder)
    }

    /// Finds a run to resume, `latest` being the one whose state was written last, and the options it was started with.
    pub fn find(run: &str, logs: &Path) -> Result<(Self, Options), TrainError> {
        let path = if run == "latest" { latest(logs)? } else { PathBuf::from(run) };
        let file = path.join(OPTIONS);
        let text = fs::read(&file).map_err(|source| TrainError::File { path: file.clone(), source })?;
        let invalid = |reason: String| TrainError::File { path: file, source: io::Error::other(reason) };
        let options: Result<Options, String> = serde_json::from_slice(&text).map_err(|e| e.to_string());
        let options = options.and_then(|options| options.check().map(|()| options)).map_err(invalid)?;
        Ok((RunFolder { path }, options))
    }

    /// The path of a file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a small file, whole or not at all.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), TrainError> {
        write_atomic(self.file(name), |out| out.write_all(bytes))
            .map_err(|source| TrainError::File { path: self.file(name), source })
    }

    /// Saves the state of the run, in one file so that it is of one step, and the model for use elsewhere.
    pub fn save(&self, model: &Model, config: &ConfigFile, adam: &AdamW) -> Result<(), CheckpointError> {
        let tensors = [("params", &model.params.flat), ("exp_avg", &adam.m), ("exp_avg_sq", &adam.v)]
            .map(|(name, values)| Tensor::new(name, &[values.len()], values, Dtype::F32));
        checkpoint::save_model(&self.path, model, config)?;
        write(&self.file(RESUME), &tensors, [("step", adam.steps.to_string().as_str())])
    }

    /// Whether there is something to resume from.
    pub fn has_state(&self) -> bool {
        self.file(RESUME).exists()
    }

    /// The run's model, its parameters still to be loaded. Nothing is allocated for more of them than there are.
    pub fn model(&self) -> Result<(Model, ConfigFile), CheckpointError> {
        let config = ConfigFile::read(&self.file(checkpoint::CONFIG))?;
        let spec = model::spec(&config.model_cfg);
        Reader::open(&self.file(RESUME))?.check("params", &[params::len(&spec)])?;
        Ok((Model { config: config.model_cfg.clone(), params: Params::zeros(spec) }, config))
    }

    /// Restores what [`RunFolder::save`] saved, bit for bit.
    pub fn load(&self, model: &mut Model, adam: &mut AdamW) -> Result<(), CheckpointError> {
        let path = self.file(RESUME);
        let reader = Reader::open(&path)?;
        for (name, out) in [("params", &mut model.params.flat), ("exp_avg", &mut adam.m), ("exp_avg_sq", &mut adam.v)] {
            reader.read(name, &[out.len()], out)?;
        }
        let step = reader.metadata("step").and_then(|step| step.parse().ok()).filter(|&step| step <= MOST_STEPS);
        adam.steps = step.ok_or(CheckpointError::Config { path, reason: "it does not say its step".into() })?;
        Ok(())
    }
}

/// `003-ViT-B-32`, one more than the highest number there is.
fn next_name(logs: &Path, model: &str) -> String {
    let entries = fs::read_dir(logs).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.split('-').next()?.parse::<u32>().ok());
    let model = Path::new(model).file_stem().map_or(model.into(), |stem| stem.to_string_lossy());
    format!("{:03}-{model}", numbers.max().unwrap_or(0) + 1)
}

fn latest(logs: &Path) -> Result<PathBuf, TrainError> {
    let newest = newest(logs, RESUME).map_err(|source| TrainError::File { path: logs.into(), source })?;
    newest.ok_or_else(|| TrainError::NoRun { logs: logs.into() })
}

/// The run whose model was written last, if there is one.
pub fn newest_model(logs: &Path) -> Option<PathBuf> {
    newest(logs, checkpoint::WEIGHTS).ok().flatten()
}

/// The folder in `logs` whose `file` was written last.
fn newest(logs: &Path, file: &str) -> io::Result<Option<PathBuf>> {
    let files = fs::read_dir(logs)?.flatten().filter_map(|entry| {
        let written = fs::metadata(entry.path().join(file)).ok()?.modified().ok()?;
        Some((written, entry.path()))
    });
    Ok(files.max().map(|(_, path)| path))
}
