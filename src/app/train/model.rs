//! The model that a run begins with.

use super::error::TrainError;
use super::options::{DEFAULT_MODEL, Options};
use crate::checkpoint::{self, ConfigFile};
use crate::models::clip::config::{Config, VOCAB_SIZE};
use crate::models::clip::model::Model;
use crate::pictures::Library;
use serde_json::{Map, Value};
use std::path::Path;

/// Makes the model that the options describe, or loads it.
pub fn start(options: &Options) -> Result<(Model, ConfigFile), TrainError> {
    let (model, file) = match &options.pretrained {
        Some(path) => {
            let (model, mut file) = checkpoint::load_model(path)?;
            if let Some(name) = &options.model {
                check_same(name, &described(name)?.model_cfg, path, &file.model_cfg)?;
            }
            // A resumed run reads the run's folder, which is in OpenCLIP's form.
            file.preprocess_cfg.library = Library::OpenClip;
            (model, file)
        }
        None => {
            let file = described(options.model.as_deref().unwrap_or(DEFAULT_MODEL))?;
            (Model::new(file.model_cfg.clone(), options.seed), file)
        }
    };
    let size = model.config.text_cfg.vocab_size;
    if size < VOCAB_SIZE { Err(TrainError::Vocabulary(size)) } else { Ok((model, file)) }
}

/// Returns the configuration of a preset, or of a file.
fn described(name: &str) -> Result<ConfigFile, TrainError> {
    if name.ends_with(".json") {
        Ok(ConfigFile::read(Path::new(name))?)
    } else {
        Ok(ConfigFile::new(Config::preset(name)?))
    }
}

/// Refuses weights that are not of the model that was asked for.
fn check_same(name: &str, wanted: &Config, path: &Path, found: &Config) -> Result<(), TrainError> {
    let fields = |config| serde_json::to_value(config).expect("a configuration is plain data");
    match difference("", &fields(wanted), &fields(found)) {
        None => Ok(()),
        Some((field, wanted, found)) => {
            Err(TrainError::OtherModel { path: path.into(), name: name.into(), field, wanted, found })
        }
    }
}

/// Returns the first field in which two configurations differ, and both its values.
fn difference(at: &str, wanted: &Value, found: &Value) -> Option<(String, Value, Value)> {
    let (Value::Object(wanted_fields), Value::Object(found_fields)) = (wanted, found) else {
        return (wanted != found).then(|| (at.to_owned(), wanted.clone(), found.clone()));
    };
    let names = wanted_fields.keys().chain(found_fields.keys());
    names.into_iter().find_map(|name| {
        let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        let field = |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or(Value::Null);
        difference(&at, &field(wanted_fields), &field(found_fields))
    })
}
