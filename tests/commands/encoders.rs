//! The program `clipwright` as its users see it: exit codes, messages, JSON.

use crate::support::tiny::config;
use clipwright::checkpoint::{ConfigFile, Contents, Format, Precision, WEIGHTS, load_model, save};
use clipwright::models::clip::model::Model;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

struct Bench {
    folder: tempfile::TempDir,
}

/// The outcome of a command.
struct Outcome {
    code: i32,
    out: String,
    error: String,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(64);
        let (model, file) = (Model::new(config.clone(), 5), ConfigFile::new(config));
        for (name, format) in [("ours", Format::OpenClip), ("theirs", Format::HuggingFace)] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            save(&folder.path().join(name), Contents { model: &model, config: &file }, format, Precision::F32).unwrap();
        }
        Bench { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clipwright"));
        command.current_dir(self.folder.path()).args(args.split_whitespace());
        command
    }

    fn run(&self, args: &str) -> Outcome {
        let output = self.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome { code: output.status.code().unwrap(), out: text(output.stdout), error: text(output.stderr) }
    }

    /// Runs a command that must succeed; returns its one line of JSON.
    fn json(&self, args: &str) -> Value {
        let Outcome { code, out, error } = self.run(&format!("{args} --json"));
        assert_eq!((code, error.as_str(), out.lines().count()), (0, "", 1), "{out}");
        serde_json::from_str(&out).unwrap()
    }
}

fn flat(path: &Path) -> Vec<f32> {
    load_model(path).unwrap().0.params.flat.to_vec()
}

#[test]
fn info_says_what_a_model_is() {
    let bench = Bench::new();
    let count = Model::new(config(64), 0).params.flat.len();
    for (name, names, weights) in [("ours", "OpenAI", WEIGHTS), ("theirs", "Hugging Face", "model.safetensors")] {
        for args in [format!("info {name}"), format!("info --model {name}")] {
            let report = bench.json(&args);
            assert_eq!(report["names"], names);
            assert_eq!(report["path"], format!("{name}/{weights}"));
            assert_eq!(report["parameters"], count);
            assert_eq!(report["dtypes"], serde_json::json!(["F32"]));
            assert_eq!((&report["activation"], &report["image"]["layers"]), (&"quick_gelu".into(), &3.into()));
            assert!(report["activation_from"].as_str().unwrap().ends_with("config.json"));
            assert_eq!((&report["image"]["heads"], &report["text"]["vocab_size"]), (&2.into(), &300.into()));
            assert_eq!(report["image"]["preprocess"]["size"], 24);
            assert!((report["scale"].as_f64().unwrap() - 1.0 / 0.07).abs() < 1e-3);
        }
    }
    let Outcome { code, out, .. } = bench.run("info ours");
    assert_eq!(code, 0);
    for part in [
        "OpenAI names",
        "ViT, patches of 8, 3 layers 64 wide",
        "20 of 300 tokens",
        "× 14.29",
        "quick_gelu (ours/open_clip",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    assert_eq!(bench.json("info ours --activation gelu")["activation"], "gelu");
}

#[test]
fn the_newest_finished_run_is_the_default() {
    let bench = Bench::new();
    let Outcome { code, error, out } = bench.run("info");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(error.contains("--model PATH") && error.contains("--bin train"), "{error}");

    std::fs::create_dir(bench.path("runs")).unwrap();
    assert_eq!(bench.run("convert ours runs/001").code, 0);
    assert_eq!(bench.run("convert ours runs/002").code, 0);
    // A run has its table of results once it is finished.
    for (run, seconds) in [("runs/001", 60), ("runs/002", 0)] {
        let table = std::fs::File::create(bench.path(run).join("report.md")).unwrap();
        table.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(seconds)).unwrap();
    }
    let Outcome { error, out, .. } = bench.run("info --json");
    assert!(out.contains(&format!("runs/001/{WEIGHTS}")) && error.contains("runs/001, the newest run"), "{out}{error}");
}

#[test]
fn convert_goes_there_and_back() {
    let bench = Bench::new();
    let report = bench.json("convert ours there --to huggingface");
    assert_eq!((&report["folder"], &report["format"]), (&"there".into(), &"huggingface".into()));
    assert_eq!(bench.run("convert there back").code, 0);
    assert!(flat(&bench.path("ours")) == flat(&bench.path("back")));
    assert!(flat(&bench.path("theirs")) == flat(&bench.path("there")));

    assert_eq!(bench.run("convert theirs half --dtype f16 --image-size 40 --activation gelu").code, 0);
    let report = bench.json("info half");
    assert_eq!((&report["dtypes"][0], &report["image"]["image_size"]), (&"F16".into(), &40.into()));
    assert_eq!(report["activation"], "gelu");
}

/// Asserts that the card of a folder has these parts; returns it.
#[track_caller]
fn card(bench: &Bench, folder: &str, parts: &[&str]) -> String {
    let card = std::fs::read_to_string(bench.path(folder).join("README.md")).unwrap();
    parts.iter().for_each(|part| assert!(card.contains(part), "{part}: {card}"));
    assert!(
        card.starts_with("---\n") && card.contains(&format!("\n---\n\n# {folder}\n")) && !card.contains("licence:")
    );
    card
}

#[test]
fn convert_writes_a_card_of_what_is_known() {
    let bench = Bench::new();
    let sizes = ["ViT, patches of 8, 3 layers 64 wide", "at most 20 tokens, of 300", "| 14.29 |", "QuickGELU"];
    bench.json("convert ours there --to huggingface");
    let parts = ["library_name: transformers\n", "pipeline_tag: zero-shot-image-classification\n", "CLIPModel"];
    card(&bench, "there", &[&sizes[..], &parts].concat());
    bench.json("convert there half --dtype f16");
    let parts = ["library_name: open_clip\n", "Converted from `there` by clipwright", "stored in 16 bits"];
    let half = card(&bench, "half", &parts);
    assert!(!half.contains("base_model") && !half.contains("transformers"), "{half}");
    bench.json("convert ours int8 --dtype int8");
    assert!(!card(&bench, "int8", &["clipwright alone reads"]).contains("library_name"));
    bench.json("convert --random Emoji-RN-S drawn --to onnx");
    let drawn = ["- onnx\n", "It has learnt nothing", "ResNet, [", "pixel_values"];
    assert!(!card(&bench, "drawn", &drawn).contains("Converted"));
}

#[test]
fn convert_to_onnx_writes_the_graphs_of_both_towers() {
    let bench = Bench::new();
    let report = bench.json("convert --random Emoji-ViT-S graphs --to onnx --dtype f16");
    assert_eq!((&report["format"], &report["dtype"]), (&"onnx".into(), &"f16".into()));
    let mut names: Vec<_> =
        std::fs::read_dir(bench.path("graphs")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["README.md", "open_clip_config.json", "textual.onnx", "visual.onnx"]);
    // Without its tokenizer nobody knows which token ends a text.
    let Outcome { code, error, .. } = bench.run("convert ours more --to onnx");
    assert!(code == 1 && error.contains("put the model's tokenizer.json beside it"), "{error}");
    let Outcome { code, error, .. } = bench.run("convert --random Emoji-ViT-S more --to onnx --dtype int8");
    assert!(code == 2 && error.contains("--dtype int8 is for --to openclip"), "{error}");
    assert!(!bench.path("more").exists());
}

#[test]
fn convert_makes_random_models() {
    let bench = Bench::new();
    let Outcome { code, out, error } = bench.run("convert --random Emoji-ViT-S random --dtype f16");
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(out.contains("20.1 M parameters as f16, OpenCLIP folder"), "{out}");
    assert_eq!(bench.json("info random")["embed_dim"], 256);
    let tower = clipwright::TextEncoder::load(bench.path("random")).unwrap();
    let texts = tower.encode(&["a dog", "a cat"]);
    assert!((texts.row(0).dot(&texts.row(0)) - 1.0).abs() < 1e-5);
}

#[test]
fn mistakes_are_explained() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("empty")).unwrap();
    std::fs::copy(bench.path("ours").join(WEIGHTS), bench.path("bare.safetensors")).unwrap();
    std::fs::write(bench.path("broken.safetensors"), "x").unwrap();
    for (args, code, expected) in [
        ("info nowhere", 1, "nowhere: No such file"),
        ("info empty", 1, "no weights here; looked for open_clip_model.safetensors"),
        ("info bare.safetensors", 1, "--activation quick_gelu"),
        ("info broken.safetensors", 1, "broken.safetensors: not a safetensors file"),
        ("convert ours theirs", 1, "theirs: is not empty"),
        ("convert ours ours/open_clip_config.json", 1, "ours/open_clip_config.json: Not a directory"),
        ("convert ours new --image-size 25", 1, "image_size 25 is not a multiple"),
        ("convert ours", 2, "convert takes SRC and DST"),
        ("convert ours new --random ViT-B-32", 2, "not both"),
        ("convert --random ViT-B-33 new", 2, "there are Emoji-ViT-S"),
        ("convert --random ViT-B-32 new --image-size 32", 2, "cannot be used with"),
        ("convert ours new --to torch", 2, "possible values: openclip, huggingface"),
        ("convert ours new --dtype f64", 2, "possible values: f32, f16"),
        ("info --activation relu", 2, "possible values: quick_gelu, gelu"),
        ("dance", 2, "unrecognized subcommand"),
        ("", 2, "Usage"),
    ] {
        let Outcome { code: given, out, error } = bench.run(args);
        assert_eq!((given, out.as_str()), (code, ""), "{args}: {error}");
        assert!(error.contains(expected), "{args}: {error}");
    }
    assert!(!bench.path("new").exists());
}

/// A reader that ends early, as in `clipwright info | head -0`, is no error.
#[test]
fn a_reader_that_leaves_is_not_an_error() {
    let bench = Bench::new();
    let mut child = bench.command("info ours").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn help_names_every_command() {
    let bench = Bench::new();
    let Outcome { code, out, .. } = bench.run("--help");
    assert_eq!(code, 0);
    for word in ["info", "convert", "index", "search", "--model", "--json", "--activation"] {
        assert!(out.contains(word), "{word}: {out}");
    }
}

#[test]
fn a_models_own_tokenizer_goes_with_it() {
    let bench = Bench::new();
    std::fs::write(bench.path("theirs/tokenizer.json"), "{\"mine\": 1}").unwrap();
    for to in ["huggingface", "openclip"] {
        assert_eq!(bench.run(&format!("convert theirs {to} --to {to}")).code, 0);
        assert_eq!(std::fs::read_to_string(bench.path(to).join("tokenizer.json")).unwrap(), "{\"mine\": 1}");
    }
}

#[test]
fn what_cannot_be_written_leaves_no_folder() {
    let bench = Bench::new();
    let made = bench.run("convert --random Emoji-RN-S resnet");
    assert_eq!((made.code, made.error.as_str()), (0, ""), "{}", made.out);
    let Outcome { code, error, .. } = bench.run("convert resnet theirs-too --to huggingface");
    assert!(code == 1 && error.contains("cannot be a ResNet"), "{code}: {error}");
    assert!(!bench.path("theirs-too").exists());
}
