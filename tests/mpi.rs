//! The program `train` on several processes that MPI connects (feature `mpi`). `MPIEXEC` names the launcher and its flags,
//! if it is not `mpiexec`.

use image::{Rgb, RgbImage};
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const TRAIN: &str = env!("CARGO_BIN_EXE_train");
const PAIRS: usize = 160;
/// An epoch has two steps of four shards.
const SHARD: usize = 20;
const SHARDS: [&str; 2] = ["--shards", "4"];
/// How long it may take until all ranks have ended because one has.
const SOON: Duration = Duration::from_secs(20);

/// A test folder with coloured pictures, some of which cannot be read, their captions, and two tiny models.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let colour = |i: usize| Rgb([(i * 83 % 256) as u8, (i * 37 % 256) as u8, (i * 151 % 256) as u8]);
        let lines = (0..PAIRS).map(|i| {
            RgbImage::from_pixel(20, 16, colour(i)).save(folder.path().join(format!("{i}.png"))).unwrap();
            json!({ "file_name": format!("{i}.png"), "text": format!("picture number {}", i % 150) }).to_string()
        });
        fs::write(folder.path().join("metadata.jsonl"), lines.collect::<Vec<_>>().join("\n")).unwrap();
        for broken in (0..PAIRS).step_by(20) {
            fs::write(folder.path().join(format!("{broken}.png")), "no picture").unwrap();
        }
        let mut config = json!({
            "embed_dim": 16,
            "vision_cfg": { "image_size": 16, "layers": 2, "width": 24, "patch_size": 8, "head_width": 12 },
            "text_cfg": { "context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2 },
        });
        fs::write(folder.path().join("vit.json"), config.to_string()).unwrap();
        config["vision_cfg"] = json!({ "image_size": 32, "layers": [1, 1, 1, 1], "width": 4, "head_width": 32 });
        fs::write(folder.path().join("resnet.json"), config.to_string()).unwrap();
        Bench { folder }
    }

    /// Prepares the launcher for so many ranks of one thread each, or `train` by itself for none.
    fn command(&self, ranks: usize) -> Command {
        let mut command = match ranks {
            0 => Command::new(TRAIN),
            _ => {
                let mut command = launcher();
                command.args(["-n", &ranks.to_string(), TRAIN]);
                command
            }
        };
        command.current_dir(self.folder.path()).env("RAYON_NUM_THREADS", "1").stdin(Stdio::null());
        command
    }

    fn training(&self, ranks: usize, name: &str, more: &[&str]) -> Command {
        let mut command = self.command(ranks);
        command.args(["--train-data", ".", "--name", name, "--warmup", "2", "--batch-size", &(SHARD / 2).to_string()]);
        command.args(["--accum-freq", "2", "--grad-clip-norm", "1"]).args(more);
        if !more.contains(&"--model") {
            command.args(["--model", "vit.json"]);
        }
        command
    }

    fn resume(&self, ranks: usize, name: &str) -> Output {
        self.command(ranks).args(["--resume", &format!("runs/{name}")]).output().unwrap()
    }

    /// Returns the weights and the state of a run.
    fn files(&self, name: &str) -> [Vec<u8>; 2] {
        ["open_clip_model.safetensors", "resume.safetensors"]
            .map(|file| fs::read(self.run_folder(name).join(file)).unwrap())
    }

    fn run_folder(&self, name: &str) -> PathBuf {
        self.folder.path().join("runs").join(name)
    }
}

fn launcher() -> Command {
    let line = std::env::var("MPIEXEC").unwrap_or_else(|_| "mpiexec".into());
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(output));
    text(output)
}

/// Checks that all ranks end soon, not well, and say this.
#[track_caller]
fn fails_soon(mut command: Command, said: &[&str]) {
    let started = Instant::now();
    let output = command.output().unwrap();
    let text = text(&output);
    assert!(!output.status.success() && started.elapsed() < SOON, "{text}");
    assert!(said.iter().all(|said| text.contains(said)) && !text.contains("panicked"), "{text}");
}

fn saved_steps(bench: &Bench, name: &str) -> Option<u64> {
    let path = bench.run_folder(name).join("resume.safetensors");
    clipwright::checkpoint::safetensors::Reader::open(&path).ok()?.metadata("step")?.parse().ok()
}

/// Starts an endless run and returns when it has saved so many steps.
fn started(bench: &Bench, ranks: usize, name: &str, steps: u64) -> Child {
    let mut command = bench.training(ranks, name, &[&SHARDS[..], &["--epochs", "1000000"]].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while saved_steps(bench, name).is_none_or(|saved| saved < steps) {
        assert!(start.elapsed() < Duration::from_secs(300), "no checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn any_number_of_ranks_writes_the_same_files() {
    let bench = Bench::new();
    for model in ["vit.json", "resnet.json"] {
        let flags = [&SHARDS[..], &["--model", model, "--epochs", "3"]].concat();
        let alone = format!("alone-{model}");
        succeeded(&bench.training(0, &alone, &flags).output().unwrap());
        for ranks in [1, 2, 4] {
            let name = format!("{ranks}-{model}");
            let said = succeeded(&bench.training(ranks, &name, &flags).output().unwrap());
            assert_eq!(said.matches("measuring the final model").count(), 1, "one rank speaks for all: {said}");
            assert!(bench.files(&name) == bench.files(&alone), "{model} on {ranks} ranks");
        }
    }
}

/// SIGUSR1 ends all ranks behind a step, and a run that was killed goes on with other ranks.
#[test]
fn a_run_goes_on_with_other_ranks() {
    let bench = Bench::new();
    let mut child = started(&bench, 4, "run", 2);
    kill(&format!("-USR1 {}", child.id()));
    let status = child.wait().unwrap();
    assert!(!status.success(), "interrupted");
    let first = saved_steps(&bench, "run").unwrap();

    // A killed rank ends the others, and nothing of what was saved is lost.
    let mut command = bench.command(2);
    let mut child = command.args(["--resume", "runs/run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while saved_steps(&bench, "run").unwrap() <= first + 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let ranks = Command::new("pgrep").args(["-f", &format!("{TRAIN} --resume runs/run")]).output().unwrap();
    let ranks = String::from_utf8(ranks.stdout).unwrap();
    let killed = Instant::now();
    kill(&format!("-9 {}", ranks.lines().last().unwrap()));
    assert!(!child.wait().unwrap().success() && killed.elapsed() < SOON, "all have ended");

    let steps = saved_steps(&bench, "run").unwrap();
    let last = (steps + 4).to_string();
    let stop = |ranks, name: &str| {
        let mut command = bench.command(ranks);
        succeeded(&command.args(["--resume", &format!("runs/{name}"), "--stop-after", &last]).output().unwrap());
    };
    stop(1, "run");
    let whole = ["--epochs", "1000000", "--stop-after", &last];
    succeeded(&bench.training(0, "whole", &[&SHARDS[..], &whole].concat()).output().unwrap());
    assert!(bench.files("run") == bench.files("whole"), "four ranks, two, and one");
    let said = text(&bench.resume(3, "run"));
    assert!(said.contains("3 ranks cannot take steps of 4 shards"), "{said}");
}

fn kill(arguments: &str) {
    assert!(Command::new("kill").args(arguments.split(' ')).status().unwrap().success());
}

#[test]
fn what_ranks_cannot_do_together_is_said() {
    let bench = Bench::new();
    fails_soon(bench.training(4, "few", &["--shards", "2"]), &["4 ranks cannot take steps of 2 shards"]);
    let two = |first: &[&str], second: &[&str]| {
        let mut command = bench.training(1, "two", &[&["--shards", "2"], first].concat());
        command.args([":", "-n", "1", TRAIN, "--train-data", ".", "--name", "two", "--warmup", "2"]);
        command.args(["--batch-size", "10", "--accum-freq", "2", "--grad-clip-norm", "1", "--shards", "2"]);
        command.args(["--model", "vit.json"]).args(second);
        command
    };
    fails_soon(two(&["--lr", "1e-3"], &["--lr", "2e-3"]), &["rank 1 differs from rank 0 in options"]);
    fails_soon(two(&[], &["--val-data", "missing.csv"]), &["rank 1 of 2 on", "missing.csv"]);
    fails_soon(two(&["--val-data", "missing.csv"], &[]), &["rank 0 of 2 on", "missing.csv"]);
}
