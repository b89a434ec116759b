//! Picture files to normalised pixels, on all threads, one batch ahead of the model.

use super::{Found, Skipped};
use crate::layers::patch_embed::CHANNELS;
use crate::pictures::{Preprocess, Scratch, decode};
use ndarray::ArrayView2;
use rayon::prelude::*;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

/// Pictures in a batch: enough rows for fast products, few enough that an interruption loses little.
const BATCH: usize = 64;
/// One in the model's hands and one being filled: all the memory that prepared pictures take.
const BUFFERS: usize = 2;

/// What became of the files of a batch.
#[derive(Default)]
pub(super) struct Batch {
    /// (n, 3S²) for the n pictures that could be read, in the order of `read`.
    images: Vec<f32>,
    /// Which of the files they are.
    pub read: Vec<usize>,
    pub skipped: Vec<Skipped>,
}

impl Batch {
    pub fn images(&self) -> ArrayView2<'_, f32> {
        let n = self.read.len();
        let pixels = self.images.len() / n.max(1);
        ArrayView2::from_shape((n, pixels), &self.images).expect("n pictures")
    }
}

/// Calls `take` with batch after batch of the files until one fails.
///
/// # Errors
/// What `take` says.
pub(super) fn batches<E>(
    files: &[&Found],
    preprocess: &Preprocess,
    mut take: impl FnMut(&Batch) -> Result<(), E>,
) -> Result<(), E> {
    let (full, next) = mpsc::channel();
    let (empty, spare) = mpsc::channel();
    for _ in 0..BUFFERS {
        empty.send(Batch::default()).expect("the receiver is here");
    }
    thread::scope(|scope| {
        scope.spawn(move || {
            // Threads of its own: the model's would leave the next batch until they have nothing else to do.
            let pool = rayon::ThreadPoolBuilder::new().build().expect("threads can be started");
            for (i, files) in files.chunks(BATCH).enumerate() {
                let Ok(mut batch) = spare.recv() else { return };
                pool.install(|| fill(&mut batch, i * BATCH, files, preprocess));
                if full.send(batch).is_err() {
                    return;
                }
            }
        });
        // Both ends that are here are dropped when this returns, which is what ends the thread.
        let (next, empty) = (next, empty);
        for batch in next {
            take(&batch)?;
            // The thread is gone once it has filled the last.
            let _ = empty.send(batch);
        }
        Ok(())
    })
}

/// Reads the files, of which `start` come before.
fn fill(batch: &mut Batch, start: usize, files: &[&Found], preprocess: &Preprocess) {
    let pixels = CHANNELS * preprocess.size.pow(2);
    let Batch { images, read, skipped } = batch;
    images.resize(files.len() * pixels, 0.0);
    let outcomes: Vec<Result<(), String>> = (images.par_chunks_exact_mut(pixels).zip(files))
        .map_init(Scratch::default, |scratch, (image, found)| open(&found.file, preprocess, scratch, image))
        .collect();
    read.clear();
    skipped.clear();
    for (i, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(()) => {
                images.copy_within(i * pixels..(i + 1) * pixels, read.len() * pixels);
                read.push(start + i);
            }
            Err(reason) => skipped.push(Skipped { path: files[i].file.clone(), reason }),
        }
    }
    images.truncate(read.len() * pixels);
}

fn open(path: &Path, preprocess: &Preprocess, scratch: &mut Scratch, image: &mut [f32]) -> Result<(), String> {
    let bytes = decode::read(path).map_err(|error| error.to_string())?;
    let picture = decode::decode(&bytes).map_err(|error| error.to_string())?;
    preprocess.apply(&picture, scratch, image);
    Ok(())
}
