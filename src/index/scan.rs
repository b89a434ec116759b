//! The scan for the pictures below a folder.

use super::{Entry, IndexError};
use crate::files::serialize_name;
use crate::pictures::folder::{PassedOver, Walk, walk};
use serde::Serialize;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

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
    /// Walks the folder.
    ///
    /// # Errors
    /// Returns an error if the folder itself cannot be read. What cannot be read below it is skipped.
    pub fn of(root: &Path) -> Result<Scan, IndexError> {
        let Walk { pictures, passed_over, unseen } = walk(root).map_err(IndexError::io(root))?;
        let mut scan = Scan { passed_over, ..Scan::default() };
        for (path, reason) in unseen {
            scan.skip_unknown(root, path, reason);
        }
        for path in pictures {
            scan.add(root, path);
        }
        Ok(scan)
    }

    fn add(&mut self, root: &Path, file: PathBuf) {
        let Some(path) = name_below(root, &file) else {
            return self.skipped.push(Skipped { path: file, reason: "its name is not UTF-8".into() });
        };
        match file.metadata() {
            Ok(metadata) => {
                let entry = Entry { path, size: metadata.len(), modified: modified(&metadata) };
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

/// Returns the time of the last change in nanoseconds since 1970, or 0 where the file system keeps no such time.
fn modified(metadata: &Metadata) -> i64 {
    let nanoseconds = |time: std::time::SystemTime| match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    };
    metadata.modified().map_or(0, nanoseconds)
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
