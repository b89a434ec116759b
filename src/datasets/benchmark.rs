//! Data sets for evaluation as CLIP_benchmark stores them: shards, and files beside them that say what is in them.
//!
//! ```text
//! vtab-pets/classnames.txt                             a name a line, the first of class 0
//! vtab-pets/zeroshot_classification_templates.txt      sentences with {c} where a name goes
//! vtab-pets/dataset_type.txt                           "retrieval" if captions, one a line, take the place of classes
//! vtab-pets/test/0.tar, 1.tar …, nshards.txt           0001.webp with 0001.cls or 0001.txt
//! ```
//!
//! Source: `build_wds_dataset` of <https://github.com/LAION-AI/CLIP_benchmark>.

use crate::datasets::error::DatasetError;
use crate::files;
use std::path::{Path, PathBuf};

/// The endings of the names of shards.
const SHARDS: [&str; 3] = [".tar", ".tar.gz", ".tgz"];

/// What the files beside shards say about them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    /// Whether each line of a caption file is a caption of its own.
    pub is_retrieval: bool,
    /// The names of the classes.
    pub names: Option<Vec<String>>,
    /// The file with the sentences that names are put into.
    pub templates: Option<PathBuf>,
}

impl About {
    /// Reads what the files in a shard's folder and in the folder above say about it.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read, lacks a name, or names a kind of dataset that cannot be evaluated.
    pub fn of(shard: &Path) -> Result<Self, DatasetError> {
        let find = |name| shard.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
        let mut about = About { templates: find("zeroshot_classification_templates.txt"), ..About::default() };
        if let Some(path) = find("dataset_type.txt") {
            about.is_retrieval = match &*read(&path)?.trim().to_ascii_lowercase() {
                "retrieval" => true,
                "classification" => false,
                other => {
                    let reason =
                        format!("its kind is {other:?}, where \"classification\" and \"retrieval\" can be asked for");
                    return Err(DatasetError::Shard { path, reason });
                }
            };
        }
        if let Some(path) = find("classnames.txt") {
            let names: Vec<String> = read(&path)?.lines().map(|line| line.trim().to_owned()).collect();
            if let Some(place) = names.iter().position(String::is_empty) {
                return Err(DatasetError::Shard { path, reason: format!("line {} has no name", place + 1) });
            }
            about.names = Some(names);
        }
        Ok(about)
    }
}

fn read(path: &Path) -> Result<String, DatasetError> {
    let text = files::read_text(path).map_err(DatasetError::io(path))?;
    let not_utf8 = |_| DatasetError::Shard { path: path.to_owned(), reason: "not UTF-8".to_owned() };
    String::from_utf8(text).map_err(not_utf8)
}

/// Returns whether a name is one of a shard.
pub(super) fn is_shard(name: &str) -> bool {
    SHARDS.iter().any(|end| name.to_ascii_lowercase().ends_with(end))
}

/// Returns the shards in a folder, by their numbers.
///
/// # Errors
/// Returns an error if the folder cannot be read, or if there are not as many as `nshards.txt` says.
pub(super) fn shards_in(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let mut shards = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(DatasetError::io(folder))? {
        let path = entry.map_err(DatasetError::io(folder))?.path();
        if path.file_name().is_some_and(|name| is_shard(&name.to_string_lossy())) && path.is_file() {
            shards.push(path);
        }
    }
    shards.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    let path = folder.join("nshards.txt");
    if path.is_file() {
        let text = read(&path)?;
        if text.trim().parse() != Ok(shards.len()) {
            let reason = format!("it says {:?} shards, and there are {}", text.trim(), shards.len());
            return Err(DatasetError::Shard { path, reason });
        }
    }
    Ok(shards)
}
