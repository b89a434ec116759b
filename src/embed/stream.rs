//! The one pipeline from a source of pictures to their embeddings, batch by batch.
//!
//! While a batch is in the tower, other threads read, decode and prepare the next one. The embedding of a picture
//! depends neither on the batch that it falls into nor on the number of threads.

use super::session::{Pool, Session, Worker};
use super::source::Pictures;
use crate::datasets::{BadExample, BadReport};
use crate::layers::patch_embed::CHANNELS;
use crate::models::clip::model::Inference;
use crate::pictures::Preprocess;
use ndarray::{Array2, ArrayView2};
use rayon::ThreadPool;
use rayon::prelude::*;
use std::convert::Infallible;
use std::mem::swap;
use std::ops::Range;
use std::sync::LazyLock;

/// Number of pictures in the tower at a time: enough rows for fast products, few enough that an interruption loses
/// little.
pub const BATCH: usize = 64;

/// The threads that read ahead. The tower's own threads would read the next batch only when they are idle.
static READERS: LazyLock<ThreadPool> =
    LazyLock::new(|| rayon::ThreadPoolBuilder::new().build().expect("threads can be started"));

/// The results of up to [`BATCH`] consecutive pictures.
pub struct Batch<'a, N> {
    /// Unit-length embeddings of the n pictures that could be read.
    ///
    /// (n, e)
    pub rows: Array2<f32>,
    /// For each row, the position of its picture in the source, ascending, and the note from reading it.
    pub read: Vec<(usize, N)>,
    /// Positions of the pictures that could not be read, ascending, each with the reason.
    pub bad: Vec<(usize, BadExample)>,
    /// The counts of all pictures tried so far and of the bad ones among them.
    pub report: &'a BadReport,
}

/// All embeddings of a source.
pub struct Embedded<N> {
    /// Unit-length embeddings of the n pictures that could be read.
    ///
    /// (n, e)
    pub rows: Array2<f32>,
    /// For each row, the position of its picture in the source, ascending, and the note from reading it.
    pub read: Vec<(usize, N)>,
    /// The counts of the pictures tried and of the bad ones among them.
    pub bad: BadReport,
}

/// An image tower with the preparation of its pictures.
pub(super) struct Tower<'a, F> {
    preprocess: &'a Preprocess,
    /// e, the width of the embeddings.
    embed_dim: usize,
    encode: F,
}

impl<'a, F: Fn(&mut Inference, ArrayView2<f32>) -> Array2<f32> + Sync> Tower<'a, F> {
    /// Makes a tower of `encode`, which turns B prepared pictures into unit-length embeddings.
    ///
    /// pictures (B, 3S²), embeddings (B, e)
    pub fn new(preprocess: &'a Preprocess, embed_dim: usize, encode: F) -> Self {
        Self { preprocess, embed_dim, encode }
    }

    /// Passes the source's batches to `each`, in order, until it fails.
    ///
    /// # Errors
    /// Returns the error of `each`.
    pub fn stream<S: Pictures, E>(
        &self,
        session: &mut Session,
        source: &S,
        mut each: impl FnMut(Batch<S::Note>) -> Result<(), E>,
    ) -> Result<BadReport, E> {
        let Session { inference, pixels: [ready, ahead], workers, .. } = session;
        let n = source.len();
        let range = |start: usize| start.min(n)..(start + BATCH).min(n);
        let mut report = BadReport::default();
        let mut read = self.read(source, range(0), workers, ready);
        for start in (0..n).step_by(BATCH) {
            let next = range(start + BATCH);
            let hand_on = || {
                report.merge(&read.report);
                let rows = self.embed(inference, ready, read.good.len());
                each(Batch { rows, read: read.good, bad: read.bad, report: &report })
            };
            if next.is_empty() {
                hand_on()?;
                break;
            }
            let mut following = Read::default();
            READERS.in_place_scope(|scope| {
                scope.spawn(|_| following = self.read(source, next, workers, ahead));
                hand_on()
            })?;
            read = following;
            swap(ready, ahead);
        }
        Ok(report)
    }

    /// Embeds all pictures of the source.
    pub fn all<S: Pictures>(&self, session: &mut Session, source: &S) -> Embedded<S::Note> {
        collect(source.len(), self.embed_dim, |each| self.stream(session, source, each))
    }

    /// Embeds the first `n` pictures in `pixels`.
    fn embed(&self, inference: &mut Inference, pixels: &[f32], n: usize) -> Array2<f32> {
        if n == 0 {
            return Array2::zeros((0, self.embed_dim));
        }
        let len = self.image_len();
        (self.encode)(inference, ArrayView2::from_shape((n, len), &pixels[..n * len]).expect("n pictures"))
    }

    /// Reads and prepares the pictures of a range. The good ones are moved to the beginning of `pixels`.
    fn read<S: Pictures>(
        &self,
        source: &S,
        range: Range<usize>,
        workers: &Pool<Worker>,
        pixels: &mut Vec<f32>,
    ) -> Read<S::Note> {
        let len = self.image_len();
        if pixels.len() < range.len() * len {
            pixels.resize(range.len() * len, 0.0);
        }
        let pixels = &mut pixels[..range.len() * len];
        let outcomes: Vec<Result<S::Note, BadExample>> = (pixels.par_chunks_exact_mut(len).zip(range.clone()))
            .map_init(
                || workers.lend(),
                |worker, (image, i)| {
                    let Worker { picture, scratch } = &mut **worker;
                    let note = source.read(i, picture)?;
                    self.preprocess.apply(picture, scratch, image);
                    Ok(note)
                },
            )
            .collect();
        let mut read = Read::default();
        for (place, (i, outcome)) in range.zip(outcomes).enumerate() {
            read.report.count(&outcome);
            match outcome {
                Ok(note) => {
                    pixels.copy_within(place * len..(place + 1) * len, read.good.len() * len);
                    read.good.push((i, note));
                }
                Err(bad) => read.bad.push((i, bad)),
            }
        }
        read
    }

    /// Returns 3·S², the number of values of a prepared picture.
    fn image_len(&self) -> usize {
        CHANNELS * self.preprocess.size.pow(2)
    }
}

/// A batch of pictures that has been read but not embedded.
struct Read<N> {
    good: Vec<(usize, N)>,
    bad: Vec<(usize, BadExample)>,
    report: BadReport,
}

impl<N> Default for Read<N> {
    fn default() -> Self {
        Self { good: Vec::new(), bad: Vec::new(), report: BadReport::default() }
    }
}

/// Concatenates the rows of a stream of at most `n` pictures.
pub(super) fn collect<N>(
    n: usize,
    embed_dim: usize,
    stream: impl FnOnce(&mut dyn FnMut(Batch<N>) -> Result<(), Infallible>) -> Result<BadReport, Infallible>,
) -> Embedded<N> {
    let (mut flat, mut read) = (Vec::with_capacity(n * embed_dim), Vec::with_capacity(n));
    let Ok(bad) = stream(&mut |batch| {
        flat.extend(batch.rows);
        read.extend(batch.read);
        Ok(())
    });
    let rows = Array2::from_shape_vec((read.len(), embed_dim), flat).expect("a row for each picture that was read");
    Embedded { rows, read, bad }
}
