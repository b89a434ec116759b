//! `clipwright index` and `clipwright search` as their users see them.

use clipwright::checkpoint::{ConfigFile, save_model};
use clipwright::models::clip::model::Model;
use clipwright::models::clip::{Config, Layers, TextConfig, VisionConfig};
use image::{Rgb, RgbImage};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A folder of pictures beside two models of random weights.
pub struct Bench {
    folder: tempfile::TempDir,
}

pub struct Outcome {
    pub code: i32,
    pub out: String,
    pub error: String,
}

fn config() -> Config {
    Config {
        embed_dim: 64,
        quick_gelu: true,
        init_logit_scale: None,
        init_logit_bias: None,
        vision_cfg: VisionConfig {
            image_size: 32,
            layers: Layers::Vit(2),
            width: 64,
            patch_size: Some(8),
            head_width: 32,
            mlp_ratio: 4.0,
            patch_dropout: 0.0,
            gelu_tanh: false,
            map_head: false,
        },
        text_cfg: TextConfig {
            context_length: 16,
            vocab_size: 49_408,
            width: 32,
            heads: 2,
            layers: 2,
            mlp_ratio: 4.0,
            gelu_tanh: false,
            no_causal_mask: false,
        },
    }
}

/// Makes a picture that differs from all others: stripes and noise of its own colours.
pub fn paint(path: &Path, seed: u64, side: u32) {
    let mut rng = Pcg64::seed_from_u64(seed);
    let colours: [[u8; 3]; 4] = std::array::from_fn(|_| std::array::from_fn(|_| rng.random()));
    let (dx, dy) = (rng.random_range(1..9), rng.random_range(1..9));
    let pixel = |x: u32, y: u32| Rgb(colours[((x * dx + y * dy) * 4 / side % 4) as usize]);
    RgbImage::from_fn(side, side, pixel).save(path).unwrap();
}

impl Bench {
    /// Makes a folder with `n` pictures: `pictures/N.png`, every third of them in `pictures/sub`.
    pub fn new(n: usize) -> Bench {
        let bench = Bench { folder: tempfile::tempdir().unwrap() };
        for (name, seed) in [("model", 1), ("other", 2)] {
            fs::create_dir(bench.path(name)).unwrap();
            save_model(&bench.path(name), &Model::new(config(), seed), &ConfigFile::new(config())).unwrap();
        }
        fs::create_dir_all(bench.path("pictures/sub")).unwrap();
        (0..n).for_each(|i| paint(&bench.picture(i), i as u64, 40));
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn name(i: usize) -> String {
        if i % 3 == 2 { format!("pictures/sub/{i}.png") } else { format!("pictures/{i}.png") }
    }

    pub fn picture(&self, i: usize) -> PathBuf {
        self.path(&Bench::name(i))
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clipwright"));
        command.current_dir(self.folder.path()).args(args).stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Outcome {
        let output = self.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome { code: output.status.code().unwrap(), out: text(output.stdout), error: text(output.stderr) }
    }

    pub fn json(&self, args: &[&str]) -> Value {
        let Outcome { code, out, error } = self.run(&[args, &["--json"]].concat());
        assert_eq!((code, error.as_str(), out.lines().count()), (0, "", 1), "{out}");
        serde_json::from_str(&out).unwrap()
    }

    /// Indexes the folder; returns (pictures, added, changed, removed, unchanged).
    pub fn index(&self) -> [u64; 5] {
        counts(&self.json(&["index", "pictures", "--model", "model"]))
    }

    /// Searches for a picture; returns the paths of the hits, best first.
    fn like(&self, i: usize, k: usize) -> Vec<String> {
        paths(&self.json(&["search", "pictures", "--image", &Bench::name(i), "-k", &k.to_string()]))
    }

    /// Runs a command that must fail with exit code 1; returns its message.
    pub fn refused(&self, args: &[&str]) -> String {
        let Outcome { code, out, error } = self.run(args);
        assert_eq!((code, out.as_str()), (1, ""), "{error}");
        assert!(error.starts_with("error: ") && !error.contains("panicked"), "{error}");
        error
    }
}

pub fn counts(report: &Value) -> [u64; 5] {
    ["pictures", "added", "changed", "removed", "unchanged"].map(|field| report[field].as_u64().unwrap())
}

pub fn paths(report: &Value) -> Vec<String> {
    let hits = report["hits"].as_array().unwrap();
    hits.iter().map(|hit| hit["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_picture_finds_itself_first() {
    let bench = Bench::new(30);
    assert_eq!(bench.index(), [30, 30, 0, 0, 0]);
    for i in [0, 2, 17, 29] {
        let report = bench.json(&["search", "pictures", "--image", &Bench::name(i)]);
        let best = &report["hits"][0];
        assert_eq!(best["path"], Bench::name(i).as_str());
        assert!((best["score"].as_f64().unwrap() - 1.0).abs() < 1e-3 && best["rank"] == 1, "{best}");
        assert_eq!((report["pictures"].as_u64(), paths(&report).len()), (Some(30), 10));
    }
    // A k above the number of pictures gives each of them once, scores descending.
    let report = bench.json(&["search", "pictures", "a red car at night", "-k", "1000"]);
    let scores: Vec<f64> = report["hits"].as_array().unwrap().iter().map(|h| h["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    let mut found = paths(&report);
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 30);
    assert_eq!(report["query"], "a red car at night");

    let text = bench.run(&["search", "pictures/.clip-index", "a red car at night", "-k", "2"]).out;
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((lines.len(), lines[0][0], lines[1][0]), (2, "1", "2"), "{text}");
    assert_eq!(lines[0][2], report["hits"][0]["path"].as_str().unwrap());
    let threads = |n: &str| {
        let mut command = bench.command(&["search", "pictures", "a cat", "-k", "30", "--json"]);
        command.env("RAYON_NUM_THREADS", n).output().unwrap().stdout
    };
    assert_eq!(threads("1"), threads("3"));
}

#[test]
fn only_what_changed_is_embedded_again() {
    let bench = Bench::new(20);
    assert_eq!(bench.index(), [20, 20, 0, 0, 0]);
    assert_eq!(bench.index(), [20, 0, 0, 0, 20]);
    paint(&bench.picture(20), 20, 40);
    paint(&bench.picture(3), 1003, 48);
    fs::remove_file(bench.picture(4)).unwrap();
    // The index remembers its model.
    assert_eq!(counts(&bench.json(&["index", "pictures"])), [20, 1, 1, 1, 18]);
    assert_eq!(bench.like(3, 1), [Bench::name(3)]);
    assert_eq!(bench.like(20, 1), [Bench::name(20)]);
    assert!(!bench.like(3, 50).contains(&Bench::name(4)));
    // Most of the pictures are removed, so the files are rewritten.
    (5..20).for_each(|i| fs::remove_file(bench.picture(i)).unwrap());
    assert_eq!(bench.index(), [5, 0, 0, 15, 5]);
    assert!(!bench.path("pictures/.clip-index/embeddings-0.f16").exists());
    for i in [0, 1, 2, 3, 20] {
        assert_eq!(bench.like(i, 1), [Bench::name(i)]);
    }
    assert_eq!(bench.like(0, 50).len(), 5);
}

#[test]
fn a_killed_run_goes_on() {
    let bench = Bench::new(0);
    let n = 640;
    paint(&bench.path("large.png"), 7, 700);
    // What stands behind the end of a picture makes it another file.
    let large = fs::read(bench.path("large.png")).unwrap();
    (0..n).for_each(|i| fs::write(bench.picture(i), [&large[..], &i.to_le_bytes()].concat()).unwrap());
    let rows = || -> u64 {
        let json = fs::read(bench.path("pictures/.clip-index/index.json")).unwrap_or_default();
        serde_json::from_slice::<Value>(&json).map_or(0, |json| json["rows"].as_u64().unwrap())
    };
    let mut known = 0;
    for _ in 0..2 {
        let mut command = bench.command(&["index", "pictures", "--model", "model"]);
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while rows() == known {
            assert!(start.elapsed() < Duration::from_secs(60), "nothing was committed");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        known = rows();
        assert!(known < n as u64, "it was done before it could be killed");
        // The remaining pictures can be searched.
        assert_eq!(bench.json(&["search", "pictures", "a cat"])["pictures"], known);
    }
    assert_eq!(bench.index(), [n as u64, n as u64 - known, 0, 0, known]);
    let mut found = bench.like(0, 2 * n);
    found.sort();
    found.dedup();
    assert_eq!(found.len(), n);
}

#[cfg(unix)]
#[test]
fn what_cannot_be_read_is_named_and_passed_over() {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};
    let bench = Bench::new(12);
    assert_eq!(bench.index(), [12, 12, 0, 0, 0]);

    fs::write(bench.path("pictures/text.png"), "not a picture").unwrap();
    let whole = fs::read(bench.picture(0)).unwrap();
    fs::write(bench.path("pictures/torn.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(bench.path("pictures/empty.jpg"), "").unwrap();
    fs::write(bench.path("pictures/note.txt"), "not looked at").unwrap();
    fs::create_dir(bench.path("pictures/folder.png")).unwrap();
    symlink("nowhere", bench.path("pictures/broken.png")).unwrap();
    symlink(bench.path("pictures"), bench.path("pictures/loop")).unwrap();
    File::create(bench.path("pictures").join(std::ffi::OsStr::from_bytes(b"\xff.png"))).unwrap();
    // Its pictures may still exist, so they stay in the index.
    fs::rename(bench.path("pictures/sub"), bench.path("away")).unwrap();
    symlink("sub", bench.path("pictures/sub")).unwrap();
    let mut skips = vec!["text.png", "torn.png", "empty.jpg", "broken.png", "loop", "\u{fffd}.png", "sub"];
    fs::create_dir(bench.path("pictures/closed")).unwrap();
    fs::set_permissions(bench.path("pictures/closed"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(bench.path("pictures/closed")).is_err() {
        skips.push("closed");
    }

    let text = bench.run(&["index", "pictures"]);
    assert_eq!(text.code, 1);
    let all = 8 + skips.len();
    let counted = format!("error: {} of {all} pictures could not be read\nhelp: --skip-unreadable", skips.len());
    assert!(text.error.starts_with(&counted), "{}", text.error);
    assert!(text.out.contains(&format!("{} could not be read:", skips.len())), "{}", text.out);
    assert!(
        text.out.contains("\n  1: a link back to ") && skips.iter().all(|name| text.out.contains(name)),
        "{}",
        text.out
    );
    assert_eq!(bench.run(&["index", "pictures", "--skip-unreadable"]).code, 0);
    let output = bench.command(&["index", "pictures", "--json"]).output().unwrap();
    let report: Value = serde_json::from_str(&String::from_utf8_lossy(&output.stdout)).unwrap_or_else(|_| {
        panic!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    });
    assert_eq!(counts(&report), [12, 0, 0, 0, 8]);
    let mut named: Vec<&str> =
        report["skipped"].as_array().unwrap().iter().map(|s| s["path"].as_str().unwrap()).collect();
    assert!(report["skipped"].as_array().unwrap().iter().all(|skip| !skip["reason"].as_str().unwrap().is_empty()));
    named.sort();
    // In JSON no two names become one.
    let json_name = |name: &&str| match *name {
        "\u{fffd}.png" => "file:pictures/%FF.png".to_owned(),
        name => format!("pictures/{name}"),
    };
    let mut expected: Vec<String> = skips.iter().map(json_name).collect();
    expected.sort();
    assert_eq!(named, expected);

    fs::remove_file(bench.path("pictures/sub")).unwrap();
    fs::rename(bench.path("away"), bench.path("pictures/sub")).unwrap();
    assert_eq!(counts(&bench.json(&["index", "pictures", "--skip-unreadable"])), [12, 0, 0, 0, 12]);
    fs::set_permissions(bench.path("pictures/closed"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_environment_names_a_model_only_where_nothing_else_does() {
    let bench = Bench::new(3);
    bench.index();
    let run = |args: &[&str], model: &str| {
        let output = bench.command(args).env("CLIP_MODEL", model).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    // An index and a path say what the model is.
    assert_eq!(run(&["search", "pictures", "a cat"], "other").0, 0);
    assert_eq!(run(&["index", "pictures"], "other").0, 0);
    assert!(run(&["info", "model"], "other").1.starts_with("model/"));
    assert!(run(&["info"], "other").1.starts_with("other/"));
    let (code, _, error) = run(&["embed", &Bench::name(0)], "");
    assert!(code == 1 && error.contains("no finished run"), "{error}");
    for args in [&["info", "model", "--model", "other"][..], &["convert", "model", "half", "--model", "other"]] {
        let Outcome { code, error, .. } = bench.run(args);
        assert!(code == 2 && error.contains("--model"), "{error}");
    }
    assert!(!bench.path("half").exists());
}

#[test]
fn what_helps_against_a_damaged_index_is_said() {
    let bench = Bench::new(3);
    bench.index();
    fs::write(bench.path("pictures/.clip-index/index.json"), "{}").unwrap();
    let error = bench.refused(&["search", "pictures", "a cat"]);
    assert!(
        error.contains("help: delete the folder of the index") && error.contains("clipwright index DIR"),
        "{error}"
    );
}

#[test]
fn another_model_is_refused() {
    let bench = Bench::new(3);
    bench.index();
    for args in [
        &["search", "pictures", "a cat", "--model", "other"][..],
        &["search", "pictures", "--image", "pictures/0.png", "--model", "other"],
        &["search", "pictures", "a cat", "--activation", "gelu"],
        &["index", "pictures", "--model", "other"],
    ] {
        let error = bench.refused(args);
        assert!(
            error.contains("pictures/.clip-index: an index of embeddings by") && error.contains("--model"),
            "{error}"
        );
    }
    // A copy of the model elsewhere is the same model; changed weights under the old path are another one.
    fs::rename(bench.path("model"), bench.path("moved")).unwrap();
    assert_eq!(bench.json(&["search", "pictures", "a cat", "--model", "moved"])["pictures"], 3);
    let error = bench.refused(&["search", "pictures", "a cat"]);
    assert!(error.contains("model"), "{error}");
    fs::rename(bench.path("other"), bench.path("model")).unwrap();
    assert!(bench.refused(&["search", "pictures", "a cat"]).contains("cannot be compared"));
}

#[test]
fn an_index_elsewhere_is_of_its_own_pictures() {
    let bench = Bench::new(4);
    let index = ["index", "pictures", "--output", "elsewhere", "--model", "model"];
    assert_eq!(counts(&bench.json(&index)), [4, 4, 0, 0, 0]);
    assert!(!bench.path("pictures/.clip-index").exists());
    assert_eq!(counts(&bench.json(&index)), [4, 0, 0, 0, 4]);
    let hits = paths(&bench.json(&["search", "elsewhere", "a cat"]));
    assert!(hits.len() == 4 && hits.iter().all(|path| Path::new(path).is_file()), "{hits:?}");
    let error = bench.refused(&["index", "model", "--output", "elsewhere"]);
    assert!(error.contains("elsewhere: an index of the pictures in") && error.contains("--output"), "{error}");
    // An index inside the folder moves with it.
    bench.index();
    fs::rename(bench.path("pictures"), bench.path("photos")).unwrap();
    assert_eq!(counts(&bench.json(&["index", "photos"])), [4, 0, 0, 0, 4]);
    assert!(paths(&bench.json(&["search", "photos", "a cat"])).contains(&"photos/0.png".into()));
}

/// A folder without a picture is a mistake, such as a disk that is not there. Where only what was found cannot be read,
/// there is an index, and it is empty.
#[test]
fn an_empty_folder_is_an_error_and_one_of_unreadable_pictures_an_empty_index() {
    let bench = Bench::new(0);
    fs::write(bench.path("pictures/notes.txt"), "no picture").unwrap();
    let error = bench.refused(&["index", "pictures", "--model", "model"]);
    assert!(error.contains("pictures: no picture in it; passed over: 1 .txt"), "{error}");
    assert!(!bench.path("pictures/.clip-index").exists());
    fs::write(bench.path("pictures/torn.png"), "").unwrap();
    let Outcome { code, out, error } = bench.run(&["index", "pictures", "--model", "model", "--json"]);
    assert_eq!((code, counts(&serde_json::from_str(&out).unwrap())), (1, [0; 5]));
    assert!(error.contains("1 of 1 picture could not be read"), "{error}");
    assert_eq!(bench.json(&["search", "pictures", "a cat"])["hits"], Value::Array(vec![]));
    assert_eq!(bench.run(&["search", "pictures", "a cat"]).out, "the index is empty\n");
    let args = ["search", "pictures", "a cat", "--sheet", "hits.png", "--html", "hits.html"];
    assert_eq!(bench.run(&args).code, 0);
    assert!(image::open(bench.path("hits.png")).unwrap().width() > 100);
}

#[test]
fn mistakes_have_messages() {
    let bench = Bench::new(2);
    assert!(bench.refused(&["index", "nowhere", "--model", "model"]).contains("nowhere: "));
    let unindexed = bench.refused(&["search", "pictures", "a cat"]);
    assert!(unindexed.contains("pictures: no index here\nhelp: make one: clipwright index"), "{unindexed}");
    bench.index();
    assert!(bench.refused(&["search", "pictures", "--image", "model"]).contains("model: "));
    assert!(bench.refused(&["search", "pictures", "a cat", "--sheet", "no/hits.png"]).contains("no/hits.png"));
    assert!(bench.refused(&["search", "pictures", "a cat", "--html", "no/hits.html"]).contains("no/hits.html"));
    for args in [&["search", "pictures"][..], &["search", "pictures", "a cat", "-k", "0"]] {
        assert_eq!(bench.run(args).code, 2, "{args:?}");
    }
    let lock = File::options().write(true).open(bench.path("pictures/.clip-index/index.lock")).unwrap();
    lock.lock().unwrap();
    assert!(bench.refused(&["index", "pictures"]).contains("another process is writing this index"));
    assert_eq!(bench.json(&["search", "pictures", "a cat"])["pictures"], 2);
}

#[test]
fn hits_are_shown_on_a_sheet_and_a_page() {
    let bench = Bench::new(7);
    bench.index();
    fs::remove_file(bench.picture(1)).unwrap();
    let query = "<b>cats & dogs</b>";
    bench.json(&["search", "pictures", query, "--sheet", "hits.png", "--html", "pictures/sub/hits.html"]);
    let sheet = image::open(bench.path("hits.png")).unwrap().into_rgb8();
    let colours: std::collections::HashSet<_> = sheet.pixels().map(|pixel| pixel.0).collect();
    assert!(sheet.width() > 1000 && sheet.height() > 600 && colours.len() > 50);
    let html = fs::read_to_string(bench.path("pictures/sub/hits.html")).unwrap();
    assert_eq!(html.matches("data:image/jpeg;base64,").count(), 6);
    assert_eq!(html.matches("cannot be read").count(), 1);
    assert!(html.contains("&lt;b&gt;cats &amp; dogs&lt;/b&gt;") && !html.contains("<b>cats"), "{html}");
    assert!(html.contains("href=\"./../0.png\"") && html.contains("href=\"./2.png\""), "{html}");
}

#[test]
fn a_text_may_stand_in_front_and_the_query_is_marked_among_the_hits() {
    let bench = Bench::new(4);
    bench.index();
    let in_order = bench.run(&["search", "pictures", "a red car"]);
    let exchanged = bench.run(&["search", "a red car", "pictures"]);
    assert_eq!((in_order.code, in_order.out), (0, exchanged.out));
    let query = Bench::name(2);
    let said = bench.run(&["search", "pictures", "--image", &query, "--html", "hits.html"]).out;
    assert!(
        said.lines().next().unwrap().ends_with("2.png  (the query)") && said.matches("(the query)").count() == 1,
        "{said}"
    );
    assert_eq!(fs::read_to_string(bench.path("hits.html")).unwrap().matches("(the query)").count(), 1);
    let hits = bench.json(&["search", "pictures", "--image", &query]);
    assert_eq!((&hits["hits"][0]["is_query"], &hits["hits"][1]["is_query"]), (&Value::Bool(true), &Value::Null));
}

#[test]
fn pictures_are_named_by_a_list_and_come_from_standard_input() {
    let bench = Bench::new(3);
    let embed = |args: &[&str], stdin: &Path| {
        let mut command = bench.command(&[&["embed", "--model", "model"], args].concat());
        let output = command.stdin(File::open(stdin).unwrap()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let named = embed(&[&Bench::name(0), "pictures/sub"], &bench.picture(0));
    fs::write(bench.path("list.txt"), format!("{}\n\npictures/sub\n", Bench::name(0))).unwrap();
    assert_eq!(named, embed(&["--files-from", "list.txt"], &bench.picture(0)));
    assert_eq!(named, embed(&["--files-from", "-"], &bench.path("list.txt")));
    let whole = embed(&["-", "pictures/sub"], &bench.picture(0));
    assert_eq!(named.replacen(&Bench::name(0), "-", 1), whole);
    assert!(bench.run(&["embed", "--model", "model"]).error.contains("--files-from"));
}

#[test]
fn the_model_that_is_chosen_is_named_and_is_a_finished_one() {
    let bench = Bench::new(1);
    let embed = |model: &str| {
        let output = bench.command(&["embed", &Bench::name(0)]).env("CLIP_MODEL", model).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    assert!(embed("model").0 && embed("model").1 != embed("other").1);
    fs::create_dir(bench.path("runs")).unwrap();
    fs::rename(bench.path("other"), bench.path("runs/002-unfinished")).unwrap();
    assert!(bench.refused(&["embed", &Bench::name(0)]).contains("no finished run"));
    fs::rename(bench.path("model"), bench.path("runs/001-done")).unwrap();
    fs::write(bench.path("runs/001-done/report.md"), "").unwrap();
    let Outcome { code, error, .. } = bench.run(&["embed", &Bench::name(0)]);
    assert!(code == 0 && error.contains("001-done"), "{error}");
}

#[test]
fn what_looks_like_a_slip_is_explained() {
    let bench = Bench::new(1);
    let Outcome { code, error, .. } = bench.run(&["convert", "model", "half.safetensors"]);
    assert!(code == 2 && error.contains("DST is a folder"), "{error}");
    let twice = ["classify", "-", "--labels-file", "-", "--model", "model"];
    fs::write(bench.path("labels.txt"), "cat\ndog\n").unwrap();
    let labels = File::open(bench.path("labels.txt")).unwrap();
    let output = bench.command(&twice).stdin(labels).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && error.contains("standard input is read already"), "{error}");
    bench.index();
    let query = Bench::name(0);
    for (flag, file, reason) in
        [("--sheet", "s.jpg", ".png"), ("--html", "h.txt", ".html"), ("--sheet", &query, "a picture of the query")]
    {
        let Outcome { code, error, .. } = bench.run(&["search", "pictures", "--image", &query, flag, file]);
        assert!(code == 2 && error.contains(reason), "{error}");
    }
    let Outcome { code, error, .. } = bench.run(&["classify", &Bench::name(0), "--labels", "cat", "--model", "model"]);
    assert!(code == 0 && error.contains("only label"), "{error}");
}
