//! Finding out what a checkpoint is, and reading its towers.

use super::architecture::{Architecture, LOGIT_SCALE, TEXT, VISION};
use super::names::{Scheme, Tower, is_openai_file};
use super::openclip::ConfigFile;
use super::weights::Weights;
use super::{CONFIG, CheckpointError, WEIGHTS, hugging_face, infer, positions, preprocessor, read_json};
use crate::models::clip::model::{self, Model};
use crate::models::clip::text::Text;
use crate::models::clip::visual::{Shape, Visual};
use crate::params::{Params, Spec};
use crate::pictures::Preprocess;
use crate::tree::{Path as TreePath, Tree};
use kernels::Activation;
use std::fmt;
use std::path::{Path, PathBuf};

/// Weights in a folder, the first that is there.
const WEIGHT_FILES: [&str; 6] = [
    WEIGHTS,
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];
const HUGGING_FACE_CONFIG: &str = "config.json";
const PREPROCESSOR: &str = "preprocessor_config.json";
const TOKENIZER: &str = "tokenizer.json";

/// What to take otherwise than the checkpoint says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overrides {
    /// Pictures of another size; the table of positions is interpolated.
    pub image_size: Option<usize>,
    pub activation: Option<Activation>,
}

/// Where the activation came from.
#[derive(Clone, Debug, PartialEq)]
pub enum ActivationSource {
    Asked,
    Config(PathBuf),
    /// All of OpenAI's own files are of QuickGELU models.
    OpenAiFile,
}

impl fmt::Display for ActivationSource {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            ActivationSource::Asked => f.write_str("as asked for"),
            ActivationSource::Config(path) => write!(f, "{}", path.display()),
            ActivationSource::OpenAiFile => f.write_str("one of OpenAI's own files"),
        }
    }
}

/// An opened checkpoint: names and shapes are known and fit, values are not read yet.
pub struct Checkpoint {
    weights: Weights,
    scheme: Scheme,
    /// Of the file. The wanted one differs at most in the size of pictures.
    stored: Architecture,
    pub architecture: Architecture,
    pub activation_source: ActivationSource,
    pub preprocess: Preprocess,
    /// `tokenizer.json`, where the model comes with one.
    pub tokenizer: Option<PathBuf>,
}

/// What configurations, or the tensors themselves, say.
struct Described {
    architecture: Architecture,
    activation_source: ActivationSource,
    preprocess: Option<Preprocess>,
}

impl Checkpoint {
    /// A model folder, or a file of weights, whose configuration is looked for beside it.
    ///
    /// # Errors
    /// [`CheckpointError`], naming the file: if it cannot be read, is of another model than its configuration, or
    /// nothing says which activation it was trained with.
    pub fn open(path: &Path, overrides: &Overrides) -> Result<Checkpoint, CheckpointError> {
        let weights = Weights::open(&weights_file(path)?)?;
        let names = weights.names();
        let scheme = Scheme::of(&names);
        let Described { mut architecture, activation_source, preprocess } =
            describe(&weights, &scheme, overrides.activation)?;
        // A configuration may speak of a tower that was left out of the file.
        if !scheme.has(Tower::Image, &names) {
            architecture.vision = None;
        }
        if !scheme.has(Tower::Text, &names) {
            architecture.text = None;
        }
        if let Scheme::HuggingFace { image_projection, text_projection } = scheme {
            architecture.without_projection(image_projection, text_projection);
        }
        let size_error = |source| CheckpointError::Size { path: weights.path().into(), source };
        architecture.check().map_err(size_error)?;
        check(&weights, &scheme, &architecture)?;

        let (stored, mut preprocess) = (architecture.clone(), preprocess.unwrap_or_default());
        if let Some(vision) = &mut architecture.vision {
            vision.image_size = overrides.image_size.unwrap_or(vision.image_size);
            preprocess.size = vision.image_size;
            vision.check().map_err(size_error)?;
        }
        let tokenizer = Some(weights.path().with_file_name(TOKENIZER)).filter(|path| path.is_file());
        Ok(Checkpoint { weights, scheme, stored, architecture, activation_source, preprocess, tokenizer })
    }

    /// The file of weights, or the index of several.
    pub fn path(&self) -> &Path {
        self.weights.path()
    }

    /// The files of weights, of which there may be several.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.weights.files()
    }

    /// How its tensors are named.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// The types of the parameters in the file, each once.
    pub fn dtypes(&self) -> Vec<String> {
        let names = self.weights.names();
        let parameters = names.iter().filter(|name| !self.scheme.is_foreign(name));
        let mut dtypes: Vec<_> = parameters.filter_map(|name| self.weights.dtype(name)).collect();
        // Counts are no parameters.
        dtypes.retain(|dtype| dtype != "I64");
        dtypes.sort();
        dtypes.dedup();
        dtypes
    }

    /// The image tower, read now.
    pub fn vision(&self) -> Result<Params<Visual<Spec>>, CheckpointError> {
        let shape = self.architecture.vision().ok_or_else(|| self.no_tower(Tower::Image))?;
        self.load(shape.spec(), &VISION)
    }

    /// The text tower, read now.
    pub fn text(&self) -> Result<Params<Text<Spec>>, CheckpointError> {
        let shape = self.architecture.text().ok_or_else(|| self.no_tower(Tower::Text))?;
        self.load(shape.spec(), &TEXT)
    }

    /// What cosines are multiplied by is its exponential. A tower alone has none.
    pub fn logit_scale(&self) -> Result<Option<f32>, CheckpointError> {
        if self.weights.shape_of(&self.scheme, LOGIT_SCALE).is_none() {
            return Ok(None);
        }
        let mut value = [0.0];
        self.weights.read_ours(&self.scheme, LOGIT_SCALE, &[], &mut value)?;
        Ok(Some(value[0]))
    }

    /// Both towers and the temperature, read now.
    pub fn model(&self) -> Result<(Model, ConfigFile), CheckpointError> {
        let Some(config) = self.architecture.config() else {
            let image = self.architecture.vision.is_none();
            return Err(self.no_tower(if image { Tower::Image } else { Tower::Text }));
        };
        let params = self.load(model::spec(&config), &TreePath::ROOT)?;
        let file = ConfigFile { model_cfg: config.clone(), preprocess_cfg: self.preprocess.clone() };
        Ok((Model { config, params }, file))
    }

    fn load<S: Tree<Leaf = Spec>>(&self, spec: S, at: &TreePath) -> Result<Params<S>, CheckpointError> {
        self.weights.load(spec, at, |name, shape, out| self.read(name, shape, out))
    }

    fn read(&self, name: &str, shape: &[usize], out: &mut [f32]) -> Result<(), CheckpointError> {
        let stored = self.stored.vision().as_ref().map(positions_of);
        match stored {
            Some((table, stored)) if name == table && stored != shape => {
                let mut table = vec![0.0; stored[0] * stored[1]];
                self.weights.read_ours(&self.scheme, name, &stored, &mut table)?;
                positions::resize(&table, out, stored[1]);
                Ok(())
            }
            _ => self.weights.read_ours(&self.scheme, name, shape, out),
        }
    }

    fn no_tower(&self, tower: Tower) -> CheckpointError {
        CheckpointError::NoTower { path: self.path().into(), tower }
    }
}

/// The table that follows the size of pictures: its name and its shape.
fn positions_of(shape: &Shape) -> (&'static str, [usize; 2]) {
    match shape {
        Shape::Vit(vit) => ("visual.positional_embedding", [vit.grid.tokens(), vit.size.width]),
        Shape::ResNet(resnet) => {
            let pool = resnet.pool();
            ("visual.attnpool.positional_embedding", [1 + pool.pixels, pool.channels])
        }
    }
}

fn weights_file(path: &Path) -> Result<PathBuf, CheckpointError> {
    let kind = std::fs::metadata(path).map_err(|source| CheckpointError::Io { path: path.into(), source })?;
    if !kind.is_dir() {
        return Ok(path.into());
    }
    let found = WEIGHT_FILES.map(|name| path.join(name)).into_iter().find(|path| path.is_file());
    found.ok_or_else(|| CheckpointError::NoWeights { path: path.into(), looked_for: WEIGHT_FILES.into() })
}

/// The configuration that goes with the file's names, if it is beside it; else what can be inferred.
fn describe(weights: &Weights, scheme: &Scheme, asked: Option<Activation>) -> Result<Described, CheckpointError> {
    let beside = |name| Some(weights.path().with_file_name(name)).filter(|path| path.is_file());
    let is_hugging_face = matches!(scheme, Scheme::HuggingFace { .. });
    let config = beside(if is_hugging_face { HUGGING_FACE_CONFIG } else { CONFIG });
    let Some(path) = config else { return undescribed(weights, scheme, asked) };
    let (mut architecture, preprocess) = if is_hugging_face {
        let preprocessor = beside(PREPROCESSOR);
        (parse(&path, hugging_face::parse)?, preprocessor.map(|path| parse(&path, preprocessor::parse)).transpose()?)
    } else {
        let file = ConfigFile::read(&path)?;
        (Architecture::from(&file.model_cfg), Some(file.preprocess_cfg))
    };
    let activation_source = if asked.is_some() { ActivationSource::Asked } else { ActivationSource::Config(path) };
    architecture.activation = asked.unwrap_or(architecture.activation);
    Ok(Described { architecture, activation_source, preprocess })
}

fn undescribed(weights: &Weights, scheme: &Scheme, asked: Option<Activation>) -> Result<Described, CheckpointError> {
    let path = || weights.path().into();
    let mut architecture = infer::infer(&|name| weights.shape_of(scheme, name))
        .map_err(|reason| CheckpointError::Inference { path: path(), reason })?;
    let activation_source;
    (architecture.activation, activation_source) = match asked {
        Some(activation) => (activation, ActivationSource::Asked),
        None if is_openai_file(&weights.names()) => (Activation::QuickGelu, ActivationSource::OpenAiFile),
        None => return Err(CheckpointError::Activation { path: path() }),
    };
    Ok(Described { architecture, activation_source, preprocess: None })
}

fn parse<T>(path: &Path, parse: fn(&serde_json::Value) -> Result<T, String>) -> Result<T, CheckpointError> {
    parse(&read_json(path)?).map_err(|reason| CheckpointError::Config { path: path.into(), reason })
}

/// That the file has the tensors of the architecture, and no others.
fn check(weights: &Weights, scheme: &Scheme, architecture: &Architecture) -> Result<(), CheckpointError> {
    let mut table = architecture.table();
    let is_whole = architecture.config().is_some();
    if is_whole || weights.shape_of(scheme, LOGIT_SCALE).is_some() {
        table.push((vec![LOGIT_SCALE.into()], vec![]));
    }
    weights.check(scheme, &table)
}
