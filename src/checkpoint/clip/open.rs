//! An opened CLIP, whose towers are read when they are asked for.

use super::architecture::Architecture;
use super::family::{ActivationSource, Overrides};
use super::names::Scheme;
use super::openclip::ConfigFile;
use super::tokenizer_files::TOKENIZER;
use crate::checkpoint::dtype::{Dtype, Stored};
use crate::checkpoint::family::{Family, Opened};
use crate::checkpoint::places::{Place, Places};
use crate::checkpoint::tensors::TensorFiles;
use crate::checkpoint::{CheckpointError, Note, Tower};
use crate::models::clip::model::{self, Model};
use crate::models::clip::text::Text;
use crate::models::clip::visual::Visual;
use crate::params::{Params, Spec};
use crate::pictures::Preprocess;
use std::path::{Path, PathBuf};

/// An opened checkpoint: names and shapes are known and fit, values are not read yet.
pub struct Checkpoint {
    files: TensorFiles,
    scheme: Scheme,
    /// Of the file. The wanted one differs at most in the size of pictures.
    stored: Architecture,
    pub architecture: Architecture,
    pub activation_source: ActivationSource,
    pub preprocess: Preprocess,
    /// `tokenizer.json`, where the model comes with one.
    pub tokenizer: Option<PathBuf>,
    /// What was assumed or passed over.
    pub notes: Vec<Note>,
    /// Where it is read, or as it was asked for.
    logit_scale: Places,
}

/// A whole CLIP, from where [`Checkpoint::open`] finds it.
pub fn load_model(path: &Path) -> Result<(Model, ConfigFile), CheckpointError> {
    Checkpoint::open(path, &Overrides::default())?.model()
}

impl Checkpoint {
    /// A model folder; a file of weights, whose configuration is looked for beside it; or the name of a model of the
    /// Hugging Face Hub, `org/name` or `hf-hub:org/name`, that is in its cache on this machine.
    ///
    /// Of a folder's files of weights the first of these is taken: `open_clip_model.safetensors`, `model.safetensors` or
    /// its index, `open_clip_pytorch_model.bin`, `pytorch_model.bin` or its index, the last two's `fp16` variants,
    /// `epoch_latest.pt`, the last `epoch_N.pt`, a single file of any other name.
    ///
    /// # Errors
    /// [`CheckpointError`], naming the file: if it cannot be read, is of another model than its configuration, or
    /// nothing says which activation it was trained with.
    pub fn open(path: &Path, overrides: &Overrides) -> Result<Checkpoint, CheckpointError> {
        let Opened { files, scheme, description, mut notes } = Opened::<Scheme>::open(path, overrides)?;
        let (mut architecture, activation_source) = (description.architecture, description.activation_source);
        if description.preprocess.is_none() && architecture.vision.is_some() {
            notes.push(Note::OpenAiPictures { path: files.path().into() });
        }
        let (stored, mut preprocess) = (architecture.clone(), description.preprocess.unwrap_or_default());
        if let Some(vision) = &mut architecture.vision {
            vision.image_size = overrides.image_size.unwrap_or(vision.image_size);
            preprocess.size = vision.image_size;
            vision.check().map_err(|source| CheckpointError::Size { path: files.path().into(), source })?;
        }
        let tokenizer = Some(files.path().with_file_name(TOKENIZER)).filter(|path| path.is_file());
        let asked = description.logit_scale.filter(|_| architecture.config().is_some());
        let logit_scale = asked.map_or_else(|| scheme.logit_scale(), |value| vec![Place::Number(value)]);
        Ok(Checkpoint {
            files,
            scheme,
            stored,
            architecture,
            activation_source,
            preprocess,
            tokenizer,
            notes,
            logit_scale,
        })
    }

    /// The file of weights, or the index of several.
    pub fn path(&self) -> &Path {
        self.files.path()
    }

    /// The files of weights, of which there may be several.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.files()
    }

    /// How its tensors are named.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// The types of the parameters in the file, each once; counts are no parameters.
    pub fn dtypes(&self) -> Vec<String> {
        let (names, known) = (self.files.names(), self.scheme.known());
        let is_parameter = |name: &str| name.strip_prefix(self.scheme.prefix()).is_some_and(|name| known.has(name));
        let parameters = names.iter().filter(|name| is_parameter(name));
        let dtypes = parameters.filter_map(|name| self.files.dtype(name));
        let mut dtypes: Vec<String> =
            dtypes.filter(|dtype| *dtype != Stored::Known(Dtype::I64)).map(|dtype| dtype.to_string()).collect();
        dtypes.sort();
        dtypes.dedup();
        dtypes
    }

    /// The image tower, read now.
    pub fn vision(&self) -> Result<Params<Visual<Spec>>, CheckpointError> {
        let spec = self.architecture.vision().ok_or_else(|| self.no_tower(Tower::Image))?.spec();
        let places = self.resampled(self.scheme.visual(&spec));
        self.files.load(spec, &places)
    }

    /// The text tower, read now.
    pub fn text(&self) -> Result<Params<Text<Spec>>, CheckpointError> {
        let spec = self.architecture.text().ok_or_else(|| self.no_tower(Tower::Text))?.spec();
        let places = self.scheme.text(&spec);
        self.files.load(spec, &places)
    }

    /// What cosines are multiplied by is its exponential. A tower alone has none.
    pub fn logit_scale(&self) -> Result<Option<f32>, CheckpointError> {
        let places = &self.logit_scale;
        if self.files.shape_of(places).is_none() {
            return Ok(None);
        }
        let mut value = [0.0];
        places.iter().try_for_each(|place| self.files.read_at(place, &[], &mut value))?;
        Ok(Some(value[0]))
    }

    /// Both towers and the temperature, read now.
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

    /// The same places, with a table of positions that may be wanted for pictures of another size than the file's.
    fn resampled(&self, mut places: Visual<Places>) -> Visual<Places> {
        let stored = self.stored.vision().map(|shape| shape.spec());
        let (places_of_table, spec) = match (&mut places, &stored) {
            (Visual::Vit(vit), Some(Visual::Vit(spec))) => {
                (&mut vit.embed.positional_embedding, &spec.embed.positional_embedding)
            }
            (Visual::ResNet(resnet), Some(Visual::ResNet(spec))) => {
                (&mut resnet.attnpool.positional_embedding, &spec.attnpool.positional_embedding)
            }
            _ => unreachable!("the file's tower is of the wanted one's kind"),
        };
        for place in places_of_table {
            if let (Place::Whole(name), [positions, width]) = (&*place, spec.shape.as_slice()) {
                *place = Place::Grid(name.clone(), [*positions, *width]);
            }
        }
        places
    }

    fn no_tower(&self, tower: Tower) -> CheckpointError {
        CheckpointError::NoTower { path: self.path().into(), tower }
    }
}
