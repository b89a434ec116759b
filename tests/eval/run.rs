//! Tests of what a run leaves behind: its log, its table of results, and its warnings of a collapse.

use clipwright::app::train::TrainError;
use clipwright::checkpoint::{ConfigFile, safetensors};
use clipwright::eval::alike::{Alike, mean_cosine};
use clipwright::eval::report::{Report, Row, ZeroShot};
use clipwright::eval::retrieval::{Recall, Retrieval};
use clipwright::eval::zero_shot::TopK;
use clipwright::files::write_atomic;
use clipwright::index::{Manifest, ModelId};
use clipwright::models::clip::Config;
use clipwright::train::log::{Evaluation, Line, Log, Metrics, ReadError, Step};
use clipwright::train::metric::Metric;
use clipwright::train::run_folder::RunFolder;
use clipwright::train::watch::{self, Collapse, WINDOW, Watch};
use ndarray::{Array2, array};
use std::fs;
use std::io;

fn step(step: u64, loss: f64) -> Step {
    let metrics = vec![
        Metric::new("loss", loss).against_chance(128f64.ln()),
        Metric::new("loss_image_to_text", loss - 0.125),
        Metric::new("loss_text_to_image", loss + 0.125),
        Metric::new("logit_scale", 14.3),
        Metric::new("lr", 5e-4),
        Metric::new("grad_norm", 1.25),
        Metric::new("pairs_per_second", 210.0),
    ];
    Step { step, metrics }
}

fn recall(at1: f64, at5: f64, at10: f64) -> Recall {
    Recall { at1, at5, at10 }
}

fn report() -> Report {
    let seen = Row {
        concepts: "seen".into(),
        pictures: "twemoji, held out".into(),
        without_flags: false,
        images: 1542,
        zero_shot: Some(ZeroShot {
            classes: 1542,
            score: TopK { top1: 0.315, top5: 0.596 },
            chance: TopK::chance(1542),
            raw_pixels: Some(TopK { top1: 0.626, top5: 0.787 }),
        }),
        retrieval: Retrieval { image_to_text: recall(0.3, 0.61, 0.7), text_to_image: recall(0.28, 0.59, 1.0) },
        retrieval_chance: Retrieval {
            image_to_text: recall(0.0006, 0.003, 0.006),
            text_to_image: recall(0.0006, 0.003, 0.006),
        },
    };
    let held_out =
        Row { concepts: "held-out".into(), without_flags: true, images: 317, zero_shot: None, ..seen.clone() };
    Report { rows: vec![seen, held_out], ..Report::default() }
}

#[test]
fn the_table_as_text() {
    let expected = "
          │  zero-shot  │ raw pixels  │ picture → caption │ caption → picture
          │ top-1 top-5 │ top-1 top-5 │   R@1   R@5  R@10 │   R@1   R@5  R@10
──────────┼─────────────┼─────────────┼───────────────────┼───────────────────
seen: twemoji, held out, 1542 pictures, 1542 classes
model     │ 31.5  59.6  │ 62.6  78.7  │ 30.0  61.0  70.0  │ 28.0  59.0 100.0
by chance │  0.06  0.32 │             │  0.06  0.30  0.60 │  0.06  0.30  0.60
──────────┼─────────────┼─────────────┼───────────────────┼───────────────────
held-out, no flags: twemoji, held out, 317 pictures
model     │    –     –  │    –     –  │ 30.0  61.0  70.0  │ 28.0  59.0 100.0
by chance │             │             │  0.06  0.30  0.60 │  0.06  0.30  0.60
All scores in percent.";
    let table = report().to_string();
    println!("{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80));
    assert_eq!(table, expected.strip_prefix('\n').unwrap());
    let brief: Vec<String> = report().rows.iter().map(Row::brief).collect();
    assert!(brief.iter().flat_map(|row| row.lines()).all(|line| line.chars().count() <= 80), "{brief:?}");
}

/// Logs from before the baseline had its name call it a floor.
#[test]
fn older_logs_are_read() {
    let json = serde_json::to_string(&report()).unwrap();
    let older = json.replace("\"raw_pixels\"", "\"floor\"");
    assert_ne!(json, older);
    assert_eq!(serde_json::from_str::<Report>(&older).unwrap(), report());
}

#[test]
fn the_table_as_markdown() {
    let expected = "\
| concepts | pictures | number | classes | zero-shot top-1 / top-5 | raw pixels top-1 / top-5 | \
picture → caption R@1 / R@5 / R@10 | caption → picture R@1 / R@5 / R@10 |
|---|---|--:|--:|--:|--:|--:|--:|
| seen | twemoji, held out | 1542 | 1542 | 31.5 / 59.6 (0.06 / 0.32) | 62.6 / 78.7 | \
30.0 / 61.0 / 70.0 (0.06 / 0.30 / 0.60) | 28.0 / 59.0 / 100.0 (0.06 / 0.30 / 0.60) |
| held-out, no flags | twemoji, held out | 317 | – | – / – | – / – | \
30.0 / 61.0 / 70.0 (0.06 / 0.30 / 0.60) | 28.0 / 59.0 / 100.0 (0.06 / 0.30 / 0.60) |

All scores in percent; in brackets by chance.
";
    assert_eq!(report().markdown(), expected);
}

#[test]
fn the_log_survives_a_round_trip_a_tear_and_a_resumed_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    let evaluation = |step| Line::Evaluation(Evaluation { step, eval: report() });

    let mut log = Log::open(&path).unwrap();
    for line in [Line::Step(step(1, 4.9)), Line::Step(step(2, 4.8)), evaluation(2), Line::Step(step(3, 4.7))] {
        log.append(&line).unwrap();
    }
    let whole = Metrics::read(&path).unwrap();
    assert_eq!(whole.steps, [step(1, 4.9), step(2, 4.8), step(3, 4.7)]);
    assert_eq!(whole.evaluations, [Evaluation { step: 2, eval: report() }]);

    // The run was killed while it wrote a line.
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}{}", &text[..40])).unwrap();
    assert_eq!(Metrics::read(&path).unwrap(), whole);

    // A run resumed from a checkpoint after step 2 repeats step 3 and keeps the lines up to step 2.
    let mut log = Log::open(&path).unwrap();
    log.append(&Line::Step(step(3, 4.6))).unwrap();
    let resumed = Metrics::read(&path).unwrap();
    assert_eq!(resumed.steps, [step(1, 4.9), step(2, 4.8), step(3, 4.6)]);
    assert_eq!(resumed.evaluations.len(), 1);

    // A log with numbers that are not finite can still be read.
    let mut blown = step(4, f64::NAN);
    blown.metrics[5].value = f64::INFINITY;
    log.append(&Line::Step(blown)).unwrap();
    assert!(Metrics::read(&path).unwrap().steps[3].loss().is_nan());
}

/// The keys of the log do not change; chance lines may be anywhere.
#[test]
fn a_log_has_plain_keys_and_old_ones_are_read() {
    let json = serde_json::to_value(step(7, 4.5)).unwrap();
    assert_eq!((&json["step"], &json["loss"]), (&7.into(), &4.5.into()));
    assert_eq!((&json["loss_image_to_text"], &json["loss_chance"]), (&4.375.into(), &128f64.ln().into()));

    let old = "{\"step\":7,\"loss\":4.5,\"loss_image_to_text\":4.375,\"loss_text_to_image\":4.625,\
               \"loss_chance\":4.852030263919617,\"logit_scale\":14.3,\"lr\":5e-4,\"grad_norm\":1.25,\
               \"pairs_per_second\":210.0}";
    assert_eq!(serde_json::from_str::<Line>(old).unwrap(), Line::Step(step(7, 4.5)));
    let null = serde_json::from_str::<Step>(r#"{"step":1,"loss":null}"#).unwrap();
    assert!(null.loss().is_nan() && null.get("lr").is_nan());
    for broken in [r#"{"loss":1}"#, r#"{"step":1,"loss":"a"}"#, r#"{"step":1,"loss":1,"other_chance":2}"#] {
        assert!(serde_json::from_str::<Step>(broken).is_err(), "{broken}");
    }
}

#[test]
fn a_broken_line_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    let good = serde_json::to_string(&Line::Step(step(1, 4.9))).unwrap();
    fs::write(&path, format!("{good}\n{{\"step\":2}}\n{good}\n")).unwrap();
    let error = Metrics::read(&path).unwrap_err();
    assert!(matches!(error, ReadError::Line { line: 2, .. }));
    assert!(error.to_string().contains("metrics.jsonl, line 2: "), "{error}");
    let missing = Metrics::read(folder.path().join("none.jsonl")).unwrap_err();
    assert!(missing.to_string().contains("none.jsonl: "), "{missing}");
}

/// Returns the warnings of the watch for a loss, step by step.
fn watch(warmup: u64, loss: impl Iterator<Item = f64>) -> Vec<Collapse> {
    let mut watch = Watch::new(warmup);
    loss.zip(1..).filter_map(|(loss, at)| watch.step(&step(at, loss))).collect()
}

#[test]
fn a_dead_loss_is_noticed_once_and_explained() {
    let chance = 128f64.ln();
    let stuck = watch(50, std::iter::repeat_n(chance, 1000));
    assert!(matches!(stuck[..], [Collapse::Stuck { step, .. }] if step == 50 + WINDOW as u64), "{stuck:?}");
    assert!(stuck[0].to_string().contains("all captions equal"), "{}", stuck[0]);

    let falling = (0..500).map(|i| chance - 0.01 * i as f64);
    assert_eq!(watch(50, falling.clone().take(400)), []);
    // A loss that comes from far above chance, as the sigmoid loss does, is told only if it then stays there.
    let from_above = |until: f64| (0..600).map(move |i| (10.0 - 0.02 * i as f64).max(until));
    assert_eq!(watch(50, from_above(3.0).take(400)), []);
    assert!(matches!(watch(50, from_above(chance))[..], [Collapse::Stuck { .. }]));
    let fell_back = watch(50, falling.chain(std::iter::repeat_n(chance, 300)));
    assert!(matches!(fell_back[..], [Collapse::FellBack { .. }]), "{fell_back:?}");

    let blown = watch(50, [4.8, 4.7, f64::NAN, f64::NAN].into_iter());
    assert!(matches!(blown[..], [Collapse::NotFinite { step: 3, .. }]), "{blown:?}");
    assert!(TrainError::Collapse(blown[0].clone()).to_string().contains("--lr"));
}

/// BLIP's ITM stays at chance until ITC has learnt something, but when it has fallen it must not come back.
#[test]
fn a_loss_may_wait_for_the_first_one() {
    let mut watch = Watch::new(0);
    let mut told = |steps: std::ops::Range<u64>, itc: f64, itm: f64| -> Vec<Collapse> {
        let losses =
            [("loss_itc", itc), ("loss_itm", itm)].map(|(name, loss)| Metric::new(name, loss).against_chance(1.0));
        steps.filter_map(|step| watch.step(&Step { step, metrics: losses.to_vec() })).collect()
    };
    assert_eq!(told(1..400, 0.9, 1.0), []);
    assert_eq!(told(400..800, 0.5, 0.5), []);
    let found = told(800..1200, 0.5, 1.0);
    assert!(matches!(&found[..], [Collapse::FellBack { name, .. }] if name == "loss_itm"), "{found:?}");
    let found = told(1200..1600, 1.0, 1.0);
    assert!(matches!(&found[..], [Collapse::FellBack { name, .. }] if name == "loss_itc"), "{found:?}");
}

#[test]
fn embeddings_that_are_all_alike_are_noticed() {
    let apart = Array2::<f32>::eye(6);
    let alike = array![[1.0, 0.0, 0.0], [0.9999, 0.0141, 0.0], [0.9999, 0.0, 0.0141]];
    assert!((mean_cosine(apart.view())).abs() < 1e-12);
    let pairs = [(0, 1), (0, 2), (1, 2)].map(|(i, j)| f64::from(alike.row(i).dot(&alike.row(j))));
    assert!((mean_cosine(alike.view()) - pairs.iter().sum::<f64>() / 3.0).abs() < 1e-4);

    assert_eq!(watch::embeddings(apart.view(), apart.view()), None);
    let whose = |images: &Array2<f32>, texts: &Array2<f32>| match watch::embeddings(images.view(), texts.view()) {
        Some(Collapse::Alike { whose, .. }) => Some(whose),
        _ => None,
    };
    assert_eq!(whose(&alike, &apart), Some(Alike::Pictures));
    assert_eq!(whose(&apart, &alike), Some(Alike::Captions));
    assert_eq!(whose(&alike, &alike), Some(Alike::Both));
    // Too few embeddings, or NaN, which the loss has already reported, give no warning.
    assert_eq!(whose(&array![[1.0]], &array![[1.0]]), None);
    assert_eq!(whose(&alike.mapv(|_| f32::NAN), &apart), None);
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    write_atomic(&path, |out| out.write_all(b"old")).unwrap();
    let failed = write_atomic(&path, |out| {
        out.write_all(b"half of the new")?;
        Err(io::Error::other("disk full"))
    });
    assert_eq!(failed.unwrap_err().to_string(), "disk full");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    write_atomic(&path, |out| out.write_all(b"new")).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
}

/// What the system said is still there, and the file stands in the message once.
#[test]
fn a_folder_that_cannot_be_written_is_named_once() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("file");
    fs::write(&folder, b"").unwrap();
    let not_a_folder = fs::write(folder.join("inside"), b"").unwrap_err();
    let plain = write_atomic(folder.join("inside"), |_| Ok(())).unwrap_err();
    assert!(plain.raw_os_error().is_some());
    assert_eq!((plain.raw_os_error(), plain.to_string()), (not_a_folder.raw_os_error(), not_a_folder.to_string()));

    let model = ModelId { path: "m".into(), quick_gelu: true, fingerprint: "0".into(), ..ModelId::default() };
    let config = ConfigFile::new(Config::preset("ViT-B-32").unwrap());
    let run = RunFolder { path: folder.clone() };
    for (name, error) in [
        ("config", config.write(&folder.join("config")).unwrap_err().to_string()),
        ("weights", safetensors::write(&folder.join("weights"), &[], []).unwrap_err().to_string()),
        ("index.json", Manifest::new("..".into(), model, 4).write(&folder).unwrap_err().to_string()),
        ("options.json", run.write("options.json", b"{}").unwrap_err().to_string()),
    ] {
        assert_eq!(error, format!("{}: {not_a_folder}", folder.join(name).display()));
    }
}
