//! A folder with a model in it, and the `clip` command run there.

use clip::checkpoint::{ConfigFile, Format, Precision, save};
use clip::models::Config;
use clip::models::clip::Model;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

pub struct Bench {
    folder: tempfile::TempDir,
}

/// What came of a command.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub out: String,
    pub error: String,
}

impl Bench {
    /// With a random model in `model`.
    pub fn new(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench { folder };
        let (model, file) = (Model::new(config.clone(), 5), ConfigFile::new(config));
        std::fs::create_dir(bench.path("model")).unwrap();
        save(&bench.path("model"), &model, &file, Format::OpenClip, Precision::F32).unwrap();
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

    pub fn run(&self, args: &[&str]) -> Outcome {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clip"));
        let output = command.current_dir(self.folder.path()).args(args).args(["--model", "model"]).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome { code: output.status.code().unwrap(), out: text(output.stdout), error: text(output.stderr) }
    }

    /// A command that must succeed without a word on standard error, and its lines of JSON.
    pub fn json(&self, args: &[&str]) -> Vec<Value> {
        let outcome = self.run(&[args, &["--json"]].concat());
        assert_eq!((outcome.code, outcome.error.as_str()), (0, ""), "{args:?}");
        lines(&outcome.out)
    }
}

pub fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
