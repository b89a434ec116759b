//! Sources of pictures to embed: files, memory, datasets.

use crate::datasets::{BadExample, Dataset, Example};
use crate::digest::Digest;
use crate::pictures::{Picture, Reading, View};
use crate::random::rng;
use std::mem::take;
use std::path::Path;

/// A source of pictures, which can be read in any order and from any thread.
pub trait Pictures: Sync {
    /// What reading a picture yields beside it, such as its caption.
    type Note: Send;

    /// Returns the number of pictures.
    fn len(&self) -> usize;

    /// Returns whether there is no picture.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads picture i into `picture`, whose memory may be reused. On success it has at least one pixel. What is outside
    /// of the view may be missing.
    ///
    /// # Errors
    /// Returns an error that names the file, row or member that cannot be used, and says why.
    fn read(&self, i: usize, view: &View, picture: &mut Picture) -> Result<Self::Note, BadExample>;
}

/// A source of picture files, which are named by their paths.
pub struct Files<'a, P>(pub &'a [P]);

impl<P: AsRef<Path> + Sync> Pictures for Files<'_, P> {
    type Note = ();

    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(&self, i: usize, view: &View, picture: &mut Picture) -> Result<(), BadExample> {
        *picture = view.open(self.0[i].as_ref())?;
        Ok(())
    }
}

/// A source of picture files that notes the digest of each file, which is read once for both.
pub struct Hashed<'a, P>(pub &'a [P]);

impl<P: AsRef<Path> + Sync> Pictures for Hashed<'_, P> {
    type Note = Digest;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(&self, i: usize, view: &View, picture: &mut Picture) -> Result<Digest, BadExample> {
        let (opened, digest) = view.open_hashed(self.0[i].as_ref())?;
        *picture = opened;
        Ok(digest)
    }
}

/// A source of pictures that are in memory.
pub struct Loaded<'a>(pub &'a [Picture]);

impl Pictures for Loaded<'_> {
    type Note = ();

    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(&self, i: usize, _: &View, picture: &mut Picture) -> Result<(), BadExample> {
        let loaded = &self.0[i];
        picture.reshape(loaded.width, loaded.height, loaded.mode);
        picture.cut = loaded.cut;
        picture.samples.copy_from_slice(&loaded.samples);
        Ok(())
    }
}

/// A source of `n` pictures that are made when they are needed: `paint(i, picture)` makes picture i.
pub struct Painted<F> {
    pub n: usize,
    pub paint: F,
}

impl<F: Fn(usize, &mut Picture) + Sync> Pictures for Painted<F> {
    type Note = ();

    fn len(&self) -> usize {
        self.n
    }

    fn read(&self, i: usize, _: &View, picture: &mut Picture) -> Result<(), BadExample> {
        (self.paint)(i, picture);
        Ok(())
    }
}

/// A source of the examples that a dataset has at these positions.
pub struct Examples<'a> {
    pub dataset: &'a dyn Dataset,
    pub positions: &'a [usize],
}

/// The caption of an example and the digest of its picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    pub caption: String,
    /// A digest that is equal for equal pictures, as far as they are looked at.
    pub digest: Digest,
}

impl Pictures for Examples<'_> {
    type Note = About;

    fn len(&self) -> usize {
        self.positions.len()
    }

    /// Reads an example. Its position decides between its captions, so that every reading gives the same one.
    fn read(&self, i: usize, view: &View, picture: &mut Picture) -> Result<About, BadExample> {
        let position = self.positions[i];
        let mut example = Example { picture: take(picture), view: view.clone(), ..Example::default() };
        let outcome = self.dataset.read(position, &mut rng(&[position as u64]), &mut example);
        *picture = example.picture;
        outcome.map(|()| About { caption: example.caption, digest: view.digest(picture) })
    }
}

/// A source whose pictures are read in another way than the reference pipelines read them.
pub struct ReadAs<'a, S: ?Sized> {
    pub source: &'a S,
    pub reading: Reading,
}

impl<S: Pictures + ?Sized> Pictures for ReadAs<'_, S> {
    type Note = S::Note;

    fn len(&self) -> usize {
        self.source.len()
    }

    fn read(&self, i: usize, view: &View, picture: &mut Picture) -> Result<S::Note, BadExample> {
        let view = View { reading: self.reading, ..view.clone() };
        let note = self.source.read(i, &view, picture)?;
        if self.reading.exif {
            *picture = take(picture).upright();
        }
        Ok(note)
    }
}

/// A source with a progress hook: `done` is called after every picture that was tried, from any thread.
pub struct Watched<'a, S: ?Sized, F> {
    pub source: &'a S,
    pub done: F,
}

impl<S: Pictures + ?Sized, F: Fn() + Sync> Pictures for Watched<'_, S, F> {
    type Note = S::Note;

    fn len(&self) -> usize {
        self.source.len()
    }

    fn read(&self, i: usize, view: &View, picture: &mut Picture) -> Result<S::Note, BadExample> {
        let outcome = self.source.read(i, view, picture);
        (self.done)();
        outcome
    }
}
