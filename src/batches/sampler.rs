//! The choice of the examples of a step, which is a pure function of (seed, step).

use crate::batches::error::LoaderError;
use crate::datasets::dataset::Dataset;
use crate::random::{Rng, rng};
use rand::seq::SliceRandom;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Chooses the examples of every batch: each epoch shuffles all examples and cuts them into full batches. Examples
/// beyond the last full batch are left out of that epoch.
pub(crate) struct Sampler {
    seed: u64,
    batch_size: usize,
    steps_per_epoch: u64,
    /// The orders of the last two epochs: some workers still read the end of one while others begin the next.
    epochs: Mutex<Vec<(u64, Arc<[u32]>)>>,
}

impl Sampler {
    /// Makes a sampler of `examples` examples.
    ///
    /// # Errors
    /// Returns [`LoaderError::TooFew`] if they do not fill one batch.
    pub(crate) fn new(examples: usize, batch_size: usize, seed: u64) -> Result<Self, LoaderError> {
        let steps_per_epoch = examples.checked_div(batch_size).unwrap_or(0) as u64;
        if steps_per_epoch == 0 {
            return Err(LoaderError::TooFew { examples, batch_size });
        }
        Ok(Self { seed, batch_size, steps_per_epoch, epochs: Mutex::default() })
    }

    /// Returns the number of full batches in an epoch.
    pub(crate) fn steps_per_epoch(&self) -> u64 {
        self.steps_per_epoch
    }

    /// Returns the epoch that the step belongs to.
    pub(crate) fn epoch(&self, step: u64) -> u64 {
        step / self.steps_per_epoch
    }

    /// Returns the positions of a step's examples in the dataset.
    pub(crate) fn batch(&self, dataset: &dyn Dataset, step: u64) -> impl Iterator<Item = usize> {
        let order = self.order(dataset, self.epoch(step));
        let start = (step % self.steps_per_epoch) as usize * self.batch_size;
        (start..start + self.batch_size).map(move |i| order[i] as usize)
    }

    /// Returns the order of an epoch's examples, which is computed once and kept while the next epoch begins.
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
            order = spread_concepts(&order, dataset.concepts(), self.steps_per_epoch as usize, &mut rng);
        }
        let order: Arc<[u32]> = order.into();
        epochs.retain(|(e, _)| *e + 1 == epoch);
        epochs.push((epoch, Arc::clone(&order)));
        order
    }
}

/// Rearranges a shuffled order into batches with as few equal concepts as possible.
///
/// The examples are sorted by concept and assigned to the batches in turn. A concept with k examples then has at most
/// ⌈k / batches⌉ of them in any batch; no arrangement does better. Concepts are sorted by first appearance in the
/// shuffled order, so which concepts share a batch stays random.
fn spread_concepts(order: &[u32], concepts: &[u64], batches: usize, rng: &mut Rng) -> Vec<u32> {
    let mut concept_ranks = HashMap::new();
    for &example in order {
        let next = concept_ranks.len();
        concept_ranks.entry(concepts[example as usize]).or_insert(next);
    }
    let mut by_concept = order.to_vec();
    by_concept.sort_by_key(|&example| concept_ranks[&concepts[example as usize]]);
    // Neighbouring batches share concepts, so the order of the batches is shuffled as well.
    let mut batch_order: Vec<usize> = (0..batches).collect();
    batch_order.shuffle(rng);
    let size = order.len() / batches;
    let mut spread = vec![0; order.len()];
    for (i, &example) in by_concept.iter().enumerate() {
        spread[batch_order[i % batches] * size + i / batches] = example;
    }
    spread
}
