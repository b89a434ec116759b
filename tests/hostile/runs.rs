//! Hostile versions of the files that a run writes and reads when it is resumed.

use super::support::tiny;
use super::{cases, damaged, edits, promptly};
use clap::Parser;
use clipwright::app::plot::curves;
use clipwright::app::train::{Cli, Options, TrainError};
use clipwright::checkpoint::safetensors::{Tensor, write};
use clipwright::checkpoint::{self, CONFIG, ConfigFile, Dtype};
use clipwright::models::clip::model::Model;
use clipwright::optim::adamw::Hyper;
use clipwright::train::clip::{self, ClipObjective};
use clipwright::train::log::{Line, Log, Metrics, Step};
use clipwright::train::metric::Metric;
use clipwright::train::objective::Saved;
use clipwright::train::run_folder::RunFolder;
use clipwright::train::step::{Trainer, TrainerOptions};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn step(step: u64, value: f64) -> Step {
    let metric = |name| Metric::new(name, value);
    let names = ["loss_image_to_text", "loss_text_to_image", "logit_scale", "lr", "grad_norm", "pairs_per_second"];
    let loss = metric("loss").against_chance(value);
    Step { step, metrics: [loss].into_iter().chain(names.map(metric)).collect() }
}

fn log() -> Vec<u8> {
    let recall = json!({ "at1": 0.1, "at5": 0.2, "at10": 0.3 });
    let retrieval = json!({ "image_to_text": recall, "text_to_image": recall });
    let row = json!({
        "concepts": "own", "pictures": "training pairs", "without_flags": false, "images": 9, "zero_shot": null,
        "retrieval": retrieval, "retrieval_chance": retrieval,
    });
    let mut lines: Vec<String> = (1..6).map(|i| serde_json::to_string(&Line::Step(step(i, 1.5))).unwrap()).collect();
    lines.push(json!({ "step": 5, "eval": { "rows": [row] } }).to_string());
    lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}

fn draw(metrics: &Metrics) {
    for curve in [curves::loss, curves::recall, curves::schedule] {
        assert!(curve(metrics).is_none_or(|figure| figure.draw().width() > 0));
    }
}

/// The tests that other seeds can be given.
pub const TESTS: &[fn()] = &[damaged_logs_are_survived, damaged_states_are_survived];

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn damaged_logs_are_survived(edits in edits()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, damaged(&log(), &edits)).unwrap();
        let _ = Metrics::read(&path);
        let mut open = Log::open(&path).unwrap();
        open.append(&Line::Step(step(9, 1.0))).unwrap();
        let end = fs::read(&path).unwrap();
        assert!(end.ends_with(b"}\n"));
    }

    #[test]
    fn damaged_states_are_survived(file in prop::sample::select(&[CONFIG, "resume.safetensors", "options.json"][..]), edits in edits()) {
        let run = run();
        let path = run.path().join(file);
        fs::write(&path, damaged(&fs::read(&path).unwrap(), &edits)).unwrap();
        resume(run.path());
    }
}

proptest! {
    // Drawing the curves takes time, so there are few cases.
    #![proptest_config(cases(4))]

    #[test]
    fn curves_of_any_numbers_are_drawn(values in prop::collection::vec(
        (prop::sample::select(&[0, 1, 1 << 40, u64::MAX][..]), prop::sample::select(&[0.0, -1.0, 1e-320, 1e300, f64::MAX, f64::NAN, f64::INFINITY, f64::NEG_INFINITY][..])), 1..6,
    )) {
        let mut metrics = Metrics::default();
        values.into_iter().for_each(|(at, value)| metrics.push(Line::Step(step(at, value))));
        promptly(|| draw(&metrics));
    }
}

/// Values whose sum is infinite, or becomes so with the six percent that an axis adds, can be drawn.
#[test]
fn curves_of_the_largest_numbers_are_drawn() {
    for value in [f64::MAX, 1e308, 5e-324] {
        let mut metrics = Metrics::default();
        (1..900).for_each(|at| metrics.push(Line::Step(step(at * (u64::MAX / 1000), value))));
        promptly(|| draw(&metrics));
    }
}

/// Makes a run of a tiny model that was stopped after seven steps.
fn run() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = tiny::config(8);
    let model = Model::new(config.clone(), 1);
    checkpoint::save_model(folder.path(), &model, &ConfigFile::new(config)).unwrap();
    let mut trainer = trainer(model);
    let mut state = trainer.state();
    state.iter_mut().for_each(|(_, saved)| {
        if let Saved::Count(count) = saved {
            **count = 7
        }
    });
    RunFolder { path: folder.path().into() }.save(state).unwrap();
    let options = Cli::parse_from(["train"]).options;
    fs::write(folder.path().join("options.json"), serde_json::to_vec(&options).unwrap()).unwrap();
    folder
}

fn trainer(model: Model) -> Trainer<ClipObjective> {
    Trainer::new(ClipObjective::new(model), TrainerOptions::new(Hyper::VIT))
}

fn find(path: &Path) -> Result<(RunFolder, Options), TrainError> {
    let folder = RunFolder::find(path.to_str().unwrap(), Path::new("runs"))?;
    let options = Options::of(&folder)?;
    Ok((folder, options))
}

/// Reads everything that `train --resume` reads.
fn resume(path: &Path) -> Option<u64> {
    let (folder, _) = find(path).ok()?;
    let (model, _) = clip::resumed(&folder, &[]).ok()?;
    let mut trainer = trainer(model);
    folder.load(trainer.state()).ok()?;
    Some(trainer.steps())
}

#[test]
fn a_sound_state_is_resumed() {
    assert_eq!(resume(run().path()), Some(7));
}

/// Memory is allocated for what the state holds, not for what the configuration beside it says.
#[test]
fn a_configuration_of_another_model_takes_no_memory() {
    let run = run();
    let path = run.path().join(CONFIG);
    let mut json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    json["model_cfg"]["text_cfg"]["vocab_size"] = json!(1 << 24);
    json["model_cfg"]["text_cfg"]["width"] = json!(200);
    fs::write(&path, json.to_string()).unwrap();
    let error = clip::resumed(&RunFolder { path: run.path().into() }, &[]).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("resume.safetensors") && error.contains("params"), "{error}");
}

#[test]
fn a_step_that_cannot_be_counted_from_is_refused() {
    let run = run();
    let folder = RunFolder { path: run.path().into() };
    let (model, _) = clip::resumed(&folder, &[]).unwrap();
    let flat = model.params.flat.clone();
    let mut trainer = trainer(model);
    for step in ["18446744073709551615", "-1", "7.5", ""] {
        let tensors =
            ["params", "exp_avg", "exp_avg_sq"].map(|name| Tensor::new(name, &[flat.len()], &flat, Dtype::F32));
        write(&run.path().join("resume.safetensors"), &tensors, [("step", step)]).unwrap();
        let error = folder.load(trainer.state()).unwrap_err().to_string();
        assert!(error.contains("does not say its step"), "{error}");
    }
}

/// Options that the command line would refuse are refused in a file as well.
#[test]
fn options_that_no_command_line_has_are_refused() {
    let run = run();
    let path = run.path().join("options.json");
    let sound: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (group, value) in [
        ("batch_size", json!(0)),
        ("workers", json!(u64::MAX)),
        ("epochs", json!(u64::MAX)),
        ("log_every_n_steps", json!(0)),
        ("lr", json!(-1.0)),
        ("lr", json!(1e39)),
        ("beta1", json!(1.0)),
        ("beta2", json!(7.0)),
        ("eps", json!(-1.0)),
        ("savings", json!({ "force_patch_dropout": 1.0 })),
        ("savings", json!({ "unmasked_tuning": -0.1 })),
    ] {
        let mut json = sound.clone();
        // Of a group of options, the one that is wrong is named.
        let field = value.as_object().and_then(|group| group.keys().next()).map_or(group, String::as_str).to_owned();
        json[group] = value;
        fs::write(&path, json.to_string()).unwrap();
        let error = find(run.path()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("options.json") && error.contains(&field), "{error}");
    }
    let mut json = sound.clone();
    json["savings"] = json!({ "image_size_schedule": "96:0.5" });
    fs::write(&path, json.to_string()).unwrap();
    let error = find(run.path()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("options.json") && error.contains("the shares add up to 0.5"), "{error}");
    for (field, value) in [("bad_share", json!(2)), ("csv_separator", json!("€"))] {
        let mut json = sound.clone();
        json["data"][field] = value;
        fs::write(&path, json.to_string()).unwrap();
        let error = find(run.path()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
}
