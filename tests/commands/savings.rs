//! Runs that save arithmetic: with patch dropout, and with pictures that grow.

use super::bench::{bench, lines};
use super::train::{Bench, failed, saved_steps, succeeded};
use clipwright::checkpoint::{CONFIG, load_model};
use serde_json::{Value, json};
use std::fs;

/// Pictures are of 8 pixels up to step 9 of 15, and then of 16. They lose half of their patches up to step 12.
const GROWING: [&str; 8] = [
    "--image-size-schedule",
    "8:0.6,16:0.4",
    "--force-patch-dropout",
    "0.5",
    "--unmasked-tuning",
    "0.2",
    "--epochs",
    "5",
];

fn go_on(bench: &Bench, name: &str, more: &[&str]) -> String {
    let folder = bench.run_folder(name);
    succeeded(&bench.command(&["--resume", folder.to_str().unwrap()]).args(more).output().unwrap())
}

/// Changes a JSON file.
fn edit(path: &std::path::Path, change: impl FnOnce(&mut Value)) {
    let mut json = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut json);
    fs::write(path, json.to_string()).unwrap();
}

/// A run that is stopped before, at or behind a change ends in the same bits; on its way it is a model of each size.
#[test]
fn a_growing_run_in_sessions_is_the_whole_run() {
    let bench = Bench::new();
    let said = succeeded(&bench.training("whole", &GROWING).output().unwrap());
    assert!(said.contains("pictures of 8 pixels up to step 9, 16 pixels up to step 15"), "{said}");
    assert!(said.contains("50 % of the patches are dropped up to step 12"), "{said}");
    for (stop, size) in [("8", 8), ("9", 8), ("10", 16), ("12", 16)] {
        let stopped = [&GROWING[..], &["--stop-after", stop]].concat();
        succeeded(&bench.training(stop, &stopped).output().unwrap());
        let folder = bench.run_folder(stop);
        assert_eq!(saved_steps(&folder), stop.parse().ok());
        let (model, config) = load_model(&folder).unwrap();
        assert_eq!((model.config.vision_cfg.image_size, config.preprocess_cfg.size), (size, size));
        go_on(&bench, stop, &[]);
        assert!(bench.weights("whole") == bench.weights(stop), "stopped after {stop}");
    }
    let (model, _) = load_model(&bench.run_folder("whole")).unwrap();
    assert_eq!((model.config.vision_cfg.image_size, model.config.vision_cfg.patch_dropout), (16, 0.5));
}

/// A run can be killed when it has written the model of one size and not yet the state, or has not yet overwritten that
/// of another.
#[test]
fn the_state_of_a_growing_run_says_its_size() {
    let bench = Bench::new();
    succeeded(&bench.training("whole", &GROWING).output().unwrap());
    for (stop, size) in [("9", 16), ("10", 8)] {
        let stopped = [&GROWING[..], &["--stop-after", stop]].concat();
        succeeded(&bench.training(stop, &stopped).output().unwrap());
        edit(&bench.run_folder(stop).join(CONFIG), |json| json["model_cfg"]["vision_cfg"]["image_size"] = json!(size));
        go_on(&bench, stop, &[]);
        assert!(bench.weights("whole") == bench.weights(stop), "stopped after {stop}");
    }
    // A size that no part of the run has is another model's.
    edit(&bench.run_folder("10").join(CONFIG), |json| json["model_cfg"]["vision_cfg"]["image_size"] = json!(80));
    edit(&bench.run_folder("10").join("options.json"), |json| json["savings"]["image_size_schedule"] = json!("80:1"));
    let said = failed(&bench.resume("10"));
    assert!(said.contains("resume.safetensors") && said.contains("params"), "{said}");
}

/// A longer run divides its steps anew, and may shrink pictures for it.
#[test]
fn a_growing_run_that_has_ended_goes_on() {
    let bench = Bench::new();
    succeeded(&bench.training("longer", &GROWING).output().unwrap());
    assert!(go_on(&bench, "longer", &["--epochs", "10"]).contains("pictures of 8 pixels up to step 18, 16 pixels"));
    assert_eq!(saved_steps(&bench.run_folder("longer")), Some(30));
}

#[test]
fn trained_models_and_resnets_grow_too() {
    let bench = Bench::new();
    succeeded(&bench.training("first", &["--epochs", "1"]).output().unwrap());
    let tuned = [&["--pretrained", "runs/first"], &GROWING[..]].concat();
    succeeded(&bench.training("tuned", &tuned).output().unwrap());
    let sizes = ["--model", "resnet.json", "--image-size-schedule", "64:0.5,32:0.5", "--epochs", "2"];
    succeeded(&bench.training("resnet", &sizes).output().unwrap());
    assert_eq!(load_model(&bench.run_folder("resnet")).unwrap().0.config.vision_cfg.image_size, 32);
}

/// The rate is OpenCLIP's field of the configuration, which the option overrides.
#[test]
fn the_rate_of_a_configuration_is_used_and_overridden() {
    let bench = Bench::new();
    fs::copy(bench.path("tiny.json"), bench.path("half.json")).unwrap();
    edit(&bench.path("half.json"), |json| json["vision_cfg"]["patch_dropout"] = json!(0.5));
    let run = |name: &str, model: &str, more: &[&str]| {
        let flags = [&["--model", model, "--epochs", "2"], more].concat();
        succeeded(&bench.training(name, &flags).output().unwrap());
        let config = fs::read_to_string(bench.run_folder(name).join(CONFIG)).unwrap();
        (bench.weights(name), config.contains("patch_dropout"))
    };
    let (whole, half) = (run("whole", "tiny.json", &[]), run("half", "half.json", &[]));
    assert!(half == run("forced", "tiny.json", &["--force-patch-dropout", "0.5"]));
    assert!(whole == run("off", "half.json", &["--force-patch-dropout", "0"]));
    assert!(half.0 != whole.0 && half.1 && !whole.1);
    // Weights do not depend on it: those of one run can be tuned under the other configuration.
    let (_, drops) = run("tuned", "half.json", &["--pretrained", "runs/whole"]);
    assert!(drops);
}

#[test]
fn savings_that_do_not_fit_are_refused_with_a_reason() {
    let bench = Bench::new();
    let says = |flags: &[&str], expected: &str| {
        let said = failed(&bench.training("none", flags).output().unwrap());
        assert!(said.contains(expected), "{flags:?}: {said}");
    };
    let schedule = |sizes, expected| says(&["--image-size-schedule", sizes], expected);
    schedule("8:0.8,16:0.3", "the shares add up to 1.1, not to 1");
    schedule("8,16", "\"8\" is no size in pixels and its share of the steps, such as 96:0.8");
    schedule(
        "12:0.8,16:0.2",
        "--image-size-schedule: vision_cfg.image_size 12 is not a multiple of vision_cfg.patch_size 8",
    );
    schedule("8:0.8,24:0.2", "--image-size-schedule ends with 24 pixels, and the model's own size is 16");
    let short = ["--image-size-schedule", "8:0.9,16:0.1", "--epochs", "1"];
    says(&short, "none of the 3 steps is left for pictures of 16 pixels");
    says(&["--force-patch-dropout", "1"], "must be below 1");
    says(&["--force-patch-dropout", "0.5", "--model", "resnet.json"], "a ResNet has no patches");
    says(&["--unmasked-tuning", "0.1"], "--unmasked-tuning needs --force-patch-dropout");
    says(&["--model", "Emoji-BLIP-S", "--force-patch-dropout", "0.5"], "--force-patch-dropout needs a CLIP");
    for flag in [["--force-patch-dropout", "0.5"], ["--image-size-schedule", "8:0.5,16:0.5"]] {
        says(&[&["--pretrained", "runs/x", "--lock-image"], &flag[..]].concat(), "cannot be used with");
    }
    assert!(!bench.path("runs").exists());
}

#[test]
fn bench_times_a_step_with_dropped_patches() {
    let bench = bench();
    let gflop = |rate: &str| {
        let args =
            ["bench", "--json", "--batch", "2", "--repeats", "1", "--only", "train_step", "--patch-dropout", rate];
        let outcome = bench.run(&args);
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let report = &lines(&outcome.out)[0];
        assert_eq!(report["patch_dropout"].as_f64(), rate.parse().ok());
        report["results"][0]["gflop"].as_f64().unwrap()
    };
    assert!(gflop("0.5") < 0.8 * gflop("0"));
    for (model, said) in [("Emoji-RN-S", "a ResNet has no patches"), ("Emoji-BLIP-S", "a BLIP drops none")] {
        let refused = bench.run_alone(&["bench", "--model", model, "--patch-dropout", "0.5"]);
        assert!(refused.code == 2 && refused.error.contains(said), "{refused:?}");
    }
}
