//! Tests of pairs from several sources.

use crate::shards::{png, read, shards};
use clipwright::datasets::*;
use clipwright::random::rng;
use std::collections::HashSet;
use std::fs;
use std::path::Path;

fn open(path: &str) -> Result<OwnPairs, DatasetError> {
    OwnPairs::open(path, &PairLayout::default(), BadLimit::default())
}

/// Writes a folder of ten pictures with a table in it, and a table of its own for half of them.
fn tables(folder: &Path) {
    let rows = (0..10).map(|i| {
        fs::write(folder.join(format!("{i}.png")), png(100 + i)).unwrap();
        format!("{{\"file_name\": \"{i}.png\", \"text\": \"shade {}\"}}\n", 100 + i)
    });
    fs::write(folder.join("metadata.jsonl"), rows.collect::<String>()).unwrap();
    let rows: String = (0..5).map(|i| format!("{i}.png\tshade {}\n", 100 + i)).collect();
    fs::write(folder.join("half.tsv"), format!("filepath\ttitle\n{rows}none\n")).unwrap();
}

#[test]
fn sources_of_all_kinds_are_one_dataset() {
    let (tars, _paths) = shards(3);
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path());
    let (tars, folder) = (tars.path().display(), folder.path().display());
    let path = format!("{tars}/000.tar::{folder}/half.tsv::{tars}/{{001..002}}.tar::{folder}");
    let joined = OwnPairs::open(&path, &PairLayout::default(), BadLimit { share: 0.5, ..BadLimit::default() }).unwrap();
    let (pairs, files) = (joined.dataset(), joined.files());
    assert_eq!((pairs.concepts().len(), joined.bad().bad), (5 + 10 + 24, 1));
    assert_eq!(joined.to_string().split("; ").next().unwrap(), format!("39 pairs in {path}"));
    for index in 0..39 {
        let example = read(&**pairs, index).unwrap();
        assert_eq!(example.caption, format!("shade {}", example.picture.samples[0]), "{}", files.name(index));
        assert_eq!(files.picture_file(index).unwrap(), png(example.picture.samples[0]));
    }
    // Shards of several sources have samples of the same names, and are still different pictures.
    assert_eq!(pairs.concepts()[15..].iter().collect::<HashSet<_>>().len(), 24);
    assert!(!pairs.may_rearrange());
    let one = open(&format!("{folder}/metadata.jsonl::{folder}")).unwrap();
    assert!(one.dataset().may_rearrange() && one.dataset().concepts().len() == 20);
    assert_ne!(one.dataset().list_digest(), pairs.list_digest());
}

/// Every source keeps the order in which it is cheap to read, and which source is next is drawn.
#[test]
fn orders_are_put_together_at_random() {
    let (tars, paths) = shards(4);
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path());
    let joined = open(&format!("{}::{}", folder.path().display(), tars.path().display())).unwrap();
    let order = |seed| {
        let mut order = vec![];
        joined.dataset().shuffle(&mut rng(&[seed]), &mut order);
        order
    };
    let drawn = order(1);
    assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), 42);
    assert!(drawn == order(1) && drawn != order(2));
    // How many of the ten of the table are among the first 21 varies around five.
    let counts: Vec<usize> = (0..200).map(|seed| order(seed)[..21].iter().filter(|&&i| i < 10).count()).collect();
    let mean = counts.iter().sum::<usize>() as f64 / 200.0;
    assert!((mean - 5.0).abs() < 0.4 && counts.iter().min() < counts.iter().max(), "{mean}");
    let shards = Shards::open(&paths, 1, BadLimit::default()).unwrap();
    assert_eq!(joined.dataset().concepts()[10..], *shards.concepts());
}

#[test]
fn a_source_that_is_none_is_named() {
    let (tars, _paths) = shards(1);
    let tars = tars.path().display();
    for (path, said) in [
        (format!("{tars}::/nowhere.tsv"), "/nowhere.tsv"),
        (format!("{tars}::{tars}/*.tgz"), "*.tgz\": matches no file"),
    ] {
        let error = open(&path).err().unwrap().to_string();
        assert!(error.contains(said), "{error}");
    }
}
