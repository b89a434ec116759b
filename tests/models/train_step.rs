//! Tests of a whole training step: the same bits on any number of threads, exact accumulation, a locked tower.

use crate::support::tiny::{Batch, config, resnet};
use clipwright::models::clip::model::Model;
use clipwright::models::clip::visual::Visual;
use clipwright::models::clip::{Config, Tower, visual};
use clipwright::models::{Keep, Mode, Workspace};
use clipwright::optim::adamw::Hyper;
use clipwright::optim::running::MOMENTUM;
use clipwright::params::{Role, count, for_each};
use clipwright::train::clip::{ClipObjective, Pairs};
use clipwright::train::step::{Trainer, TrainerOptions};
use clipwright::train::world::{Threads, World};
use clipwright::tree::{Arena, Path};
use ndarray::{Array2, s};

fn trainer(model: Model, hyper: Hyper) -> Trainer<ClipObjective> {
    Trainer::new(ClipObjective::new(model), TrainerOptions::new(hyper))
}

/// Returns the parameters after a few steps.
fn trained(config: &Config, threads: usize, micro_batch: usize, checkpointing: bool) -> Vec<f32> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let options = TrainerOptions::new(Hyper::VIT).max_norm(1.0);
        let objective = ClipObjective::new(Model::new(config.clone(), 1)).grad_checkpointing(checkpointing);
        let mut trainer = Trainer::new(objective, options);
        for seed in 0..3 {
            trainer.gradients(&Batch::of(config, 37, seed).pairs(), micro_batch);
            trainer.update(1e-3);
        }
        trainer.objective().model().params.flat.to_vec()
    })
}

#[test]
fn threads_do_not_change_a_bit() {
    for config in [config(36), resnet(8)] {
        let trained = |threads, micro_batch| trained(&config, threads, micro_batch, false);
        let one = trained(1, 37);
        assert!(one == trained(2, 37), "2 threads");
        assert!(one == trained(5, 37), "5 threads");
        let accumulated = trained(1, 10);
        assert!(accumulated == trained(5, 10), "5 threads with accumulation");
    }
}

#[test]
fn checkpointing_does_not_change_a_bit() {
    for config in [config(36), resnet(8)] {
        for (threads, micro_batch) in [(1, 37), (5, 37), (5, 10)] {
            let [all, inputs] =
                [false, true].map(|checkpointing| trained(&config, threads, micro_batch, checkpointing));
            assert!(all == inputs, "{threads} threads, {micro_batch} at a time");
        }
    }
}

/// Every pair is contrasted with all others, however few are in a tower at a time.
#[test]
fn accumulation_is_the_big_batch() {
    let batch = Batch::of(&config(36), 37, 9);
    let gradients = |micro_batch| {
        let mut trainer = trainer(Model::new(config(36), 1), Hyper::VIT);
        let loss = trainer.gradients(&batch.pairs(), micro_batch);
        (loss, trainer.flat_grads().to_vec())
    };
    let (loss, whole) = gradients(37);
    let largest = whole.iter().fold(0f32, |max, g| max.max(g.abs()));
    for micro_batch in [1, 10, 36] {
        let (same_loss, parts) = gradients(micro_batch);
        // A product of few rows adds its terms in another order than one of many.
        let apart = (loss[0].value - same_loss[0].value).abs();
        assert!(apart <= 1e-6 * loss[0].value, "{micro_batch} at a time: {loss:?} and {same_loss:?}");
        // Sums over the batch are taken in another order.
        let apart = whole.iter().zip(&parts).fold(0f32, |max, (a, b)| max.max((a - b).abs()));
        assert!(apart <= 1e-5 * largest, "{micro_batch} at a time: {apart} apart, of {largest}");
    }
}

#[test]
fn a_locked_image_tower_stays() {
    for config in [config(32), resnet(8)] {
        let batch = Batch::of(&config, 9, 0);
        let model = Model::new(config, 1);
        let before = model.params.flat.clone();
        let objective = ClipObjective::new(model).lock(Tower::Image, 0);
        let mut trainer = Trainer::new(objective, TrainerOptions::new(Hyper::VIT));
        trainer.gradients(&batch.pairs(), 4);
        trainer.update(1e-3);
        let (params, mut moved) = (&trainer.objective().model().params, 0);
        for_each(&params.spec, &Path::ROOT, |path, spec, range| {
            let first = range.start < count(&params.spec.visual);
            assert!(spec.is_buffer() || first == path.is_under("visual"), "the tower stands first in the block");
            let same = before[range.clone()] == params.flat[range];
            assert!(same || !path.to_string().starts_with("visual."), "{path} moved");
            moved += usize::from(!same);
        });
        assert!(moved > 10, "the text tower did not move");
    }
}

/// Runs the image tower alone in training on the pictures of `range`; returns the slots of its buffers and its
/// features.
fn observed(model: &Model, batch: &Pairs, range: std::ops::Range<usize>) -> (Vec<f32>, Array2<f32>) {
    let (p, shape) = (model.params.view(), model.config.vision());
    let images = batch.images.slice(s![range, ..]);
    let mut features = Array2::zeros((images.nrows(), model.config.embed_dim));
    let (mut workspace, mut scratch) = (Workspace::default(), Arena::default());
    let (y, mode) = (features.view_mut(), Mode::Training(Keep::All));
    visual::forward(&p.visual, &shape, images, mode, y, &mut workspace, &mut scratch);
    let spec = shape.spec();
    let mut grads = vec![0.0; clipwright::params::len(&spec)];
    let g = &mut clipwright::params::view_mut(&spec, &mut grads);
    visual::backward(&p.visual, &shape, images, features.view(), &mut workspace, &mut scratch, g);
    (grads[count(&spec)..].to_vec(), features)
}

/// Statistics are of the micro-batch; a step moves the running ones once, towards the mean of all micro-batches.
#[test]
fn running_statistics_move_once_a_step() {
    let batch = Batch::of(&resnet(8), 12, 3);
    for micro_batch in [12, 5, 4] {
        let model = Model::new(resnet(8), 1);
        let (before, first_buffer) = (model.params.flat.clone(), count(&model.params.spec));
        let ranges: Vec<_> = (0..12).step_by(micro_batch).map(|start| start..12.min(start + micro_batch)).collect();
        let slots: Vec<_> = ranges.iter().map(|range| observed(&model, &batch.pairs(), range.clone()).0).collect();

        let mut trainer = trainer(model, Hyper::RESNET);
        trainer.gradients(&batch.pairs(), micro_batch);
        trainer.update(1e-3);
        let (params, mut statistics) = (&trainer.objective().model().params, 0);
        let after = &params.flat;
        for_each(&params.spec, &Path::ROOT, |path, spec, range| {
            for i in range.filter(|_| spec.is_buffer()) {
                let sum = slots.iter().fold(0.0, |sum: f32, slots| sum + slots[i - first_buffer]);
                let expected = match spec.role {
                    Role::Count => 1.0,
                    _ => (1.0 - MOMENTUM) * before[i] + MOMENTUM * (sum / ranges.len() as f32),
                };
                assert_eq!(after[i], expected, "{path}, {micro_batch} at a time");
                statistics += usize::from(after[i] != before[i]);
            }
        });
        assert!(statistics > 1000, "{statistics} moved");

        // The slots are cleared, so that a second step does not see those of the first.
        trainer.gradients(&batch.pairs(), micro_batch);
        let Visual::ResNet(g) = trainer.grads().visual else { panic!("a ResNet") };
        assert_eq!(g.stem.bn1.num_batches_tracked, [ranges.len() as f32]);
    }
}

/// The micro-batches of a ResNet have statistics of their own, but the pairs of all are contrasted with each other.
#[test]
fn a_micro_batch_goes_forward_twice_with_the_same_bits() {
    let (batch, model) = (Batch::of(&resnet(8), 8, 5), Model::new(resnet(8), 1));
    let (whole, halves) = (observed(&model, &batch.pairs(), 0..8).1, observed(&model, &batch.pairs(), 0..4).1);
    assert!(whole.slice(s![..4, ..]) != halves, "statistics of four pictures and of eight");
    let mut trainer = trainer(model, Hyper::RESNET);
    let first = trainer.gradients(&batch.pairs(), 4);
    let grads = trainer.flat_grads().to_vec();
    trainer.update(0.0);
    let again = trainer.gradients(&batch.pairs(), 4);
    assert_eq!(first, again, "training does not see the running statistics");
    assert!(grads == trainer.flat_grads());
}

/// A gradient that is not finite changes nothing, running statistics included.
#[test]
fn what_is_not_finite_moves_nothing() {
    let mut model = Model::new(resnet(8), 1);
    clipwright::params::view_mut(&model.params.spec, &mut model.params.flat).text.ln_final.bias[0] = f32::NAN;
    let before = model.params.flat.clone();
    let mut trainer = trainer(model, Hyper::RESNET);
    trainer.gradients(&Batch::of(&resnet(8), 4, 0).pairs(), 4);
    assert!(!trainer.update(1e-3).grad_norm.is_finite());
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert!(bits(&before) == bits(&trainer.objective().model().params.flat));
    assert!(trainer.flat_grads().iter().all(|&g| g == 0.0), "gone with the step");
}

/// The gradient of a batch that is cut into shards is that of the batch. A ResNet's statistics are of micro-batches, so a
/// shard is compared with a micro-batch there.
#[test]
fn shards_are_one_big_batch() {
    let n = 24;
    for config in [config(36), resnet(8)] {
        let batch = Batch::of(&config, n, 4);
        for shards in [2, 4] {
            let gradients = |shards| {
                let options = TrainerOptions::new(Hyper::VIT).shards(shards);
                let mut trainer = Trainer::new(ClipObjective::new(Model::new(config.clone(), 1)), options);
                let losses = trainer.gradients(&batch.pairs(), n / 4);
                (losses, trainer.flat_grads().to_vec())
            };
            let ((losses, whole), (same_losses, parts)) = (gradients(1), gradients(shards));
            let largest = whole.iter().fold(0f32, |max, g| max.max(g.abs()));
            for (loss, same) in losses.iter().zip(&same_losses) {
                assert!((loss.value - same.value).abs() <= 1e-6 * loss.value, "{shards} shards: {loss:?}, {same:?}");
            }
            let apart = whole.iter().zip(&parts).fold(0f32, |max, (a, b)| max.max((a - b).abs()));
            assert!(apart <= 1e-5 * largest, "{shards} shards: {apart} apart, of {largest}");
        }
    }
}

#[test]
fn what_ranks_exchange_arrives() {
    let said = Threads::run(3, |world| {
        let rank = world.rank() as u64;
        let (mut gathered, mut received) = (vec![], vec![]);
        let gathered = world.all_gather(&[rank, 10 + rank], &mut gathered).to_vec();
        let received = world.all_to_all(&[10 * rank, 10 * rank + 1, 10 * rank + 2], &mut received).to_vec();
        let mut first = [rank as f64];
        world.broadcast(&mut first);
        (gathered, received, first)
    });
    for (rank, (gathered, received, first)) in said.into_iter().enumerate() {
        let rank = rank as u64;
        assert_eq!((gathered, received), (vec![0, 10, 1, 11, 2, 12], vec![rank, 10 + rank, 20 + rank]));
        assert_eq!(first, [0.0]);
    }
}
