//! What a run leaves for those who look at it: its page, and TensorBoard's events. Then the runs that show something by
//! themselves.

use super::train::{Bench, failed, succeeded};
use clipwright::train::log::Metrics;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

fn resume(bench: &Bench, name: &str, more: &[&str]) -> Output {
    let folder = bench.run_folder(name);
    bench.command(&["--resume", folder.to_str().unwrap()]).args(more).output().unwrap()
}

/// A run whose name is markup, in two sessions, has one page about all of it.
#[test]
fn a_page_has_all_numbers_and_fetches_nothing() {
    let bench = Bench::new();
    let name = "<b>\"run\" & 'more'";
    let how = ["--epochs", "8", "--val-frequency", "3", "--stop-after", "10"];
    succeeded(&bench.training(name, &how).output().unwrap());
    let page = || fs::read_to_string(bench.run_folder(name).join("report.html")).unwrap();
    let half = page();
    assert!(half.contains("9 of 24 steps") || half.contains("Results after step 9"), "after each evaluation");
    assert!(!half.contains("data:image"), "pictures come in the end");

    succeeded(&resume(&bench, name, &[]));
    let page = page();
    let metrics = Metrics::read(bench.run_folder(name).join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.evaluations.iter().map(|evaluation| evaluation.step).collect::<Vec<_>>(), [9, 18, 24]);
    for evaluation in &metrics.evaluations {
        let cells = evaluation.eval.tables().into_iter().flat_map(|table| table.rows.concat());
        cells.for_each(|cell| assert!(page.contains(&format!(">{cell}</td>")), "{cell}"));
    }
    for part in
        ["After step 9<", "After step 18<", "Results after step 24<", "24 of 24 steps", "&quot;batch_size&quot;: 5"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("src=\"").count(), 2, "similarity.png and captions.png");
    assert_eq!(page.matches("src=\"data:image/png;base64,").count(), 2);
    assert!(page.contains("data-points=\"10 ") && page.contains("Learning rate") && page.contains("Loss (nats)"));
    for part in ["http", "<b>\"", "href", "@import", "url("] {
        assert!(!page.contains(part), "{part}");
    }
}

/// The numbers of one event file: its steps, each with its values by tag, and the step from which earlier files no longer
/// count.
#[derive(Default)]
struct Decoded {
    restart: Option<u64>,
    scalars: Vec<(u64, BTreeMap<String, f32>)>,
}

/// Decodes TensorFlow's framing and checks both checksums of every record.
fn decode(path: &Path) -> Decoded {
    let (bytes, mut decoded, mut at) = (fs::read(path).unwrap(), Decoded::default(), 0);
    let mut versions = vec![];
    while at < bytes.len() {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let len = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        assert_eq!(word(at + 8), masked(&bytes[at..at + 8]));
        let message = &bytes[at + 12..at + 12 + len];
        assert_eq!(word(at + 12 + len), masked(message));
        at += len + 16;
        let (mut step, mut values, mut restarts) = (0, None, false);
        for (number, value) in fields(message) {
            match (number, value) {
                (1, Value::Fixed(time)) => assert!(f64::from_bits(time) > 1.7e9),
                (2, Value::Integer(value)) => step = value,
                (3, Value::Bytes(version)) => versions.push(String::from_utf8(version.into()).unwrap()),
                (5, Value::Bytes(summary)) => values = Some(scalars(summary)),
                (7, Value::Bytes(session)) => restarts = matches!(fields(session)[..], [(1, Value::Integer(1))]),
                _ => panic!("field {number}"),
            }
        }
        decoded.scalars.extend(values.map(|values| (step, values)));
        decoded.restart = if restarts { Some(step) } else { decoded.restart };
    }
    assert_eq!(versions, ["brain.Event:2"]);
    decoded
}

fn scalars(summary: &[u8]) -> BTreeMap<String, f32> {
    let scalar = |(number, value)| {
        let Value::Bytes(bytes) = value else { panic!("no message") };
        assert_eq!(number, 1);
        match fields(bytes)[..] {
            [(1, Value::Bytes(tag)), (2, Value::Float(value))] => (String::from_utf8(tag.into()).unwrap(), value),
            _ => panic!("no scalar"),
        }
    };
    let (values, all) = (fields(summary).into_iter().map(scalar).collect::<BTreeMap<_, _>>(), fields(summary).len());
    assert_eq!(values.len(), all, "a tag comes twice");
    values
}

enum Value<'a> {
    Integer(u64),
    Fixed(u64),
    Float(f32),
    Bytes(&'a [u8]),
}

/// Returns the fields of a message of Protocol Buffers with their numbers.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Value<'_>)> {
    let integer = |bytes: &mut &[u8]| {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    };
    let mut fields = vec![];
    while !bytes.is_empty() {
        let key = integer(&mut bytes);
        let len = match key & 7 {
            0 => 0,
            1 => 8,
            2 => integer(&mut bytes) as usize,
            5 => 4,
            kind => panic!("kind {kind}"),
        };
        let (own, rest) = bytes.split_at(len);
        bytes = rest;
        let value = match key & 7 {
            0 => Value::Integer(integer(&mut bytes)),
            1 => Value::Fixed(u64::from_le_bytes(own.try_into().unwrap())),
            2 => Value::Bytes(own),
            _ => Value::Float(f32::from_le_bytes(own.try_into().unwrap())),
        };
        fields.push((key >> 3, value));
    }
    fields
}

/// Returns the masked CRC-32C of bytes, by a table.
fn masked(bytes: &[u8]) -> u32 {
    let table: Vec<u32> =
        (0..256).map(|byte| (0..8).fold(byte, |rest: u32, _| (rest >> 1) ^ (0x82f6_3b78 * (rest & 1)))).collect();
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| table[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8));
    let crc = crc ^ u32::MAX;
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

fn event_files(run: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(run.join("tensorboard")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The events are the numbers of the log, each step once, although a killed run has repeated some.
#[test]
fn tensorboard_reads_the_numbers_of_the_log() {
    let bench = Bench::new();
    let how = ["--epochs", "6", "--val-frequency", "2", "--log-every-n-steps", "2", "--report-to", "tensorboard"];
    succeeded(&bench.training("told", &[&how[..], &["--stop-after", "7"]].concat()).output().unwrap());
    let run = bench.run_folder("told");
    let state = fs::read(run.join("resume.safetensors")).unwrap();
    succeeded(&resume(&bench, "told", &["--stop-after", "11"]));
    // As if the run had been killed then, before anything was saved.
    fs::write(run.join("resume.safetensors"), state).unwrap();
    succeeded(&resume(&bench, "told", &[]));
    // A finished run is measured again, and has nothing new to say.
    succeeded(&resume(&bench, "told", &[]));

    let files: Vec<Decoded> = event_files(&run).iter().map(|path| decode(path)).collect();
    assert_eq!(files.iter().map(|file| file.restart).collect::<Vec<_>>(), [None, Some(8), Some(8), Some(19)]);
    assert!(files[1].scalars.iter().any(|(step, _)| *step == 10) && files[3].scalars.is_empty());
    let mut events: Vec<(u64, BTreeMap<String, f32>)> = vec![];
    for Decoded { restart, scalars } in files {
        events.retain(|(step, _)| restart.is_none_or(|restart| *step < restart));
        events.extend(scalars);
    }
    let (steps, scores): (Vec<_>, Vec<_>) =
        events.into_iter().partition(|(_, values)| values.contains_key("train/loss"));
    let metrics = Metrics::read(run.join("metrics.jsonl")).unwrap();
    assert_eq!(steps.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [2, 4, 6, 8, 10, 12, 14, 16, 18]);
    for ((step, values), line) in steps.iter().zip(&metrics.steps) {
        assert_eq!(*step, line.step);
        let named =
            [("loss", "loss"), ("lr", "lr"), ("scale", "logit_scale"), ("samples_per_second", "pairs_per_second")];
        for (tag, name) in named {
            assert_eq!(values[&format!("train/{tag}")], line.get(name) as f32, "{tag}");
        }
    }
    assert_eq!(scores.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [6, 12, 18]);
    for ((_, values), evaluation) in scores.iter().zip(&metrics.evaluations) {
        let recall = evaluation.eval.rows[0].retrieval;
        assert_eq!(values["val/image_to_text_R@1"], recall.image_to_text.at1 as f32);
        assert_eq!(values["val/text_to_image_R@10"], recall.text_to_image.at10 as f32);
    }

    // Without the flag, and with OpenCLIP's empty one, there are none.
    succeeded(&bench.training("untold", &["--epochs", "1", "--report-to", ""]).output().unwrap());
    assert!(!bench.run_folder("untold").join("tensorboard").exists());
}

/// A model that learns few pairs by heart is sound; one that does not ends the program with an error.
#[test]
fn a_model_knows_a_few_pairs_by_heart_or_fails() {
    let bench = Bench::new();
    let overfit = |name: &str, more: &[&str]| {
        let how = ["--overfit", "8", "--model", "tiny.json", "--name", name];
        bench.command(&[&how, more].concat()).output().unwrap()
    };
    let said = succeeded(&overfit("known", &["--epochs", "150", "--lr", "1e-2"]));
    assert!(said.contains("all 8 pairs are told apart, R@1 100 %") && said.contains("after 150 steps"), "{said}");
    let metrics = Metrics::read(bench.run_folder("known").join("metrics.jsonl")).unwrap();
    assert!(metrics.steps.last().unwrap().loss() < 0.1, "{said}");

    let output = overfit("unknown", &["--epochs", "1", "--lr", "1e-9"]);
    assert_eq!(output.status.code(), Some(1));
    let said = failed(&output);
    assert!(said.contains("after 1 step the model knows") && said.contains("--epochs"), "{said}");
    assert!(bench.run_folder("unknown").join("report.html").exists());
    assert!(failed(&overfit("scenes", &["--scenes"])).contains("cannot be used with"));
}

/// A lesson on a tiny model says how well both the known and the new drawings are named.
#[test]
fn a_lesson_ends_with_what_was_learnt() {
    let bench = Bench::new();
    let how = ["--lesson", "--model", "tiny.json", "--epochs", "1", "--name", "lesson"];
    let said = succeeded(&bench.command(&how).output().unwrap());
    assert!(said.contains("448 emoji pictures, judged on twemoji") && said.contains("64 classes"), "{said}");
    assert!(said.contains("R@1, training vendors:") && said.contains("R@1, twemoji, held out:"), "{said}");
    let refused = bench.command(&["--lesson", "--model", "Emoji-BLIP-S"]).output().unwrap();
    assert!(failed(&refused).contains("--lesson needs a CLIP"));
}
