//! The program `train` with BLIPs: every task, stopped and killed runs, and mistakes.

use super::bench::Bench;
use super::blip::{bench, config, put};
use clipwright::checkpoint::blip::{Format, Overrides, describe, load, save};
use clipwright::checkpoint::safetensors::Reader;
use clipwright::checkpoint::{Kind, Precision, kind};
use clipwright::models::blip::{Config, Model, Parts, TextConfig, TokenIds, VisionConfig};
use clipwright::train::log::Metrics;
use serde_json::json;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What every run is trained with: ten pairs, two steps an epoch.
const HOW: [&str; 8] = ["--batch-size", "5", "--warmup", "2", "--lr", "1e-3", "--workers", "2"];
const DATA: [&str; 2] = ["--train-data", "pairs.csv"];

/// Makes a folder with a pre-trained BLIP in `model`, ten pictures with captions in `pairs.csv`, and with questions.
fn tuning() -> Bench {
    let bench = bench(Parts::Pretrained);
    let rows: String = (0..10).map(|i| format!("photos/p{i}.png,A picture of number {i}!\n")).collect();
    bench.write("pairs.csv", format!("filepath,title\n{rows}"));
    let name = |i| format!("asked/abstract_v002_val_{i:012}.png");
    fs::create_dir(bench.path("asked")).unwrap();
    for i in 0..10 {
        fs::copy(bench.path(&format!("photos/p{i}.png")), bench.path(&name(i))).unwrap();
    }
    let question = |i| json!({ "question_id": i, "image_id": i, "question": "Which number is it?" });
    let questions: Vec<_> = (0..10).map(question).collect();
    let questions = json!({ "data_type": "abstract_v002", "data_subtype": "val", "questions": questions });
    bench.write("asked/questions.json", questions.to_string());
    let answer = |i: usize| {
        let given = [i.to_string(), i.to_string(), "none".into()].map(|answer| json!({ "answer": answer }));
        json!({ "question_id": i, "answers": given })
    };
    let answers: Vec<_> = (0..10).map(answer).collect();
    bench.write("asked/answers.json", json!({ "annotations": answers }).to_string());
    bench
}

fn command(bench: &Bench, args: &[&[&str]]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.current_dir(bench.path("")).args(args.concat()).stdin(Stdio::null());
    command
}

#[track_caller]
fn trains(bench: &Bench, args: &[&[&str]]) -> String {
    let output = command(bench, args).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {text}");
    text
}

#[track_caller]
fn fails(bench: &Bench, args: &[&[&str]], words: &[&str]) {
    let output = command(bench, args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(1 | 2)) && !text.contains("panicked"), "{args:?}: {text}");
    words.iter().for_each(|word| assert!(text.contains(word), "{word}: {text}"));
    assert!(!bench.path("runs").exists(), "{args:?} leaves a folder");
}

fn file(bench: &Bench, run: &str, name: &str) -> Vec<u8> {
    fs::read(bench.path(&format!("runs/{run}/{name}"))).unwrap()
}

/// Every task ends with a model that can do it, numbers and pictures, and a run in parts is the whole run.
#[test]
fn every_task_is_learnt_and_goes_on_to_the_bit() {
    let bench = tuning();
    let questions = ["--train-data", "asked/questions.json", "--train-answers", "asked/answers.json"];
    let tasks: [(&str, &[&str], Parts, &[&str]); 4] = [
        ("pretrain", &DATA, Parts::Pretrained, &["told.png", "words.png", "captions.png", "recall.png"]),
        ("retrieval", &DATA, Parts::Matcher, &["captions.png", "similarity.png", "recall.png"]),
        ("caption", &DATA, Parts::Captioner, &["told.png", "words.png"]),
        ("vqa", &questions, Parts::Answerer, &["told.png"]),
    ];
    for (task, data, parts, pictures) in tasks {
        let how = [&HOW[..], &["--pretrained", "model", "--task", task, "--epochs", "4"]].concat();
        let queue: &[&str] = if matches!(task, "pretrain" | "retrieval") { &["--queue", "8"] } else { &[] };
        let how: [&[&str]; 4] = [&how, data, queue, &["--dropout", "0.1"]];
        let said = trains(&bench, &[&how[..], &[&["--name", task]]].concat());
        assert!(said.contains("loss") && said.contains("All scores"), "{task}: {said}");
        let run = bench.path(&format!("runs/{task}"));
        assert_eq!(kind(&run).unwrap(), Some(Kind::Blip));
        assert_eq!(describe(&run, &Overrides::default()).unwrap().config.parts, parts);
        for name in ["loss.png", "schedule.png"].iter().chain(pictures) {
            assert!(image::open(run.join(name)).unwrap().width() > 100, "{task}: {name}");
        }
        let metrics = Metrics::read(run.join("metrics.jsonl")).unwrap();
        assert_eq!((metrics.steps.last().unwrap().step, metrics.evaluations.len()), (8, 4), "{task}");
        let page = fs::read_to_string(run.join("report.html")).unwrap();
        assert!(page.contains("Results after step 8") && page.contains("data:image/png") && !page.contains("http"));

        let parts = format!("{task}-parts");
        trains(&bench, &[&how[..], &[&["--name", &parts, "--stop-after", "3"]]].concat());
        trains(&bench, &[&["--resume", &format!("runs/{parts}"), "--stop-after", "5"]]);
        trains(&bench, &[&["--resume", &format!("runs/{parts}")]]);
        for name in ["model.safetensors", "resume.safetensors", "report.md"] {
            assert!(file(&bench, task, name) == file(&bench, &parts, name), "{task}: {name}");
        }
    }
}

#[test]
fn a_killed_run_ends_with_the_same_bits() {
    let bench = tuning();
    let how: [&[&str]; 3] = [&HOW, &DATA, &["--pretrained", "model", "--queue", "8", "--epochs", "1000000"]];
    let mut child = command(&bench, &[&how[..], &[&["--name", "killed"]]].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let state = bench.path("runs/killed/resume.safetensors");
    let steps = || Reader::open(&state).ok()?.metadata("step")?.parse::<u64>().ok();
    let start = Instant::now();
    while steps().is_none_or(|steps| steps < 4) {
        assert!(start.elapsed() < Duration::from_secs(600), "no checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let stop = (steps().unwrap() + 3).to_string();
    trains(&bench, &[&["--resume", "runs/killed", "--stop-after", &stop]]);
    trains(&bench, &[&how[..], &[&["--name", "whole", "--stop-after", &stop]]].concat());
    for name in ["model.safetensors", "resume.safetensors"] {
        assert!(file(&bench, "killed", name) == file(&bench, "whole", name), "{name}");
    }
}

/// The vocabulary of a new model is that of another model, and comes along when the model learns something else.
#[test]
fn a_new_model_takes_a_vocabulary_along() {
    let bench = tuning();
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "picture", "of", "number", "[DEC]", "[ENC]"];
    let ids = TokenIds { pad: 0, cls: 2, end: 3, decode: 9, encode: 10 };
    let own = config(Parts::Matcher);
    let own = Config { text: TextConfig { vocab_size: words.len(), ids, ..own.text }, ..own };
    let model = Model::new(own, 0);
    save(&bench.path("words"), &own, &model.params, None, Format::Original, Precision::F32).unwrap();
    bench.write("words/vocab.txt", words.join("\n"));
    let new = ["--model", "Emoji-BLIP-S", "--tokenizer", "words", "--stop-after", "1", "--name", "new"];
    trains(&bench, &[&HOW, &DATA, &new]);
    assert_eq!(describe(&bench.path("runs/new"), &Overrides::default()).unwrap().config.text.vocab_size, 11);
    let tuned =
        ["--pretrained", "runs/new", "--task", "caption", "--prompt", "a", "--stop-after", "1", "--name", "tuned"];
    trains(&bench, &[&HOW, &DATA, &tuned]);
    let tuned = load(&bench.path("runs/tuned"), &Overrides::default()).unwrap();
    assert_eq!((tuned.config.text.ids, tuned.config.text.vocab_size), (ids, 11));
    assert!(file(&bench, "tuned", "vocab.txt") == file(&bench, "new", "vocab.txt"));
}

#[test]
fn mistakes_are_named_before_anything_is_made() {
    let bench = tuning();
    let tuned = ["--pretrained", "model"];
    fails(&bench, &[&HOW, &DATA, &["--task", "caption"]], &["--task needs a BLIP", "Emoji-BLIP-S"]);
    fails(&bench, &[&HOW, &DATA, &["--queue", "9"]], &["--queue needs a BLIP"]);
    fails(&bench, &[&HOW, &["--caption-noise", "0.3"]], &["--caption-noise needs --scenes"]);
    let answers = ["--train-answers", "asked/answers.json"];
    fails(&bench, &[&HOW, &DATA, &tuned, &answers], &["--train-answers needs --task vqa"]);
    fails(&bench, &[&HOW, &DATA, &tuned, &["--lock-image"]], &["--lock-image needs a CLIP"]);
    fails(&bench, &[&HOW, &DATA, &tuned, &["--model", "Emoji-BLIP-S"]], &["leave --model out"]);
    fails(&bench, &[&HOW, &DATA, &tuned, &["--task", "vqa"]], &["pairs.csv", "--train-answers"]);
    fails(&bench, &[&HOW, &tuned, &["--languages", "ja"]], &["en, de, es, fr, it, pt, ru", "not in ja"]);
    let clip = ["--model", "Emoji-BLIP-S", "--tokenizer", "clip"];
    fails(&bench, &[&HOW, &DATA, &clip], &["a CLIP"]);
    let bert = ["--model", "Emoji-BLIP-S", "--tokenizer", "model"];
    fails(&bench, &[&HOW, &DATA, &bert], &["no vocabulary", "--tokenizer"]);
    put(&bench.path("matcher"), Parts::Matcher, Format::HuggingFace);
    let matcher = ["--pretrained", "matcher", "--task", "caption"];
    fails(&bench, &[&HOW, &DATA, &matcher], &["matcher", "captioning needs"]);
    let square = config(Parts::Pretrained);
    let wide = Config { vision: VisionConfig { image_size: [32, 64], ..square.vision }, ..square };
    save(&bench.path("wide"), &wide, &Model::new(wide, 0).params, None, Format::Original, Precision::F32).unwrap();
    fails(&bench, &[&HOW, &DATA, &["--pretrained", "wide"]], &["not square"]);
}
