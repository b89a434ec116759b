//! The choice of the examples of a step, which is a pure function of (seed, step).

use crate::datasets::dataset::Dataset;
use crate::random::{Rng, rng};
use rand::seq::SliceRandom;
use std::collections::HashMap;

/// Chooses the examples of every batch: each epoch shuffles all examples and cuts them into full batches. Examples
/// beyond the last full batch are left out of that epoch.
pub(super) struct Sampler {
    seed: u64,
    batch_size: usize,
    steps_per_epoch: u64,
    /// The last epoch that was asked for, and the order of its examples.
    epoch: Option<u64>,
    order: Vec<u32>,
}

impl Sampler {
    pub(super) fn new(batch_size: usize, steps_per_epoch: u64, seed: u64) -> Self {
        Self { seed, batch_size, steps_per_epoch, epoch: None, order: vec![] }
    }

    /// Returns the positions of a step's examples in the dataset.
    pub(super) fn batch(&mut self, dataset: &dyn Dataset, step: u64) -> &[u32] {
        let (epoch, place) = (step / self.steps_per_epoch, (step % self.steps_per_epoch) as usize);
        if self.epoch != Some(epoch) {
            self.shuffle(dataset, epoch);
        }
        &self.order[place * self.batch_size..][..self.batch_size]
    }

    /// Computes the order of an epoch's examples.
    fn shuffle(&mut self, dataset: &dyn Dataset, epoch: u64) {
        let mut rng = rng(&[self.seed, epoch]);
        dataset.shuffle(&mut rng, &mut self.order);
        self.order.truncate(self.steps_per_epoch as usize * self.batch_size);
        if dataset.may_rearrange() {
            self.order = spread_concepts(&self.order, dataset.concepts(), self.steps_per_epoch as usize, &mut rng);
        }
        self.epoch = Some(epoch);
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
