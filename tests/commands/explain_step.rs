//! `clipwright explain step`, with a tiny random model.

use super::train::{failed, succeeded};
use crate::support::{blip, tiny};
use clipwright::checkpoint::{ConfigFile, Contents, Format, Precision, save};
use clipwright::models::clip::Config;
use clipwright::models::clip::model::Model;
use clipwright::text::tokenizer::VOCABULARY;
use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

const HOSTILE: &str = "<script>alert('x')</script> & \"quoted\"";

/// A folder with a tiny model and four pairs, the last two of which have the same caption.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(tiny::config(32))
    }

    fn with(mut config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        config.text_cfg.vocab_size = VOCABULARY;
        let (model, file) = (Model::new(config.clone(), 5), ConfigFile::new(config));
        fs::create_dir(folder.path().join("model")).unwrap();
        let contents = Contents { model: &model, config: &file };
        save(&folder.path().join("model"), contents, Format::OpenClip, Precision::F32).unwrap();
        let captions = [HOSTILE, "a blue square", "a cat", "a cat"];
        let line = |(i, caption): (usize, &&str)| {
            let name = format!("{i}.png");
            let colour = Rgb([(i * 83 % 256) as u8, (i * 37 % 256) as u8, 200]);
            RgbImage::from_fn(30, 20 + i as u32, |x, y| {
                if ((x / 5 + y / 7) as usize).is_multiple_of(i + 2) { Rgb([255; 3]) } else { colour }
            })
            .save(folder.path().join(&name))
            .unwrap();
            json!({ "file_name": name, "text": caption }).to_string()
        };
        let lines: Vec<String> = captions.iter().enumerate().map(line).collect();
        fs::write(folder.path().join("metadata.jsonl"), lines.join("\n")).unwrap();
        Bench { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clipwright"));
        command.current_dir(self.folder.path()).args(["explain", "step"]).args(args).env_remove("CLIP_MODEL");
        command.output().unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn matrix(report: &Value, name: &str) -> Vec<Vec<f64>> {
    serde_json::from_value(report[name].clone()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// Returns both directions of the loss from S, with the mean over what fits, and without anything of the library's.
fn losses(logits: &[Vec<f64>], fits: &[Vec<f64>]) -> [f64; 2] {
    let n = logits.len();
    let direction = |s: &dyn Fn(usize, usize) -> f64| {
        let row = |i: usize| {
            let lse = (0..n).map(|j| s(i, j).exp()).sum::<f64>().ln();
            let fitting: Vec<usize> = (0..n).filter(|&j| fits[i][j] > 0.0).collect();
            lse - fitting.iter().map(|&j| s(i, j)).sum::<f64>() / fitting.len() as f64
        };
        (0..n).map(row).sum::<f64>() / n as f64
    };
    [direction(&|i, j| logits[i][j]), direction(&|i, j| logits[j][i])]
}

/// What is shown is the trainer's step: the emoji, and own pairs of which two fit each other's pictures.
#[test]
fn the_shown_numbers_are_those_of_the_trainer() {
    let bench = Bench::new();
    for (args, n) in [(&["-n", "5"][..], 5), (&["--pairs", ".", "-n", "4"], 4)] {
        let report = bench.json(&[&["--model", "model", "--lr", "1e-4"], args].concat());
        let [logits, fits, p, q, dlogits] = ["logits", "fits", "p", "q", "dlogits"].map(|name| matrix(&report, name));
        assert_eq!((logits.len(), report["pairs"].as_array().unwrap().len()), (n, n));
        let [of_images, of_texts] = losses(&logits, &fits);
        let before = &report["before"];
        let expected =
            [("image_to_text", of_images), ("text_to_image", of_texts), ("loss", (of_images + of_texts) / 2.0)];
        for (name, expected) in expected {
            let given = number(&before[name]);
            assert!((given - expected).abs() < 1e-5, "{name}: {given}, from S {expected}");
        }
        for i in 0..n {
            let (row, column) = (p[i].iter().sum::<f64>(), q.iter().map(|row| row[i]).sum::<f64>());
            assert!((row - 1.0).abs() < 1e-12 && (column - 1.0).abs() < 1e-12, "{row}, {column}");
        }
        assert!(dlogits.iter().flatten().sum::<f64>().abs() < 1e-12);
        assert!(number(&report["after"]["loss"]) < number(&before["loss"]), "{} {}", before, report["after"]);
        if n == 4 {
            assert_eq!(fits, [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]);
        }
    }
}

/// The gradient of the scale goes through the tour alone, and through the trainer; both are the same number. All
/// gradients together have the norm that the update reports, and no parameter is left out.
#[test]
fn gradients_and_moves_are_those_of_the_step() {
    let report = Bench::new().json(&["--model", "model", "--pairs", ".", "-n", "4"]);
    let tensors = report["tensors"].as_array().unwrap();
    let scale = tensors.iter().find(|tensor| tensor["name"] == "logit_scale").unwrap();
    let (by_tour, by_trainer) = (number(&report["dlogit_scale"]).abs(), number(&scale["grad_norm"]));
    assert!((by_tour - by_trainer).abs() <= 1e-5 * by_tour.max(1e-2), "{by_tour}, {by_trainer}");
    let all = tensors.iter().map(|tensor| number(&tensor["grad_norm"]).powi(2)).sum::<f64>().sqrt();
    assert!((all / number(&report["grad_norm"]) - 1.0).abs() < 1e-5);
    // AdamW's first step moves the scale, which does not decay, by the learning rate.
    let moved = number(&scale["move_norm"]);
    assert!((moved / 1e-4 - 1.0).abs() < 1e-2, "{moved}");
    assert!(tensors.iter().any(|tensor| tensor["share"].is_null()), "biases begin at 0");
    let sizes = tensors.iter().map(|tensor| tensor["shape"].as_array().unwrap().iter().map(number).product::<f64>());
    let mut config = tiny::config(32);
    config.text_cfg.vocab_size = VOCABULARY;
    assert_eq!(sizes.sum::<f64>() as usize, Model::new(config, 0).params.flat.len());
}

#[test]
fn the_page_is_whole_and_escapes_captions() {
    let bench = Bench::new();
    let output = bench.run(&["--model", "model", "--pairs", ".", "-n", "4", "--output", "step.html"]);
    let out = succeeded(&output);
    assert!(out.contains("a blue square") && out.contains("logit_scale") && out.contains("text→image"), "{out}");
    let page = fs::read_to_string(bench.path("step.html")).unwrap();
    assert!(page.contains("&lt;script&gt;alert(&apos;x&apos;)&lt;/script&gt; &amp; &quot;quoted&quot;"), "escaped");
    assert!(!page.contains("alert('") && page.matches("<script>").count() == 1);
    assert!(page.contains("<small>pull</small>") && page.contains("<small>push</small>"));
    assert!(!page.contains("src=\"http") && page.contains("id=\"heat\" class=\"slider\" hidden"));
}

/// BatchNorm's running statistics are no parameters, and the features are those of training.
#[test]
fn a_resnet_takes_a_step() {
    let report = Bench::with(tiny::resnet(16)).json(&["--model", "model", "-n", "4"]);
    let [of_images, of_texts] = losses(&matrix(&report, "logits"), &matrix(&report, "fits"));
    assert!((number(&report["before"]["loss"]) - (of_images + of_texts) / 2.0).abs() < 1e-4);
    let tensors = report["tensors"].as_array().unwrap();
    assert!(tensors.iter().all(|tensor| !tensor["name"].as_str().unwrap().contains("running")));
}

#[test]
fn mistakes_are_named() {
    let bench = Bench::new();
    let tiny = ["--model", "model"];
    let blip = blip::folder("blip_itm");
    let blip = blip.to_str().unwrap();
    let mistakes: [(&[&str], i32, &str); 9] = [
        (&["--fresh", "nonsense"], 2, "nonsense"),
        (&["--fresh", "Emoji-ViT-S", "--model", "model"], 2, "--fresh"),
        (&["--model", "model", "--seed", "1"], 2, "--seed"),
        (&[&tiny[..], &["--pairs", "missing.csv"]].concat(), 1, "missing.csv"),
        (&[&tiny[..], &["-n", "1"]].concat(), 2, "2..=16"),
        (&[&tiny[..], &["--lr", "0"]].concat(), 2, "not a number above 0"),
        (&[&tiny[..], &["--output", "step.txt"]].concat(), 2, "must end in .html"),
        (&["--model", blip], 2, "a BLIP"),
        (&["--model", "nowhere"], 1, "nowhere"),
    ];
    for (args, code, said) in mistakes {
        let output = bench.run(args);
        let text = failed(&output);
        assert!(output.status.code() == Some(code) && text.contains(said), "{args:?}: {text}");
    }
    // A model that is ruined is shown as such.
    assert!(succeeded(&bench.run(&["--model", "model", "--lr", "1e30", "--output", "step.html"])).contains("NaN"));
}
