//! The model and the tokenizer that a run begins with.

use super::error::TrainError;
use super::options::{DEFAULT_MODEL, Options};
use crate::checkpoint::{self, Checkpoint, ConfigFile, Overrides};
use crate::models::clip::config::{Config, VOCAB_SIZE};
use crate::models::clip::model::Model;
use crate::pictures::Library;
use crate::text::Tokenizer;
use crate::train::clip;
use crate::train::run_folder::RunFolder;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The model with which a run begins or continues.
pub(crate) struct Start {
    pub model: Model,
    pub config: ConfigFile,
    /// The model's own `tokenizer.json`, if it has one.
    pub tokenizer: Option<PathBuf>,
}

impl Start {
    /// Makes the model that the options describe, or loads the one that is to be trained further.
    pub(crate) fn of(options: &Options) -> Result<Start, TrainError> {
        let Some(path) = &options.pretrained else {
            let mut config = described(options.model.as_deref().unwrap_or(DEFAULT_MODEL))?;
            options.savings.apply(&mut config)?;
            if let Some(sizes) = &options.savings.image_size_schedule {
                config = config.resized(sizes.first());
            }
            if options.siglip {
                config.model_cfg = config.model_cfg.siglip();
            }
            return Ok(Start { model: Model::new(config.model_cfg.clone(), options.seed), config, tokenizer: None });
        };
        let checkpoint = Checkpoint::open(path, &Overrides::default())?;
        checkpoint.notes.iter().for_each(|note| note!("note: {note}"));
        checkpoint.check_trainable()?;
        let (mut model, mut config) = checkpoint.model()?;
        if let Some(name) = &options.model {
            let wanted = described(name)?.model_cfg;
            // Patch dropout is a matter of training and not of the weights.
            config.model_cfg.vision_cfg.patch_dropout = wanted.vision_cfg.patch_dropout;
            check_same(name, &wanted, path, &config.model_cfg)?;
        }
        options.savings.apply(&mut config)?;
        model.config.clone_from(&config.model_cfg);
        // A resumed run reads the run's folder, which is in OpenCLIP's form.
        config.preprocess_cfg.library = Library::OpenClip;
        Ok(Start { model, config, tokenizer: checkpoint.tokenizer })
    }

    /// Prepares the model of a run's folder, whose parameters are still to be loaded.
    pub(crate) fn resumed(options: &Options, folder: &RunFolder) -> Result<Start, TrainError> {
        let (model, config) = clip::resumed(folder, &options.savings.sizes())?;
        let beside = [checkpoint::TOKENIZER, checkpoint::SENTENCE_PIECE].map(|name| folder.file(name));
        let tokenizer = beside.into_iter().find(|path| path.is_file());
        Ok(Start { model, config, tokenizer })
    }
}

/// Opens the model's own tokenizer, or makes CLIP's, whose tokens the model must know.
pub(crate) fn tokenizer(own: Option<&Path>, config: &Config) -> Result<Tokenizer, TrainError> {
    let known = config.text_cfg.vocab_size;
    let is_padded = config.text_cfg.no_causal_mask;
    if own.is_none() && (known < VOCAB_SIZE || is_padded && known != VOCAB_SIZE) {
        return Err(TrainError::Vocabulary(known));
    }
    let tokenizer = Tokenizer::of_tower(own, is_padded)?;
    let tokens = tokenizer.vocabulary();
    match own {
        Some(path) if tokens > known => Err(TrainError::Tokenizer { path: path.into(), tokens, known }),
        _ => Ok(tokenizer),
    }
}

/// Returns the configuration of a preset, or of a file.
fn described(name: &str) -> Result<ConfigFile, TrainError> {
    if name.ends_with(".json") {
        Ok(ConfigFile::read(Path::new(name))?)
    } else {
        Ok(ConfigFile::new(Config::preset(name)?))
    }
}

/// Checks that weights belong to the model that was asked for. How a new model would begin is no matter, and neither is
/// a bias that only the weights have: the presets say nothing of the loss.
fn check_same(name: &str, wanted: &Config, path: &Path, found: &Config) -> Result<(), TrainError> {
    let init_logit_bias = found.init_logit_bias.or(wanted.init_logit_bias);
    let wanted = Config { init_logit_scale: found.init_logit_scale, init_logit_bias, ..wanted.clone() };
    let fields = |config| serde_json::to_value(config).expect("a configuration is plain data");
    match difference("", &fields(&wanted), &fields(found)) {
        None => Ok(()),
        Some((field, wanted, found)) => {
            let difference = format!("{field} is {found}, but {wanted} in {name}");
            Err(TrainError::OtherModel { path: path.into(), difference })
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
