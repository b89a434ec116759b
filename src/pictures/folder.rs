//! Folders of picture files.

use crate::pictures::error::PictureError;
use crate::pictures::decode;
use crate::pictures::picture::{Channels, Picture};
use std::fs;
use std::path::{Path, PathBuf};

/// What picture files are called; which format they are is decided by their bytes.
const EXTENSIONS: [&str; 9] = ["png", "jpg", "jpeg", "jpe", "webp", "gif", "bmp", "tif", "tiff"];

/// All pictures in a folder and the folders below, by name. Links to folders are not followed.
///
/// # Errors
/// [`PictureError::Io`] if a folder cannot be read.
pub fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>, PictureError> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder)? {
            let is_folder = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
            if is_folder {
                folders.push(path);
            } else if is_picture(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The folders in a folder, by name; hidden ones are left out.
///
/// # Errors
/// [`PictureError::Io`] if the folder cannot be read.
pub fn folders_in(folder: &Path) -> Result<Vec<PathBuf>, PictureError> {
    let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let mut folders = entries(folder)?;
    folders.retain(|path| path.is_dir() && !hidden(path));
    folders.sort();
    Ok(folders)
}

/// Reads a picture. After an error `picture` is a black pixel, which any model can be shown.
///
/// # Errors
/// [`PictureError`], with the file's name.
pub fn read(path: &Path, picture: &mut Picture) -> Result<(), PictureError> {
    let error;
    (*picture, error) = match decode::open(path) {
        Ok(picture) => (picture, Ok(())),
        Err(error) => (Picture::new(1, 1, Channels::Rgb), Err(error)),
    };
    error
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, PictureError> {
    let entries = fs::read_dir(folder).map_err(PictureError::io(folder))?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(PictureError::io(folder))).collect()
}

/// Whether a file is called as pictures are.
pub(crate) fn is_picture(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}
