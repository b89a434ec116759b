//! A CLIP that is trained by the sigmoid loss, from the first step to its use.

use super::train::{Bench, failed, succeeded, text};
use clipwright::checkpoint::load_model;
use clipwright::train::log::Metrics;
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Output};

/// Runs `clipwright` in the folder.
fn clipwright(bench: &Bench, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_clipwright")).current_dir(bench.path("")).args(args).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(output)))
}

#[test]
fn a_model_of_the_sigmoid_loss_from_training_to_use() {
    let bench = Bench::new();
    let said = succeeded(&bench.training("whole", &["--siglip", "--epochs", "20"]).output().unwrap());
    assert!(said.contains("bias -") && said.contains("chance"), "{said}");
    let run = bench.run_folder("whole");
    let metrics = Metrics::read(run.join("metrics.jsonl")).unwrap();
    let (first, last) = (&metrics.steps[0], metrics.steps.last().unwrap());
    assert!(last.loss() < first.loss(), "from {} to {}", first.loss(), last.loss());
    assert!(last.get("logit_bias") != -10.0 && last.get("logit_scale") != 10.0, "{last:?}");

    // In two sessions it has the same bits.
    succeeded(&bench.training("parts", &["--siglip", "--epochs", "20", "--stop-after", "7"]).output().unwrap());
    succeeded(&bench.resume("parts"));
    assert!(bench.weights("whole") == bench.weights("parts"));

    let path = run.to_str().unwrap();
    let info = json(&clipwright(&bench, &["info", path, "--json"]));
    assert_eq!(info["loss"], "sigmoid");
    assert!((info["logit_bias"].as_f64().unwrap() - last.get("logit_bias")).abs() < 1e-5, "{info}");
    assert!(text(&clipwright(&bench, &["info", path])).contains("each by itself"));

    // Every label has a probability by itself, as the bias says.
    let classify = ["classify", "0.png", "--labels", "picture number 0,picture number 1", "--model", path];
    let said = clipwright(&bench, &[&classify[..], &["--json"]].concat());
    assert!(text(&said).contains("do not add up to 1"), "{}", text(&said));
    let (scale, bias) = (info["scale"].as_f64().unwrap(), info["logit_bias"].as_f64().unwrap());
    for scored in json(&said)["best"].as_array().unwrap() {
        let logit = scale * scored["cosine"].as_f64().unwrap() + bias;
        let probability = scored["probability"].as_f64().unwrap();
        assert!((probability - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-4, "{scored}");
    }

    let said = failed(&clipwright(&bench, &["convert", path, "theirs", "--to", "huggingface"]));
    assert!(said.contains("no logit_bias") && !bench.path("theirs").exists(), "{said}");
    succeeded(&clipwright(&bench, &["convert", path, "half", "--dtype", "f16"]));
    let (model, _) = load_model(&bench.path("half")).unwrap();
    assert!((f64::from(model.params.view().logit_bias.unwrap()[0]) - bias).abs() < 0.01);

    // Its weights say which loss they were made for.
    let further = bench.training("further", &["--pretrained", path, "--epochs", "1"]).output().unwrap();
    assert!(succeeded(&further).contains("bias -"), "{}", text(&further));
    failed(&bench.training("again", &["--siglip", "--pretrained", path]).output().unwrap());
}

/// SigLIP's own architecture, whose captions by CLIP's tokenizer are filled up, from training to search: its folders in both
/// formats give the same embeddings, in every precision nearly so.
#[test]
fn an_architecture_of_siglip_from_training_to_use() {
    let bench = Bench::new();
    let config = json!({
        "embed_dim": 32,
        "init_logit_bias": -10,
        "vision_cfg": {
            "image_size": 17, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16, "timm_pool": "map",
        },
        "text_cfg": {
            "context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2, "no_causal_mask": true,
            "pool_type": "last", "proj_bias": true, "norm_kwargs": { "eps": 1e-6 },
        },
    });
    fs::write(bench.path("siglip.json"), config.to_string()).unwrap();
    let training = bench.training("whole", &["--model", "siglip.json", "--siglip", "--epochs", "20"]).output();
    succeeded(&training.unwrap());
    let run = bench.run_folder("whole");
    let metrics = Metrics::read(run.join("metrics.jsonl")).unwrap();
    let (first, last) = (&metrics.steps[0], metrics.steps.last().unwrap());
    assert!(last.loss() < first.loss(), "from {} to {}", first.loss(), last.loss());

    let path = run.to_str().unwrap();
    let info = json(&clipwright(&bench, &["info", path, "--json"]));
    assert_eq!((&info["loss"], &info["activation"]), (&json!("sigmoid"), &json!("gelu_tanh")), "{info}");
    succeeded(&clipwright(&bench, &["convert", path, "theirs", "--to", "huggingface"]));
    succeeded(&clipwright(&bench, &["convert", path, "half", "--dtype", "f16"]));
    succeeded(&clipwright(&bench, &["convert", path, "eight", "--dtype", "int8"]));
    let logits = |model: &str, more: &[&str]| {
        let classify =
            ["classify", "0.png", "--labels", "picture number 0,picture number 1", "--model", model, "--json"];
        let said = json(&clipwright(&bench, &[&classify[..], more].concat()));
        let mut best: Vec<_> = said["best"].as_array().unwrap().clone();
        best.sort_by_key(|scored| scored["label"].to_string());
        best.iter().map(|scored| scored["cosine"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    let whole = logits(path, &[]);
    for (model, more, most) in
        [("theirs", &[][..], 1e-4), ("half", &[], 0.01), ("eight", &[], 0.1), (path, &["--precision", "bf16"], 0.05)]
    {
        let apart = whole.iter().zip(logits(model, more)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart <= most, "{model}: {apart}");
    }
    succeeded(&clipwright(&bench, &["index", ".", "--model", path]));
    let found = text(&clipwright(&bench, &["search", ".", "picture number 3", "--json"]));
    assert!(found.contains(".png"), "{found}");
    let further = ["--model", "siglip.json", "--pretrained", path, "--epochs", "1"];
    succeeded(&bench.training("further", &further).output().unwrap());
}
