//! The interface of a set of pictures and captions.

use crate::datasets::error::BadExample;
use crate::digest::{Digest, digest};
use crate::pictures::{Picture, View};
use crate::random::Rng;
use rand::seq::SliceRandom;
use std::path::Path;

/// One picture with one caption. A reader passes the same value again and again, so that its memory is reused.
#[derive(Clone, Debug, Default)]
pub struct Example {
    pub picture: Picture,
    /// What the reader looks at of the picture. The rest of it may be missing.
    pub view: View,
    pub caption: String,
    /// Whether the caption stays true when the picture is mirrored.
    pub may_flip: bool,
    /// If the caption is a question, its answers.
    pub answers: Vec<Answer>,
}

/// An answer to a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub text: String,
    /// What it counts, such as the share of people who gave it.
    pub weight: f32,
}

/// A finite set of examples that can be read in any order, from any thread.
pub trait Dataset: Send + Sync {
    /// Returns one key per example. Examples with equal keys show the same thing: the sampler puts them into different
    /// batches where it can, and where it cannot, the loss counts them as positives of each other.
    fn concepts(&self) -> &[u64];

    /// Returns a digest of the list of examples in its order, for which no picture is read.
    fn list_digest(&self) -> Digest {
        digest(self.concepts().iter().map(|concept| concept.to_le_bytes()))
    }

    /// Fills `order` with the examples of one epoch, each once. The default is a uniform permutation.
    fn shuffle(&self, rng: &mut Rng, order: &mut Vec<u32>) {
        order.clear();
        order.extend(0..self.concepts().len() as u32);
        order.shuffle(rng);
    }

    /// Returns whether the sampler may rearrange the shuffled order to move equal concepts apart. For a dataset that is
    /// cheap to read only in that order, this is false.
    fn may_rearrange(&self) -> bool {
        true
    }

    /// Reads one example; `rng` decides between its captions.
    ///
    /// # Errors
    /// Returns an error with the file, row or member that cannot be used, and why.
    fn read(&self, index: usize, rng: &mut Rng, example: &mut Example) -> Result<(), BadExample>;

    /// Reads one example, of which nobody looks at the picture; `rng` decides as in [`read`](Self::read). A dataset whose
    /// pictures are costly to read leaves them out here.
    ///
    /// # Errors
    /// Returns an error with the file, row or member that cannot be used, and why.
    fn read_caption(&self, index: usize, rng: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        self.read(index, rng, example)
    }
}

/// A dataset whose pictures are files, or members of files.
pub trait PictureFiles: Dataset {
    /// Returns the name that the data has for an example's picture.
    fn name(&self, index: usize) -> String;

    /// Returns the path of an example's picture, if it is a file of its own.
    fn file(&self, index: usize) -> Option<&Path>;

    /// Reads the bytes of an example's picture as they are stored.
    ///
    /// # Errors
    /// Returns an error with the file or member that cannot be read, and why.
    fn picture_file(&self, index: usize) -> Result<Vec<u8>, BadExample>;
}
