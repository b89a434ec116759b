//! JPEG files of every kind against Pillow's samples: the table `tests/golden/jpeg/jpeg.tsv`, which `make.py` beside it
//! has made together with the files.

use clipwright::pictures::Channels;
use clipwright::pictures::decode::{decode, open};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::path::{Path, PathBuf};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/jpeg")
}

/// Returns the names of the files, each with what it is in Pillow.
fn table() -> Vec<(String, String)> {
    let table = std::fs::read_to_string(golden().join("jpeg.tsv")).unwrap();
    table.lines().map(|line| line.split_once('\t').map(|(name, what)| (name.into(), what.into())).unwrap()).collect()
}

/// Describes a file as the table does.
fn seen(name: &str) -> String {
    let Ok(picture) = open(&golden().join(name)) else { return "bad\t0\t0\t0".into() };
    let mode = match picture.mode {
        Channels::Grey => "L",
        Channels::Rgb => "RGB",
        Channels::Cmyk => "CMYK",
        other => panic!("{name}: {other:?}"),
    };
    let hash = picture
        .samples
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{mode}\t{}\t{}\t{hash:016x}", picture.width, picture.height)
}

#[test]
fn every_file_is_pillows_to_the_last_bit() {
    let table = table();
    assert!(table.len() > 100, "{}", table.len());
    let other = table.iter().map(|(name, what)| (name, what, seen(name))).filter(|(_, what, seen)| what != &seen);
    let other: Vec<_> = other.map(|(name, what, seen)| format!("{name}: {seen} instead of {what}")).collect();
    assert!(other.is_empty(), "{} of {}:\n{}", other.len(), table.len(), other.join("\n"));
}

/// Bytes are changed, dropped and doubled. What the decoder makes of it is either an error or a whole picture; that it
/// gives up would be a panic.
#[test]
fn damaged_files_are_read_or_refused() {
    let files: Vec<Vec<u8>> = table().iter().map(|(name, _)| std::fs::read(golden().join(name)).unwrap()).collect();
    let mut rng = Pcg64::seed_from_u64(5);
    let mut read = 0;
    for _ in 0..4000 {
        let mut file = files[rng.random_range(0..files.len())].clone();
        for _ in 0..rng.random_range(1..5) {
            let at = rng.random_range(3..file.len());
            let end = (at + rng.random_range(1..30)).min(file.len());
            match rng.random_range(0..4) {
                0 => file[at] = rng.random(),
                1 => file[at] = [0, 1, 0x11, 0x22, 0x41, 0xd0, 0xd9, 0xda, 0xff][rng.random_range(0..9)],
                2 if end - at < file.len() / 2 => drop(file.drain(at..end)),
                _ => {
                    let part = file[at..end].to_vec();
                    file.splice(at..at, part);
                }
            }
        }
        match decode(&file) {
            Ok(picture) => {
                assert_eq!(picture.samples.len(), picture.width * picture.height * picture.mode.channels());
                read += 1;
            }
            Err(error) => assert!(!error.to_string().contains("gave up"), "{error}: {file:?}"),
        }
    }
    assert!(read > 1000, "{read}");
}
