//! Pictures that are sorted into one folder per class, as torchvision's `ImageFolder` reads them.
//!
//! ```text
//! pets/cat/1.jpg            or   pets/train/cat/1.jpg
//! pets/dog/2.jpg                 pets/val/dog/2.jpg       (or `test`)
//! ```

use crate::datasets::dataset::{Dataset, Example};
use crate::datasets::error::{BadExample, BadReport, DatasetError};
use crate::files;
use crate::pictures::folder::{PassedOver, Walk, folders_in, may_hold_picture, walk};
use crate::random::Rng;
use std::path::{Path, PathBuf};

/// Pictures, each with the name of its class as the caption.
pub struct ImageFolder {
    /// The pictures by path. A path that the walk could not read stands for one bad example.
    pictures: Vec<Result<PathBuf, BadExample>>,
    classes: Vec<u64>,
    names: Vec<String>,
    bad: BadReport,
    passed_over: PassedOver,
}

/// Finds the folder with the classes to test on and, if there is one, the folder to train on.
///
/// # Errors
/// Returns an error if the folder cannot be read.
pub fn parts(folder: &Path) -> Result<(PathBuf, Option<PathBuf>), DatasetError> {
    let inside = folders_in(folder).map_err(DatasetError::io(folder))?;
    let named = |name: &str| inside.iter().find(|path| path.file_name().is_some_and(|own| own == name)).cloned();
    // A class may be called "test" too, but only a part holds folders of its own.
    let nested = |path: &PathBuf| folders_in(path).is_ok_and(|folders| !folders.is_empty());
    let test = named("test").filter(nested).or(named("val").filter(nested));
    Ok(match test {
        Some(test) => (test, named("train").filter(nested)),
        None => (folder.to_owned(), None),
    })
}

/// Returns the names of the classes, in order: those of the folders directly in any of `folders` that hold a picture.
///
/// # Errors
/// Returns an error if a folder cannot be read or there is no class.
pub fn class_folders(folders: &[&Path]) -> Result<Vec<String>, DatasetError> {
    let names = names_in(folders, may_hold_picture)?;
    if names.is_empty() { Err(DatasetError::NoClasses { path: folders[0].to_owned() }) } else { Ok(names) }
}

/// Returns the names of the folders that [`class_folders`] leaves out, in order: no picture is in any of them.
///
/// # Errors
/// Returns an error if a folder cannot be read.
pub fn empty_folders(folders: &[&Path], classes: &[String]) -> Result<Vec<String>, DatasetError> {
    let mut names = names_in(folders, |_| true)?;
    names.retain(|name| classes.binary_search(name).is_err());
    Ok(names)
}

fn names_in(folders: &[&Path], counts: impl Fn(&Path) -> bool) -> Result<Vec<String>, DatasetError> {
    let mut names = Vec::new();
    for folder in folders {
        let inside = folders_in(folder).map_err(DatasetError::io(folder))?;
        names.extend(inside.iter().filter(|path| counts(path)).map(|path| name(path)));
    }
    names.sort();
    names.dedup();
    Ok(names)
}

impl ImageFolder {
    /// Opens a folder of classes. `classes` are the names of their folders, and `names` the captions of their pictures.
    ///
    /// # Errors
    /// Returns an error if a folder cannot be read or there is no picture.
    ///
    /// # Panics
    /// Panics if `classes` and `names` differ in length.
    #[track_caller]
    pub fn open(folder: &Path, classes: &[String], names: &[String]) -> Result<Self, DatasetError> {
        assert_eq!(classes.len(), names.len(), "{} folders, {} names", classes.len(), names.len());
        let Walk { pictures, passed_over, unseen } = walk(folder, &[]).map_err(DatasetError::io(folder))?;
        let (names, bad) = (names.to_vec(), BadReport::default());
        let mut own = Self { pictures: vec![], classes: vec![], names, bad, passed_over };
        let unseen = unseen.into_iter().map(|(path, reason)| {
            let bad = BadExample::new(path.display(), reason);
            (path, Err(bad))
        });
        for (path, picture) in pictures.into_iter().map(|path| (path.clone(), Ok(path))).chain(unseen) {
            let class = class_of(folder, &path).and_then(|name| classes.binary_search(&name).ok());
            let class = class.ok_or_else(|| BadExample::new(path.display(), "in no folder of a class"));
            own.bad.count(&class);
            if let Ok(class) = class {
                own.pictures.push(picture);
                own.classes.push(class as u64);
            }
        }
        if own.pictures.is_empty() { Err(DatasetError::NoClasses { path: folder.to_owned() }) } else { Ok(own) }
    }
}

impl ImageFolder {
    /// Returns the counts of the files that are no pictures.
    pub fn passed_over(&self) -> &PassedOver {
        &self.passed_over
    }

    /// Returns the counts of the pictures and of those among them that lie in no folder of a class.
    pub fn bad(&self) -> &BadReport {
        &self.bad
    }
}

/// Returns the name of the class folder in `folder` that contains the path or is the path itself.
fn class_of(folder: &Path, path: &Path) -> Option<String> {
    let inside = path.strip_prefix(folder).ok()?;
    let class = folder.join(inside.components().next()?);
    class.is_dir().then(|| name(&class))
}

fn name(path: &Path) -> String {
    files::name(path.file_name().unwrap_or_default().as_ref()).into_owned()
}

impl Dataset for ImageFolder {
    /// Returns the class of each picture.
    fn concepts(&self) -> &[u64] {
        &self.classes
    }

    fn read(&self, index: usize, _: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        let name = &self.names[self.classes[index] as usize];
        let path = self.pictures[index].as_ref().map_err(Clone::clone)?;
        example.picture = example.view.open(path).map_err(|error| BadExample::new(format!("class {name}"), error))?;
        example.caption.clone_from(name);
        example.may_flip = false;
        Ok(())
    }
}
