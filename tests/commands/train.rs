//! The program `train` as its users see it: whole runs, killed and interrupted ones, and mistakes.

use clipwright::checkpoint::safetensors::Reader;
use clipwright::checkpoint::{Checkpoint, Overrides};
use clipwright::train::log::Metrics;
use image::{Rgb, RgbImage};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(super) const PAIRS: usize = 30;
const EPOCHS: u64 = 60;
const STEPS: u64 = EPOCHS * (PAIRS as u64 / 10);

/// A test folder with coloured pictures, their captions, and a tiny model.
pub(super) struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub(super) fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let colour = |i: usize| Rgb([(i * 83 % 256) as u8, (i * 37 % 256) as u8, (i * 151 % 256) as u8]);
        let lines = (0..PAIRS).map(|i| {
            RgbImage::from_pixel(20, 16, colour(i)).save(folder.path().join(format!("{i}.png"))).unwrap();
            json!({ "file_name": format!("{i}.png"), "text": format!("picture number {i}") }).to_string()
        });
        fs::write(folder.path().join("metadata.jsonl"), lines.collect::<Vec<_>>().join("\n")).unwrap();
        let config = json!({
            "embed_dim": 16,
            "vision_cfg": { "image_size": 16, "layers": 2, "width": 24, "patch_size": 8, "head_width": 12 },
            "text_cfg": { "context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2 },
        });
        fs::write(folder.path().join("tiny.json"), config.to_string()).unwrap();
        let mut resnet = config;
        resnet["vision_cfg"] = json!({ "image_size": 32, "layers": [1, 1, 1, 1], "width": 4, "head_width": 32 });
        fs::write(folder.path().join("resnet.json"), resnet.to_string()).unwrap();
        Bench { folder }
    }

    /// Writes the pictures with even numbers into `00.tar`, those with odd ones into `01.tar`.
    pub(super) fn write_shards(&self) {
        for shard in 0..2 {
            let mut tar = tar::Builder::new(fs::File::create(self.path(&format!("{shard:02}.tar"))).unwrap());
            for i in (0..PAIRS).filter(|i| i % 2 == shard) {
                tar.append_path_with_name(self.path(&format!("{i}.png")), format!("{i}.png")).unwrap();
                let caption = format!("picture {i}");
                let mut header = tar::Header::new_gnu();
                header.set_size(caption.len() as u64);
                tar.append_data(&mut header, format!("{i}.txt"), caption.as_bytes()).unwrap();
            }
            tar.finish().unwrap();
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn run_folder(&self, name: &str) -> PathBuf {
        self.path("runs").join(name)
    }

    /// Prepares `train` in the folder.
    pub(super) fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
        command.current_dir(self.folder.path()).args(flags).stdin(Stdio::null());
        command
    }

    /// Prepares `train` on the pictures, as a run of this name.
    pub(super) fn training(&self, name: &str, more: &[&str]) -> Command {
        let mut command = self.command(&["--train-data", ".", "--name", name]);
        if !more.contains(&"--model") {
            command.args(["--model", "tiny.json"]);
        }
        command.args(["--batch-size", "5", "--accum-freq", "2", "--warmup", "5"]).args(more);
        if !more.contains(&"--epochs") {
            command.args(["--epochs", &EPOCHS.to_string()]);
        }
        command
    }

    pub(super) fn resume(&self, name: &str) -> Output {
        let folder = self.run_folder(name);
        self.command(&["--resume", folder.to_str().unwrap()]).output().unwrap()
    }

    pub(super) fn weights(&self, name: &str) -> Vec<u8> {
        fs::read(self.run_folder(name).join("open_clip_model.safetensors")).unwrap()
    }
}

pub(super) fn succeeded(output: &Output) -> String {
    let text = text(output);
    assert!(output.status.success(), "{text}");
    text
}

/// Checks that a command fails with a message and an exit code of 1 or 2, not with a panic; returns what it printed.
pub(super) fn failed(output: &Output) -> String {
    let text = text(output);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{text}");
    assert!(text.contains("error:") && !text.contains("panicked"), "{text}");
    text
}

pub(super) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub fn saved_steps(run: &Path) -> Option<u64> {
    Reader::open(&run.join("resume.safetensors")).ok()?.metadata("step")?.parse().ok()
}

/// So many epochs that no run ends by itself while a test is running.
const ENDLESS: [&str; 2] = ["--epochs", "1000000"];

/// Starts an endless run and returns when its first checkpoint exists.
fn started(mut command: Command, run: &Path) -> std::process::Child {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while saved_steps(run).is_none() {
        assert!(start.elapsed() < Duration::from_secs(600), "no checkpoint");
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

/// Checks that a run which was stopped and resumed has the same weights as one which never stopped.
#[track_caller]
fn goes_on_as_if_nothing_had_happened(bench: &Bench, name: &str, whole: impl Fn(&str, &[&str]) -> Command) {
    let stop = (saved_steps(&bench.run_folder(name)).unwrap() + 5).to_string();
    let folder = bench.run_folder(name);
    let resumed = bench.command(&["--resume", folder.to_str().unwrap(), "--stop-after", &stop]).output().unwrap();
    assert!(succeeded(&resumed).contains("--resume"));
    let reference = format!("{name}-whole");
    succeeded(&whole(&reference, &["--stop-after", &stop]).output().unwrap());
    assert_eq!(saved_steps(&folder), Some(stop.parse().unwrap()));
    assert_eq!(saved_steps(&folder), saved_steps(&bench.run_folder(&reference)));
    assert!(bench.weights(name) == bench.weights(&reference), "{name}");
}

#[test]
fn a_run_leaves_a_model_numbers_and_pictures() {
    let bench = Bench::new();
    let said = succeeded(&bench.training("whole", &["--val-frequency", "20"]).output().unwrap());
    assert!(said.contains("30 pairs") && said.contains("loss") && said.contains("chance"), "{said}");
    let run = bench.run_folder("whole");
    for file in ["loss.png", "recall.png", "schedule.png", "similarity.png", "captions.png"] {
        assert!(image::open(run.join(file)).unwrap().width() > 100, "{file}");
    }
    let metrics = Metrics::read(run.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.steps.last().unwrap().step, STEPS);
    assert_eq!(metrics.evaluations.last().unwrap().step, STEPS);
    assert!(metrics.evaluations.len() > 2);
    let loss = |i: usize| metrics.steps[i].loss();
    assert!(loss(metrics.steps.len() - 1) < 0.8 * loss(0), "from {} to {}", loss(0), loss(metrics.steps.len() - 1));
    let (model, _) = clipwright::checkpoint::load_model(&run).unwrap();
    assert_eq!(model.config.embed_dim, 16);
    assert_eq!(saved_steps(&run), Some(STEPS));

    // Resuming a finished run measures it again and changes nothing.
    let before = bench.weights("whole");
    succeeded(&bench.resume("whole"));
    assert!(before == bench.weights("whole"));
    // The name is in use now.
    assert!(failed(&bench.training("whole", &[]).output().unwrap()).contains("--resume"));
}

#[test]
fn killed_and_interrupted_runs_end_with_the_same_bits() {
    let bench = Bench::new();
    let endless = |name: &str, more: &[&str]| bench.training(name, &[&ENDLESS[..], more].concat());

    let mut child = started(endless("killed", &["--workers", "3"]), &bench.run_folder("killed"));
    child.kill().unwrap();
    child.wait().unwrap();
    goes_on_as_if_nothing_had_happened(&bench, "killed", endless);

    if cfg!(unix) {
        for (name, signal) in [("interrupted", "-INT"), ("terminated", "-TERM")] {
            let child = started(endless(name, &[]), &bench.run_folder(name));
            Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(130), "{}", text(&output));
            assert!(text(&output).contains("--resume"), "{}", text(&output));
            goes_on_as_if_nothing_had_happened(&bench, name, endless);
        }
    }
}

/// A run that is stopped again and again, and resumed until its end, equals one that was never stopped.
#[test]
fn a_run_in_sessions_is_the_whole_run() {
    let bench = Bench::new();
    succeeded(&bench.training("whole", &["--epochs", "5"]).output().unwrap());
    let said = succeeded(&bench.training("parts", &["--epochs", "5", "--stop-after", "4"]).output().unwrap());
    assert!(said.contains("stopped") && said.contains("--resume"), "{said}");
    assert_eq!(saved_steps(&bench.run_folder("parts")), Some(4));
    assert!(!bench.run_folder("parts").join("report.md").exists());
    let resume = |stop: &str| {
        let folder = bench.run_folder("parts");
        succeeded(&bench.command(&["--resume", folder.to_str().unwrap(), "--stop-after", stop]).output().unwrap())
    };
    resume("11");
    assert_eq!(saved_steps(&bench.run_folder("parts")), Some(11));
    // With more steps than there are, the run ends as usual.
    resume("100");
    assert!(bench.run_folder("parts").join("report.md").exists());
    assert!(bench.weights("whole") == bench.weights("parts"));
}

#[test]
fn a_run_goes_on_with_its_own_pairs_and_for_more_epochs() {
    let bench = Bench::new();
    succeeded(&bench.training("longer", &["--epochs", "2"]).output().unwrap());
    let folder = bench.run_folder("longer");
    let resume = |more: &[&str]| bench.command(&["--resume", folder.to_str().unwrap()]).args(more).output().unwrap();
    let card = folder.join("README.md");
    let written = fs::read_to_string(&card).unwrap();
    for part in ["library_name: open_clip\n", "\n# longer\n", "from random weights", "After step 6:", "| own |"] {
        assert!(written.contains(part), "{part}: {written}");
    }
    fs::write(&card, "somebody's own").unwrap();
    assert!(succeeded(&resume(&["--epochs", "3"])).contains("9 = 3 epochs of 3"));
    assert_eq!(fs::read_to_string(&card).unwrap(), "somebody's own");
    assert_eq!(saved_steps(&folder), Some(9));
    // The new length is the run's from now on, and no shorter one is possible. Where nothing changes, nothing is written.
    let options = folder.join("options.json");
    let spaced = fs::read_to_string(&options).unwrap() + "\n";
    fs::write(&options, &spaced).unwrap();
    assert!(succeeded(&resume(&[])).contains("9 = 3 epochs of 3"));
    assert_eq!(fs::read_to_string(&options).unwrap(), spaced);
    assert!(failed(&resume(&["--epochs", "2"])).contains("has taken 9 steps"));
    assert!(succeeded(&resume(&[])).contains("9 = 3 epochs of 3"));

    // The list of an older version has another hash, and is not taken for that of other pairs.
    let list = fs::read(folder.join("pairs.json")).unwrap();
    fs::write(folder.join("pairs.json"), r#"{ "pairs": 30, "hash": "0123456789abcdef" }"#).unwrap();
    let said = failed(&resume(&["--epochs", "4"]));
    assert!(said.contains("pairs.json: written by another version") && said.contains("delete this file"), "{said}");
    fs::write(folder.join("pairs.json"), list).unwrap();

    let table = bench.path("metadata.jsonl");
    let lines = fs::read_to_string(&table).unwrap();
    fs::write(&table, lines.replace("picture number 3\"", "another picture\"")).unwrap();
    assert!(failed(&resume(&["--epochs", "4"])).contains("begun with 30 pairs, and there are as many others now"));
    fs::write(&table, lines.lines().skip(1).collect::<Vec<_>>().join("\n")).unwrap();
    assert!(failed(&resume(&["--epochs", "4"])).contains("begun with 30 pairs, and there are 29 now"));
}

/// A full disk under the log, or a reader that is gone, does not cost a run.
#[cfg(target_os = "linux")]
#[test]
fn a_run_outlives_its_output() {
    let bench = Bench::new();
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = bench.training("unheard", &["--epochs", "2"]);
    assert!(command.stdout(full()).stderr(full()).status().unwrap().success());
    assert_eq!(saved_steps(&bench.run_folder("unheard")), Some(6));
}

#[test]
fn a_wrong_environment_is_refused_before_a_run_begins() {
    let bench = Bench::new();
    for (name, choices) in [("CLIP_ISA", "this CPU has portable"), ("CLIP_GEMM", "there is simd")] {
        let said = failed(&bench.training("wrong", &[]).env(name, "foo").output().unwrap());
        assert!(said.contains(choices) && !bench.run_folder("wrong").exists(), "{said}");
    }
}

#[test]
fn a_warm_up_beyond_the_end_is_said() {
    let bench = Bench::new();
    let said = succeeded(&bench.training("short", &["--epochs", "1"]).output().unwrap());
    assert!(said.contains("warm-up of 5 steps is longer than the run"), "{said}");
}

/// Checkpointing takes less memory and changes no weight; a ResNet has nothing that it could drop.
#[test]
fn checkpointing_trains_the_same_weights() {
    let bench = Bench::new();
    let short = ["--epochs", "2"];
    succeeded(&bench.training("all", &short).output().unwrap());
    succeeded(&bench.training("inputs", &[&short[..], &["--grad-checkpointing"]].concat()).output().unwrap());
    assert!(bench.weights("all") == bench.weights("inputs"));
    let refused = bench.training("resnet", &["--model", "resnet.json", "--grad-checkpointing"]).output().unwrap();
    let said = failed(&refused);
    assert!(said.contains("--grad-checkpointing needs a ViT") && said.contains("--accum-freq"), "{said}");
    assert!(!bench.run_folder("resnet").exists());
}

/// The running statistics of a ResNet are resumed as well, and do not change when the tower is locked.
#[test]
fn a_resnet_is_trained_stopped_resumed_and_locked() {
    let bench = Bench::new();
    let training = |name: &str, more: &[&str]| {
        let mut command = bench.command(&["--train-data", ".", "--model", "resnet.json", "--name", name]);
        command.args(["--batch-size", "5", "--accum-freq", "2", "--warmup", "5"]).args(more);
        if !more.contains(&"--epochs") {
            command.args(["--epochs", &EPOCHS.to_string()]);
        }
        command
    };
    succeeded(&training("whole", &[]).output().unwrap());
    let metrics = Metrics::read(bench.run_folder("whole").join("metrics.jsonl")).unwrap();
    let (first, last) = (metrics.steps.first().unwrap().loss(), metrics.steps.last().unwrap().loss());
    assert!(last < 0.8 * first, "from {first} to {last}");

    let endless = |name: &str, more: &[&str]| training(name, &[&ENDLESS[..], more].concat());
    let mut child = started(endless("killed", &[]), &bench.run_folder("killed"));
    child.kill().unwrap();
    child.wait().unwrap();
    goes_on_as_if_nothing_had_happened(&bench, "killed", endless);

    succeeded(&training("locked", &["--pretrained", "runs/whole", "--lock-image", "--epochs", "2"]).output().unwrap());
    let vision = |name: &str| {
        let folder = bench.run_folder(name);
        Checkpoint::open(&folder, &Overrides::default()).unwrap().vision().unwrap().flat
    };
    assert!(vision("whole") == vision("locked"), "statistics included");
    assert!(bench.weights("whole") != bench.weights("locked"));
}

#[test]
fn mistakes_are_explained() {
    let bench = Bench::new();
    let says = |flags: &[&str], expected: &str| {
        let said = failed(&bench.command(flags).output().unwrap());
        assert!(said.contains(expected), "{flags:?}: {said}");
    };
    says(&["--model", "ViT-B/32"], "ViT-B-32");
    says(&["--model", "none.json"], "none.json");
    says(&["--train-data", "none.tsv"], "none.tsv");
    says(&["--train-data", "{007..009}.tar"], "007.tar");
    says(&["--pretrained", "nowhere"], "nowhere");
    says(&["--resume", "latest"], "runs");
    says(&["--resume", "nowhere"], "nowhere");
    says(&["--lr", "fast"], "not a number");
    says(&["--batchsize", "3"], "--batch-size");
    says(&["--workers", "100000"], "1024");
    says(&["--resume", "x", "--lr", "1"], "cannot be used with");
    says(&["--resume", "x", "--csv-img-key", "y"], "cannot be used with");
    fs::write(bench.path("x.csv"), "left,right\na.png,b\n").unwrap();
    says(&["--train-data", "x.csv"], "filepath");
    says(&["--train-data", "x.csv", "--csv-img-key", "left", "--csv-caption-key", "right"], "batch of 256");
}

#[test]
fn broken_pictures_are_skipped_and_named_up_to_a_share() {
    let bench = Bench::new();
    fs::write(bench.path("7.png"), b"no picture").unwrap();
    let said = succeeded(&bench.training("few", &["--epochs", "6"]).output().unwrap());
    assert!(said.contains("7.png"), "{said}");
    // Unreadable pairs of the evaluation are named as well.
    fs::write(bench.path("val.tsv"), "filepath\ttitle\n1.png\tone\nlost.png\ttwo\n").unwrap();
    let said = succeeded(&bench.training("val", &["--epochs", "1", "--val-data", "val.tsv"]).output().unwrap());
    assert!(said.contains("lost.png"), "{said}");
    // An evaluation without any readable pair is refused before the first step.
    fs::write(bench.path("val.tsv"), "filepath\ttitle\nlost.png\tone\ngone.png\ttwo\n").unwrap();
    let said = failed(&bench.training("none", &["--val-data", "val.tsv"]).output().unwrap());
    assert!(said.contains("validation pairs: no usable example") && said.contains("gone.png"), "{said}");
    assert!(!bench.run_folder("none").exists());
    for i in 0..9 {
        fs::remove_file(bench.path(&format!("{}.png", 10 + i))).unwrap();
    }
    let said = failed(&bench.training("many", &[]).output().unwrap());
    assert!(said.contains("10 %") && said.contains(".png"), "{said}");
}

/// Training is the same on pairs in a table with tabs, in one with commas and other column names, and in tar shards.
#[test]
fn every_kind_of_data_is_read() {
    let bench = Bench::new();
    let table = |header: &str, separator: &str| {
        let rows = (0..PAIRS).map(|i| format!("{i}.png{separator}picture {i}"));
        std::iter::once(header.to_string()).chain(rows).collect::<Vec<_>>().join("\n")
    };
    fs::write(bench.path("a.tsv"), table("filepath\ttitle", "\t")).unwrap();
    fs::write(bench.path("b.csv"), table("image,text", ",")).unwrap();
    bench.write_shards();
    let run = |name: &str, more: &[&str]| {
        let flags = ["--model", "tiny.json", "--batch-size", "10", "--epochs", "1", "--name", name];
        let said = succeeded(&bench.command(&flags).args(more).output().unwrap());
        assert!(said.contains("30 pairs") && said.contains("3 = 1 epoch of 3, 10 pairs each"), "{said}");
    };
    run("tsv", &["--train-data", "a.tsv", "--val-data", "a.tsv"]);
    run("csv", &["--train-data", "b.csv", "--csv-img-key", "image", "--csv-caption-key", "text"]);
    run("tar", &["--train-data", "{00..01}.tar"]);
}

#[test]
fn what_would_change_nothing_is_refused() {
    let bench = Bench::new();
    for (flags, said) in [(&["--lr", "0"][..], "not a number above 0"), (&["--lock-image"], "--pretrained <PATH>")] {
        let output = bench.training("none", flags).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && error.contains(said), "{error}");
    }
    assert!(!bench.path("runs").exists());
}

#[test]
fn a_run_that_fails_before_its_first_step_leaves_no_folder() {
    let bench = Bench::new();
    let rows: String = (0..120).map(|i| format!("none/{i}.png\tnumber {i}\n")).collect();
    fs::write(bench.path("gone.tsv"), format!("filepath\ttitle\n{rows}")).unwrap();
    let flags = ["--model", "tiny.json", "--batch-size", "10", "--train-data", "gone.tsv", "--name", "gone"];
    let output = bench.command(&flags).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("gone is removed"), "{said}");
    assert_eq!(fs::read_dir(bench.path("runs")).unwrap().count(), 0);
}

#[test]
fn a_trained_model_can_be_tuned_further() {
    let bench = Bench::new();
    succeeded(&bench.training("first", &["--epochs", "2"]).output().unwrap());
    let flags = ["--pretrained", "runs/first", "--lock-image", "--epochs", "2"];
    succeeded(&bench.training("second", &flags).output().unwrap());
    let visual = |name: &str| {
        let (model, _) = clipwright::checkpoint::load_model(&bench.run_folder(name)).unwrap();
        let n = clipwright::params::count(&model.params.spec.visual);
        model.params.flat[..n].to_vec()
    };
    assert!(visual("first") == visual("second"));
    assert!(bench.weights("first") != bench.weights("second"));

    let said =
        failed(&bench.training("other", &["--pretrained", "runs/first", "--model", "resnet.json"]).output().unwrap());
    assert!(said.contains("vision_cfg.head_width is 12, but 32 in resnet.json"), "{said}");

    // A run resumes from its own folder, and from the beginning if it has no checkpoint yet.
    let whole = bench.weights("second");
    fs::remove_file(bench.run_folder("second").join("resume.safetensors")).unwrap();
    succeeded(&bench.resume("second"));
    assert!(whole == bench.weights("second"));
}

/// Features that are kept, features that are computed anew in every step, and a run that was stopped give the same weights.
#[test]
fn features_are_computed_once() {
    let bench = Bench::new();
    succeeded(&bench.training("first", &["--epochs", "2"]).output().unwrap());
    let locked = ["--pretrained", "runs/first", "--lock-image", "--no-augment", "--epochs", "4"];
    let taught = ["--distill-model", "runs/first", "--no-augment", "--epochs", "4"];
    for (name, flags, kept) in [("locked", &locked[..], "locked tower"), ("taught", &taught, "teacher")] {
        let train = |run: &str, more: &[&str]| {
            succeeded(&bench.training(&format!("{name}-{run}"), &[flags, more].concat()).output().unwrap())
        };
        let said = train("kept", &[]);
        assert!(said.contains(&format!("features of 30 pictures by the {kept}, at most 0.0 MB")), "{said}");
        train("anew", &["--feature-cache", "0"]);
        train("stopped", &["--stop-after", "5"]);
        succeeded(&bench.resume(&format!("{name}-stopped")));
        let [kept, anew, stopped] = ["kept", "anew", "stopped"].map(|run| bench.weights(&format!("{name}-{run}")));
        assert!(kept == anew && kept == stopped, "{name}");
    }
    let metrics = fs::read_to_string(bench.run_folder("taught-kept").join("metrics.jsonl")).unwrap();
    assert!(metrics.contains("loss_distill"), "{metrics}");

    let said = succeeded(&bench.training("varied", &[&locked[..3], &["--epochs", "1"]].concat()).output().unwrap());
    assert!(said.contains("with --no-augment"), "{said}");
}

#[test]
fn mistakes_about_parts_of_a_model_are_explained() {
    let bench = Bench::new();
    let mut short: serde_json::Value = serde_json::from_slice(&fs::read(bench.path("tiny.json")).unwrap()).unwrap();
    short["text_cfg"]["context_length"] = 8.into();
    fs::write(bench.path("short.json"), short.to_string()).unwrap();
    succeeded(&bench.training("short", &["--model", "short.json", "--epochs", "1"]).output().unwrap());
    succeeded(&bench.training("first", &["--epochs", "1"]).output().unwrap());
    let cases: [(&[&str], &str); 6] = [
        (&["--distill-model", "runs/short"], "runs/short: it reads 8 tokens, the model in training 12"),
        (&["--lr-scale", "visuals.*=0.1"], "no parameter of the model matches visuals.*"),
        (&["--lr-scale", "visual.*"], "no `=`"),
        (&["--image-layer-decay", "1.5"], "at most 1"),
        (
            &["--pretrained", "runs/first", "--lock-image", "--lock-image-unlocked-groups", "5"],
            "--lock-image-unlocked-groups 5: this tower has 4 layer groups",
        ),
        (&["--lock-text-unlocked-layers", "1"], "--lock-text"),
    ];
    for (flags, expected) in cases {
        let said = failed(&bench.training("refused", flags).output().unwrap());
        assert!(said.contains(expected), "{flags:?}: {said}");
    }
    let tuned = ["--pretrained", "runs/first", "--lock-text", "--lock-text-unlocked-layers", "1", "--epochs", "1"];
    let rates = ["--image-layer-decay", "0.7", "--lr-scale", "logit_scale=0", "--lr-scale", "*.bias=0.5"];
    succeeded(&bench.training("tuned", &[&tuned[..], &rates].concat()).output().unwrap());
    let params = |name: &str| clipwright::checkpoint::load_model(&bench.run_folder(name)).unwrap().0.params;
    let (before, after) = (params("first"), params("tuned"));
    let (before, after) = (before.view(), after.view());
    assert!(before.logit_scale == after.logit_scale && before.text.token_embedding == after.text.token_embedding);
    assert!(before.text.text_projection != after.text.text_projection);
}
