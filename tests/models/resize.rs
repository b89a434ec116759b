//! A run goes on with pictures of another size.

use crate::support::tiny::{self, Batch};
use clipwright::checkpoint::{Checkpoint, ConfigFile, Overrides, save_model};
use clipwright::models::clip::model::Model;
use clipwright::models::clip::{Config, Tower};
use clipwright::optim::adamw::Hyper;
use clipwright::params::for_each;
use clipwright::train::clip::ClipObjective;
use clipwright::train::objective::Saved;
use clipwright::train::resize::resized;
use clipwright::train::step::{Trainer, TrainerOptions};
use clipwright::train::world::Alone;
use clipwright::tree::Path;

/// The table of positions has this many places for pictures of 24 and of 40 pixels.
const PLACES: [usize; 2] = [10, 26];
const WIDTH: usize = 36;

fn options() -> TrainerOptions {
    TrainerOptions::new(Hyper::VIT).seed(3)
}

/// Returns the trainer of a run that has taken three steps.
fn trainer(config: Config) -> Trainer<ClipObjective> {
    let mut trainer = Trainer::new(ClipObjective::new(Model::new(config, 1)), options());
    train(&mut trainer, 3);
    trainer
}

fn train(trainer: &mut Trainer<ClipObjective>, steps: u64) {
    while trainer.steps() < steps {
        let config = &trainer.objective().model().config.clone();
        trainer.gradients(&Batch::of(config, 9, trainer.steps()).pairs(), 4);
        assert!(trainer.update(1e-3).grad_norm.is_finite());
    }
}

/// Returns the numbers that are saved under a name.
fn saved(trainer: &mut Trainer<ClipObjective>, name: &str) -> Vec<f32> {
    let state = trainer.state().into_iter().find(|(other, _)| other == name);
    match state.unwrap().1 {
        Saved::Floats(values) => values.to_vec(),
        other => panic!("{other:?}"),
    }
}

/// Divides what is saved under a name into the table of positions and the rest.
fn divided(trainer: &mut Trainer<ClipObjective>, name: &str) -> [Vec<f32>; 2] {
    let values = saved(trainer, name);
    let mut parts = [vec![], vec![]];
    for_each(&trainer.objective().model().params.spec, &Path::ROOT, |path, _, range| {
        if let Some(values) = values.get(range) {
            let is_table =
                path.to_string().starts_with("visual.") && path.to_string().ends_with("positional_embedding");
            parts[usize::from(!is_table)].extend(values);
        }
    });
    parts
}

/// The new table is the one with which the checkpoint is loaded for pictures of that size.
#[test]
fn the_table_is_the_loaders_and_all_else_stays() {
    for (config, size) in [(tiny::config(WIDTH), 40), (tiny::config(WIDTH), 8), (tiny::resnet(8), 64)] {
        let mut old = trainer(config.clone());
        let folder = tempfile::tempdir().unwrap();
        save_model(folder.path(), old.objective().model(), &ConfigFile::new(config)).unwrap();
        let wanted = Overrides { image_size: Some(size), ..Overrides::default() };
        let (loaded, _) = Checkpoint::open(folder.path(), &wanted).unwrap().model().unwrap();
        let mut new = resized(&Alone, &mut old, options(), size);
        let model = new.objective().model();
        assert_eq!((&model.config, model.config.vision_cfg.image_size), (&loaded.config, size));
        assert!(model.params.flat == loaded.params.flat);
        assert_eq!(new.steps(), 3);
        for name in ["params", "exp_avg", "exp_avg_sq"] {
            let [[old_table, old_rest], [table, rest]] = [&mut old, &mut new].map(|trainer| divided(trainer, name));
            assert!(rest == old_rest && table.len() != old_table.len(), "{name}");
            assert!(table.iter().all(|x| x.is_finite()), "{name}");
        }
        train(&mut new, 5);
    }
}

/// AdamW divides the first moment by the root of the second, which bounds it. The new table keeps that bound.
#[test]
fn moments_of_the_table_stay_in_proportion() {
    for size in [8, 16, 40, 56] {
        let mut trainer = resized(&Alone, &mut trainer(tiny::config(WIDTH)), options(), size);
        let [m, v] = ["exp_avg", "exp_avg_sq"].map(|name| divided(&mut trainer, name)[0].clone());
        // With weights aᵢ of the gradients in m and bᵢ of their squares in v, m² ≤ Σ aᵢ²/bᵢ · v.
        let bound: f32 = (0..3).map(|i| (0.1 * 0.9f32.powi(i)).powi(2) / (0.02 * 0.98f32.powi(i))).sum();
        for (m, v) in m.iter().zip(&v) {
            assert!(*v > 0.0 && m * m <= 1.001 * bound * v, "{size} pixels: {m} and {v}");
        }
    }
}

#[test]
fn the_same_size_changes_no_bit() {
    let mut old = trainer(tiny::config(WIDTH));
    let mut new = resized(&Alone, &mut old, options(), 24);
    for name in ["params", "exp_avg", "exp_avg_sq"] {
        assert!(saved(&mut old, name) == saved(&mut new, name), "{name}");
    }
    train(&mut old, 5);
    train(&mut new, 5);
    assert!(saved(&mut old, "params") == saved(&mut new, "params"));
}

/// What an objective was told stays: here, that the image tower is locked.
#[test]
fn the_objective_stays_the_same() {
    let objective = ClipObjective::new(Model::new(tiny::config(WIDTH), 1)).lock(Tower::Image, 0);
    let mut new = resized(&Alone, &mut Trainer::new(objective, options()), options(), 40);
    let before = divided(&mut new, "params")[0].clone();
    assert_eq!(before.len(), PLACES[1] * WIDTH);
    train(&mut new, 2);
    assert!(divided(&mut new, "params")[0] == before);
}
