//! The implementation of [`Family`] for BLIP.

use super::folders::{self, Model};
use super::hugging_face::{self, CONFIG as HUGGING_FACE_CONFIG};
use super::infer::{self, Overrides, Rules, Said};
use super::names::{Format, Scheme};
use super::original::{self, CONFIG};
use super::tokens::Special;
use crate::checkpoint::dtype::Precision;
use crate::checkpoint::family::Family;
use crate::checkpoint::json::parse_json;
use crate::checkpoint::kind::Kind;
use crate::checkpoint::places::{Expected, expected};
use crate::checkpoint::prefix::Known;
use crate::checkpoint::preprocessor::{Class, pictures};
use crate::checkpoint::tensors::TensorFiles;
use crate::checkpoint::{CheckpointError, Note};
use crate::models::blip::{Config, spec};
use crate::models::clip::config::ConfigError;
use crate::pictures::Preprocess;
use crate::tree::Path as TreePath;
use std::collections::BTreeSet;
use std::path::Path;

/// The description of a BLIP, read from its configuration or inferred from its tensors.
pub(crate) struct Described {
    pub config: Config,
    /// How pictures are prepared, if a file says so.
    pub preprocess: Option<Preprocess>,
    pub notes: Vec<Note>,
}

impl Family for Scheme {
    type Description = Described;
    type Overrides = Overrides;
    type Model<'a> = Model<'a>;

    const KIND: Kind = Kind::Blip;

    fn recognise(names: &BTreeSet<String>) -> Scheme {
        Scheme::recognise(names)
    }

    fn prefix(&self) -> &str {
        &self.prefix
    }

    fn known(&self) -> Known {
        Scheme::known(self)
    }

    fn is_foreign(&self, name: &str) -> bool {
        Scheme::is_foreign(self, name)
    }

    fn read_config(&self, files: &TensorFiles, overrides: &Overrides) -> Result<Option<Described>, CheckpointError> {
        let beside = |name| Some(files.path().with_file_name(name)).filter(|path| path.is_file());
        match self.format {
            Format::Original => {
                let Some(path) = beside(CONFIG) else { return Ok(None) };
                let (said, preprocess) = original::read(&path)?;
                self.inferred(files, overrides, &said, preprocess).map(Some)
            }
            Format::HuggingFace => {
                let Some(path) = beside(HUGGING_FACE_CONFIG) else { return Ok(None) };
                let mut rules = rules(files.path(), overrides)?;
                let config = parse_json(&path, |file| hugging_face::parse(file, self.parts, &mut rules))?;
                let preprocess = pictures(files.path(), Class::Blip)?;
                Ok(Some(Described { config, preprocess, notes: rules.notes }))
            }
        }
    }

    fn infer(&self, files: &TensorFiles, overrides: &Overrides) -> Result<Described, CheckpointError> {
        self.inferred(files, overrides, &self.format.said(), pictures(files.path(), Class::Blip)?)
    }

    fn settle(&self, files: &TensorFiles, described: &mut Described) -> Result<(), CheckpointError> {
        let path = || files.path().into();
        let names = files.names();
        let mut keys: Vec<String> =
            names.iter().filter_map(|name| self.training_state(name)).map(String::from).collect();
        keys.dedup();
        if !keys.is_empty() {
            described.notes.push(Note::Beside { path: path(), keys });
        }
        let check = described.config.check();
        check.map_err(|source| CheckpointError::Size { path: path(), source: ConfigError::Size(source) })
    }

    fn expected(&self, _: &TensorFiles, described: &Described) -> Vec<Expected> {
        let Config { vision, text, .. } = &described.config;
        expected(&spec(&described.config), &self.places(vision.layers, text.layers), &TreePath::ROOT)
    }

    fn write(&self, folder: &Path, model: Model<'_>, precision: Precision) -> Result<(), CheckpointError> {
        folders::write(self, folder, model, precision)
    }
}

impl Scheme {
    fn inferred(
        &self,
        files: &TensorFiles,
        overrides: &Overrides,
        said: &Said,
        preprocess: Option<Preprocess>,
    ) -> Result<Described, CheckpointError> {
        let mut rules = rules(files.path(), overrides)?;
        let config = infer::infer(self, &|places| files.shape_of(places), said, &mut rules).map_err(|source| {
            let config = if self.format == Format::Original { CONFIG } else { HUGGING_FACE_CONFIG };
            CheckpointError::Inference { path: files.path().into(), source, config }
        })?;
        Ok(Described { config, preprocess, notes: rules.notes })
    }
}

fn rules<'a>(path: &'a Path, overrides: &'a Overrides) -> Result<Rules<'a>, CheckpointError> {
    Ok(Rules { path, overrides, special: Special::beside(path)?, notes: vec![] })
}
