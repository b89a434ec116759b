//! A CLIP with a bias, which the sigmoid loss trains: its steps on many threads, in shards and in micro-batches, its
//! checkpoints, its use.

use crate::support::tiny::{Batch, config};
use clipwright::checkpoint::safetensors::{Reader, Tensor, write};
use clipwright::checkpoint::{
    CONFIG, Checkpoint, ConfigFile, Contents, Dtype, Format, Overrides, Precision, WEIGHTS, load_model, save,
    save_model,
};
use clipwright::models::clip::config::{SIGLIP_LOGIT_BIAS, SIGLIP_LOGIT_SCALE};
use clipwright::models::clip::model::{MAX_LOGIT_SCALE, Model};
use clipwright::optim::adamw::Hyper;
use clipwright::params;
use clipwright::train::clip::ClipObjective;
use clipwright::train::metric::Metric;
use clipwright::train::step::{Trainer, TrainerOptions};
use rayon::ThreadPoolBuilder;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fs;
use std::path::Path;

fn model() -> Model {
    Model::new(config(36).siglip(), 1)
}

fn trainer(model: Model) -> Trainer<ClipObjective> {
    Trainer::new(ClipObjective::new(model), TrainerOptions::new(Hyper::VIT))
}

#[track_caller]
fn assert_same_gradient(what: &str, whole: &[f32], parts: &[f32]) {
    let largest = whole.iter().fold(0f32, |max, g| max.max(g.abs()));
    let apart = whole.iter().zip(parts).fold(0f32, |max, (a, b)| max.max((a - b).abs()));
    // Sums over the batch are taken in another order.
    assert!(apart <= 1e-5 * largest, "{what}: {apart} apart, of {largest}");
}

#[test]
fn a_new_model_begins_as_siglip_does() {
    let model = model();
    let logits = model.params.view();
    assert_eq!((logits.logit_scale, logits.logit_bias), (&[SIGLIP_LOGIT_SCALE][..], Some(&[SIGLIP_LOGIT_BIAS][..])));
    let without = Model::new(config(36), 1);
    assert!(model.params.flat[..without.params.flat.len() - 1] == without.params.flat[..without.params.flat.len() - 1]);
}

/// At first nearly all answers are no, so the loss is that of the positives: about 10 for each, less 10 times its
/// cosine, and next to nothing for each pair that does not fit.
#[test]
fn the_first_loss_is_that_of_the_positives() {
    let batch = Batch::of(&config(36), 37, 9);
    let mut trainer = trainer(model());
    let losses = trainer.gradients(&batch.pairs(), 37);
    let [loss] = &losses[..] else { panic!("{losses:?}") };
    // A picture of this batch has two positives on average.
    assert!(loss.name == "loss" && (1.0..40.0).contains(&loss.value), "{loss:?}");
    assert!(loss.chance.is_some_and(|chance| chance > 1.0 + 37f64.ln() - 1.0), "{loss:?}");
    let metrics = trainer.update(1e-3).metrics;
    assert_eq!(metrics.iter().map(|metric| &*metric.name).collect::<Vec<_>>(), ["logit_scale", "logit_bias"]);
}

#[test]
fn threads_do_not_change_a_bit() {
    let trained = |threads: usize, micro_batch| {
        ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let mut trainer = trainer(model());
            for seed in 0..3 {
                trainer.gradients(&Batch::of(&config(36), 37, seed).pairs(), micro_batch);
                trainer.update(1e-3);
            }
            trainer.objective().model().params.flat.to_vec()
        })
    };
    for micro_batch in [37, 10] {
        let one = trained(1, micro_batch);
        assert!(one == trained(2, micro_batch) && one == trained(5, micro_batch), "{micro_batch} at a time");
    }
}

/// Every pair is judged, however few are in a tower at a time and however a step is cut.
#[test]
fn accumulation_and_shards_are_the_big_batch() {
    let (n, batch) = (36, Batch::of(&config(36), 36, 9));
    let mut alone = trainer(model());
    let loss = alone.gradients(&batch.pairs(), n);
    let whole = alone.flat_grads();
    let assert_same_losses = |what: &str, losses: &[Metric]| {
        let (a, b) = (&loss[0], &losses[0]);
        assert!((a.value - b.value).abs() <= 1e-6 * a.value && a.chance == b.chance, "{what}: {a:?} and {b:?}");
    };
    for micro_batch in [1, 10, 35] {
        let mut trainer = trainer(model());
        assert_same_losses(&format!("{micro_batch} at a time"), &trainer.gradients(&batch.pairs(), micro_batch));
        assert_same_gradient(&format!("{micro_batch} at a time"), whole, trainer.flat_grads());
    }
    for shards in [2, 4] {
        let options = TrainerOptions::new(Hyper::VIT).shards(shards);
        let mut trainer = Trainer::new(ClipObjective::new(model()), options);
        assert_same_losses(&format!("{shards} shards"), &trainer.gradients(&batch.pairs(), n));
        assert_same_gradient(&format!("{shards} shards"), whole, trainer.flat_grads());
    }
}

/// A step takes a scale beyond ln 100 back to it, unless the objective leaves it free.
#[test]
fn the_scale_may_be_free() {
    let after_a_step = |free| {
        let mut model = model();
        params::view_mut(&model.params.spec, &mut model.params.flat).logit_scale[0] = 4.72;
        let objective = ClipObjective::new(model).free_scale(free);
        let mut trainer = Trainer::new(objective, TrainerOptions::new(Hyper::VIT));
        trainer.gradients(&Batch::of(&config(36), 9, 0).pairs(), 9);
        trainer.update(1e-4);
        trainer.objective().model().params.view().logit_scale[0]
    };
    assert_eq!(after_a_step(false), MAX_LOGIT_SCALE);
    assert!((after_a_step(true) - 4.72).abs() < 1e-3);
}

fn saved() -> (tempfile::TempDir, Model) {
    let (folder, mut model) = (tempfile::tempdir().unwrap(), model());
    let logits = params::view_mut(&model.params.spec, &mut model.params.flat);
    (logits.logit_scale[0], logits.logit_bias.unwrap()[0]) = (4.7, -16.5);
    save_model(folder.path(), &model, &ConfigFile::new(model.config.clone())).unwrap();
    (folder, model)
}

/// Writes the file of weights again, without the tensors for which `change` returns `None`.
fn rewrite(folder: &Path, change: impl Fn(&str, Vec<usize>) -> Option<Vec<usize>>) {
    let path = folder.join(WEIGHTS);
    let file = Reader::open(&path).unwrap();
    let tensors: Vec<_> = file
        .names()
        .into_iter()
        .filter_map(|name| {
            let stored = file.shape(&name).unwrap().to_vec();
            let mut values = vec![0.0; stored.iter().product()];
            file.read(&name, &stored, &mut values).unwrap();
            let shape = change(&name, stored)?;
            Some(Tensor { name, shape, values: Cow::Owned(values), dtype: Dtype::F32 })
        })
        .collect();
    write(&path, &tensors, []).unwrap();
}

fn edit_config(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join(CONFIG);
    let mut json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut json["model_cfg"]);
    fs::write(&path, json.to_string()).unwrap();
}

#[test]
fn a_model_comes_back_bit_for_bit_under_openclips_names() {
    let (folder, model) = saved();
    let (loaded, _) = load_model(folder.path()).unwrap();
    assert!(loaded.params.flat == model.params.flat && loaded.config == model.config);
    assert_eq!(Reader::open(&folder.path().join(WEIGHTS)).unwrap().shape("logit_bias"), Some(&[][..]));
    edit_config(folder.path(), |config| {
        let init = ["init_logit_scale", "init_logit_bias"].map(|field| config[field].as_f64().unwrap() as f32);
        assert_eq!(init, [SIGLIP_LOGIT_SCALE, SIGLIP_LOGIT_BIAS]);
    });
}

/// A vector of one element is a scalar, and OpenCLIP's names of architectures do not say that there is a bias.
#[test]
fn the_tensor_says_whether_there_is_a_bias() {
    let (folder, model) = saved();
    rewrite(folder.path(), |name, shape| Some(if name.starts_with("logit_") { vec![1] } else { shape }));
    edit_config(folder.path(), |config| {
        config.as_object_mut().unwrap().remove("init_logit_bias");
        config.as_object_mut().unwrap().remove("init_logit_scale");
    });
    let (loaded, file) = load_model(folder.path()).unwrap();
    assert!(loaded.params.flat == model.params.flat);
    assert_eq!(file.model_cfg, model.config);
    let checkpoint = Checkpoint::open(folder.path(), &Overrides::default()).unwrap();
    assert_eq!((checkpoint.logit_scale().unwrap(), checkpoint.logit_bias().unwrap()), (Some(4.7), Some(-16.5)));
}

#[test]
fn a_bias_that_is_promised_must_be_there() {
    let (folder, _) = saved();
    rewrite(folder.path(), |name, shape| (name != "logit_bias").then_some(shape));
    let error = load_model(folder.path()).err().unwrap().to_string();
    assert!(error.ends_with("tensor logit_bias is missing"), "{error}");
    edit_config(folder.path(), |config| config["init_logit_bias"] = json!(null));
    let (loaded, _) = load_model(folder.path()).unwrap();
    assert!(loaded.params.spec.logit_bias.is_none() && loaded.config.init_logit_bias.is_none());
    edit_config(folder.path(), |config| config["init_logit_bias"] = json!(1e60));
    let error = load_model(folder.path()).err().unwrap().to_string();
    assert!(error.contains("init_logit_bias is inf"), "{error}");
}

#[test]
fn a_tower_alone_needs_no_bias() {
    let (folder, model) = saved();
    rewrite(folder.path(), |name, shape| name.starts_with("visual.").then_some(shape));
    let checkpoint = Checkpoint::open(folder.path(), &Overrides::default()).unwrap();
    let vision = checkpoint.vision().unwrap();
    assert!(*vision.flat == model.params.flat[..vision.flat.len()]);
    assert_eq!(checkpoint.logit_bias().unwrap(), None);
}

#[test]
fn hugging_faces_clip_has_no_bias() {
    let (_, model) = saved();
    let (folder, config) = (tempfile::tempdir().unwrap(), ConfigFile::new(model.config.clone()));
    let contents = Contents { model: &model, config: &config };
    let error = save(folder.path(), contents, Format::HuggingFace, Precision::F32).unwrap_err().to_string();
    assert!(error.contains("CLIPModel has no logit_bias"), "{error}");
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing was written");
}
