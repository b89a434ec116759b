//! The indexed folders that are served, and the ids by which their pictures are asked for.

use super::model::Model;
use super::reply::Fault;
use crate::embed::{Clip, Family};
use crate::index::{Entry, Index, IndexError, Scan, Store, Update, update};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, RwLock};

/// An index, as it was when it was opened last.
pub(in crate::app) struct Collection {
    name: String,
    /// The folder of pictures, without links in its path.
    root: PathBuf,
    index: RwLock<Arc<Index>>,
}

/// A picture of an index: number of the collection, generation of the index, row. Rows of one generation stay what they
/// are; in the next one they are others, and an old id is then nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id {
    pub collection: usize,
    pub generation: u64,
    pub row: usize,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}-{}-{}", self.collection, self.generation, self.row)
    }
}

impl FromStr for Id {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        // Numbers have one form: neither signs nor zeros in front.
        let number = |part: &str| part.parse::<u64>().ok().filter(|number| number.to_string() == part).ok_or(());
        let [collection, generation, row] = text.split('-').collect::<Vec<_>>()[..] else { return Err(()) };
        let place = |part| number(part)?.try_into().map_err(drop);
        Ok(Id { collection: place(collection)?, generation: number(generation)?, row: place(row)? })
    }
}

impl Collection {
    /// Makes an index ready to be served. Its pictures must be where it says.
    ///
    /// # Errors
    /// Returns an error if their folder is not there, or if the index is of another model.
    pub fn new(index: Index, model: &Model) -> Result<Self, IndexError> {
        index.manifest().check_model(index.folder(), model.id())?;
        let pictures = index.root();
        let root = pictures.canonicalize().map_err(|source| IndexError::Io { path: pictures, source })?;
        let name = root.file_name().map_or_else(|| root.display().to_string(), |name| name.display().to_string());
        Ok(Collection { name, root, index: RwLock::new(Arc::new(index)) })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the index as it is now. Whoever has it goes on with it, whatever becomes of it.
    pub fn index(&self) -> Arc<Index> {
        Arc::clone(&self.index.read().expect("no thread panics here"))
    }

    /// Embeds what has changed in the folder, and serves the result from then on.
    fn update(&self, family: &Family<Clip>, progress: impl Fn(usize, usize)) -> Result<Update, IndexError> {
        let index = self.index();
        let (folder, manifest) = (index.folder(), index.manifest());
        let scan = Scan::of(&index.root(), &manifest.exclude)?;
        let mut store = Store::open(folder, &manifest.root, manifest.model.clone(), manifest.embed_dim)?;
        let update = update(&mut store, family, &scan, progress)?;
        drop(store);
        let opened = Index::open(folder)?;
        *self.index.write().expect("no thread panics here") = Arc::new(opened);
        Ok(update)
    }

    /// Returns the path of a picture's file, without links, if it is below the folder even so.
    ///
    /// # Errors
    /// Returns a fault that does not say what else is there.
    fn file(&self, index: &Index, entry: &Entry) -> Result<PathBuf, Fault> {
        let file = index.file(entry).canonicalize().ok().filter(|file| file.starts_with(&self.root));
        file.ok_or_else(|| Fault::missing("the picture is not in its folder any more"))
    }
}

/// All collections, and the one update of them that may be under way.
pub(in crate::app) struct Collections {
    all: Vec<Collection>,
    is_running: AtomicBool,
    done: AtomicUsize,
    todo: AtomicUsize,
    last: Mutex<Option<Result<Vec<Update>, String>>>,
}

/// How far an update is, and how the last one ended.
pub(super) struct Progress {
    pub is_running: bool,
    pub done: usize,
    pub todo: usize,
    pub last: Option<Result<Vec<Update>, String>>,
}

/// A picture that was asked for.
pub(super) struct Asked<'a> {
    pub collection: &'a Collection,
    pub index: Arc<Index>,
    pub entry: Entry,
}

impl Asked<'_> {
    /// Returns the path of the picture's file.
    ///
    /// # Errors
    /// Returns a fault if it is not below the folder of the index.
    pub fn file(&self) -> Result<PathBuf, Fault> {
        self.collection.file(&self.index, &self.entry)
    }
}

impl Collections {
    pub fn new(mut all: Vec<Collection>) -> Self {
        for i in 0..all.len() {
            // Folders of one name are told apart by numbers.
            let same = all[..i].iter().filter(|other| other.root.file_name() == all[i].root.file_name()).count();
            if same > 0 {
                all[i].name = format!("{}-{}", all[i].name, same + 1);
            }
        }
        let (is_running, done, todo) = Default::default();
        Collections { all, is_running, done, todo, last: Mutex::default() }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Collection> {
        self.all.iter()
    }

    /// Finds the picture of an id.
    ///
    /// # Errors
    /// Returns a fault if no picture has it any more.
    pub(super) fn find(&self, text: &str) -> Result<(Id, Asked<'_>), Fault> {
        let nobody = || Fault::missing("no picture has this id; search again for those of now");
        let id: Id = text.parse().map_err(|()| nobody())?;
        let collection = self.all.get(id.collection).ok_or_else(nobody)?;
        let index = collection.index();
        if index.manifest().generation != id.generation {
            return Err(nobody());
        }
        let entry = index.entry(id.row).map_err(broken)?.ok_or_else(nobody)?;
        Ok((id, Asked { collection, index, entry }))
    }

    /// Begins an update, unless one is under way.
    ///
    /// # Errors
    /// Returns a fault if one is.
    pub(super) fn begin(&self) -> Result<(), Fault> {
        if self.is_running.swap(true, SeqCst) {
            let conflict = hyper::StatusCode::CONFLICT;
            return Err(Fault::new(conflict, "already_running", "an update is under way already"));
        }
        self.done.store(0, SeqCst);
        self.todo.store(0, SeqCst);
        Ok(())
    }

    /// Does the update that has begun.
    pub fn update(&self, family: &Family<Clip>) {
        let progress = |done, todo| {
            self.done.store(done, SeqCst);
            self.todo.store(todo, SeqCst);
        };
        let outcome: Result<Vec<Update>, IndexError> =
            self.all.iter().map(|collection| collection.update(family, progress)).collect();
        *self.last.lock().expect("no thread panics here") = Some(outcome.map_err(|error| error.to_string()));
        self.is_running.store(false, SeqCst);
    }

    /// Ends an update that failed in a way that nobody expected.
    pub fn give_up(&self) {
        *self.last.lock().expect("no thread panics here") = Some(Err("the update failed".into()));
        self.is_running.store(false, SeqCst);
    }

    pub(super) fn state(&self) -> Progress {
        Progress {
            is_running: self.is_running.load(SeqCst),
            done: self.done.load(SeqCst),
            todo: self.todo.load(SeqCst),
            last: self.last.lock().expect("no thread panics here").clone(),
        }
    }
}

/// Makes a fault of an index that cannot be read. What is wrong with it is said here alone: it names files.
pub(super) fn broken(error: IndexError) -> Fault {
    note!("error: {error}");
    Fault::internal("an index cannot be read; the server has said more on its standard error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_form() {
        let id = Id { collection: 1, generation: 2, row: 34 };
        assert_eq!("1-2-34".parse(), Ok(id));
        assert_eq!(id.to_string(), "1-2-34");
        for text in ["", "1", "1-2", "1-2-3-4", "01-2-3", "+1-2-3", "1-2-", "a-b-c", "1-2-99999999999999999999", "../1"]
        {
            assert_eq!(text.parse::<Id>(), Err(()), "{text}");
        }
    }
}
