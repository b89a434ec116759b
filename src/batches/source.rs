//! Where the pairs of batches come from: a dataset whose examples are all known, or streams.

use crate::batches::sampler::Sampler;
use crate::datasets::dataset::Dataset;
use crate::datasets::{BadReport, BlockSize, DatasetError, Place, ShardList, Stream};
use crate::digest::Digest;
use crate::random::rng;
use std::ops::Range;
use std::sync::Arc;

/// Where the pairs of batches come from.
#[derive(Clone)]
pub enum Source {
    /// Every epoch has each example once, in another order.
    Dataset(Arc<dyn Dataset>),
    /// An epoch is a number of pairs.
    Streams(Streams),
}

/// Neighbouring streams, of which every batch takes equal parts, one behind the other.
#[derive(Clone)]
pub struct Streams {
    pub list: Arc<ShardList>,
    /// The number of pairs in an epoch.
    pub pairs: usize,
    pub size: BlockSize,
    /// The number of the first stream.
    pub first: u64,
    /// Where each stream begins.
    pub places: Vec<Place>,
}

impl From<Streams> for Source {
    fn from(streams: Streams) -> Self {
        Source::Streams(streams)
    }
}

impl From<Arc<dyn Dataset>> for Source {
    fn from(dataset: Arc<dyn Dataset>) -> Self {
        Source::Dataset(dataset)
    }
}

impl<D: Dataset + 'static> From<Arc<D>> for Source {
    fn from(dataset: Arc<D>) -> Self {
        Source::Dataset(dataset)
    }
}

impl Source {
    /// Returns the number of pairs in an epoch.
    pub fn pairs(&self) -> usize {
        match self {
            Source::Dataset(dataset) => dataset.concepts().len(),
            Source::Streams(streams) => streams.pairs,
        }
    }

    /// Returns the places at which streams begin, one for each.
    pub fn places(&mut self) -> &mut [Place] {
        if let Source::Streams(streams) = self { &mut streams.places } else { &mut [] }
    }

    /// Cuts streams into so many, of which a batch takes equal parts.
    pub fn cut(&mut self, streams: usize) {
        if let Source::Streams(source) = self {
            (source.size, source.places) = (BlockSize::of_each(streams), vec![Place::default(); streams]);
        }
    }

    /// Keeps these of the streams.
    pub fn keep(&mut self, own: Range<usize>) {
        if let Source::Streams(source) = self {
            (source.first, source.places) = (source.first + own.start as u64, source.places[own].to_vec());
        }
    }

    /// Returns a digest of what can be known of the pairs without reading pictures.
    pub fn list_digest(&self) -> Digest {
        match self {
            Source::Dataset(dataset) => dataset.list_digest(),
            Source::Streams(streams) => streams.list.digest(),
        }
    }
}

/// Some of a batch's pairs: positions in a dataset.
pub(super) struct Part {
    pub dataset: Arc<dyn Dataset>,
    pub positions: Vec<u32>,
}

/// Draws the pairs of one step after the other.
pub(super) enum Drawer {
    Dataset { dataset: Arc<dyn Dataset>, sampler: Sampler, own: Range<usize> },
    Streams { readers: Vec<Reader>, each: usize },
}

impl Drawer {
    /// Makes what draws the `own` places of `batch_size` pairs a step.
    pub fn new(source: Source, batch_size: usize, own: Range<usize>, steps_per_epoch: u64, seed: u64) -> Self {
        match source {
            Source::Dataset(dataset) => {
                Drawer::Dataset { dataset, sampler: Sampler::new(batch_size, steps_per_epoch, seed), own }
            }
            Source::Streams(Streams { list, size, first, places, .. }) => {
                let (pairs, streams) = (own.len(), places.len());
                assert!(pairs.is_multiple_of(streams), "{pairs} pairs from {streams} streams");
                let each = pairs / streams;
                let reader = |(number, place)| Reader::new(Arc::clone(&list), seed, number, size, place);
                Drawer::Streams { readers: (first..).zip(places).map(reader).collect(), each }
            }
        }
    }

    /// Draws the pairs of a step; returns them, and the report on the samples that were read for it and are no pairs.
    /// Streams give what comes next, whatever the number of the step.
    ///
    /// # Errors
    /// Returns an error if a stream has too many bad samples.
    pub fn draw(&mut self, step: u64) -> Result<(Vec<Part>, BadReport), DatasetError> {
        let (mut parts, mut left_out) = (vec![], BadReport::default());
        match self {
            Drawer::Dataset { dataset, sampler, own } => {
                let positions = sampler.batch(&**dataset, step)[own.clone()].to_vec();
                parts.push(Part { dataset: Arc::clone(dataset), positions });
            }
            Drawer::Streams { readers, each } => {
                readers.iter_mut().try_for_each(|reader| reader.take(*each, &mut parts, &mut left_out))?;
            }
        }
        Ok((parts, left_out))
    }

    /// Returns where each stream goes on.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        let readers = if let Drawer::Streams { readers, .. } = self { &readers[..] } else { &[] };
        readers.iter().map(Reader::place)
    }
}

/// Takes the pairs of a stream, block after block, each in a shuffled order.
pub(super) struct Reader {
    stream: Stream,
    seed: u64,
    number: u64,
    block: Option<Arc<dyn Dataset>>,
    /// Where the block begins.
    begin: Place,
    order: Vec<u32>,
    /// The number of pairs of the block that were taken; before the first block, how many of it are passed over.
    taken: usize,
}

impl Reader {
    fn new(list: Arc<ShardList>, seed: u64, number: u64, size: BlockSize, place: Place) -> Self {
        let stream = Stream::new(list, seed, number, size, place);
        Self { stream, seed, number, block: None, begin: place, order: vec![], taken: place.pairs as usize }
    }

    /// Takes the next `count` pairs.
    fn take(&mut self, mut count: usize, parts: &mut Vec<Part>, left_out: &mut BadReport) -> Result<(), DatasetError> {
        while count > 0 {
            if self.block.is_none() || self.taken >= self.order.len() {
                self.load(left_out)?;
            }
            let block = self.block.as_ref().expect("just read, if there was none");
            let positions: Vec<u32> = self.order.iter().skip(self.taken).take(count).copied().collect();
            (self.taken, count) = (self.taken + positions.len(), count - positions.len());
            parts.push(Part { dataset: Arc::clone(block), positions });
        }
        Ok(())
    }

    /// Reads the next block and shuffles it.
    fn load(&mut self, left_out: &mut BadReport) -> Result<(), DatasetError> {
        if self.block.take().is_some() {
            self.taken = 0;
        }
        self.begin = self.stream.place();
        let block = self.stream.block()?;
        left_out.merge(block.bad());
        block.shuffle(&mut rng(&[self.seed, self.number, self.begin.shards, self.begin.samples]), &mut self.order);
        self.block = Some(Arc::new(block));
        Ok(())
    }

    /// Returns where the stream goes on.
    fn place(&self) -> Place {
        let is_used_up = self.block.is_some() && self.taken >= self.order.len();
        if is_used_up { self.stream.place() } else { Place { pairs: self.taken as u64, ..self.begin } }
    }
}
