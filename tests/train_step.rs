//! A whole training step: the same bits on any number of threads, exact accumulation, a locked tower.

mod support {
    pub mod tiny;
}

use clip::models::clip::Model;
use clip::optim::adamw::Hyper;
use clip::train::step::Trainer;
use support::tiny::{Batch, config};

/// The parameters after a few steps.
fn trained(threads: usize, micro_batch: usize) -> Vec<f32> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut trainer = Trainer::new(Model::new(config(36), 1), Hyper::VIT);
        trainer.max_norm = Some(1.0);
        for seed in 0..3 {
            trainer.gradients(&Batch::random(37, seed).pairs(), micro_batch);
            trainer.update(1e-3);
        }
        trainer.model.params.flat
    })
}

#[test]
fn threads_do_not_change_a_bit() {
    let one = trained(1, 37);
    assert!(one == trained(2, 37), "2 threads");
    assert!(one == trained(5, 37), "5 threads");
    let accumulated = trained(1, 10);
    assert!(accumulated == trained(5, 10), "5 threads with accumulation");
}

/// Every pair sees all the others, however few are in a tower at a time.
#[test]
fn accumulation_is_the_big_batch() {
    let batch = Batch::random(37, 9);
    let gradients = |micro_batch| {
        let mut trainer = Trainer::new(Model::new(config(36), 1), Hyper::VIT);
        let loss = trainer.gradients(&batch.pairs(), micro_batch);
        (loss, trainer.flat_grads().to_vec())
    };
    let (loss, whole) = gradients(37);
    let largest = whole.iter().fold(0f32, |max, g| max.max(g.abs()));
    for micro_batch in [1, 10, 36] {
        let (same_loss, parts) = gradients(micro_batch);
        // The features are the same bits: each row is computed as it is in the big batch.
        assert_eq!(loss, same_loss, "{micro_batch} at a time");
        // Sums over the batch are taken in another order.
        let apart = whole.iter().zip(&parts).fold(0f32, |max, (a, b)| max.max((a - b).abs()));
        assert!(apart <= 1e-5 * largest, "{micro_batch} at a time: {apart} apart, of {largest}");
    }
}

#[test]
fn a_locked_image_tower_stays() {
    let model = Model::new(config(32), 1);
    let (before, visual) = (model.params.flat.clone(), clip::params::count(&model.params.spec.visual));
    let mut trainer = Trainer::new(model, Hyper::VIT);
    trainer.lock_image = true;
    trainer.gradients(&Batch::random(9, 0).pairs(), 4);
    trainer.update(1e-3);
    let after = &trainer.model.params.flat;
    assert!(before[..visual] == after[..visual], "the image tower moved");
    assert!(before[visual..] != after[visual..], "the text tower did not");
}
