//! Pairs of several datasets as one.

use crate::datasets::dataset::{Dataset, Example, PictureFiles};
use crate::datasets::error::BadExample;
use crate::digest::{Digest, digest};
use crate::random::Rng;
use rand::seq::SliceRandom;
use std::path::Path;
use std::sync::Arc;

/// The examples of several datasets, one dataset after the other.
pub(super) struct Joined {
    parts: Vec<Arc<dyn PictureFiles>>,
    /// The first example of each dataset, and the total.
    starts: Vec<usize>,
    concepts: Vec<u64>,
}

impl Joined {
    pub fn new(parts: Vec<Arc<dyn PictureFiles>>) -> Self {
        let (mut starts, mut concepts) = (vec![0], vec![]);
        for part in &parts {
            concepts.extend(part.concepts());
            starts.push(concepts.len());
        }
        Self { parts, starts, concepts }
    }

    /// Returns the dataset of an example, and the example's position in it.
    fn find(&self, index: usize) -> (&dyn PictureFiles, usize) {
        let part = self.starts.partition_point(|&start| start <= index) - 1;
        (&*self.parts[part], index - self.starts[part])
    }
}

impl Dataset for Joined {
    fn concepts(&self) -> &[u64] {
        &self.concepts
    }

    fn list_digest(&self) -> Digest {
        digest(self.parts.iter().map(|part| part.list_digest().to_string()))
    }

    /// Keeps the order that each dataset gives its own examples, in which they are cheap to read, and draws whose
    /// example comes next: all ways to put the orders together are equally likely. Where each order is a uniform
    /// permutation, so is this one.
    fn shuffle(&self, rng: &mut Rng, order: &mut Vec<u32>) {
        let mut orders = vec![];
        for (part, &start) in self.parts.iter().zip(&self.starts) {
            let mut own = vec![];
            part.shuffle(rng, &mut own);
            orders.push(own.into_iter().map(move |example| start as u32 + example));
        }
        order.clear();
        order.extend((0u32..).zip(&orders).flat_map(|(part, own)| std::iter::repeat_n(part, own.len())));
        order.shuffle(rng);
        for place in order {
            *place = orders[*place as usize].next().expect("as many places as examples");
        }
    }

    fn may_rearrange(&self) -> bool {
        self.parts.iter().all(|part| part.may_rearrange())
    }

    fn read(&self, index: usize, rng: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        let (part, index) = self.find(index);
        part.read(index, rng, example)
    }

    fn read_caption(&self, index: usize, rng: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        let (part, index) = self.find(index);
        part.read_caption(index, rng, example)
    }
}

impl PictureFiles for Joined {
    fn name(&self, index: usize) -> String {
        let (part, index) = self.find(index);
        part.name(index)
    }

    fn file(&self, index: usize) -> Option<&Path> {
        let (part, index) = self.find(index);
        part.file(index)
    }

    fn picture_file(&self, index: usize) -> Result<Vec<u8>, BadExample> {
        let (part, index) = self.find(index);
        part.picture_file(index)
    }
}
