//! Training with patch dropout: the same patches however the batch is cut, over any number of threads.

use crate::support::tiny::{self, Batch};
use clipwright::checkpoint::{CONFIG, ConfigFile};
use clipwright::models::clip::Config;
use clipwright::models::clip::model::{Inference, Model};
use clipwright::optim::adamw::Hyper;
use clipwright::params::for_each;
use clipwright::train::clip::ClipObjective;
use clipwright::train::objective::Saved;
use clipwright::train::step::{Trainer, TrainerOptions};
use clipwright::tree::Path;
use serde_json::json;

/// Pictures have nine patches, of which four are kept.
fn config(patch_dropout: f64) -> Config {
    let mut config = tiny::config(36);
    config.vision_cfg.patch_dropout = patch_dropout;
    config
}

fn trainer(patch_dropout: f64, unmasked_from: u64) -> Trainer<ClipObjective> {
    let objective = ClipObjective::new(Model::new(config(patch_dropout), 1)).unmasked_from(unmasked_from);
    Trainer::new(objective, TrainerOptions::new(Hyper::VIT).seed(3))
}

fn train(trainer: &mut Trainer<ClipObjective>, steps: u64, micro_batch: usize) {
    while trainer.steps() < steps {
        trainer.gradients(&Batch::of(&config(0.0), 37, trainer.steps()).pairs(), micro_batch);
        trainer.update(1e-3);
    }
}

/// Returns the parameters after a few steps, the last of them without dropout.
fn trained(threads: usize, micro_batch: usize) -> Vec<f32> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut trainer = trainer(0.5, 2);
        train(&mut trainer, 3, micro_batch);
        trainer.objective().model().params.flat.to_vec()
    })
}

#[test]
fn threads_do_not_change_a_bit() {
    for micro_batch in [37, 10] {
        let one = trained(1, micro_batch);
        assert!(one == trained(2, micro_batch) && one == trained(5, micro_batch), "{micro_batch} at a time");
    }
}

#[test]
fn accumulation_is_the_big_batch() {
    let batch = Batch::of(&config(0.5), 37, 9);
    let gradients = |micro_batch| {
        let mut trainer = trainer(0.5, u64::MAX);
        let loss = trainer.gradients(&batch.pairs(), micro_batch)[0].value;
        (loss, trainer.flat_grads().to_vec())
    };
    let (loss, whole) = gradients(37);
    let largest = whole.iter().fold(0f32, |max, g| max.max(g.abs()));
    for micro_batch in [1, 10, 36] {
        let (same_loss, parts) = gradients(micro_batch);
        assert!((loss - same_loss).abs() <= 1e-6 * loss, "{micro_batch} at a time: {loss} and {same_loss}");
        let apart = whole.iter().zip(&parts).fold(0f32, |max, (a, b)| max.max((a - b).abs()));
        assert!(apart <= 1e-5 * largest, "{micro_batch} at a time: {apart} apart, of {largest}");
    }
}

/// Without dropout, or behind its last step, training is what it is without this saving.
#[test]
fn nothing_dropped_is_no_bit_changed() {
    let state = |patch_dropout, unmasked_from| {
        let mut trainer = trainer(patch_dropout, unmasked_from);
        train(&mut trainer, 2, 10);
        trainer.objective().model().params.flat.to_vec()
    };
    let whole = state(0.0, u64::MAX);
    assert!(whole == state(0.5, 0), "no step with dropout");
    let dropped = state(0.5, u64::MAX);
    assert!(whole != dropped && dropped != state(0.5, 1), "steps with dropout");
}

/// The state says at which step a run stands, and the step says which patches are drawn.
#[test]
fn a_run_that_was_stopped_ends_in_the_same_bits() {
    let mut whole = trainer(0.5, 3);
    train(&mut whole, 4, 10);
    let mut stopped = trainer(0.5, 3);
    train(&mut stopped, 2, 10);
    let mut resumed = trainer(0.5, 3);
    for ((name, from), (_, to)) in stopped.state().into_iter().zip(resumed.state()) {
        match (from, to) {
            (Saved::Floats(from), Saved::Floats(to)) => to.copy_from_slice(from),
            (Saved::Count(from), Saved::Count(to)) => *to = *from,
            _ => panic!("{name}"),
        }
    }
    train(&mut resumed, 4, 10);
    assert!(whole.objective().model().params.flat == resumed.objective().model().params.flat);
}

/// Where every picture keeps one patch, the gradient of the table of positions has rows that no picture kept.
#[test]
fn positions_that_no_picture_keeps_get_no_gradient() {
    let batch = Batch::of(&config(0.0), 3, 4);
    let mut trainer = trainer(0.9, u64::MAX);
    trainer.gradients(&batch.pairs(), 2);
    let spec = &trainer.objective().model().params.spec;
    let mut rows = vec![];
    for_each(spec, &Path::ROOT, |path, _, range| {
        if path.to_string() == "visual.positional_embedding" {
            rows.extend(trainer.flat_grads()[range].chunks(36).map(|row| row.iter().any(|&g| g != 0.0)));
        }
    });
    assert_eq!(rows.len(), 10);
    assert!(rows[0] && (1..=3).contains(&rows[1..].iter().filter(|&&moved| moved).count()), "{rows:?}");
}

#[test]
fn embedding_sees_all_patches() {
    let batch = Batch::of(&config(0.0), 5, 4);
    let [whole, dropping] = [0.0, 0.5]
        .map(|rate| Model::new(config(rate), 1).encode_images(batch.pairs().images, &mut Inference::default()));
    assert_eq!(whole, dropping);
}

/// OpenCLIP's field is read, used and written; a ResNet cannot have it.
#[test]
fn the_configuration_keeps_its_rate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(CONFIG);
    ConfigFile::new(config(0.25)).write(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"patch_dropout\": 0.25"), "{text}");
    assert_eq!(ConfigFile::read(&path).unwrap().model_cfg, config(0.25));
    ConfigFile::new(config(0.0)).write(&path).unwrap();
    assert!(!std::fs::read_to_string(&path).unwrap().contains("patch_dropout"));

    let refused = |mut config: serde_json::Value, rate: f64| {
        config["vision_cfg"]["patch_dropout"] = json!(rate);
        ConfigFile::parse(config).unwrap_err().to_string()
    };
    let resnet = serde_json::to_value(tiny::resnet(8)).unwrap();
    assert!(refused(resnet, 0.5).contains("a ResNet has no patches, and vision_cfg.patch_dropout is 0.5"));
    let vit = serde_json::to_value(config(0.0)).unwrap();
    assert!(refused(vit, 1.0).contains("vision_cfg.patch_dropout is 1, which is no share"));
}
