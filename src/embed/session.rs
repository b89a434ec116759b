//! The memory that embedding reuses from batch to batch and from call to call.

use crate::models::Captions;
use crate::pictures::{Picture, Scratch};
use crate::text::Tokenizer;
use ndarray::{Array2, Axis};
use std::mem::take;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

/// Number of captions in a tower at a time: enough rows for fast products, few enough for little memory.
pub(super) const BATCH: usize = 128;

/// The buffers of one caller that embeds with a model whose own buffers are `I`. They grow to the size of the largest
/// batch and stay that large.
#[derive(Default)]
pub(super) struct Session<I> {
    /// The model's activations.
    pub inference: I,
    /// Normalised pixels of the batch in the tower and of the batch that is being read.
    pub pixels: [Vec<f32>; 2],
    pub workers: Pool<Worker>,
    ids: Vec<u32>,
    offsets: Vec<usize>,
}

/// The buffers that one thread reuses from picture to picture.
#[derive(Default)]
pub(super) struct Worker {
    pub picture: Picture,
    pub scratch: Scratch,
}

impl<I> Session<I> {
    /// Returns unit-length embeddings of N captions, which `encode` embeds batch by batch.
    ///
    /// result (N,e)
    pub fn captions<S: AsRef<str>>(
        &mut self,
        (tokenizer, context_length): (&Tokenizer, usize),
        texts: &[S],
        width: usize,
        encode: impl Fn(&mut I, Captions) -> Array2<f32>,
    ) -> Array2<f32> {
        let Session { inference, ids, offsets, .. } = self;
        let mut rows = Array2::zeros((texts.len(), width));
        for (texts, mut rows) in texts.chunks(BATCH).zip(rows.axis_chunks_iter_mut(Axis(0), BATCH)) {
            ids.clear();
            offsets.clear();
            offsets.push(0);
            for text in texts {
                tokenizer.encode_into(text.as_ref(), context_length, ids);
                offsets.push(ids.len());
            }
            rows.assign(&encode(inference, Captions { ids, offsets }));
        }
        rows
    }
}

/// A pool of values that are lent out and come back. It holds as many as were ever in use at the same time.
#[derive(Default)]
pub(super) struct Pool<T>(Mutex<Vec<T>>);

impl<T: Default> Pool<T> {
    /// Lends a value that has come back, or a new one if there is none.
    pub fn lend(&self) -> Lent<'_, T> {
        let value = self.0.lock().expect("no thread panics here").pop().unwrap_or_default();
        Lent { pool: self, value }
    }
}

/// A borrowed value, which goes back to its pool when it is dropped.
pub(super) struct Lent<'a, T: Default> {
    pool: &'a Pool<T>,
    value: T,
}

impl<T: Default> Deref for Lent<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Default> DerefMut for Lent<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Default> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        self.pool.0.lock().expect("no thread panics here").push(take(&mut self.value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_is_lent_again() {
        let pool = Pool::<Vec<u8>>::default();
        pool.lend().push(1);
        {
            let (first, second) = (pool.lend(), pool.lend());
            assert_eq!((first.len(), second.len()), (1, 0));
        }
        assert_eq!(pool.0.lock().unwrap().len(), 2);
    }
}
