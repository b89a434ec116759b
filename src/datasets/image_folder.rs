//! Pictures sorted into one folder per class, as torchvision's `ImageFolder` reads them.
//!
//! ```text
//! pets/cat/1.jpg            or   pets/train/cat/1.jpg
//! pets/dog/2.jpg                 pets/val/dog/2.jpg       (or `test`)
//! ```

use crate::datasets::dataset::{Dataset, Example};
use crate::datasets::error::{BadExample, DatasetError};
use crate::pictures::folder::{folders_in, pictures_in, read};
use crate::random::Rng;
use std::path::{Path, PathBuf};

/// Pictures, each with the name of its class as the caption.
pub struct ImageFolder {
    pictures: Vec<PathBuf>,
    classes: Vec<u64>,
    names: Vec<String>,
}

/// The folders with the classes to test on and, if there is one, to train on.
///
/// # Errors
/// If the folder cannot be read.
pub fn parts(folder: &Path) -> Result<(PathBuf, Option<PathBuf>), DatasetError> {
    let inside = folders_in(folder)?;
    let named = |name: &str| inside.iter().find(|path| path.file_name().is_some_and(|own| own == name)).cloned();
    // A class may be called "test"; what holds folders of its own is none.
    let nested = |path: &PathBuf| folders_in(path).is_ok_and(|folders| !folders.is_empty());
    let test = named("test").filter(nested).or(named("val").filter(nested));
    Ok(match test {
        Some(test) => (test, named("train").filter(nested)),
        None => (folder.to_owned(), None),
    })
}

/// The names of the classes: those of the folders in any of these, in order.
///
/// # Errors
/// If a folder cannot be read, or there is no class.
pub fn class_folders(folders: &[&Path]) -> Result<Vec<String>, DatasetError> {
    let mut names = Vec::new();
    for folder in folders {
        names.extend(folders_in(folder)?.iter().map(|path| name(path)));
    }
    names.sort();
    names.dedup();
    if names.is_empty() { Err(DatasetError::NoClasses { path: folders[0].to_owned() }) } else { Ok(names) }
}

impl ImageFolder {
    /// `classes` are the names of the folders, `names` what the classes are called.
    ///
    /// # Errors
    /// If a folder cannot be read, or there is no picture.
    ///
    /// # Panics
    /// If the lengths differ.
    #[track_caller]
    pub fn open(folder: &Path, classes: &[String], names: &[String]) -> Result<Self, DatasetError> {
        assert_eq!(classes.len(), names.len(), "{} folders, {} names", classes.len(), names.len());
        let mut own = Self { pictures: Vec::new(), classes: Vec::new(), names: names.to_vec() };
        for path in folders_in(folder)? {
            let Ok(class) = classes.binary_search(&name(&path)) else { continue };
            let pictures = pictures_in(&path)?;
            own.classes.extend(std::iter::repeat_n(class as u64, pictures.len()));
            own.pictures.extend(pictures);
        }
        if own.pictures.is_empty() { Err(DatasetError::NoClasses { path: folder.to_owned() }) } else { Ok(own) }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Dataset for ImageFolder {
    /// The classes.
    fn concepts(&self) -> &[u64] {
        &self.classes
    }

    fn read(&self, index: usize, _: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        let name = &self.names[self.classes[index] as usize];
        let bad = |error| BadExample::new(format!("class {name}"), error);
        read(&self.pictures[index], &mut example.picture).map_err(bad)?;
        example.caption.clone_from(name);
        example.may_flip = false;
        Ok(())
    }
}
