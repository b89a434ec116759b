//! What ranks do together beside a step: a model that embeds with the help of all, and an exam that all sit.

use crate::datasets::{BadExample, BadReport};
use crate::embed::{Batch, Embed, Embedded, Pictures};
use crate::eval::crew::Crew;
use crate::layers::floats;
use crate::pictures::{Picture, View};
use crate::train::world::World;
use ndarray::{Array2, Axis, concatenate};
use rayon::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use std::ops::Range;

/// A model that every rank has, of whose work each does a part. All ranks have to ask for the same things together, and
/// all get the answers, which are the same bits as those of the model alone.
pub struct Together<'a, E, W> {
    pub model: E,
    pub world: &'a W,
}

/// Returns which of n pieces of work are this rank's, and how many each rank has but for the last ones.
fn part(world: &impl World, n: usize) -> (Range<usize>, usize) {
    let len = n.div_ceil(world.size());
    let start = (world.rank() * len).min(n);
    (start..(start + len).min(n), len)
}

/// All ranks as the crew of an exam.
pub struct Ranks<'a, W>(pub &'a W);

impl<W: World> Crew for Ranks<'_, W> {
    fn share<T: Serialize + DeserializeOwned, E>(
        &self,
        n: usize,
        work: impl FnOnce(Range<usize>) -> Result<Vec<T>, E>,
    ) -> Result<Vec<T>, E> {
        let Ranks(world) = self;
        let own = work(part(*world, n).0)?;
        if world.size() == 1 {
            return Ok(own);
        }
        let mut bytes = vec![];
        ciborium::into_writer(&own, &mut bytes).expect("memory takes everything");
        let read = |bytes: &Vec<u8>| -> Vec<T> { ciborium::from_reader(&bytes[..]).expect("what a rank has written") };
        Ok(gather_bytes(*world, bytes).iter().flat_map(read).collect())
    }
}

/// Returns the bytes of every rank.
fn gather_bytes(world: &impl World, mut own: Vec<u8>) -> Vec<Vec<u8>> {
    let (mut lens, mut all) = (vec![], vec![]);
    let lens = world.all_gather(&[own.len() as u64], &mut lens).to_vec();
    let longest = lens.iter().max().map_or(0, |&len| len as usize);
    own.resize(longest, 0);
    let all = world.all_gather(&own, &mut all);
    lens.iter().enumerate().map(|(rank, &len)| all[rank * longest..][..len as usize].to_vec()).collect()
}

impl<E: Embed, W: World> Together<'_, E, W> {
    /// Returns the n rows of which every rank has its part.
    fn gather(&self, own: Array2<f32>, n: usize, len: usize) -> Array2<f32> {
        let width = self.embed_dim();
        let padding = Array2::zeros((len - own.nrows(), width));
        let own = concatenate(Axis(0), &[own.view(), padding.view()]).expect("rows of one width");
        let mut memory = vec![];
        let all = self.world.all_gather(floats(own.view()), &mut memory);
        Array2::from_shape_vec((n, width), all[..n * width].to_vec()).expect("n rows")
    }
}

impl<E: Embed, W: World> Embed for Together<'_, E, W> {
    fn embed_dim(&self) -> usize {
        self.model.embed_dim()
    }

    fn stream<S: Pictures, F>(
        &self,
        source: &S,
        each: impl FnMut(Batch<S::Note>) -> Result<(), F>,
    ) -> Result<BadReport, F> {
        self.model.stream(source, each)
    }

    fn captions<S: AsRef<str>>(&self, texts: &[S]) -> Array2<f32> {
        let (own, len) = part(self.world, texts.len());
        self.gather(self.model.captions(&texts[own]), texts.len(), len)
    }

    /// Every rank reads all pictures, which costs little and tells which ones can be read, and embeds its part of those.
    fn all<S: Pictures>(&self, source: &S) -> Embedded<S::Note> {
        if self.world.size() == 1 {
            return self.model.all(source);
        }
        let read = |picture: &mut Picture, i| source.read(i, &View::default(), picture);
        let outcomes: Vec<_> = (0..source.len()).into_par_iter().map_init(Picture::default, read).collect();
        let (mut bad, mut good) = (BadReport::default(), vec![]);
        for (i, outcome) in outcomes.into_iter().enumerate() {
            bad.count(&outcome);
            good.extend(outcome.ok().map(|note| (i, note)));
        }
        let (own, len) = part(self.world, good.len());
        let places: Vec<usize> = good[own].iter().map(|(i, _)| *i).collect();
        let rows = self.model.all(&Selected { source, places: &places }).rows;
        Embedded { rows: self.gather(rows, good.len(), len), read: good, bad }
    }
}

/// Some of the pictures of a source.
struct Selected<'a, S> {
    source: &'a S,
    places: &'a [usize],
}

impl<S: Pictures> Pictures for Selected<'_, S> {
    type Note = S::Note;

    fn len(&self) -> usize {
        self.places.len()
    }

    fn read(&self, i: usize, view: &View, picture: &mut Picture) -> Result<S::Note, BadExample> {
        self.source.read(self.places[i], view, picture)
    }
}
