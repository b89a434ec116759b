//! Streams of pairs from tar shards that are drawn with replacement, for data of any size.
//!
//! Nothing is known of a shard before it is read, and none is read twice for one pass. Stream v draws its t-th shard by
//! (seed, v, t), each shard with a probability in proportion to the factor of its source; it reads shard after shard
//! from front to back and cuts what it reads into blocks, which are as large as memory may hold and are shuffled as a
//! whole. A block is an ordinary [`Dataset`](super::Dataset) in memory, whose pairs are given out in their shuffled
//! order.
//!
//! A block depends on nothing but the place at which it begins, a shard and a number of samples in it. So three numbers
//! say where a stream goes on: those two, and how many pairs of the block were given out. With the buffer of OpenCLIP,
//! which replaces each pair that leaves by the next one that is read, a stream would depend on all that was ever read:
//! to go on, it would have to begin again, or to save what is in the buffer. Blocks mix pairs as far apart as the
//! buffer of the same size does.
//!
//! Streams do not depend on each other. Where a step takes equal parts of V of them, it is the same step on however
//! many machines they are read.

use crate::counted::counted;
use crate::datasets::error::{BadLimit, BadReport, DatasetError};
use crate::datasets::open::{PairFormat, Stored};
use crate::datasets::shards::{Shard, Shards};
use crate::datasets::tar_stream::TarStream;
use crate::digest::{Digest, digest};
use crate::random::rng;
use rand::RngExt;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The shards of some sources, each with the chance of being drawn.
pub struct ShardList {
    sources: Vec<Vec<PathBuf>>,
    /// Draws a source.
    chances: WeightedIndex<f64>,
    factors: Vec<f64>,
    limit: BadLimit,
}

impl ShardList {
    /// Finds the shards of sources that are joined by `::`, without opening any but the first of each. A shard counts
    /// as much as the factor of its source says, `1::2` for two sources; without factors all shards count the same.
    ///
    /// # Errors
    /// Returns an error if a source has no shards or is none, or if there is not one factor above 0 for each source.
    pub fn open(
        path: &str,
        format: Option<PairFormat>,
        factors: Option<&str>,
        limit: BadLimit,
    ) -> Result<Self, DatasetError> {
        let sources = Stored::sources(path, format)?.into_iter().map(|(source, stored)| match stored {
            Stored::Shards(shards) => Ok(shards),
            Stored::Folder => Err(DatasetError::NoPairs { path: source.into() }),
            Stored::Csv(_) | Stored::Jsonl(_) => Err(DatasetError::NoStream { path: source.into() }),
        });
        let sources: Vec<_> = sources.collect::<Result<_, _>>()?;
        let factors = factors.map_or(Ok(vec![1.0; sources.len()]), |factors| parse(factors, sources.len()))?;
        let weights = sources.iter().zip(&factors).map(|(shards, factor)| shards.len() as f64 * factor);
        let chances = WeightedIndex::new(weights).expect("numbers above 0 whose sum is finite");
        Ok(Self { sources, chances, factors, limit })
    }

    /// Returns a digest of the shards' paths and of the factors.
    pub fn digest(&self) -> Digest {
        let paths = self.sources.iter().flatten().map(|path| path.as_os_str().as_encoded_bytes().to_vec());
        let lens = self.sources.iter().map(|shards| shards.len().to_le_bytes().to_vec());
        digest(paths.chain(lens).chain(self.factors.iter().map(|factor| factor.to_le_bytes().to_vec())))
    }

    /// Returns the number of shards.
    pub fn shards(&self) -> usize {
        self.sources.iter().map(Vec::len).sum()
    }

    /// Draws a stream's t-th shard; returns its number among all, and its path.
    fn draw(&self, seed: u64, stream: u64, t: u64) -> (u64, &Path) {
        let mut rng = rng(&[seed, stream, t, u64::from_le_bytes(*b"shard no")]);
        let source = self.chances.sample(&mut rng);
        let shard = rng.random_range(0..self.sources[source].len());
        let before: usize = self.sources[..source].iter().map(Vec::len).sum();
        ((before + shard) as u64, &self.sources[source][shard])
    }
}

/// Reads one factor for each of so many sources.
fn parse(factors: &str, sources: usize) -> Result<Vec<f64>, DatasetError> {
    /// So large that no sum of factors overflows.
    const MAX: f64 = 1e9;
    let error = |reason| DatasetError::Factors { factors: factors.into(), reason };
    let each = factors.split("::").map(|factor| match factor.trim().parse() {
        Ok(number) if number > 0.0 && number <= MAX => Ok(number),
        _ => Err(error(format!("{factor:?} is not a number above 0 and at most {MAX}"))),
    });
    let each: Vec<f64> = each.collect::<Result<_, _>>()?;
    if each.len() == sources {
        return Ok(each);
    }
    Err(error(format!("{} for {}", counted(each.len(), "factor"), counted(sources, "source"))))
}

/// How many pairs a stream mixes. A block ends with the pair that reaches either number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSize {
    pub pairs: usize,
    /// The bytes of pictures and captions as they are stored.
    pub bytes: u64,
}

impl BlockSize {
    /// Returns the size of blocks where so many streams are read for a step. One stream mixes as many pairs as
    /// OpenCLIP.
    pub fn of_each(streams: usize) -> Self {
        let (pairs, bytes) = (5000, 1 << 29);
        Self { pairs: (pairs / streams).max(1), bytes: (bytes / streams as u64).max(1) }
    }
}

/// Where a stream goes on. The default is its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The number of shards that were read to their end before the block.
    pub shards: u64,
    /// The number of samples of the next shard that were read before the block.
    pub samples: u64,
    /// The number of pairs of the block that were given out.
    pub pairs: u64,
}

impl Place {
    /// Returns the counts of a place, of which [`Place::of`] makes it again.
    pub fn counts(&self) -> [u64; 3] {
        [self.shards, self.samples, self.pairs]
    }

    /// Returns the place with these [counts](Place::counts).
    pub fn of([shards, samples, pairs]: [u64; 3]) -> Self {
        Place { shards, samples, pairs }
    }
}

/// A stream of blocks.
pub struct Stream {
    list: Arc<ShardList>,
    seed: u64,
    number: u64,
    size: BlockSize,
    /// Where the next block begins.
    next: Place,
    /// The shard that is being read.
    open: Option<TarStream>,
    /// The counts of the samples that were read, and of the bad ones among them.
    bad: BadReport,
}

impl Stream {
    /// Makes stream `number` of a seed, whose next block is the one at a place.
    pub fn new(list: Arc<ShardList>, seed: u64, number: u64, size: BlockSize, place: Place) -> Self {
        let size = BlockSize { pairs: size.pairs.max(1), bytes: size.bytes.max(1) };
        let next = Place { pairs: 0, ..place };
        Self { list, seed, number, size, next, open: None, bad: BadReport::default() }
    }

    /// Returns where the next block begins.
    pub fn place(&self) -> Place {
        self.next
    }

    /// Reads the next block. A shard that cannot be read is left out from where that shows, as one bad example.
    ///
    /// # Errors
    /// Returns [`DatasetError::TooManyBad`] if more samples are bad than the limit allows, or if so many were bad one
    /// after the other that there may be no good one.
    pub fn block(&mut self) -> Result<Shards, DatasetError> {
        let (mut parts, mut pairs, mut bytes) = (vec![], 0, 0);
        let mut fruitless = BadReport::default();
        while pairs < self.size.pairs && bytes < self.size.bytes {
            let left = BlockSize { pairs: self.size.pairs - pairs, bytes: self.size.bytes - bytes };
            let part = self.part(left);
            (pairs, bytes) = (pairs + part.pairs(), bytes + part.len());
            self.bad.merge(part.report());
            if part.pairs() > 0 {
                fruitless = BadReport::default();
            } else {
                fruitless.merge(part.report());
            }
            self.list.limit.check(&self.bad)?;
            self.list.limit.check(&fruitless)?;
            parts.push(part);
        }
        // A buffer that holds everything makes the shuffle of shards a uniform one.
        Ok(Shards::of(parts, vec![], usize::MAX))
    }

    /// Reads pairs of one shard until the block is full or the shard ends.
    fn part(&mut self, left: BlockSize) -> Shard {
        let (number, path) = self.list.draw(self.seed, self.number, self.next.shards);
        let mut part = Shard::in_memory(path, number);
        let error = |reason: &str| DatasetError::Shard { path: path.into(), reason: reason.into() };
        let read = match self.open.take() {
            Some(open) => Ok(open),
            None => TarStream::open(path).and_then(|mut open| {
                let is_there = open.pass(self.next.samples)?;
                is_there.then_some(open).ok_or_else(|| error("fewer samples than when it was read before"))
            }),
        };
        let ended = read.and_then(|mut open| {
            while part.pairs() < left.pairs && part.len() < left.bytes {
                let Some((sample, bytes)) = open.sample(part.len(), self.size.bytes)? else { return Ok(None) };
                part.append(&sample, bytes);
                self.next.samples += 1;
            }
            Ok(Some(open))
        });
        let left_out = match ended {
            Ok(Some(open)) => {
                self.open = Some(open);
                return part;
            }
            Ok(None) if self.next.samples == 0 => Some(error("no sample in it")),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        left_out.iter().for_each(|error| part.give_up(error));
        self.next = Place { shards: self.next.shards + 1, ..Place::default() };
        part
    }
}
