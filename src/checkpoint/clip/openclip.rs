//! Reads and writes `open_clip_config.json`.

use super::siglip_config;
use crate::checkpoint::CheckpointError;
use crate::checkpoint::ConfigFileError;
use crate::checkpoint::json::read_json;
use crate::files::write_atomic;
use crate::models::clip::Config;
use crate::pictures::Preprocess;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::Error;
use std::path::Path;

/// The name of the file of weights in a model folder of ours.
pub const WEIGHTS: &str = "open_clip_model.safetensors";
/// The name of the configuration in a model folder of ours.
pub const CONFIG: &str = "open_clip_config.json";

/// The contents of the file: the architecture, and how pictures are prepared for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigFile {
    pub model_cfg: Config,
    #[serde(default)]
    pub preprocess_cfg: Preprocess,
}

impl ConfigFile {
    /// Returns the contents for this architecture, with pictures prepared as OpenAI prepares them, or for SigLIP's image
    /// tower as its authors do.
    pub fn new(model_cfg: Config) -> ConfigFile {
        let vision = &model_cfg.vision_cfg;
        let pictures = if vision.map_head { Preprocess::siglip() } else { Preprocess::default() };
        let preprocess_cfg = Preprocess { size: vision.image_size, ..pictures };
        ConfigFile { model_cfg, preprocess_cfg }
    }

    /// Returns the contents for the same model with pictures of another size.
    #[must_use]
    pub fn resized(mut self, image_size: usize) -> ConfigFile {
        self.model_cfg.vision_cfg.image_size = image_size;
        self.preprocess_cfg.size = image_size;
        self
    }

    /// Reads the file. It may hold the `model_cfg` alone, as the files of OpenCLIP's own list of models do.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or if its contents are not valid.
    pub fn read(path: &Path) -> Result<ConfigFile, CheckpointError> {
        ConfigFile::parse(read_json(path)?).map_err(CheckpointError::config(path))
    }

    /// Returns the contents of such a file from its JSON.
    ///
    /// # Errors
    /// Returns an error that says what is wrong with the contents.
    pub fn parse(mut value: Value) -> Result<ConfigFile, ConfigFileError> {
        if value.get("model_cfg").is_none() {
            value = json!({ "model_cfg": value });
        }
        siglip_config::expand(&mut value["model_cfg"])?;
        drop_defaults(&mut value["model_cfg"]);
        let says_pictures = value.get("preprocess_cfg").is_some();
        let mut file: ConfigFile = serde_json::from_value(value)?;
        if file.model_cfg.vision_cfg.map_head && !says_pictures {
            file.preprocess_cfg = Preprocess::siglip();
        }
        file.model_cfg.check()?;
        // OpenCLIP's files leave out the size of pictures, which is the model's.
        file.preprocess_cfg.size = file.model_cfg.vision_cfg.image_size;
        file.preprocess_cfg.check().map_err(ConfigFileError::within("preprocess_cfg"))?;
        Ok(file)
    }

    /// Writes the file, which appears as a whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        write_atomic(path, |out| {
            if self.model_cfg.is_siglip() {
                // By way of the text, in which a number has the digits of an f32.
                let text = serde_json::to_string(self).map_err(Error::other)?;
                let mut value: Value = serde_json::from_str(&text).map_err(Error::other)?;
                siglip_config::describe(&mut value["model_cfg"]);
                serde_json::to_writer_pretty(&mut *out, &value).map_err(Error::other)?;
            } else {
                serde_json::to_writer_pretty(&mut *out, self).map_err(Error::other)?;
            }
            writeln!(out)
        })
        .map_err(|source| CheckpointError::Io { path: path.into(), source })
    }
}

/// Removes fields that OpenCLIP's configurations may have without changing the model: those that say how it was
/// initialised or trained, and those with the value that leaving them out means. Whatever unknown field remains is
/// refused.
fn drop_defaults(model: &mut Value) {
    const TRAINING: [&str; 2] = ["nonscalar_logit_scale", "custom_text"];
    let defaults = [
        json!({}),
        json!({
            "output_tokens": false, "attentional_pool": false, "no_ln_pre": false, "final_ln_after_pool": false,
            "pos_embed_type": "learnable", "pool_type": "tok",
        }),
        json!({
            "output_tokens": false, "embed_cls": false, "no_causal_mask": false, "final_ln_after_pool": false,
            "proj_bias": false, "pad_id": 0, "pool_type": "argmax", "proj_type": "linear",
        }),
    ];
    for (part, defaults) in ["", "/vision_cfg", "/text_cfg"].into_iter().zip(defaults) {
        if let Some(Value::Object(fields)) = model.pointer_mut(part) {
            let means_nothing = |name: &str, value: &Value| {
                value.is_null() || TRAINING.contains(&name) || defaults.get(name) == Some(value)
            };
            fields.retain(|name, value| !means_nothing(name, value));
        }
    }
}
