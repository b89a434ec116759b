//! Which examples make up step k: a pure function of (seed, step).

use crate::batches::error::LoaderError;
use crate::datasets::dataset::Dataset;
use crate::random::{Rng, rng};
use rand::seq::SliceRandom;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Each epoch shuffles all examples and cuts them into full batches; the examples left over sit that epoch out.
pub struct Sampler {
    seed: u64,
    batch_size: usize,
    steps_per_epoch: u64,
    /// The epochs in use: workers at an epoch's end still need it while others begin the next.
    epochs: Mutex<Vec<(u64, Arc<[u32]>)>>,
}

impl Sampler {
    /// # Errors
    /// [`LoaderError::TooFew`] if there is not one full batch.
    pub fn new(examples: usize, batch_size: usize, seed: u64) -> Result<Self, LoaderError> {
        let steps_per_epoch = examples.checked_div(batch_size).unwrap_or(0) as u64;
        if steps_per_epoch == 0 {
            return Err(LoaderError::TooFew { examples, batch_size });
        }
        Ok(Self { seed, batch_size, steps_per_epoch, epochs: Mutex::default() })
    }

    /// Full batches in an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.steps_per_epoch
    }

    /// The epoch that the step belongs to.
    pub fn epoch(&self, step: u64) -> u64 {
        step / self.steps_per_epoch
    }

    /// The examples of a step.
    pub fn batch(&self, dataset: &dyn Dataset, step: u64) -> impl Iterator<Item = usize> {
        let order = self.order(dataset, self.epoch(step));
        let start = (step % self.steps_per_epoch) as usize * self.batch_size;
        (start..start + self.batch_size).map(move |i| order[i] as usize)
    }

    fn order(&self, dataset: &dyn Dataset, epoch: u64) -> Arc<[u32]> {
        let mut epochs = self.epochs.lock().expect("ordering does not panic");
        if let Some((_, order)) = epochs.iter().find(|(e, _)| *e == epoch) {
            return Arc::clone(order);
        }
        let mut rng = rng(&[self.seed, epoch]);
        let mut order = Vec::new();
        dataset.shuffle(&mut rng, &mut order);
        order.truncate(self.steps_per_epoch as usize * self.batch_size);
        if dataset.may_rearrange() {
            order = deal(&order, dataset.concepts(), self.steps_per_epoch as usize, &mut rng);
        }
        let order: Arc<[u32]> = order.into();
        epochs.retain(|(e, _)| *e + 1 == epoch);
        epochs.push((epoch, Arc::clone(&order)));
        order
    }
}

/// Rearranges a shuffled order into batches with as few equal concepts as possible: sort the examples by concept, as
/// one sorts cards by suit, and deal them out. A concept with k examples then reaches k different batches, or all of
/// them, ⌈k / batches⌉ at most in any; no arrangement does better. Concepts are sorted by first appearance in the
/// shuffled order, so who meets whom stays random.
fn deal(order: &[u32], concepts: &[u64], batches: usize, rng: &mut Rng) -> Vec<u32> {
    let mut suits = HashMap::new();
    for &example in order {
        let next = suits.len();
        suits.entry(concepts[example as usize]).or_insert(next);
    }
    let mut cards = order.to_vec();
    cards.sort_by_key(|&example| suits[&concepts[example as usize]]);
    // Neighbouring batches share concepts; shuffle them apart too.
    let mut hands: Vec<usize> = (0..batches).collect();
    hands.shuffle(rng);
    let size = order.len() / batches;
    let mut dealt = vec![0; order.len()];
    for (i, &card) in cards.iter().enumerate() {
        dealt[hands[i % batches] * size + i / batches] = card;
    }
    dealt
}
