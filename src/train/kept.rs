//! The models that a run keeps on its way, `checkpoints/epoch_000` and so on in its folder: each is a model folder like
//! any other.

use super::run_folder::{RunFolder, RunFolderError};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The name of the folder with the models that are kept.
pub const KEPT: &str = "checkpoints";
/// What the names of these models begin with; behind it stands the number of epochs.
const EPOCH: &str = "epoch_";

/// A model that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// How many epochs the model has learnt.
    pub epoch: u64,
    /// The path of its folder.
    pub path: PathBuf,
}

impl RunFolder {
    /// Keeps the model after so many epochs, which `save` writes into the folder that it is given. The model is there
    /// whole or not at all, and replaces an older one of the same epoch.
    ///
    /// # Errors
    /// Returns the error of `save`, or one if the folder cannot be made.
    pub fn keep<E: From<RunFolderError>>(
        &self,
        epoch: u64,
        save: impl FnOnce(&RunFolder) -> Result<(), E>,
    ) -> Result<(), E> {
        let path = self.file(KEPT).join(format!("{EPOCH}{epoch:03}"));
        let part = RunFolder { path: path.with_extension("partial") };
        let failed = |source| RunFolderError::File { path: path.clone(), source };
        remove(&part.path).and_then(|()| fs::create_dir_all(&part.path)).map_err(failed)?;
        save(&part)?;
        Ok(remove(&path).and_then(|()| fs::rename(&part.path, &path)).map_err(failed)?)
    }

    /// Lists the models that were kept, by their epochs.
    ///
    /// # Errors
    /// Returns an error if the folder is there and cannot be read.
    pub fn kept(&self) -> Result<Vec<Kept>, RunFolderError> {
        let path = self.file(KEPT);
        let names = || fs::read_dir(&path)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>();
        let names = match names() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => vec![],
            names => names.map_err(|source| RunFolderError::File { path: path.clone(), source })?,
        };
        let epoch = |name: &str| name.strip_prefix(EPOCH)?.parse().ok();
        let kept = names.iter().filter_map(|name| Some(Kept { epoch: epoch(name.to_str()?)?, path: path.join(name) }));
        let mut kept: Vec<Kept> = kept.collect();
        kept.sort_by_key(|kept| kept.epoch);
        Ok(kept)
    }
}

/// Removes a folder, if there is one.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_kept_whole_or_not_at_all_and_epochs_are_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder { path: folder.path().into() };
        assert_eq!(run.kept().unwrap(), []);
        for (epoch, text) in [(1000, "a"), (2, "b"), (999, "c"), (2, "d")] {
            run.keep(epoch, |kept| kept.write("model", text.as_bytes())).unwrap();
        }
        let failed = run.keep(3, |kept| {
            kept.write("model", b"half")?;
            Err(RunFolderError::NoRun { logs: PathBuf::new() })
        });
        assert!(failed.is_err());
        let kept = run.kept().unwrap();
        assert_eq!(kept.iter().map(|kept| kept.epoch).collect::<Vec<_>>(), [2, 999, 1000]);
        assert_eq!(fs::read(kept[0].path.join("model")).unwrap(), b"d");
    }
}
