//! Both programs with models as people have them: by their name on the Hub, with gaps, with a tokenizer of their own.

use crate::support::tiny::config;
use clipwright::checkpoint::safetensors::{Tensor, write};
use clipwright::checkpoint::{ConfigFile, Contents, Dtype, Format, Precision, WEIGHTS, load_model, save};
use clipwright::models::clip::config::VOCAB_SIZE;
use clipwright::models::clip::model::Model;
use clipwright::tree::Path as TreePath;
use image::RgbImage;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Bench { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Saves a tiny model in a folder.
    fn save(&self, name: &str, format: Format) -> Model {
        let mut config = config(64);
        config.text_cfg.vocab_size = VOCAB_SIZE;
        let model = Model::new(config.clone(), 5);
        save(&self.path(name), Contents { model: &model, config: &ConfigFile::new(config) }, format, Precision::F32)
            .unwrap();
        model
    }

    /// Runs a program in the folder, with a home and a Hugging Face cache of its own.
    fn run(&self, program: &str, args: &str) -> (i32, String, String) {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).args(args.split_whitespace());
        command.env("HF_HOME", self.path("hf")).env_remove("HF_HUB_CACHE");
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    fn clipwright(&self, args: &str) -> (i32, String, String) {
        self.run(env!("CARGO_BIN_EXE_clipwright"), args)
    }

    /// Runs a command that must succeed; returns its JSON and what it said on standard error.
    fn json(&self, args: &str) -> (Value, String) {
        let (code, out, error) = self.clipwright(&format!("{args} --json"));
        assert_eq!(code, 0, "{error}");
        (serde_json::from_str(&out).unwrap(), error)
    }
}

#[test]
fn models_of_the_hub_are_found_in_its_cache() {
    let bench = Bench::new();
    for name in ["org/tiny-clip", "hf-hub:org/tiny-clip"] {
        let (code, _, error) = bench.clipwright(&format!("info {name}"));
        assert_eq!(code, 1);
        assert!(error.contains("hf/hub") && error.contains("hf download org/tiny-clip"), "{error}");
    }
    let model = "hf/hub/models--org--tiny-clip";
    fs::create_dir_all(bench.path(model).join("refs")).unwrap();
    fs::write(bench.path(model).join("refs/main"), "0123abc").unwrap();
    // A download that was broken off has no weights yet.
    fs::create_dir_all(bench.path(model).join("snapshots/0123abc")).unwrap();
    assert!(bench.clipwright("info org/tiny-clip").2.contains("hf download org/tiny-clip"));
    bench.save(&format!("{model}/snapshots/0123abc"), Format::HuggingFace);
    for name in ["org/tiny-clip", "hf-hub:org/tiny-clip"] {
        let (report, said) = bench.json(&format!("info {name}"));
        assert!(report["path"].as_str().unwrap().ends_with("snapshots/0123abc/model.safetensors"));
        assert_eq!((said.as_str(), &report["names"]), ("", &json!("Hugging Face")));
    }
    assert_eq!(bench.json(&format!("info {model}")).0["names"], "Hugging Face");
    // What is on the disk goes first.
    bench.save("org/tiny-clip", Format::OpenClip);
    assert_eq!(bench.json("info org/tiny-clip").0["names"], "OpenAI");
    assert_eq!(bench.json("info hf-hub:org/tiny-clip").0["names"], "Hugging Face");
}

#[test]
fn an_architecture_is_answered_with_what_to_do() {
    let bench = Bench::new();
    let (code, _, error) = bench.clipwright("info ViT-B-32");
    assert_eq!(code, 1);
    assert!(error.contains("architecture") && error.contains("help: --model takes"), "{error}");
    let (code, _, error) = bench.run(env!("CARGO_BIN_EXE_train"), "--pretrained ViT-B-32");
    assert_eq!(code, 1);
    assert!(error.contains("architecture") && error.contains("help: --pretrained takes"), "{error}");
}

#[test]
fn a_missing_temperature_is_given_by_a_flag() {
    let bench = Bench::new();
    let model = bench.save("ours", Format::OpenClip);
    let named = model.params.named(&TreePath::ROOT).into_iter().filter(|(name, ..)| name != "logit_scale");
    let tensors: Vec<_> =
        named.map(|(name, spec, values)| Tensor::new(&name, &spec.shape, values, Dtype::F32)).collect();
    write(&bench.path("ours").join(WEIGHTS), &tensors, []).unwrap();
    let (code, _, error) = bench.clipwright("info ours");
    assert_eq!(code, 1);
    assert!(error.contains("logit_scale is missing") && error.contains("help: say --logit-scale"), "{error}");
    let (code, _, error) = bench.run(env!("CARGO_BIN_EXE_train"), "--pretrained ours");
    assert_eq!(code, 1);
    assert!(error.contains("logit_scale is missing") && error.contains("convert --logit-scale"), "{error}");

    let (report, _) = bench.json("info ours --logit-scale 4.6052");
    assert!((report["scale"].as_f64().unwrap() - 100.0).abs() < 1e-2);
    assert_eq!(bench.clipwright("convert ours whole --logit-scale 4.6052").0, 0);
    let (report, _) = bench.json("info whole");
    assert!((report["scale"].as_f64().unwrap() - 100.0).abs() < 1e-2);
    for wrong in ["100", "nan", "many"] {
        assert_eq!(bench.clipwright(&format!("info ours --logit-scale {wrong}")).0, 2, "{wrong}");
    }
}

#[test]
fn assumptions_are_said() {
    let bench = Bench::new();
    bench.save("theirs", Format::HuggingFace);
    assert_eq!(bench.json("info theirs").1, "");
    fs::remove_file(bench.path("theirs/preprocessor_config.json")).unwrap();
    let (_, said) = bench.json("info theirs");
    assert!(said.starts_with("note: theirs/model.safetensors: ") && said.contains("OpenAI"), "{said}");
    assert_eq!(said.lines().count(), 1);
}

/// A tokenizer of whole words: 0 and 1 frame a caption.
fn tokenizer() -> Value {
    let vocabulary = json!({ "<s>": 0, "</s>": 1, "<unk>": 2, "red": 3, "green": 4, "blue": 5, "black": 6 });
    let special = |id: u32, content: &str| {
        json!({ "id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false })
    };
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0, "<s>"), special(1, "</s>"), special(2, "<unk>")],
        "normalizer": { "type": "Lowercase" }, "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": { "type": "BertProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0] },
        "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>" },
    })
}

/// Training goes on with the model's own tokens, whose number is far below that of CLIP's, and so does what comes after.
#[test]
fn training_keeps_a_models_own_tokenizer() {
    let bench = Bench::new();
    let mut config = config(64);
    config.text_cfg.vocab_size = 7;
    let model = Model::new(config.clone(), 5);
    save(
        &bench.path("own"),
        Contents { model: &model, config: &ConfigFile::new(config) },
        Format::OpenClip,
        Precision::F32,
    )
    .unwrap();
    let colours = ["red", "green", "blue", "black"];
    let lines = colours.iter().enumerate().map(|(i, colour)| {
        RgbImage::from_pixel(24, 24, image::Rgb([60 * i as u8; 3])).save(bench.path(&format!("{i}.png"))).unwrap();
        json!({ "file_name": format!("{i}.png"), "text": format!("{colour}") }).to_string()
    });
    fs::write(bench.path("metadata.jsonl"), lines.collect::<Vec<_>>().join("\n")).unwrap();
    let train = |args: &str| bench.run(env!("CARGO_BIN_EXE_train"), args);
    let flags = "--train-data . --pretrained own --batch-size 4 --epochs 3 --name run --stop-after 1";

    // Without its tokenizer nobody knows what its tokens mean.
    let (code, _, error) = train(flags);
    assert!(code == 1 && error.contains("vocabulary of 7"), "{error}");
    let text = tokenizer().to_string();
    fs::write(bench.path("own/tokenizer.json"), &text).unwrap();
    fs::write(bench.path("own/tokenizer_config.json"), "{}").unwrap();
    let (code, _, error) = train(flags);
    assert_eq!(code, 0, "{error}");
    assert_eq!(fs::read_to_string(bench.path("runs/run/tokenizer.json")).unwrap(), text);
    assert_eq!(fs::read_to_string(bench.path("runs/run/tokenizer_config.json")).unwrap(), "{}");
    // What the run was begun with is no longer needed.
    fs::remove_dir_all(bench.path("own")).unwrap();
    let (code, _, error) = train("--resume runs/run");
    assert_eq!(code, 0, "{error}");
    let trained = load_model(&bench.path("runs/run")).unwrap().0;
    assert!(trained.params.flat != model.params.flat);
    let tokenizer = bench.json("info runs/run").0["text"]["tokenizer"].clone();
    assert_eq!(tokenizer, json!({ "file": Path::new("runs/run/tokenizer.json") }));

    // A larger tokenizer than the model's table is refused before anything is written.
    let larger = text.replace("\"black\":6", "\"black\":7");
    assert_ne!(larger, text);
    let mut config = self::config(64);
    config.text_cfg.vocab_size = 7;
    save(
        &bench.path("own"),
        Contents { model: &model, config: &ConfigFile::new(config) },
        Format::OpenClip,
        Precision::F32,
    )
    .unwrap();
    fs::write(bench.path("own/tokenizer.json"), larger).unwrap();
    let (code, _, error) = train("--train-data . --pretrained own --batch-size 4 --epochs 3 --name other");
    assert!(code == 1 && error.contains("own/tokenizer.json: it has 8 tokens, the model 7"), "{error}");
    assert!(!bench.path("runs/other").exists());
}
