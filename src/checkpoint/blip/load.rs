//! Reads a whole BLIP, and saves one.

use super::folders::{Model, preprocess};
use super::infer::Overrides;
use super::names::{Format, Scheme};
use super::tokens::VOCABULARIES;
use crate::checkpoint::dtype::Precision;
use crate::checkpoint::family::{Family, Opened};
use crate::checkpoint::places::{Grid, Place};
use crate::checkpoint::positions::Filter;
use crate::checkpoint::tensors::TensorFiles;
use crate::checkpoint::{CheckpointError, Note};
use crate::models::blip::{Blip, Config, VisionConfig, spec};
use crate::models::clip::config::ConfigError;
use crate::params::{Params, Spec};
use crate::pictures::Preprocess;
use std::path::{Path, PathBuf};

/// A model that was read.
pub struct Loaded {
    /// The path of the file of weights, or of the index of several.
    pub path: PathBuf,
    /// The library whose names the file has.
    pub format: Format,
    pub config: Config,
    pub params: Params<Blip<Spec>>,
    /// How pictures are prepared, or `None` if they are not square, since pictures are prepared as squares.
    pub preprocess: Option<Preprocess>,
    /// The path of `tokenizer.json` or `vocab.txt`, if the model comes with one.
    pub tokenizer: Option<PathBuf>,
    /// The notes on what was assumed or left unread.
    pub notes: Vec<Note>,
}

/// Reads a BLIP from a model's folder; from a file of weights, whose configuration is looked for beside it; or from a
/// model of the Hugging Face Hub, named `org/name` or `hf-hub:org/name`, that is in the Hub's cache on this machine.
///
/// # Errors
/// Returns a [`CheckpointError`] that names the file if it cannot be read, if it is of another model than its
/// configuration, if tensors that encoder and decoder share differ, or if nothing says how many heads it has.
pub fn load(path: &Path, overrides: &Overrides) -> Result<Loaded, CheckpointError> {
    describe(path, overrides)?.load()
}

/// What a checkpoint is. Its names and shapes are known and fit the model; no values have been read yet.
pub struct Described {
    /// The path of the file of weights, or of the index of several.
    pub path: PathBuf,
    /// The library whose names the file has.
    pub format: Format,
    pub config: Config,
    /// How pictures are prepared, or `None` if they are not square.
    pub preprocess: Option<Preprocess>,
    /// The path of `tokenizer.json` or `vocab.txt`, if the model comes with one.
    pub tokenizer: Option<PathBuf>,
    /// The types of the stored numbers.
    pub dtypes: Vec<String>,
    /// The notes on what was assumed or left unread.
    pub notes: Vec<Note>,
    files: TensorFiles,
    scheme: Scheme,
    /// The image encoder's sizes as they are stored. Those of `config` differ at most in the size of pictures.
    stored: VisionConfig,
}

impl Described {
    /// Returns the paths of the files of weights, of which there may be several.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.files()
    }

    /// Reads the values.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read, or if tensors that encoder and decoder share differ.
    pub fn load(self) -> Result<Loaded, CheckpointError> {
        let Described { path, format, config, preprocess, tokenizer, notes, files, scheme, stored, .. } = self;
        let mut places = scheme.places(config.vision.layers, config.text.layers);
        let table = &mut places.visual_encoder.embed.positional_embedding;
        *table = std::mem::take(table).into_iter().map(|place| resampled(place, &stored, &config.vision)).collect();
        let params = files.load(spec(&config), &places)?;
        Ok(Loaded { path, format, config, params, preprocess, tokenizer, notes })
    }
}

/// Reads what [`load`] reads, except the values.
///
/// # Errors
/// Returns an error under the same conditions as [`load`], as far as names and shapes show them.
pub fn describe(path: &Path, overrides: &Overrides) -> Result<Described, CheckpointError> {
    let Opened { files, scheme, description, mut notes } = Opened::<Scheme>::open(path, overrides)?;
    let path = files.path().to_path_buf();
    let stored = description.config;
    let image_size = overrides.image_size.unwrap_or(stored.vision.image_size);
    let config = Config { vision: VisionConfig { image_size, ..stored.vision }, ..stored };
    config.check().map_err(|source| CheckpointError::Size { path: path.clone(), source: ConfigError::Size(source) })?;
    notes.extend(description.notes);
    if description.preprocess.is_none() && scheme.format == Format::HuggingFace {
        notes.push(Note::BlipPictures { path: path.clone() });
    }
    let preprocess = description.preprocess.unwrap_or_else(preprocess);
    let preprocess = match image_size {
        [height, width] if height == width => Some(Preprocess { size: height, ..preprocess }),
        _ => None,
    };
    let tokenizer = VOCABULARIES.map(|name| path.with_file_name(name)).into_iter().find(|path| path.is_file());
    let known = scheme.known();
    let dtypes = files.dtypes(|name| name.strip_prefix(scheme.prefix()).is_some_and(|name| known.has(name)));
    let (format, stored) = (scheme.format, stored.vision);
    Ok(Described { path, format, config, preprocess, tokenizer, dtypes, notes, files, scheme, stored })
}

/// Returns the place of a table of positions that is resampled from the stored pictures' grid to the wanted ones'.
fn resampled(place: Place, stored: &VisionConfig, wanted: &VisionConfig) -> Place {
    let grid = |vision: &VisionConfig| vision.image_size.map(|edge| edge / vision.patch_size);
    let (from, to) = (grid(stored), grid(wanted));
    match place {
        Place::Behind(name, 1) if from != to => {
            let stored = vec![1, stored.shape().grid.tokens(), stored.width];
            Place::Grid(name, Grid { stored, from, to, filter: Filter::Plain })
        }
        place => place,
    }
}

/// Writes a model's folder, which is made if it does not exist. Each file appears as a whole or not at all, and the
/// configuration is written last. [`copy_tokenizer`](crate::checkpoint::copy_tokenizer) adds a model's vocabulary.
///
/// | format | weights | configuration |
/// |---|---|---|
/// | the original's names | `model.safetensors` | [`CONFIG`](super::CONFIG) |
/// | Hugging Face | `model.safetensors` | `config.json`, `preprocessor_config.json` |
///
/// # Errors
/// Returns an error if a file cannot be written, if a value does not fit the type, or if Hugging Face's classes cannot
/// express the model.
pub fn save(
    folder: &Path,
    config: &Config,
    params: &Params<Blip<Spec>>,
    preprocess: Option<&Preprocess>,
    format: Format,
    precision: Precision,
) -> Result<(), CheckpointError> {
    Scheme::new(format, config.parts).write(folder, Model { config, params, preprocess }, precision)
}
