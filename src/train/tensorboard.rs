//! The numbers of a run as TensorBoard reads them.
//!
//! A file of events is a sequence of records (TensorFlow's `tfrecord` framing):
//!
//! | bytes | what |
//! |---|---|
//! | 8 | length of the message, little-endian |
//! | 4 | masked CRC-32C of these eight bytes |
//! | length | a message `Event` in Protocol Buffers' encoding |
//! | 4 | masked CRC-32C of the message |
//!
//! Three messages are written, of each only what is needed:
//!
//! ```proto
//! message Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; SessionLog session_log = 7; }
//! message Summary { message Value { string tag = 1; float simple_value = 2; } repeated Value value = 1; }
//! message SessionLog { SessionStatus status = 1; }  // START = 1
//! ```
//!
//! Tags are OpenCLIP's where it has one: `train/loss`, `train/lr`, `train/scale`, `train/samples_per_second`,
//! `val/image_to_text_R@1`, …
//!
//! A run that is resumed may repeat steps that it had logged before it was killed. Each session therefore has a file of its
//! own, whose `session_log` tells readers to forget everything from its first step on, as the `purge_step` of other writers
//! does.

use super::log::{Evaluation, Line, Step};
use super::metric::Metric;
use crate::eval::report::{Report, Row};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The version without which readers do not look for restarts.
const VERSION: &str = "brain.Event:2";
/// What a name of a file must contain for readers to find it.
const MARK: &str = "tfevents";

/// The events of one session of a run.
#[derive(Debug)]
pub struct Events {
    file: File,
    path: PathBuf,
    /// The step of the last evaluation that earlier sessions have written and this one does not repeat.
    evaluated: Option<u64>,
}

impl Events {
    /// Begins a file in this folder, which is made if it is not there. The session goes on after `steps` steps, and the last
    /// evaluation up to there was that after `evaluated`.
    ///
    /// # Errors
    /// If the file cannot be written; the message names it.
    pub fn create(folder: &Path, steps: u64, evaluated: Option<u64>) -> io::Result<Self> {
        fs::create_dir_all(folder).map_err(|error| named(folder, error))?;
        let earlier = sessions(folder).map_err(|error| named(folder, error))?;
        // Readers take files in the order of their names.
        let path = folder.join(format!("events.out.{MARK}.{:010}.{earlier:04}", wall_time() as u64));
        let file = File::create_new(&path).map_err(|error| named(&path, error))?;
        let mut events = Events { file, path, evaluated: evaluated.filter(|_| earlier > 0) };
        events.write(0, |event| event.bytes(3, VERSION.as_bytes()))?;
        if earlier > 0 {
            events.write(steps + 1, |event| event.message(7, |session| session.varint(1, 1)))?;
        }
        Ok(events)
    }

    /// Writes the numbers of a line of the log. An evaluation that an earlier session has written is left out.
    ///
    /// # Errors
    /// If the file cannot be written; the message names it.
    pub fn append(&mut self, line: &Line) -> io::Result<()> {
        match line {
            Line::Step(Step { step, metrics }) => self.scalars(*step, &numbers(metrics)),
            Line::Evaluation(Evaluation { step, .. }) if self.evaluated == Some(*step) => Ok(()),
            Line::Evaluation(Evaluation { step, eval }) => self.scalars(*step, &scores(eval)),
        }
    }

    fn scalars(&mut self, step: u64, scalars: &[(String, f64)]) -> io::Result<()> {
        self.write(step, |event| {
            event.message(5, |summary| {
                for (tag, value) in scalars {
                    summary.message(1, |scalar| {
                        scalar.bytes(1, tag.as_bytes());
                        scalar.float(2, *value as f32);
                    });
                }
            });
        })
    }

    /// Appends an event in one write.
    fn write(&mut self, step: u64, fill: impl FnOnce(&mut Message)) -> io::Result<()> {
        let mut event = Message::default();
        event.double(1, wall_time());
        event.varint(2, step);
        fill(&mut event);
        self.file.write_all(&record(&event.0)).map_err(|error| named(&self.path, error))
    }
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Returns the number of files of events in a folder.
fn sessions(folder: &Path) -> io::Result<usize> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: Vec<String> = names.collect::<io::Result<_>>()?;
    Ok(names.iter().filter(|name| name.contains(MARK)).count())
}

/// Returns the seconds since 1970.
fn wall_time() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Returns the numbers of a step with their tags.
fn numbers(metrics: &[Metric]) -> Vec<(String, f64)> {
    let mut numbers = vec![];
    for Metric { name, value, chance } in metrics {
        let name = match &**name {
            "logit_scale" => "scale",
            "pairs_per_second" => "samples_per_second",
            name => name,
        };
        numbers.push((format!("train/{name}"), *value));
        numbers.extend(chance.map(|chance| (format!("train/{name}_chance"), chance)));
    }
    numbers
}

/// Returns all scores with their tags. Those of a run's own pairs have OpenCLIP's tags, others the name of their row in
/// between.
fn scores(report: &Report) -> Vec<(String, f64)> {
    let mut scores = vec![];
    for (i, row) in report.rows.iter().enumerate() {
        let (place, Row { zero_shot, retrieval, .. }) = (place(i, &row.concepts(), &row.pictures), row);
        for (name, recall) in [("image_to_text", retrieval.image_to_text), ("text_to_image", retrieval.text_to_image)] {
            let levels = [(1, recall.at1), (5, recall.at5), (10, recall.at10)];
            scores.extend(levels.map(|(k, score)| (format!("{place}{name}_R@{k}"), score)));
        }
        let top = zero_shot.map(|zero_shot| zero_shot.score);
        scores.extend(
            top.into_iter()
                .flat_map(|top| [("top1", top.top1), ("top5", top.top5)])
                .map(|(name, score)| (format!("{place}zeroshot-val-{name}"), score)),
        );
    }
    for (i, row) in report.captions.iter().enumerate() {
        let (place, score) = (place(i, &row.concepts, &row.pictures), row.score);
        let named = [("exact", score.exact), ("BLEU@4", score.bleu4), ("CIDEr-D", score.cider)];
        scores.extend(named.map(|(name, score)| (format!("{place}{name}"), score)));
    }
    for (i, row) in report.answers.iter().enumerate() {
        let place = place(i, &row.concepts, &row.pictures);
        let kinds = row.kinds.iter().map(|kind| (kind.kind.as_str(), kind.accuracy)).chain([("mean", row.mean())]);
        scores.extend(kinds.map(|(kind, accuracy)| (format!("{place}accuracy/{}", plain(kind)), accuracy)));
    }
    scores
}

/// Returns what the tags of the i-th row of a table begin with.
fn place(i: usize, concepts: &str, pictures: &str) -> String {
    match (i, concepts) {
        (0, "own") => "val/".into(),
        _ => format!("val/{}/", plain(&format!("{concepts} {pictures}"))),
    }
}

/// Returns a name in letters, digits and underscores.
fn plain(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_")
}

/// A message of Protocol Buffers: its fields one after the other, each a number with a kind, then a value.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    /// Appends an integer without a field: seven bits a byte, the lowest first, and a high bit on all but the last.
    fn integer(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn field(&mut self, number: u64, kind: u64) {
        self.integer(number << 3 | kind);
    }

    fn varint(&mut self, number: u64, value: u64) {
        self.field(number, 0);
        self.integer(value);
    }

    fn double(&mut self, number: u64, value: f64) {
        self.field(number, 1);
        self.0.extend(value.to_le_bytes());
    }

    fn float(&mut self, number: u64, value: f32) {
        self.field(number, 5);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, number: u64, bytes: &[u8]) {
        self.field(number, 2);
        self.integer(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn message(&mut self, number: u64, fill: impl FnOnce(&mut Message)) {
        let mut message = Message::default();
        fill(&mut message);
        self.bytes(number, &message.0);
    }
}

/// Returns a message in its frame.
fn record(message: &[u8]) -> Vec<u8> {
    let len = (message.len() as u64).to_le_bytes();
    [&len[..], &masked(crc32c(&len)), message, &masked(crc32c(message))].concat()
}

/// Returns a checksum as it is stored: turned and moved, so that a checksum of bytes that hold checksums is not degenerate.
fn masked(crc: u32) -> [u8; 4] {
    crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Returns the CRC-32C of bytes: the remainder of a division by Castagnoli's polynomial, bit by bit, the lowest bits first.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, B.4.
    #[test]
    fn checksums_are_the_published_ones() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    /// The bytes are those that TensorFlow writes for this event.
    #[test]
    fn a_message_has_the_bytes_of_its_definition() {
        let mut event = Message::default();
        event.double(1, 1.5);
        event.varint(2, 300);
        event.message(5, |summary| {
            summary.message(1, |value| {
                value.bytes(1, b"a");
                value.float(2, 1.0);
            });
        });
        let expected: &[u8] = b"\x09\0\0\0\0\0\0\xf8\x3f\x10\xac\x02\x2a\x0a\x0a\x08\x0a\x01a\x15\0\0\x80\x3f";
        assert_eq!(event.0, expected);
        assert_eq!(record(b"")[..12], *b"\0\0\0\0\0\0\0\0\x29\x03\x98\x07");
    }

    #[test]
    fn an_evaluation_is_not_repeated_and_a_session_follows_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let files = || {
            let mut paths: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
            paths.sort();
            paths
        };
        let size = |place: usize| fs::metadata(&files()[place]).unwrap().len();
        let evaluation = Line::Evaluation(Evaluation { step: 7, eval: Report::default() });
        let mut first = Events::create(folder.path(), 0, Some(7)).unwrap();
        let before = size(0);
        first.append(&evaluation).unwrap();
        assert!(size(0) > before, "a first session has nothing to repeat");
        let mut second = Events::create(folder.path(), 7, Some(7)).unwrap();
        assert!(files().len() == 2 && size(1) > before, "it says from where on it counts");
        let before = size(1);
        second.append(&evaluation).unwrap();
        assert_eq!(size(1), before);
        let line = Line::Step(Step { step: 8, metrics: vec![Metric::new("loss", 1.0)] });
        second.append(&line).unwrap();
        assert!(size(1) > before);
    }
}
