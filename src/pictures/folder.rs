//! The one rule by which folders of picture files are walked.
//!
//! Links are followed, unless they lead back to a folder that they lie in. Names that begin with a dot are left out,
//! since they are bins, thumbnails and the like. The order is that of the names, folder by folder. What cannot be read
//! is named and skipped; it is an error only if the folder itself cannot be read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// The extensions of picture files. The format of a file is decided by its bytes.
const EXTENSIONS: [&str; 9] = ["png", "jpg", "jpeg", "jpe", "webp", "gif", "bmp", "tif", "tiff"];

/// The pictures in a folder and in all folders below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Every file with a picture's extension.
    pub pictures: Vec<PathBuf>,
    /// The paths that could not be read, each with the reason: broken links, closed folders, links back.
    pub unseen: Vec<(PathBuf, String)>,
}

/// Walks a folder and all folders below it.
///
/// # Errors
/// Returns an error if the folder itself cannot be read.
pub fn walk(folder: &Path) -> io::Result<Walk> {
    let mut found = Walk::default();
    for entry in entries(folder, usize::MAX)? {
        match entry {
            Ok(entry) if !entry.file_type().is_dir() && is_picture(entry.path()) => {
                found.pictures.push(entry.into_path());
            }
            Ok(_) => {}
            Err(error) => found.unseen.push((error.path().unwrap_or(folder).to_owned(), reason(&error))),
        }
    }
    Ok(found)
}

/// Lists the folders directly in a folder, links to folders included.
///
/// # Errors
/// Returns an error if the folder cannot be read.
pub fn folders_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let folders = entries(folder, 1)?.flatten().filter(|entry| entry.depth() > 0 && entry.file_type().is_dir());
    Ok(folders.map(DirEntry::into_path).collect())
}

fn entries(folder: &Path, depth: usize) -> io::Result<impl Iterator<Item = walkdir::Result<DirEntry>>> {
    fs::read_dir(folder)?;
    let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().max_depth(depth);
    let is_hidden = |entry: &DirEntry| entry.depth() > 0 && entry.file_name().as_encoded_bytes().starts_with(b".");
    Ok(walk.into_iter().filter_entry(move |entry| !is_hidden(entry)))
}

/// Returns the message without the path, which [`Walk::unseen`] holds beside it.
fn reason(error: &walkdir::Error) -> String {
    match (error.io_error(), error.loop_ancestor()) {
        (Some(error), _) => error.to_string(),
        (None, Some(ancestor)) => format!("a link back to {}", ancestor.display()),
        (None, None) => error.to_string(),
    }
}

/// Returns whether a path has a picture's extension.
fn is_picture(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_and_hidden_names_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join("root").join(name);
        for name in ["a", "b/.bin", "b.png", ".thumbnails"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        for name in
            ["b/2.PNG", "b/1.jpg", "b/notes.txt", "b/.bin/1.jpg", ".thumbnails/1.jpg", ".1.jpg", "c.webp", "../x.gif"]
        {
            fs::write(path(name), "").unwrap();
        }
        symlink(path("b"), path("a/elsewhere")).unwrap();
        symlink(path("../x.gif"), path("a/linked.gif")).unwrap();
        symlink(path(""), path("b/back")).unwrap();
        symlink("nowhere", path("b/broken.png")).unwrap();

        let Walk { pictures, unseen } = walk(&path("")).unwrap();
        let expected = ["a/elsewhere/1.jpg", "a/elsewhere/2.PNG", "a/linked.gif", "b/1.jpg", "b/2.PNG", "c.webp"];
        assert_eq!(pictures, expected.map(path));
        assert!(pictures.is_sorted());
        let named: Vec<&Path> = unseen.iter().map(|(path, _)| path.as_path()).collect();
        assert_eq!(named, ["a/elsewhere/back", "a/elsewhere/broken.png", "b/back", "b/broken.png"].map(path));
        assert!(unseen[0].1.starts_with("a link back to ") && unseen[1].1.contains("No such file"), "{unseen:?}");

        assert_eq!(folders_in(&path("")).unwrap(), ["a", "b", "b.png"].map(path));
        assert_eq!(folders_in(&path("a")).unwrap(), ["a/elsewhere"].map(path));
        assert!(walk(&path("nowhere")).is_err() && folders_in(&path("c.webp")).is_err());
        assert_eq!(walk(&path(".thumbnails")).unwrap().pictures, [path(".thumbnails/1.jpg")]);
    }
}
