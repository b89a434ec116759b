//! The momentum features of earlier batches, which pictures and texts are contrasted with as well (He et al. 2020,
//! section 3.2).

use crate::layers::{floats, normalize};
use crate::random::{key, normals};
use crate::train::objective::Saved;
use ndarray::{ArrayView2, Axis};

/// A queue of earlier features of pictures and of texts, and behind them those of the batch, so that all are the
/// columns of one matrix and the queue is never copied.
///
/// `images`, `texts` (queue+B,e)
pub(super) struct Queue {
    len: usize,
    width: usize,
    images: Vec<f32>,
    texts: Vec<f32>,
    /// The key of each feature's picture. Places that hold none yet have keys that no picture has.
    keys: Vec<u64>,
    /// The place of the oldest feature.
    next: u64,
}

impl Queue {
    /// Fills a queue with random directions.
    pub fn new(len: usize, width: usize, seed: u64) -> Self {
        assert!(len > 0, "a queue has a place");
        let directions = |of: u64| {
            let rows = normals((len, width), key(&[seed, of]));
            floats(normalize::unit(rows.view()).view()).to_vec()
        };
        let keys = (0..len as u64).map(|place| u64::MAX - place).collect();
        Queue { len, width, images: directions(0), texts: directions(1), keys, next: 0 }
    }

    /// Puts the features of a batch, of all ranks, behind the queue.
    pub fn append(&mut self, images: &[f32], texts: &[f32], keys: &[u64]) {
        let floats = self.len * self.width;
        for (columns, batch) in [(&mut self.images, images), (&mut self.texts, texts)] {
            columns.truncate(floats);
            columns.extend_from_slice(batch);
        }
        self.keys.truncate(self.len);
        self.keys.extend_from_slice(keys);
    }

    /// Returns the number of places.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the features of pictures, those of the batch behind the others.
    pub fn images(&self) -> ArrayView2<'_, f32> {
        ArrayView2::from_shape((self.keys.len(), self.width), &self.images).expect("whole rows")
    }

    /// Returns the features of texts, those of the batch behind the others.
    pub fn texts(&self) -> ArrayView2<'_, f32> {
        ArrayView2::from_shape((self.keys.len(), self.width), &self.texts).expect("whole rows")
    }

    /// Returns the keys of all pictures, those of the batch behind the others.
    pub fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// Returns the features of pictures and of texts, and the keys, of the batch alone.
    pub fn batch(&self) -> (ArrayView2<'_, f32>, ArrayView2<'_, f32>, &[u64]) {
        let [images, texts] = [self.images(), self.texts()].map(|all| all.split_at(Axis(0), self.len).1);
        (images, texts, &self.keys[self.len..])
    }

    /// Replaces the oldest features by those of the batch.
    pub fn enqueue(&mut self) {
        let width = self.width;
        for from in self.len..self.keys.len() {
            let to = self.next as usize;
            for columns in [&mut self.images, &mut self.texts] {
                columns.copy_within(from * width..(from + 1) * width, to * width);
            }
            self.keys[to] = self.keys[from];
            self.next = (self.next + 1) % self.len as u64;
        }
    }

    /// Returns what has to be saved.
    pub fn saved(&mut self) -> [(&'static str, Saved<'_>); 4] {
        let floats = self.len * self.width;
        [
            ("image_queue", Saved::Floats(&mut self.images[..floats])),
            ("text_queue", Saved::Floats(&mut self.texts[..floats])),
            ("queue_keys", Saved::Keys(&mut self.keys[..self.len])),
            ("queue_next", Saved::Count(&mut self.next)),
        ]
    }
}
