//! `open_clip_config.json`.

use super::CheckpointError;
use crate::input::Preprocess;
use crate::io::write_atomic;
use crate::models::Config;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::Error;
use std::path::Path;

/// The architecture, and how pictures are prepared for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigFile {
    pub model_cfg: Config,
    #[serde(default)]
    pub preprocess_cfg: Preprocess,
}

impl ConfigFile {
    /// With OpenAI's preparation of pictures.
    pub fn new(model_cfg: Config) -> ConfigFile {
        let preprocess_cfg = Preprocess { size: model_cfg.vision_cfg.image_size, ..Preprocess::default() };
        ConfigFile { model_cfg, preprocess_cfg }
    }

    /// Reads the file; one that holds the `model_cfg` alone, as OpenCLIP's own model list does, will do.
    pub fn read(path: &Path) -> Result<ConfigFile, CheckpointError> {
        let text = std::fs::read(path).map_err(|source| CheckpointError::Io { path: path.into(), source })?;
        let invalid = |reason: String| CheckpointError::Config { path: path.into(), reason };
        let value: Value = serde_json::from_slice(&text).map_err(|e| invalid(e.to_string()))?;
        let file = if value.get("model_cfg").is_some() {
            serde_json::from_value(value)
        } else {
            serde_json::from_value(value).map(ConfigFile::new)
        };
        let mut file = file.map_err(|e| invalid(e.to_string()))?;
        file.model_cfg.check().map_err(|e| invalid(e.to_string()))?;
        // OpenCLIP's files leave the size out: it is the model's.
        file.preprocess_cfg.size = file.model_cfg.vision_cfg.image_size;
        Ok(file)
    }

    /// Writes the file, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        write_atomic(path, |out| {
            serde_json::to_writer_pretty(&mut *out, self).map_err(Error::other)?;
            writeln!(out)
        })
        .map_err(|source| CheckpointError::Io { path: path.into(), source })
    }
}
