//! Tests of streams of shards: what is read, in which order, and where a stream goes on.

use crate::shards::{gzip, png, read, shards, tar};
use clipwright::{batches::*, datasets::*, pictures::*, text::*};
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

const LIMIT: BadLimit = BadLimit { share: 0.5, after: 100 };
const SIZE: BlockSize = BlockSize { pairs: 7, bytes: 1 << 20 };

fn list(path: &str, factors: Option<&str>) -> Result<Arc<ShardList>, DatasetError> {
    ShardList::open(path, None, factors, LIMIT).map(Arc::new)
}

fn all(folder: &Path) -> Arc<ShardList> {
    list(&format!("{}/*.tar", folder.display()), None).unwrap()
}

fn stream(list: &Arc<ShardList>, size: BlockSize) -> Stream {
    Stream::new(Arc::clone(list), 1, 0, size, Place::default())
}

fn captions(block: &dyn Dataset) -> Vec<String> {
    (0..block.concepts().len()).map(|index| read(block, index).unwrap().caption).collect()
}

/// Returns batches of six from streams that begin at these places, and where they go on after each.
fn batches(list: &Arc<ShardList>, workers: usize, step: u64, first: u64, places: &[Place], count: u64) -> Vec<Batch> {
    let own = 6 * first as usize..6 * (first as usize + places.len());
    let config = LoaderConfig {
        batch_size: own.len(),
        own,
        context_length: 8,
        preprocess: Preprocess { size: 4, ..Preprocess::default() },
        image_sizes: None,
        augment: None,
        known: None,
        teacher: None,
        seed: 3,
        workers,
        start_step: step,
        bad_limit: LIMIT,
    };
    let streams = Streams { list: Arc::clone(list), pairs: 30, size: SIZE, first, places: places.to_vec() };
    let mut loader = Loader::new(streams, Arc::new(Tokenizer::clip()), config).unwrap();
    assert_eq!((loader.streams(), loader.steps_per_epoch()), (places, 5 / places.len() as u64));
    let batches = (0..count).map(|_| {
        let batch = loader.next().unwrap();
        assert_eq!(loader.streams(), batch.streams);
        batch
    });
    batches.collect()
}

#[test]
fn shards_are_read_from_front_to_back_and_cut_into_blocks() {
    let (folder, _paths) = shards(3);
    let mut stream = stream(&all(folder.path()), SIZE);
    let blocks: Vec<Vec<String>> = (0..8).map(|_| captions(&stream.block().unwrap())).collect();
    assert!(blocks.iter().all(|block| block.len() == 7));
    let shade = |caption: &String| caption["shade ".len()..].parse::<usize>().unwrap();
    for shard in blocks.concat().chunks(8) {
        let first = shade(&shard[0]);
        assert!(first % 10 == 0 && shard.iter().map(shade).eq(first..first + 8), "{shard:?}");
    }
    assert_eq!(stream.place(), Place { shards: 6, samples: 8, pairs: 0 });
}

/// Damage of all kinds is among the shards: it must not matter when it is met.
#[test]
fn a_batch_is_a_function_of_seed_and_step() {
    let (folder, paths) = shards(4);
    let bytes = fs::read(&paths[1]).unwrap();
    fs::write(&paths[1], gzip(&bytes)).unwrap();
    let whole = fs::read(&paths[2]).unwrap();
    fs::write(&paths[2], &whole[..4096]).unwrap();
    fs::write(
        &paths[3],
        tar(&[("a.png", b"none"), ("a.txt", b"a"), ("b.png", &png(99)), ("b.txt", b"b"), ("c.txt", b"c")]),
    )
    .unwrap();
    let list = all(folder.path());
    let begin = [Place::default(); 2];
    let reference = batches(&list, 1, 0, 0, &begin, 12);
    assert!(batches(&list, 3, 0, 0, &begin, 12) == reference);
    assert!(reference.iter().any(|batch| batch.streams[0].samples % 8 != 0 && batch.streams[0].pairs > 0));
    for step in 1..12 {
        let places = &reference[step - 1].streams;
        assert!(batches(&list, 2, step as u64, 0, places, 12 - step as u64) == reference[step..], "{step}");
    }
}

#[test]
fn streams_do_not_depend_on_each_other() {
    let (folder, _paths) = shards(5);
    let list = all(folder.path());
    let run = |first, count| batches(&list, 1, 0, first, &[Place::default(); 4][..count], 5);
    let (together, halves) = (run(0, 4), [run(0, 2), run(2, 2)]);
    for (step, batch) in together.iter().enumerate() {
        let keys = halves.iter().flat_map(|half| half[step].concept_keys.clone());
        assert!(batch.concept_keys.iter().copied().eq(keys), "{step}");
        assert_eq!(batch.images, [&halves[0][step].images[..], &halves[1][step].images].concat());
        assert_eq!(batch.streams, [&halves[0][step].streams[..], &halves[1][step].streams].concat());
    }
    assert_ne!(halves[0][0].concept_keys, halves[1][0].concept_keys);
}

/// A shard of the second source counts twice as much as one of the first, and there are three times as many: of seven
/// draws six are expected from there.
#[test]
fn shards_are_drawn_by_the_factors_of_their_sources() {
    let (folder, _paths) = shards(4);
    let at = folder.path().display();
    let path = format!("{at}/000.tar::{at}/{{001..003}}.tar");
    let count = |factors| {
        let mut stream = stream(&list(&path, factors).unwrap(), BlockSize { pairs: 8, ..SIZE });
        let mut counts = HashMap::new();
        (0..700).for_each(|_| *counts.entry(captions(&stream.block().unwrap())[0].clone()).or_insert(0) += 1);
        let counts = [0, 10, 20, 30].map(|shade| counts[&format!("shade {shade}")]);
        assert_eq!(counts.iter().sum::<i32>(), 700);
        counts
    };
    // Four standard deviations of the counts are at most 50.
    for (counts, expected) in [(count(Some("1::2")), [100, 200, 200, 200]), (count(None), [175; 4])] {
        assert!(counts.iter().zip(expected).all(|(count, expected)| (count - expected).abs() < 50), "{counts:?}");
    }
}

/// What the headers of all shards would say is known from none but those that were read.
#[test]
fn nothing_is_read_before_it_is_needed() {
    let (folder, paths) = shards(1);
    fs::rename(&paths[0], folder.path().join("0000.tar")).unwrap();
    let list = list(&format!("{}/{{0000..9999}}.tar", folder.path().display()), None).unwrap();
    assert_eq!(list.shards(), 10_000);
}

#[test]
fn a_block_holds_no_more_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<[String; 3]> = (0..9).map(|i| ["txt", "png", "npy"].map(|kind| format!("{i}.{kind}"))).collect();
    let (picture, array) = (png(1), vec![7; 9000]);
    let members = names.iter().flatten().map(|name| {
        let bytes: &[u8] = if name.ends_with("txt") {
            b"five!"
        } else if name.ends_with("png") {
            &picture
        } else {
            &array
        };
        (name.as_str(), bytes)
    });
    fs::write(folder.path().join("0.tar"), tar(&members.collect::<Vec<_>>())).unwrap();
    let pair = picture.len() as u64 + 5;
    // The pair that reaches the limit is the last. Arrays, which belong to no pair, do not count.
    for (bytes, pairs) in [(pair + 1, 2), (2 * pair, 2), (3 * pair - 1, 3)] {
        let block = stream(&all(folder.path()), BlockSize { pairs: 100, bytes }).block().unwrap();
        assert_eq!(block.concepts().len(), pairs, "{bytes}");
    }
    let error = stream(&all(folder.path()), BlockSize { pairs: 100, bytes: pair - 1 }).block().err().unwrap();
    assert!(error.to_string().contains(&format!("take more than {} bytes", pair - 1)), "{error}");
}

#[test]
fn a_stream_reads_what_an_index_finds() {
    let folder = tempfile::tempdir().unwrap();
    let long = "long/".repeat(60) + "name";
    let members: Vec<(String, Vec<u8>)> = [
        ("x/1.5.jpg", "part of 1"),
        ("x/2.png", "two"),
        ("x/2.seg.npy", "ignored"),
        ("x/2.json", "{\"text\": \"two\"}"),
        ("x/3.PNG", ""),
        ("x/3.JSON", "{\"text\": \"three\"}"),
        ("x/4.png", "four"),
        ("x/5.a.png", "five"),
        ("x/5.a.txt", "five"),
        ("no kind", "nothing"),
    ]
    .map(|(name, text)| (name.to_owned(), text.into()))
    .into_iter()
    .chain([(format!("{long}.png"), png(6)), (format!("{long}.txt"), b"six".into())])
    .collect();
    let members: Vec<(&str, &[u8])> = members.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
    let whole = tar(&members);
    let path = folder.path().join("0.tar");
    for bytes in [whole.clone(), gzip(&whole), whole.repeat(2), fs::read("tests/golden/shards/whole.tar.gz").unwrap()] {
        fs::write(&path, &bytes).unwrap();
        let index = Shards::open(&[&path], 1, BadLimit::default()).unwrap();
        let pairs = index.concepts().len();
        let block = stream(&all(folder.path()), BlockSize { pairs, ..SIZE }).block().unwrap();
        assert_eq!(block.concepts(), index.concepts());
        for i in 0..pairs {
            assert_eq!((block.name(i), block.picture_file(i)), (index.name(i), index.picture_file(i)));
            let caption = |shards: &Shards| read(shards, i).map(|example| (example.picture, example.caption));
            assert_eq!(caption(&block), caption(&index));
        }
    }
}

#[test]
fn bad_shards_are_left_out_counted_and_named() {
    let (folder, paths) = shards(6);
    let bytes = fs::read(&paths[0]).unwrap();
    fs::write(&paths[0], &bytes[..5000]).unwrap();
    fs::write(&paths[1], gzip(&bytes[..5000])).unwrap();
    fs::write(&paths[2], b"BZh91AY").unwrap();
    fs::write(&paths[3], tar(&[])).unwrap();
    fs::write(&paths[4], tar(&[("7.txt", b"no picture")])).unwrap();
    let mut stream = stream(&all(folder.path()), BlockSize { pairs: 400, ..SIZE });
    let block = stream.block().unwrap();
    let report = block.bad().to_string();
    for said in [
        "000.tar: damaged or cut off: ",
        "001.tar: damaged or cut off: ",
        "002.tar: it is compressed with bzip2",
        "003.tar: no sample in it",
        "004.tar: 7: no picture, but .txt",
    ] {
        assert!(
            report.contains(said) && !report.contains(&format!("{0}: {0}", paths[0].display())),
            "{said}: {report}"
        );
    }
    // What comes before the damage is read.
    assert!(captions(&block).iter().filter(|caption| *caption == "shade 0").count() > 1);
}

/// Whatever the limit is, shards without anything usable end in an error and not in an endless search.
#[test]
fn if_all_shards_are_bad_the_stream_ends() {
    let (folder, paths) = shards(2);
    let list = |share| {
        let limit = BadLimit { share, ..LIMIT };
        Arc::new(ShardList::open(&format!("{}/*.tar", folder.path().display()), None, None, limit).unwrap())
    };
    let mut before = stream(&list(1.0), SIZE);
    assert!(before.block().is_ok());
    for bytes in [tar(&[]), tar(&[("a.txt", b"no picture")]), vec![], vec![0xff; 2048]] {
        paths.iter().for_each(|path| fs::write(path, &bytes).unwrap());
        for share in [0.1, 1.0] {
            let error = stream(&list(share), SIZE).block().err().unwrap();
            assert!(matches!(error, DatasetError::TooManyBad { .. }), "{error}");
        }
    }
    paths.iter().for_each(|path| fs::remove_file(path).unwrap());
    let error = (0..100).find_map(|_| before.block().err()).unwrap().to_string();
    assert!(error.contains("of 100") && error.contains("00.tar: No such file"), "{error}");
}

#[test]
fn too_many_bad_samples_stop_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("0.tar"),
        tar(&[("a.txt", b"a"), ("b.png", &png(1)), ("b.txt", b"b"), ("c.txt", b"c")]),
    )
    .unwrap();
    let mut stream = stream(&all(folder.path()), SIZE);
    let error = (0..20).find_map(|_| stream.block().err()).unwrap().to_string();
    assert!(error.contains("more than 50 %") && error.contains("a: no picture"), "{error}");
}

#[test]
fn a_shard_that_has_become_shorter_is_named() {
    let (folder, paths) = shards(1);
    let list = all(folder.path());
    let place = Place { samples: 9, ..Place::default() };
    let block = Stream::new(list, 1, 0, SIZE, place).block().unwrap();
    assert!(block.bad().to_string().contains("fewer samples than when it was read before"), "{}", block.bad());
    assert_eq!((captions(&block)[0].as_str(), paths.len()), ("shade 0", 1));
}

#[test]
fn mistakes_are_named() {
    let (folder, _paths) = shards(2);
    let at = |name: &str| format!("{}/{name}", folder.path().display());
    fs::write(at("a.tsv"), "filepath\ttitle\n").unwrap();
    let both = [at("000.tar"), at("001.tar")].join("::");
    for (path, factors, said) in [
        (at("*.tgz"), None, "*.tgz\": matches no file"),
        (at("a.tsv"), None, "a.tsv: no tar shards"),
        ([&both, &at("a.tsv")].map(String::as_str).join("::"), None, "a.tsv: no tar shards"),
        ("::".into(), None, "names no file"),
        (both.clone(), Some("1"), "1: 1 factor for 2 sources"),
        (both.clone(), Some("1::2::3"), "1::2::3: 3 factors for 2 sources"),
        (both.clone(), Some("1::0"), "1::0: \"0\" is not a number above 0"),
        (both.clone(), Some("1::-2"), "\"-2\" is not"),
        (both.clone(), Some("1::inf"), "\"inf\" is not"),
        (both.clone(), Some("1::nan"), "\"nan\" is not"),
        (both, Some("one::2"), "\"one\" is not"),
    ] {
        let error = list(&path, factors).err().unwrap().to_string();
        assert!(error.contains(said), "{error}");
    }
}
