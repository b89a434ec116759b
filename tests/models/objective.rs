//! The trainer with an objective that needs everything a trainer offers: a momentum copy of its tower, a queue, negatives
//! drawn from the whole batch, and a loss that exists only after the last backward pass.

use crate::support::compare::{TOLERANCE, to_f64};
use crate::support::gradcheck::check_directions;
use crate::support::matching::{Batch, Matching, oracle};
use clipwright::optim::adamw::Hyper;
use clipwright::params::view;
use clipwright::train::objective::{Saved, StepId};
use clipwright::train::run_folder::RunFolder;
use clipwright::train::step::{Trainer, TrainerOptions};

/// Number of pairs in a batch. The queue is shorter than two batches, so that it wraps around.
const N: usize = 13;
const SEED: u64 = 5;
const STEPS: u64 = 5;

/// Makes a trainer with so large an ε that a step is smooth in the gradient where that is nearly zero.
fn trainer() -> Trainer<Matching> {
    let hyper = Hyper { eps: 1e-2, ..Hyper::VIT };
    Trainer::new(Matching::new(SEED), TrainerOptions::new(hyper).max_norm(0.5).seed(SEED))
}

fn train(trainer: &mut Trainer<Matching>, steps: std::ops::Range<u64>, micro_batch: usize) {
    for step in steps {
        trainer.gradients(&Batch::random(N, step), micro_batch);
        trainer.update(1e-2);
    }
}

/// Returns every number that is saved.
fn state(trainer: &mut Trainer<Matching>) -> Vec<(String, Vec<f32>)> {
    let numbers = |saved| match saved {
        Saved::Floats(values) => values.to_vec(),
        Saved::Count(count) => vec![*count as f32],
        Saved::Keys(keys) => keys.iter().map(|&key| key as f32).collect(),
    };
    trainer.state().into_iter().map(|(name, saved)| (name, numbers(saved))).collect()
}

#[track_caller]
fn close(what: &str, given: &[f32], expected: &[f32]) {
    let largest = expected.iter().fold(0f32, |max, x| max.max(x.abs()));
    let apart = given.iter().zip(expected).fold(0f32, |max, (a, b)| max.max((a - b).abs()));
    assert!(largest > 0.0 && apart <= 1e-5 * largest, "{what}: {apart} apart, of {largest}");
}

#[test]
fn every_micro_batch_size_is_the_big_batch() {
    let first = |micro_batch| {
        let mut trainer = trainer();
        // The second step is compared, since momentum copy and queue then differ from their start.
        train(&mut trainer, 0..1, micro_batch);
        let losses = trainer.gradients(&Batch::random(N, 1), micro_batch);
        (losses, trainer.flat_grads().to_vec(), trainer.objective().drawn().to_vec())
    };
    let trained = |micro_batch| {
        let mut trainer = trainer();
        train(&mut trainer, 0..STEPS, micro_batch);
        state(&mut trainer)
    };
    let ((losses, gradient, drawn), whole) = (first(N), trained(N));
    assert_eq!(losses.iter().map(|loss| &*loss.name).collect::<Vec<_>>(), ["loss", "loss_contrast", "loss_match"]);
    assert!((losses[0].value - losses[1].value - losses[2].value).abs() < 1e-6, "{losses:?}");
    assert!(drawn.iter().enumerate().all(|(i, &(text, picture))| text != i && picture != i));
    for micro_batch in (1..N).chain([N + 1, 100]) {
        let (same_losses, same_gradient, same_drawn) = first(micro_batch);
        assert_eq!(drawn, same_drawn, "{micro_batch} at a time");
        for (loss, same) in losses.iter().zip(same_losses) {
            assert!(
                (loss.value - same.value).abs() <= 1e-5 * loss.value,
                "{micro_batch} at a time: {loss:?}, {same:?}"
            );
        }
        close(&format!("gradient, {micro_batch} at a time"), &same_gradient, &gradient);
        for ((name, values), (_, expected)) in trained(micro_batch).iter().zip(&whole) {
            close(&format!("{name}, {micro_batch} at a time"), values, expected);
        }
    }
}

#[test]
fn the_gradient_is_that_of_the_loss() {
    let batch = Batch::random(N, 3);
    for micro_batch in [N, 4] {
        let mut trainer = trainer();
        train(&mut trainer, 0..2, N);
        let losses = trainer.gradients(&batch, micro_batch);
        let gradient = to_f64(trainer.flat_grads());
        let objective = trainer.objective();
        let point = to_f64(&objective.params.flat);
        // Momentum features, the queue and the drawn negatives are constants to the gradient.
        let loss = |point: &[f64]| oracle(&view(&objective.params.spec, point), &batch, objective);
        let expected = loss(&point);
        assert!((losses[0].value - expected).abs() <= TOLERANCE * expected, "{losses:?} instead of {expected}");
        check_directions(&format!("{micro_batch} at a time"), TOLERANCE, &point, &gradient, loss);
    }
}

#[test]
fn a_run_that_was_stopped_ends_in_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let folder = RunFolder { path: folder.path().into() };
    std::fs::create_dir_all(&folder.path).unwrap();
    let mut whole = trainer();
    train(&mut whole, 0..STEPS, 4);
    let mut stopped = trainer();
    train(&mut stopped, 0..2, 4);
    folder.save(stopped.state()).unwrap();
    drop(stopped);

    // The parameters have another seed, so that a value which is not restored is noticed.
    let options = TrainerOptions::new(Hyper { eps: 1e-2, ..Hyper::VIT }).max_norm(0.5).seed(SEED);
    let mut resumed = Trainer::new(Matching::new(SEED + 1), options);
    folder.load(resumed.state()).unwrap();
    assert_eq!(resumed.steps(), 2);
    train(&mut resumed, 2..STEPS, 4);
    let bits = |trainer: &mut Trainer<Matching>| {
        state(trainer).into_iter().map(|(name, x)| (name, x.iter().map(|x| x.to_bits()).collect::<Vec<_>>()))
    };
    assert!(bits(&mut whole).eq(bits(&mut resumed)));
    let names: Vec<_> = state(&mut whole).into_iter().map(|(name, _)| name).collect();
    let own = ["objective.momentum", "objective.queue", "objective.queue_start"];
    assert_eq!(names[4..], own);

    // A missing or unknown value is named.
    let mut state = whole.state();
    state.retain(|(name, _)| name != "objective.queue");
    folder.save(state).unwrap();
    let error = folder.load(resumed.state()).unwrap_err().to_string();
    assert!(error.contains("objective.queue is missing"), "{error}");
    folder.save(whole.state()).unwrap();
    let mut state = resumed.state();
    state.retain(|(name, _)| name != "objective.momentum");
    let error = folder.load(state).unwrap_err().to_string();
    assert!(error.contains("no place for objective.momentum"), "{error}");
}

#[test]
fn what_is_drawn_depends_on_seed_step_and_place_alone() {
    use rand::RngExt;
    let draw = |seed, step, name: &[u64]| StepId { seed, step, rank: 0, shards: 1 }.rng(name).random::<u64>();
    let all = [draw(1, 2, &[3]), draw(2, 2, &[3]), draw(1, 3, &[3]), draw(1, 2, &[4]), draw(1, 2, &[3, 0])];
    assert_eq!(all, [draw(1, 2, &[3]), draw(2, 2, &[3]), draw(1, 3, &[3]), draw(1, 2, &[4]), draw(1, 2, &[3, 0])]);
    assert_eq!(std::collections::HashSet::from(all).len(), all.len());
}
