//! The one pipeline from a source of pictures to what an image tower makes of them, batch by batch.
//!
//! While a batch is in the tower, other threads read, decode and prepare the next one. The embedding of a picture
//! depends neither on the batch that it falls into nor on the number of threads.

use super::session::{Pool, Session, Worker};
use super::source::Pictures;
use crate::datasets::{BadExample, BadReport};
use crate::layers::patch_embed::CHANNELS;
use crate::pictures::{Preprocess, View};
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

/// The results of consecutive pictures: up to [`BATCH`] of them, unless the model says otherwise.
pub struct Batch<'a, N, R = Array2<f32>> {
    /// What the tower makes of the N pictures that could be read: unit-length embeddings (N,e) of most models.
    pub rows: R,
    /// For each of these pictures, its position in the source, ascending, and the note from reading it.
    pub read: Vec<(usize, N)>,
    /// Positions of the pictures that could not be read, ascending, each with the reason.
    pub bad: Vec<(usize, BadExample)>,
    /// The counts of all pictures tried so far and of the bad ones among them.
    pub report: &'a BadReport,
}

/// All embeddings of a source.
pub struct Embedded<N> {
    /// Unit-length embeddings of the N pictures that could be read.
    ///
    /// (N,e)
    pub rows: Array2<f32>,
    /// For each row, the position of its picture in the source, ascending, and the note from reading it.
    pub read: Vec<(usize, N)>,
    /// The counts of the pictures tried and of the bad ones among them.
    pub bad: BadReport,
}

/// An image tower with the preparation of its pictures.
pub(super) struct Tower<'a, F> {
    pub preprocess: &'a Preprocess,
    /// The number of pictures in the tower at a time.
    pub batch: usize,
    /// Makes of prepared pictures (B,3·edge²), of which there may be none, what the tower is for.
    pub encode: F,
}

impl<F: Sync> Tower<'_, F> {
    /// Passes the source's batches to `each`, in order, until it fails.
    ///
    /// # Errors
    /// Returns the error of `each`.
    pub fn stream<I, R, S: Pictures, E>(
        &self,
        session: &mut Session<I>,
        source: &S,
        mut each: impl FnMut(Batch<S::Note, R>) -> Result<(), E>,
    ) -> Result<BadReport, E>
    where
        F: Fn(&mut I, ArrayView2<f32>) -> R,
    {
        let Session { inference, pixels: [ready, ahead], workers, .. } = session;
        let n = source.len();
        let range = |start: usize| start.min(n)..(start + self.batch).min(n);
        let mut report = BadReport::default();
        let mut read = self.read(source, range(0), workers, ready);
        for start in (0..n).step_by(self.batch) {
            let next = range(start + self.batch);
            let hand_on = || {
                report.merge(&read.report);
                let (n, len) = (read.good.len(), self.image_len());
                let images = ArrayView2::from_shape((n, len), &ready[..n * len]).expect("n pictures");
                let rows = (self.encode)(inference, images);
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
        let (pixels, view) = (&mut pixels[..range.len() * len], View::of(self.preprocess));
        let outcomes: Vec<Result<S::Note, BadExample>> = (pixels.par_chunks_exact_mut(len).zip(range.clone()))
            .map_init(
                || workers.lend(),
                |worker, (image, i)| {
                    let Worker { picture, scratch } = &mut **worker;
                    let note = source.read(i, &view, picture)?;
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

    /// Returns 3·edge², the number of values of a prepared picture.
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
