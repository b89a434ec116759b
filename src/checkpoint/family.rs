//! What every kind of model has in common as files: one interface, and how a checkpoint is opened through it.

use super::CheckpointError;
use super::dtype::Precision;
use super::places::Expected;
use super::tensors::TensorFiles;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A kind of model as its files are: recognised, named, described, written. A value is one of its naming schemes.
pub trait Family: Sized {
    /// What configurations, or the tensors themselves, say of a model.
    type Description;
    /// What to take otherwise than the files say.
    type Overrides;
    /// What is written: parameters, and what goes into their configuration.
    type Model<'a>;

    /// Weights in a model's folder; the first that is there is taken.
    const WEIGHT_FILES: &'static [&'static str];

    /// The scheme that these names follow. Names of another family follow the plainest one, and do not pass the check.
    fn recognise(names: &BTreeSet<String>) -> Self;

    /// Whether a tensor of the file has nothing to do with the model's parameters.
    fn is_foreign(&self, name: &str) -> bool;

    /// What the configuration beside the weights says; nothing if there is none.
    fn read_config(
        &self,
        files: &TensorFiles,
        overrides: &Self::Overrides,
    ) -> Result<Option<Self::Description>, CheckpointError>;

    /// What names and shapes tell alone.
    fn infer(&self, files: &TensorFiles, overrides: &Self::Overrides) -> Result<Self::Description, CheckpointError>;

    /// Takes out of a description what the file was saved without, and refuses sizes that do not fit together.
    fn settle(&self, files: &TensorFiles, description: &mut Self::Description) -> Result<(), CheckpointError>;

    /// Every tensor that the file of such a model has.
    fn expected(&self, files: &TensorFiles, description: &Self::Description) -> Vec<Expected>;

    /// Writes a model's folder in this scheme, each file whole or not at all, the configuration last.
    fn write(&self, folder: &Path, model: Self::Model<'_>, precision: Precision) -> Result<(), CheckpointError>;
}

/// A checkpoint whose names and shapes are known and fit, and whose values are not read yet.
pub struct Opened<F: Family> {
    pub files: TensorFiles,
    pub scheme: F,
    pub description: F::Description,
}

impl<F: Family> Opened<F> {
    /// A model folder, or a file of weights, whose configuration is looked for beside it.
    ///
    /// # Errors
    /// [`CheckpointError`], naming the file: if it cannot be read, or is of another model than its configuration.
    pub fn open(path: &Path, overrides: &F::Overrides) -> Result<Self, CheckpointError> {
        let files = TensorFiles::open(&weights_file(path, F::WEIGHT_FILES)?)?;
        let scheme = F::recognise(&files.names());
        let mut description = match scheme.read_config(&files, overrides)? {
            Some(description) => description,
            None => scheme.infer(&files, overrides)?,
        };
        scheme.settle(&files, &mut description)?;
        files.check(&scheme.expected(&files, &description), |name| scheme.is_foreign(name))?;
        Ok(Opened { files, scheme, description })
    }
}

fn weights_file(path: &Path, names: &[&'static str]) -> Result<PathBuf, CheckpointError> {
    let kind = std::fs::metadata(path).map_err(|source| CheckpointError::Io { path: path.into(), source })?;
    if !kind.is_dir() {
        return Ok(path.into());
    }
    let found = names.iter().map(|name| path.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| CheckpointError::NoWeights { path: path.into(), looked_for: names.into() })
}
