//! The interface between checkpoints and kinds of models, and how a checkpoint is opened through it.

use super::dtype::Precision;
use super::kind::{self, Kind};
use super::note::Note;
use super::places::Expected;
use super::prefix::{Best, Known};
use super::tensors::TensorFiles;
use super::{CheckpointError, locate};
use std::collections::BTreeSet;
use std::path::Path;

/// A kind of model, and how its files are recognised, named, described and written. A value of the type is one of the
/// naming schemes of its files.
pub(crate) trait Family: Sized {
    /// The description of a model, read from its configuration or inferred from its tensors.
    type Description;
    /// The settings that replace what the files say.
    type Overrides;
    /// The parameters to be written, and what goes into their configuration.
    type Model<'a>;

    /// The kind of model that the family is.
    const KIND: Kind;

    /// Returns the scheme that these names follow. Names of another family get the plainest scheme, and
    /// [`TensorFiles::check`] then refuses them.
    fn recognise(names: &BTreeSet<String>) -> Self;

    /// Returns the prefix that stands before all names of the model's tensors.
    fn prefix(&self) -> &str;

    /// Returns the names that the scheme knows behind the prefix.
    fn known(&self) -> Known;

    /// Whether a tensor of the file has nothing to do with the model's parameters.
    fn is_foreign(&self, name: &str) -> bool;

    /// Reads the configuration beside the weights, or returns `None` if there is none.
    fn read_config(
        &self,
        files: &TensorFiles,
        overrides: &Self::Overrides,
    ) -> Result<Option<Self::Description>, CheckpointError>;

    /// Infers the description from the names and shapes of the tensors alone.
    fn infer(&self, files: &TensorFiles, overrides: &Self::Overrides) -> Result<Self::Description, CheckpointError>;

    /// Removes from a description what the file was saved without, and refuses sizes that do not fit together.
    fn settle(&self, files: &TensorFiles, description: &mut Self::Description) -> Result<(), CheckpointError>;

    /// Returns all leaves that the file of such a model must have.
    fn expected(&self, files: &TensorFiles, description: &Self::Description) -> Vec<Expected>;

    /// Writes a model's folder in this scheme. Each file appears as a whole or not at all, and the configuration is
    /// written last.
    fn write(&self, folder: &Path, model: Self::Model<'_>, precision: Precision) -> Result<(), CheckpointError>;
}

/// A checkpoint whose names and shapes are known and fit the model. No values have been read yet.
pub(crate) struct Opened<F: Family> {
    pub files: TensorFiles,
    pub scheme: F,
    pub description: F::Description,
    pub notes: Vec<Note>,
}

impl<F: Family> Opened<F> {
    /// Opens a model's folder; a file of weights, whose configuration is looked for beside it; or a model of the Hub.
    ///
    /// # Errors
    /// Returns a [`CheckpointError`] that names the file if it cannot be read, or if it is of another model than its
    /// configuration.
    pub(crate) fn open(path: &Path, overrides: &F::Overrides) -> Result<Self, CheckpointError> {
        let (path, chosen) = locate::weights(path)?;
        let files = TensorFiles::open(&path)?;
        let names = files.names();
        kind::check(&files, F::KIND)?;
        let scheme = F::recognise(&names);
        let beside = beside(&files, &scheme)?;
        let mut description = match scheme.read_config(&files, overrides)? {
            Some(description) => description,
            None => scheme.infer(&files, overrides)?,
        };
        scheme.settle(&files, &mut description)?;
        let is_foreign = |name: &str| scheme.is_foreign(name) || beside.names.contains(name);
        files.check(&scheme.expected(&files, &description), is_foreign)?;
        let beside = (!beside.keys.is_empty()).then_some(Note::Beside { path, keys: beside.keys });
        Ok(Opened { files, scheme, description, notes: chosen.into_iter().chain(beside).collect() })
    }
}

/// The parts of a file of `torch.save` that are not of the model, such as the state of an optimizer or a loss.
#[derive(Default)]
struct Beside {
    /// The outermost keys of these parts.
    keys: Vec<String>,
    /// The names of the tensors below these keys.
    names: BTreeSet<String>,
}

/// Finds the outermost keys that hold nothing of the model, and the tensors below them. Tensors under the model's own
/// key, or between the model's tensors if it has no key of its own, are never passed over.
///
/// # Errors
/// Returns an error if one of the keys holds as many known tensors as the model that was found, or more. Only the key
/// of an optimizer may, since an optimizer keeps numbers for every parameter.
fn beside<F: Family>(files: &TensorFiles, scheme: &F) -> Result<Beside, CheckpointError> {
    let (names, known, prefix) = (files.names(), scheme.known(), scheme.prefix());
    let is_ours = |name: &String| name.strip_prefix(prefix).is_some_and(|name| known.has(name));
    let ours = names.iter().filter(|name| is_ours(name)).count();
    let mut beside = Beside::default();
    if ours == 0 || ours == names.len() {
        return Ok(beside);
    }
    let keys = files.keys()?;
    let has_key = keys.keys().any(|key| is_below(prefix, key));
    for (key, holds_more) in keys {
        let from_key = names.range(key.clone()..).take_while(|name| name.starts_with(&key));
        let below: Vec<&String> = from_key.take(if holds_more { usize::MAX } else { 1 }).collect();
        let below: Vec<&String> = below.into_iter().filter(|name| is_below(name, &key)).collect();
        let is_apart = if holds_more { !below.iter().any(|name| is_ours(name)) } else { has_key && !known.has(&key) };
        if below.is_empty() || !is_apart {
            continue;
        }
        let Best { prefix: other, count } = known.best_prefix(below.iter().copied());
        if count >= ours && !key.starts_with("optim") {
            let prefixes = [prefix.into(), other.into()];
            return Err(CheckpointError::TwoModels { path: files.path().into(), prefixes });
        }
        beside.names.extend(below.into_iter().cloned());
        beside.keys.push(key);
    }
    Ok(beside)
}

/// Whether a tensor is the value of this key or a part of it.
fn is_below(name: &str, key: &str) -> bool {
    name.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
