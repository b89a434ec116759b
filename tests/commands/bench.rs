//! A test folder with a model in it, in which the program `clipwright` is run.

use clipwright::Clip;
use clipwright::checkpoint::{ConfigFile, Contents, Format, Precision, save};
use clipwright::models::clip::Config;
use clipwright::models::clip::model::Model;
use clipwright::pictures::{Picture, decode};
use clipwright::text::tokenizer::VOCABULARY;
use ndarray::Array2;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

pub struct Bench {
    folder: tempfile::TempDir,
}

/// The outcome of a command.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub out: String,
    pub error: String,
}

impl Bench {
    /// Makes a folder with a random model in `model`.
    pub fn new(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench { folder };
        let (model, file) = (Model::new(config.clone(), 5), ConfigFile::new(config));
        std::fs::create_dir(bench.path("model")).unwrap();
        save(&bench.path("model"), Contents { model: &model, config: &file }, Format::OpenClip, Precision::F32)
            .unwrap();
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Runs a command with the model.
    pub fn run(&self, args: &[&str]) -> Outcome {
        self.run_alone(&[args, &["--model", "model"]].concat())
    }

    /// Runs a command as it is.
    pub fn run_alone(&self, args: &[&str]) -> Outcome {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clipwright"));
        let output = command.current_dir(self.folder.path()).args(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome { code: output.status.code().unwrap(), out: text(output.stdout), error: text(output.stderr) }
    }

    /// Runs a command that must succeed and write nothing to standard error; returns its lines of JSON.
    pub fn json(&self, args: &[&str]) -> Vec<Value> {
        let outcome = self.run(&[args, &["--json"]].concat());
        assert_eq!((outcome.code, outcome.error.as_str()), (0, ""), "{args:?}");
        lines(&outcome.out)
    }
}

pub fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Makes a folder with a model of CLIP's vocabulary and the pictures a.png, b.jpg and c.png.
pub fn bench() -> Bench {
    let mut config = crate::support::tiny::config(64);
    config.text_cfg.vocab_size = VOCABULARY;
    let bench = Bench::new(config);
    for (name, seed) in [("a.png", 1), ("b.jpg", 2), ("c.png", 3)] {
        paint(&bench, name, [40 * seed as u8, 90, 200], seed);
    }
    bench
}

/// A picture of one colour with some pattern in it.
pub fn paint(bench: &Bench, name: &str, colour: [u8; 3], seed: u32) {
    let noise = |x: u32, y: u32| ((x * 7 + y * 13 + x * y * seed) % 40) as u8;
    let image = image::RgbImage::from_fn(50, 40, |x, y| image::Rgb(colour.map(|v| v.saturating_add(noise(x, y)))));
    let path = bench.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.save(path).unwrap();
}

pub fn clip(bench: &Bench) -> Clip {
    Clip::load(bench.path("model")).unwrap()
}

pub fn encode(bench: &Bench, names: &[&str]) -> Array2<f32> {
    let pictures: Vec<Picture> = names.iter().map(|name| decode::open(&bench.path(name)).unwrap()).collect();
    clip(bench).encode_image(&pictures)
}

pub const COLOURS: [(&str, [u8; 3]); 3] = [("dark_red", [200, 0, 0]), ("green", [0, 200, 0]), ("blue", [0, 0, 200])];

pub fn colour_folders(bench: &Bench) {
    for (name, colour) in COLOURS {
        for i in 0..8 {
            let part = if i < 5 { "train" } else { "val" };
            paint(bench, &format!("colours/{part}/{name}/{i}.png"), colour, i + 1);
        }
    }
}
