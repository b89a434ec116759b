//! The scan for the pictures below a folder.

use super::entry::is_below;
use super::{Entry, IndexError};
use crate::files::{is_encoded, serialize_name};
use crate::pictures::PathPattern;
use crate::pictures::folder::{PassedOver, Walk, walk};
use serde::Serialize;
use std::collections::HashSet;
use std::path::{Path, PathBuf, absolute};

/// Why a file is skipped that an index cannot name.
const NOT_UTF8: &str = "its name is not UTF-8";

/// A picture file that has been found but not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub file: PathBuf,
    pub entry: Entry,
}

impl AsRef<Path> for Found {
    fn as_ref(&self) -> &Path {
        &self.file
    }
}

/// A file or folder that could not be used, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    #[serde(serialize_with = "serialize_name")]
    pub path: PathBuf,
    pub reason: String,
}

/// The pictures below a folder and the paths that could not be read.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The pictures in the order of their names, folder by folder.
    pub found: Vec<Found>,
    pub skipped: Vec<Skipped>,
    /// The files that are no pictures.
    pub passed_over: PassedOver,
    /// The folders and files that could not be read, as paths of entries. Nobody knows whether there still are pictures
    /// below them.
    unknown: Vec<String>,
}

impl Scan {
    /// Walks the folder, without what one of the patterns excludes.
    ///
    /// # Errors
    /// Returns an error if the folder itself cannot be read. What cannot be read below it is skipped.
    pub fn of(root: &Path, exclude: &[PathPattern]) -> Result<Scan, IndexError> {
        let Walk { pictures, passed_over, unseen } = walk(root, exclude).map_err(IndexError::io(root))?;
        let mut scan = Scan { passed_over, ..Scan::default() };
        for (path, reason) in unseen {
            scan.skip_unknown(root, path, reason);
        }
        for path in pictures {
            scan.add(root, path);
        }
        Ok(scan)
    }

    /// Takes files that were found before, each described by an entry whose path leads to it; one that is not UTF-8 is
    /// in percent-encoding. Returns with the scan the place of each found file among the given ones. A file that is
    /// given again is not found again.
    ///
    /// # Errors
    /// Returns [`IndexError::Outside`] if a file is not below the root.
    pub fn of_files(root: &Path, files: impl IntoIterator<Item = Entry>) -> Result<(Scan, Vec<usize>), IndexError> {
        let base = absolute(root).map_err(IndexError::io(root))?;
        let (mut scan, mut places, mut known) = (Scan::default(), vec![], HashSet::new());
        for (place, entry) in files.into_iter().enumerate() {
            if is_encoded(&entry.path) {
                scan.skipped.push(Skipped { path: entry.path.into(), reason: NOT_UTF8.into() });
                continue;
            }
            let below = |file: &PathBuf| file.strip_prefix(&base).is_ok_and(is_below);
            let file = absolute(&entry.path).ok().filter(below);
            let Some((path, file)) = file.and_then(|file| Some((name_below(&base, &file)?, file))) else {
                return Err(IndexError::Outside { path: root.into(), file: entry.path.into() });
            };
            if known.insert(path.clone()) {
                scan.found.push(Found { file, entry: Entry { path, ..entry } });
                places.push(place);
            }
        }
        Ok((scan, places))
    }

    fn add(&mut self, root: &Path, file: PathBuf) {
        let Some(path) = name_below(root, &file) else {
            return self.skipped.push(Skipped { path: file, reason: NOT_UTF8.into() });
        };
        match file.metadata() {
            Ok(metadata) => {
                let entry = Entry::new(path, &metadata);
                self.found.push(Found { file, entry });
            }
            Err(error) => self.skip_unknown(root, file, error.to_string()),
        }
    }

    fn skip_unknown(&mut self, root: &Path, path: PathBuf, reason: String) {
        self.unknown.extend(name_below(root, &path));
        self.skipped.push(Skipped { path, reason });
    }

    /// Returns whether an entry that was not found may exist nevertheless.
    pub(crate) fn is_unknown(&self, path: &str) -> bool {
        let is_below = |folder: &String| path.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'));
        self.unknown.iter().any(|unknown| unknown == path || is_below(unknown))
    }
}

/// Returns the path below the root with `/` between its parts, or `None` if it is not UTF-8.
fn name_below(root: &Path, path: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> = path.strip_prefix(root).ok()?.iter().map(|part| part.to_str()).collect();
    parts.map(|parts| parts.join("/")).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_a_closed_folder_is_unknown() {
        let scan = Scan { unknown: vec!["a/b".into()], ..Scan::default() };
        for (path, unknown) in [("a/b/c.png", true), ("a/b", true), ("a/bc.png", false), ("a/c.png", false)] {
            assert_eq!(scan.is_unknown(path), unknown, "{path}");
        }
    }
}
