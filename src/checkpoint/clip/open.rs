//! Opens a CLIP, whose towers are read when they are asked for.

use super::architecture::Architecture;
use super::family::{ActivationSource, Overrides};
use super::names::Scheme;
use super::openclip::ConfigFile;
use super::tokenizer_files::{SENTENCE_PIECE, TOKENIZER};
use crate::checkpoint::family::{Family, Opened};
use crate::checkpoint::inference::Changed;
use crate::checkpoint::places::{Grid, Place, Places};
use crate::checkpoint::positions::{Filter, square};
use crate::checkpoint::tensors::TensorFiles;
use crate::checkpoint::{CheckpointError, Note, Tower};
use crate::models::clip::model::{self, Model};
use crate::models::clip::text::{self, Text};
use crate::models::clip::visual::Visual;
use crate::params::{Params, Spec};
use crate::pictures::Preprocess;
use crate::tree::Tree;
use crate::weights::{Balance, Rounding, Stored, Weights};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An opened checkpoint. Its names and shapes are known and fit the model; no values have been read yet.
#[derive(Clone)]
pub struct Checkpoint {
    files: Arc<TensorFiles>,
    scheme: Scheme,
    /// The architecture of the file. `architecture` differs from it at most in the size of pictures.
    stored: Architecture,
    /// The architecture of the model that is read.
    pub architecture: Architecture,
    /// The source that the activation is known from.
    pub activation_source: ActivationSource,
    /// How pictures are prepared for the model.
    pub preprocess: Preprocess,
    /// The path of `tokenizer.json` or `spiece.model`, if the model comes with one.
    pub tokenizer: Option<PathBuf>,
    /// What inference rounds the weights to.
    pub rounding: Rounding,
    /// The notes on what was assumed or left unread.
    pub notes: Vec<Note>,
    /// The places that the logit scale is read from, or the value that was asked for.
    logit_scale: Places,
}

/// Reads a whole CLIP from a path or name that [`Checkpoint::open`] understands.
///
/// # Errors
/// Returns an error if the checkpoint cannot be opened, or if [`Checkpoint::model`] cannot read it.
pub fn load_model(path: &Path) -> Result<(Model, ConfigFile), CheckpointError> {
    Checkpoint::open(path, &Overrides::default())?.model()
}

impl Checkpoint {
    /// Opens a model's folder; a file of weights, whose configuration is looked for beside it; or a model of the
    /// Hugging Face Hub, named `org/name` or `hf-hub:org/name`, that is in the Hub's cache on this machine.
    ///
    /// In a folder the first of these files of weights that exists is taken: `open_clip_model.safetensors`,
    /// `model.safetensors` or its index, `open_clip_pytorch_model.bin`, `pytorch_model.bin` or its index, the `fp16`
    /// variants of the last two, `epoch_latest.pt`, the last `epoch_N.pt`, a single file of any other name.
    ///
    /// # Errors
    /// Returns a [`CheckpointError`] that names the file if it cannot be read, if it is of another model than its
    /// configuration, or if nothing says which activation it was trained with.
    pub fn open(path: &Path, overrides: &Overrides) -> Result<Checkpoint, CheckpointError> {
        let Opened { files, scheme, description, mut notes } = Opened::<Scheme>::open(path, overrides)?;
        let (mut architecture, activation_source) = (description.architecture, description.activation_source);
        let is_map = architecture.vision.as_ref().is_some_and(|vision| vision.map_head);
        if description.preprocess.is_none() && architecture.vision.is_some() {
            let path = files.path().into();
            notes.push(if is_map { Note::SiglipPictures { path } } else { Note::OpenAiPictures { path } });
        }
        let pictures = if is_map { Preprocess::siglip() } else { Preprocess::default() };
        let (stored, mut preprocess) = (architecture.clone(), description.preprocess.unwrap_or(pictures));
        if let Some(vision) = &mut architecture.vision {
            vision.image_size = overrides.image_size.unwrap_or(vision.image_size);
            preprocess.size = vision.image_size;
            vision.check().map_err(|source| CheckpointError::Size { path: files.path().into(), source })?;
        }
        let beside = [TOKENIZER, SENTENCE_PIECE].map(|name| files.path().with_file_name(name));
        let tokenizer = beside.into_iter().find(|path| path.is_file());
        let asked = description.logit_scale.filter(|_| architecture.config().is_some());
        let logit_scale = asked.map_or_else(|| scheme.logit_scale(), |value| vec![Place::Number(value)]);
        Ok(Checkpoint {
            files: Arc::new(files),
            scheme,
            stored,
            architecture,
            activation_source,
            preprocess,
            tokenizer,
            rounding: overrides.rounding,
            notes,
            logit_scale,
        })
    }

    /// Returns the same checkpoint whose weights are rounded in another way.
    pub fn rounded(&self, rounding: Rounding) -> Checkpoint {
        Checkpoint { rounding, ..self.clone() }
    }

    /// Returns the path of the file of weights, or of the index of several files.
    pub fn path(&self) -> &Path {
        self.files.path()
    }

    /// Returns the paths of the files of weights, of which there may be several.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.files()
    }

    /// Returns the scheme by which the tensors are named.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Whether matrices have been [rounded to eight bits](crate::checkpoint::int8) in the file.
    pub fn stores_int8(&self) -> bool {
        self.files.has_int8()
    }

    /// Whether products are computed with weights of eight bits.
    pub fn computes_in_int8(&self) -> bool {
        self.rounding == Rounding::Int8 || self.rounding == Rounding::Stored && self.stores_int8()
    }

    /// Refuses a file whose weights are rounded to eight bits.
    ///
    /// # Errors
    /// Returns an error that says what to do.
    pub fn check_trainable(&self) -> Result<(), CheckpointError> {
        if self.stores_int8() { Err(CheckpointError::Rounded { path: self.path().into() }) } else { Ok(()) }
    }

    /// Returns the number types of the parameters in the file, each type once.
    pub fn dtypes(&self) -> Vec<String> {
        let known = self.scheme.known();
        self.files.dtypes(|name| name.strip_prefix(self.scheme.prefix()).is_some_and(|name| known.has(name)))
    }

    /// Reads the image tower.
    ///
    /// # Errors
    /// Returns an error if there is no image tower, or if its tensors cannot be read.
    pub fn vision(&self) -> Result<Params<Visual<Spec>>, CheckpointError> {
        let spec = self.architecture.vision().ok_or_else(|| self.no_tower(Tower::Image))?.spec();
        let places = self.resampled(self.scheme.visual(&spec));
        self.files.load(spec, &places)
    }

    /// Reads the image tower as inference keeps it.
    ///
    /// # Errors
    /// Returns an error if there is no image tower, if its tensors cannot be read, or if they hold values too large to be
    /// rounded.
    pub fn vision_weights(&self) -> Result<Weights<Visual<Stored>>, CheckpointError> {
        let spec = self.architecture.vision().ok_or_else(|| self.no_tower(Tower::Image))?.spec();
        let places = self.resampled(self.scheme.visual(&spec));
        self.files.load_weights(spec, &places, self.rounding)
    }

    /// Counts the matrices of the towers that the file has, and those that are changed: by rounding to 16 bits those of
    /// which a number changes, by rounding to eight those that do not keep 32. It reads all of them.
    ///
    /// # Errors
    /// Returns an error if a tensor cannot be read, or if it holds a value that is too large.
    pub fn changed(&self) -> Result<Changed, CheckpointError> {
        let mut sum = Changed::default();
        let mut add = |count: Changed| {
            sum.matrices += count.matrices;
            sum.changed += count.changed;
        };
        if let Some(spec) = self.architecture.vision().map(|shape| shape.spec()) {
            let places = self.resampled(self.scheme.visual(&spec));
            add(self.count(spec, &places)?);
        }
        if let Some(spec) = self.architecture.text().map(|shape| shape.spec()) {
            let places = self.scheme.text(&spec);
            add(self.count(spec, &places)?);
        }
        Ok(sum)
    }

    fn count<S: Tree<Leaf = Spec>>(&self, spec: S, places: &S::Of<Places>) -> Result<Changed, CheckpointError>
    where
        for<'a> S::Of<&'a mut [f32]>: Balance<S>,
    {
        match self.rounding {
            Rounding::Half(half) => self.files.count_changed(&spec, places, half),
            Rounding::Int8 => self.files.count_rounded(spec, places),
            Rounding::Stored | Rounding::None => Ok(Changed::default()),
        }
    }

    /// Reads the text tower as inference keeps it.
    ///
    /// # Errors
    /// Returns an error if there is no text tower, if its tensors cannot be read, or if they hold values too large to be
    /// rounded.
    pub fn text_weights(&self) -> Result<Weights<Text<Stored>>, CheckpointError> {
        let spec = self.text_shape()?.spec();
        let places = self.scheme.text(&spec);
        self.files.load_weights(spec, &places, self.rounding)
    }

    /// Reads the text tower.
    ///
    /// # Errors
    /// Returns an error if there is no text tower, or if its tensors cannot be read.
    pub fn text(&self) -> Result<Params<Text<Spec>>, CheckpointError> {
        let spec = self.text_shape()?.spec();
        let places = self.scheme.text(&spec);
        self.files.load(spec, &places)
    }

    /// Returns the open files of the weights.
    pub(super) fn tensors(&self) -> &TensorFiles {
        &self.files
    }

    /// Returns the sizes of the text tower.
    pub(crate) fn text_shape(&self) -> Result<text::Shape, CheckpointError> {
        self.architecture.text().ok_or_else(|| self.no_tower(Tower::Text))
    }

    /// Reads the logit scale: cosines are multiplied by its exponential. A tower alone may have none.
    ///
    /// # Errors
    /// Returns an error if the tensor cannot be read.
    pub fn logit_scale(&self) -> Result<Option<f32>, CheckpointError> {
        self.scalar(&self.logit_scale)
    }

    /// Reads the logit bias, which is added to the scaled cosines. Only a model for the sigmoid loss has one.
    ///
    /// # Errors
    /// Returns an error if the tensor cannot be read.
    pub fn logit_bias(&self) -> Result<Option<f32>, CheckpointError> {
        self.scalar(&self.scheme.logit_bias())
    }

    fn scalar(&self, places: &[Place]) -> Result<Option<f32>, CheckpointError> {
        if self.files.shape_of(places).is_none() {
            return Ok(None);
        }
        let mut value = [0.0];
        places.iter().try_for_each(|place| self.files.read_at(place, &[], &mut value))?;
        Ok(Some(value[0]))
    }

    /// Reads both towers, the logit scale and the bias.
    ///
    /// # Errors
    /// Returns an error if a tower is missing, or if a tensor cannot be read.
    pub fn model(&self) -> Result<(Model, ConfigFile), CheckpointError> {
        let Some(config) = self.architecture.config() else {
            let image = self.architecture.vision.is_none();
            return Err(self.no_tower(if image { Tower::Image } else { Tower::Text }));
        };
        let spec = model::spec(&config);
        let mut places = self.scheme.clip(&spec);
        places.visual = self.resampled(places.visual);
        places.logit_scale = self.logit_scale.clone();
        let params = self.files.load(spec, &places)?;
        let file = ConfigFile { model_cfg: config.clone(), preprocess_cfg: self.preprocess.clone() };
        Ok((Model { config, params }, file))
    }

    /// Returns the same places, except that the table of positions is interpolated if pictures of another size than the
    /// file's are wanted.
    pub(super) fn resampled(&self, mut places: Visual<Places>) -> Visual<Places> {
        let table = |architecture: &Architecture| match architecture.vision()?.spec() {
            Visual::Vit(vit) => Some(vit.embed.positional_embedding.shape),
            Visual::ResNet(resnet) => Some(resnet.attnpool.positional_embedding.shape),
        };
        let (Some(stored), Some(wanted)) = (table(&self.stored), table(&self.architecture)) else { return places };
        if stored == wanted {
            return places;
        }
        let is_siglip = self.stored.vision.as_ref().is_some_and(|vision| vision.map_head);
        let places_of_table = match &mut places {
            Visual::Vit(vit) => &mut vit.embed.positional_embedding,
            Visual::ResNet(resnet) => &mut resnet.attnpool.positional_embedding,
        };
        let filter = if is_siglip { Filter::Plain } else { Filter::Antialiased };
        let (from, to) = (square(stored[0]), square(wanted[0]));
        for place in places_of_table {
            let (name, ones) = match &*place {
                Place::Whole(name) => (name, 0),
                Place::Behind(name, ones) => (name, *ones),
                _ => continue,
            };
            let stored = [&vec![1; ones], &stored[..]].concat();
            *place = Place::Grid(name.clone(), Grid { stored, from, to, filter });
        }
        places
    }

    fn no_tower(&self, tower: Tower) -> CheckpointError {
        CheckpointError::NoTower { path: self.path().into(), tower }
    }
}
