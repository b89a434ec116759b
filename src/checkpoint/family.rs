//! What every kind of model has in common as files: one interface, and how a checkpoint is opened through it.

use super::dtype::Precision;
use super::note::Note;
use super::places::Expected;
use super::prefix::{Best, Known};
use super::tensors::TensorFiles;
use super::{CheckpointError, locate};
use std::collections::BTreeSet;
use std::path::Path;

/// A kind of model as its files are: recognised, named, described, written. A value is one of its naming schemes.
pub(crate) trait Family: Sized {
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

    /// What stands before all names of the model's tensors.
    fn prefix(&self) -> &str;

    /// The names behind the prefix.
    fn known(&self) -> Known;

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
pub(crate) struct Opened<F: Family> {
    pub files: TensorFiles,
    pub scheme: F,
    pub description: F::Description,
    pub notes: Vec<Note>,
}

impl<F: Family> Opened<F> {
    /// A model folder, a file of weights, whose configuration is looked for beside it, or a model of the Hub.
    ///
    /// # Errors
    /// [`CheckpointError`], naming the file: if it cannot be read, or is of another model than its configuration.
    pub(crate) fn open(path: &Path, overrides: &F::Overrides) -> Result<Self, CheckpointError> {
        let (path, chosen) = locate::weights(path, F::WEIGHT_FILES)?;
        let files = TensorFiles::open(&path)?;
        let scheme = F::recognise(&files.names());
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

/// What a file of `torch.save` has beside the model: an optimizer's state, a loss.
#[derive(Default)]
struct Beside {
    /// Its outermost keys.
    keys: Vec<String>,
    /// The tensors below them.
    names: BTreeSet<String>,
}

/// What stands under outermost keys that hold nothing of the model. Tensors under the model's own key, or between its
/// tensors where it has none, are not let go.
///
/// # Errors
/// If one of the keys holds as much of a model as was found. An optimizer may: it keeps numbers for every parameter.
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

/// Whether a tensor is what this key holds or a part of it.
fn is_below(name: &str, key: &str) -> bool {
    name.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
