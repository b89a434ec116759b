//! Groups of pictures of an index of which one is enough, for the command and for the server.

use crate::digest::Digest;
use crate::index::{Entry, Index, IndexError, near_earlier};
use crate::progress::Watch;
use clap::ValueEnum;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

/// Which picture of a group is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Keep {
    /// The largest file, which has most pixels or was compressed least
    #[default]
    Best,
    /// The file that was changed first
    Oldest,
    /// The file with the shortest path
    ShortestPath,
}

impl Keep {
    /// Returns what pictures are sorted by. Paths are all different, and so is the order always the same.
    fn key(self, entry: &Entry) -> impl Ord + use<> {
        let length = entry.path.chars().count();
        let first = match self {
            Keep::Best => (Some(Reverse(entry.size)), None),
            Keep::Oldest => (None, Some(entry.modified)),
            Keep::ShortestPath => (None, None),
        };
        (first, length, entry.path.clone())
    }
}

/// The pictures of an index, those before others that would be kept rather.
pub(crate) struct Listed {
    pub index: Arc<Index>,
    pub pictures: Vec<Picture>,
}

pub(crate) struct Picture {
    pub row: usize,
    pub entry: Entry,
    pub digest: Option<Digest>,
}

/// Pictures of which one is enough, by their places in the list.
pub(crate) struct Group {
    pub kept: usize,
    /// The others, the nearest first, each with its cosine with the one that is kept unless the bytes are the same.
    pub others: Vec<(usize, Option<f32>)>,
}

impl Listed {
    pub fn new(index: Arc<Index>, keep: Keep) -> Result<Self, IndexError> {
        let digests = index.digests()?;
        let picture = |(row, entry)| Picture { row, entry, digest: digests[row] };
        let mut pictures: Vec<Picture> = index.entries(&index.all())?.into_iter().map(picture).collect();
        pictures.sort_by_cached_key(|picture| keep.key(&picture.entry));
        Ok(Listed { index, pictures })
    }

    pub fn rows(&self, places: &[usize]) -> Vec<usize> {
        places.iter().map(|&place| self.pictures[place].row).collect()
    }

    /// Returns the first picture with each content.
    pub fn by_digest(&self) -> HashMap<Digest, usize> {
        let contents = self.pictures.iter().enumerate().rev();
        contents.filter_map(|(place, picture)| Some((picture.digest?, place))).collect()
    }

    /// Finds the groups of the same bytes, and those of pictures with at least this cosine, which are looked for among the
    /// first pictures of the former.
    pub fn groups(&self, above: f32, watch: Watch) -> Result<[Vec<Group>; 2], IndexError> {
        let (first, pictures) = (self.by_digest(), &self.pictures);
        let is_first = |&place: &usize| pictures[place].digest.is_none_or(|digest| first[&digest] == place);
        let places: Vec<usize> = (0..pictures.len()).filter(is_first).collect();
        let copies = (0..pictures.len()).filter(|place| !is_first(place));
        let exact = copies.filter_map(|place| Some((first[&pictures[place].digest?], place, None)));
        let found = near_earlier(&self.index, &self.rows(&places), above, watch)?.into_iter().enumerate();
        let near = found.filter_map(|(i, near)| near.map(|near| (places[near.place], places[i], Some(near.score))));
        Ok([grouped(exact), grouped(near)])
    }
}

/// Puts (kept, other, score) into groups, the largest first, and of equally large ones the one whose picture comes first.
fn grouped(pairs: impl Iterator<Item = (usize, usize, Option<f32>)>) -> Vec<Group> {
    let mut groups: HashMap<usize, Vec<(usize, Option<f32>)>> = HashMap::new();
    pairs.for_each(|(kept, other, score)| groups.entry(kept).or_default().push((other, score)));
    let mut groups: Vec<Group> = groups.into_iter().map(|(kept, others)| Group { kept, others }).collect();
    groups.sort_by_key(|group| (Reverse(group.others.len()), group.kept));
    let score = |score: Option<f32>| score.unwrap_or(1.0);
    let sort = |group: &mut Group| group.others.sort_by(|a, b| score(b.1).total_cmp(&score(a.1)).then(a.0.cmp(&b.0)));
    groups.iter_mut().for_each(sort);
    groups
}
