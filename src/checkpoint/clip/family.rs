//! The implementation of [`Family`] for CLIP.

use super::architecture::{Architecture, TEXT, VISION};
use super::folders::{self, Contents};
use super::names::Scheme;
use super::openclip::{CONFIG, ConfigFile};
use super::{hugging_face, infer, recognise};
use crate::checkpoint::dtype::Precision;
use crate::checkpoint::family::Family;
use crate::checkpoint::json::parse_json;
use crate::checkpoint::kind::Kind;
use crate::checkpoint::places::{Expected, expected};
use crate::checkpoint::prefix::Known;
use crate::checkpoint::preprocessor::{Class, pictures};
use crate::checkpoint::tensors::TensorFiles;
use crate::checkpoint::{CheckpointError, Tower};
use crate::pictures::Preprocess;
use crate::weights::Rounding;
use kernels::Activation;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

const HUGGING_FACE_CONFIG: &str = "config.json";

/// The settings that replace what a checkpoint says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overrides {
    /// The wanted size of pictures. If it is not the checkpoint's, the table of positions is interpolated.
    pub image_size: Option<usize>,
    /// The activation of both towers.
    pub activation: Option<Activation>,
    /// The logarithm of what cosines are multiplied by. A fine-tuned model may have been saved without it.
    pub logit_scale: Option<f32>,
    /// What inference rounds the weights to.
    pub rounding: Rounding,
}

/// The source that the activation is known from.
#[derive(Clone, Debug, PartialEq)]
pub enum ActivationSource {
    /// The caller asked for it.
    Asked,
    /// The configuration at this path says it.
    Config(PathBuf),
    /// The file is one of OpenAI's own. All of these hold QuickGELU models.
    OpenAiFile,
    /// The model is a SigLIP. All of them were trained with the GELU that has a hyperbolic tangent.
    Siglip,
}

impl fmt::Display for ActivationSource {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            ActivationSource::Asked => f.write_str("as asked for"),
            ActivationSource::Config(path) => write!(f, "{}", path.display()),
            ActivationSource::OpenAiFile => f.write_str("one of OpenAI's own files"),
            ActivationSource::Siglip => f.write_str("a SigLIP, which all have it"),
        }
    }
}

/// The description of a CLIP, read from its configurations or inferred from its tensors.
pub(crate) struct Described {
    pub architecture: Architecture,
    pub activation_source: ActivationSource,
    pub preprocess: Option<Preprocess>,
    /// The value that was asked for in the place of the checkpoint's own.
    pub logit_scale: Option<f32>,
}

impl Family for Scheme {
    type Description = Described;
    type Overrides = Overrides;
    type Model<'a> = Contents<'a>;

    const KIND: Kind = Kind::Clip;

    fn recognise(names: &BTreeSet<String>) -> Scheme {
        recognise::recognise(names)
    }

    fn prefix(&self) -> &str {
        Scheme::prefix(self)
    }

    fn known(&self) -> Known {
        recognise::known(self)
    }

    fn is_foreign(&self, name: &str) -> bool {
        Scheme::is_foreign(self, name)
    }

    /// Reads the configuration of the library whose names the tensors have, whatever other files the folder holds.
    fn read_config(&self, files: &TensorFiles, overrides: &Overrides) -> Result<Option<Described>, CheckpointError> {
        let beside = |name| Some(files.path().with_file_name(name)).filter(|path| path.is_file());
        let is_hugging_face = matches!(self, Scheme::HuggingFace { .. });
        let config = beside(if is_hugging_face { HUGGING_FACE_CONFIG } else { CONFIG });
        let Some(path) = config else { return Ok(None) };
        let (mut architecture, preprocess) = if is_hugging_face {
            let architecture = parse_json(&path, hugging_face::parse)?;
            let class = if architecture.is_siglip() { Class::Siglip } else { Class::Clip };
            (architecture, pictures(files.path(), class)?)
        } else {
            let file = ConfigFile::read(&path)?;
            (Architecture::from(&file.model_cfg), Some(file.preprocess_cfg))
        };
        let asked = overrides.activation;
        let activation_source = if asked.is_some() { ActivationSource::Asked } else { ActivationSource::Config(path) };
        asked.into_iter().for_each(|activation| architecture.activate(activation));
        let logit_scale = overrides.logit_scale;
        Ok(Some(Described { architecture, activation_source, preprocess, logit_scale }))
    }

    fn infer(&self, files: &TensorFiles, overrides: &Overrides) -> Result<Described, CheckpointError> {
        let path = || files.path().into();
        let mut architecture = infer::infer(self, &|places| files.shape_of(places))
            .map_err(|source| CheckpointError::Inference { path: path(), source, config: CONFIG })?;
        let (activation, activation_source) = match overrides.activation {
            Some(activation) => (activation, ActivationSource::Asked),
            None if self.is_openai_file(&files.names()) => (Activation::QuickGelu, ActivationSource::OpenAiFile),
            None if architecture.has_tanh() => (Activation::GeluTanh, ActivationSource::Siglip),
            None => return Err(CheckpointError::Activation { path: path() }),
        };
        // Pictures for OpenAI's own files are prepared by default, so that no file beside them has to say how.
        let preprocess = self.is_openai_file(&files.names()).then(Preprocess::default);
        architecture.activate(activation);
        Ok(Described { architecture, activation_source, preprocess, logit_scale: overrides.logit_scale })
    }

    /// Removes the towers that a configuration describes and the file was saved without. A configuration need not say
    /// that there is a bias: OpenCLIP's names of architectures do not, whatever they were trained with.
    fn settle(&self, files: &TensorFiles, described: &mut Described) -> Result<(), CheckpointError> {
        let (names, architecture) = (files.names(), &mut described.architecture);
        if !self.has(Tower::Image, &names) {
            architecture.vision = None;
        }
        if !self.has(Tower::Text, &names) {
            architecture.text = None;
        }
        if let Scheme::HuggingFace { image_projection, text_projection, .. } = *self {
            architecture.without_projection(image_projection, text_projection);
        }
        architecture.logit_bias |= files.shape_of(&self.logit_bias()).is_some();
        architecture.check().map_err(|source| CheckpointError::Size { path: files.path().into(), source })
    }

    fn expected(&self, files: &TensorFiles, described: &Described) -> Vec<Expected> {
        let architecture = &described.architecture;
        let mut leaves = vec![];
        if let Some(spec) = architecture.vision().map(|shape| shape.spec()) {
            leaves.extend(expected(&spec, &self.visual(&spec), &VISION));
        }
        if let Some(spec) = architecture.text().map(|shape| shape.spec()) {
            leaves.extend(expected(&spec, &self.text(&spec), &TEXT));
        }
        let has_both = architecture.config().is_some();
        let scalars = [
            ("logit_scale", self.logit_scale(), has_both && described.logit_scale.is_none()),
            ("logit_bias", self.logit_bias(), has_both && architecture.logit_bias),
        ];
        for (name, places, is_needed) in scalars {
            if is_needed || files.shape_of(&places).is_some() {
                leaves.push(Expected { name: name.into(), shape: vec![], places });
            }
        }
        leaves
    }

    fn write(&self, folder: &Path, model: Contents, precision: Precision) -> Result<(), CheckpointError> {
        match self {
            Scheme::OpenAi { .. } => folders::openclip(folder, self, model, precision),
            Scheme::HuggingFace { .. } => folders::hugging_face(folder, self, model, precision),
        }
    }
}
