//! Tests of WebDataset shards: names, grouping, order and resuming.

use clipwright::datasets::braces::expand;
use clipwright::random::rng;
use clipwright::{batches::*, datasets::*, pictures::*, text::*};
use proptest::prelude::*;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

pub(crate) fn png(shade: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(5, 4, image::Rgb([shade; 3])).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

pub(crate) fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// `shards` tar files with eight pictures each; picture j of shard i has the shade 10 i + j and says so.
pub(crate) fn shards(shards: u8) -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let paths = (0..shards).map(|i| {
        let path = folder.path().join(format!("{i:03}.tar"));
        let names: Vec<[String; 2]> = (0..8).map(|j| [format!("{j:05}.png"), format!("{j:05}.txt")]).collect();
        let pictures: Vec<[Vec<u8>; 2]> =
            (0..8).map(|j| [png(10 * i + j), format!("shade {}", 10 * i + j).into()]).collect();
        let members: Vec<(&str, &[u8])> = (names.iter().flatten().zip(pictures.iter().flatten()))
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
            .collect();
        std::fs::write(&path, tar(&members)).unwrap();
        path
    });
    let paths = paths.collect();
    (folder, paths)
}

pub(crate) fn read(dataset: &dyn Dataset, index: usize) -> Result<Example, BadExample> {
    let mut example = Example::default();
    dataset.read(index, &mut rng(&[]), &mut example).map(|()| example)
}

fn one(members: &[(&str, &[u8])]) -> (TempDir, Shards) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.tar");
    std::fs::write(&path, tar(members)).unwrap();
    let shards = Shards::open(&[path], 1, BadLimit::default()).unwrap();
    (folder, shards)
}

#[test]
fn every_picture_comes_back_with_its_caption() {
    let (_folder, paths) = shards(3);
    let shards = Shards::open(&paths, 10, BadLimit::default()).unwrap();
    assert_eq!((shards.concepts().len(), shards.bad().bad), (24, 0));
    assert_eq!(shards.concepts().iter().collect::<HashSet<_>>().len(), 24);
    for index in 0..24 {
        let example = read(&shards, index).unwrap();
        assert_eq!(example.caption, format!("shade {}", example.picture.samples[0]));
    }
}

#[test]
fn members_are_grouped_by_name_up_to_the_first_dot() {
    let (_folder, shards) = one(&[
        ("x/1.5.jpg", b"part of 1"),
        ("x/2.png", &png(2)),
        ("x/2.seg.npy", b"ignored"),
        ("x/2.json", br#"{"caption": "from json", "text": "no"}"#),
        ("x/3.JSON", br#"{"text": "from text"}"#),
        ("x/3.PNG", &png(3)),
        ("x/4.png", &png(4)),
        ("x/5.txt", b"alone"),
        ("x/6.webp", b"not a picture"),
        ("x/6.txt", b"six"),
        ("x/7.png", &png(7)),
        ("x/7.txt", b" \n"),
        ("x/8.png", &png(8)),
        ("x/8.json", b"[1]"),
    ]);
    assert_eq!(read(&shards, 0).unwrap().caption, "from json");
    assert_eq!(read(&shards, 1).unwrap().caption, "from text");
    let failures: Vec<String> = (2..5).map(|index| read(&shards, index).unwrap_err().to_string()).collect();
    for (failure, (name, reason)) in failures.iter().zip([("x/6", ""), ("x/7", "empty caption"), ("x/8", "neither")]) {
        assert!(failure.contains("one.tar") && failure.contains(name) && failure.contains(reason), "{failure}");
    }
    let report = shards.bad().to_string();
    assert!(
        shards.bad().bad == 3 && report.contains("x/4: no caption") && report.contains("x/5: no picture, but .txt"),
        "{report}"
    );
}

#[test]
fn the_order_stays_near_the_shards_and_depends_on_the_seed_alone() {
    let (_folder, paths) = shards(6);
    let order = |buffer, seed| {
        let mut order = Vec::new();
        Shards::open(&paths, buffer, BadLimit::default()).unwrap().shuffle(&mut rng(&[seed]), &mut order);
        order
    };
    let shuffled = order(10, 1);
    assert_eq!(shuffled.iter().collect::<HashSet<_>>().len(), 48);
    assert!(shuffled == order(10, 1) && shuffled != order(10, 2));
    // With a buffer of ten, the first eight examples come from the first three shards.
    assert!(shuffled[..8].iter().map(|example| example / 8).collect::<HashSet<_>>().len() <= 3);
    // With a buffer of one, the shards come in another order, but the examples of each in their own.
    assert!(order(1, 3).chunks(8).all(|shard| shard.windows(2).all(|pair| pair[1] == pair[0] + 1)));
}

#[test]
fn a_resumed_run_gets_what_it_would_have_got() {
    let (_folder, paths) = shards(5);
    let shards: Arc<dyn Dataset> = Arc::new(Shards::open(&paths, 7, BadLimit::default()).unwrap());
    let tokenizer = Arc::new(Tokenizer::clip());
    let run = |start_step, steps, workers| -> Vec<Batch> {
        let preprocess = Preprocess { size: 4, ..Preprocess::default() };
        let (augment, bad_limit) = (Some(Augment::default()), BadLimit::default());
        let config = LoaderConfig {
            batch_size: 6,
            own: 0..6,
            context_length: 8,
            preprocess,
            image_sizes: None,
            augment,
            known: None,
            teacher: None,
            seed: 3,
            workers,
            start_step,
            bad_limit,
        };
        let mut loader = Loader::new(Arc::clone(&shards), tokenizer.clone(), config).unwrap();
        (0..steps).map(|_| loader.next().unwrap()).collect()
    };
    assert!(run(8, 4, 3) == run(0, 12, 1)[8..]);
}

/// Wherever a shard is cut, also between two members, the rest of its pictures is missing.
#[test]
fn a_shard_that_breaks_off_is_an_error() {
    let (_folder, paths) = shards(2);
    let bytes = std::fs::read(&paths[0]).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    for length in (512..=end).step_by(512).chain([end - 1, 700]) {
        std::fs::write(&paths[0], &bytes[..length]).unwrap();
        let error = Shards::open(&paths, 1, BadLimit::default()).err().expect("an error").to_string();
        assert!(error.contains("000.tar: damaged or cut off: "), "{length} {error}");
    }
    std::fs::write(&paths[0], &bytes[..end.next_multiple_of(512) + 512]).unwrap();
    assert_eq!(Shards::open(&paths, 1, BadLimit::default()).unwrap().concepts().len(), 16);
}

#[test]
fn shards_that_were_joined_end_to_end_are_read_to_the_end() {
    let (_folder, paths) = shards(2);
    let both: Vec<u8> = paths.iter().flat_map(|path| std::fs::read(path).unwrap()).collect();
    std::fs::write(&paths[0], both).unwrap();
    let shards = Shards::open(&paths[..1], 1, BadLimit::default()).unwrap();
    assert_eq!((shards.concepts().len(), read(&shards, 15).unwrap().caption.as_str()), (16, "shade 17"));
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

/// Whether a shard is compressed is seen from its bytes.
#[test]
fn gzipped_shards_are_read_whatever_they_are_called() {
    let (_folder, paths) = shards(2);
    let plain = Shards::open(&paths, 1, BadLimit::default()).unwrap();
    let examples: Vec<Example> = (0..16).map(|index| read(&plain, index).unwrap()).collect();
    let bytes = std::fs::read(&paths[1]).unwrap();
    std::fs::write(&paths[1], gzip(&bytes)).unwrap();
    let mixed = Shards::open(&paths, 1, BadLimit::default()).unwrap();
    for (index, example) in examples.iter().enumerate() {
        let own = read(&mixed, index).unwrap();
        assert!((&own.picture, &own.caption) == (&example.picture, &example.caption), "{index}");
    }
    for (broken, what) in
        [(&gzip(&bytes)[..200], "cut off"), (&gzip(&bytes[..4096]), "cut off"), (b"BZh91AY", "compressed with bzip2")]
    {
        std::fs::write(&paths[1], broken).unwrap();
        let error = Shards::open(&paths, 1, BadLimit::default()).err().unwrap().to_string();
        assert!(error.contains("001.tar: ") && error.contains(what), "{error}");
    }
    std::fs::write(&paths[1], gzip(&bytes)).unwrap();
    let mixed = Shards::open(&paths, 1, BadLimit::default()).unwrap();
    for (index, shade) in [(3, 3), (12, 14)] {
        assert_eq!((mixed.name(index), mixed.picture_file(index).unwrap()), (format!("{:05}", shade % 10), png(shade)));
    }
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/shards/whole.tar.gz"));
    let whole = Shards::open(&[path], 1, BadLimit::default()).unwrap();
    let captions: Vec<String> = (0..8).map(|index| read(&whole, index).unwrap().caption).collect();
    assert_eq!((whole.concepts().len(), captions[3].as_str()), (8, "caption 3"));
}

#[test]
fn a_name_ends_at_its_first_dot_and_its_kind_at_the_last() {
    let (_folder, shards) = one(&[
        ("a.b.jpg", &png(1)),
        ("a.b.txt", b"one"),
        ("b.png", &png(2)),
        ("b.seg.png", &png(9)),
        ("b.txt", b"two"),
        ("b.ocr.txt", b"no"),
        ("c.1.png", &png(3)),
        ("c.2.png", &png(4)),
        ("c.txt", b"which?"),
        ("d.npy", b"no picture"),
        ("d.txt", b"four"),
        ("e.png", &png(5)),
        ("e.png", &png(6)),
        ("e.txt", b"twice"),
        ("f.gif", b"not really"),
        ("f.txt", b"six"),
    ]);
    assert_eq!((read(&shards, 0).unwrap().caption, read(&shards, 1).unwrap().caption), ("one".into(), "two".into()));
    assert_eq!(read(&shards, 1).unwrap().picture.samples[0], 2);
    let report = shards.bad().to_string();
    assert_eq!((shards.concepts().len(), shards.bad().bad), (3, 3), "{report}");
    for wanted in [
        "c: several pictures under one name, which ends at its first dot: .1.png, .2.png, .txt",
        "d: no picture, but .npy, .txt",
        "e: two members are called .png",
    ] {
        assert!(report.contains(wanted), "{wanted} in {report}");
    }
}

#[test]
fn a_missing_shard_is_an_error_with_its_name() {
    let error = Shards::open(&[Path::new("/nowhere/000.tar")], 1, BadLimit::default()).err().unwrap();
    assert!(error.to_string().contains("/nowhere/000.tar"), "{error}");
}

#[test]
fn braces_expand_as_in_a_shell() {
    let names = |pattern| expand(pattern).unwrap().join(" ");
    assert_eq!(names("one.tar"), "one.tar");
    assert_eq!(names("s/{098..101}.tar"), "s/098.tar s/099.tar s/100.tar s/101.tar");
    assert_eq!(names("{8..11}"), "8 9 10 11");
    assert_eq!(names("{2..0}"), "2 1 0");
    assert_eq!(names("{a,b}/{0..1}.tar"), "a/0.tar a/1.tar b/0.tar b/1.tar");
    assert_eq!(names("{a,{b,c}{1..2}}"), "a b1 b2 c1 c2");
    assert_eq!(names("x.tar::{0..1}.tar,y.tar"), "x.tar 0.tar 1.tar y.tar");
    assert_eq!(names("{000..050..20}.tar"), "000.tar 020.tar 040.tar");
    assert_eq!(names("{9..0..-4} {5..6..0}"), names("{9,5,1} {5,6}"));
    assert_eq!(names("{a..e} {E..A..2}"), names("{a,b,c,d,e} {E,C,A}"));
    assert_eq!(names("{a..1}"), "a..1");
    for (bad, reason) in
        [("{0..", "closing"), ("0}", "opening"), ("a}b{c,d}", "opening"), ("", "no file"), ("{0..9999999}", "million")]
    {
        let error = expand(bad).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(bad), "{error}");
    }
}

#[test]
fn stars_stand_for_the_files_that_they_match() {
    let (folder, paths) = shards(3);
    let at = |pattern: &str| format!("{}/{pattern}", folder.path().display());
    let open = |pattern: &str| OwnPairs::open(&at(pattern), &PairLayout::default(), BadLimit::default());
    let count = |pattern: &str| open(pattern).unwrap().dataset().concepts().len();
    assert_eq!(clipwright::datasets::braces::paths(&at("*.tar")).unwrap(), paths);
    assert_eq!((count("*.tar"), count("{000,00[2-9]}.tar"), count("00?.tar"), count("")), (24, 16, 24, 24));
    let error = open("*.tgz").err().unwrap().to_string();
    assert!(error.contains("*.tgz") && error.contains("matches no file"), "{error}");
    std::fs::rename(&paths[0], folder.path().join("[x].tar")).unwrap();
    assert_eq!(count("[x].tar"), 8);
}

proptest! {
    #[test]
    fn any_pattern_is_answered(pattern in "[{},.:0-9a-b]{0,24}") {
        let _ = expand(&pattern);
    }

    #[test]
    fn damaged_shards_never_panic(places in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6), cut in any::<usize>()) {
        let mut bytes = tar(&[("1.png", &png(1)), ("1.txt", b"one"), ("2.json", b"{\"text\": \"two\"}"), ("2.png", &png(2))]);
        let len = bytes.len();
        places.into_iter().for_each(|(place, byte)| bytes[place % len] = byte);
        bytes.truncate(len - cut % (len / 2));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("any.tar");
        std::fs::write(&path, bytes).unwrap();
        if let Ok(shards) = Shards::open(&[path], 4, BadLimit::default()) {
            (0..shards.concepts().len()).for_each(|index| drop(read(&shards, index)));
        }
    }
}
