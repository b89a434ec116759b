//! Tests of the index as a library: searches against their definition, and broken files.

use crate::support::random::unit_rows;
use clipwright::index::{Entry, Index, IndexError, ModelId, Store};
use half::f16;
use ndarray::Array2;
use rayon::ThreadPoolBuilder;
use std::fs;
use std::path::{Path, PathBuf};

fn model() -> ModelId {
    ModelId { path: "some/model".into(), quick_gelu: true, fingerprint: "0123".into(), ..ModelId::default() }
}

fn entry(row: usize) -> Entry {
    Entry { path: format!("folder/{row}.jpg"), size: row as u64, modified: -5 }
}

fn entries(rows: std::ops::Range<usize>) -> Vec<Entry> {
    rows.map(entry).collect()
}

fn filled(folder: &Path, x: &Array2<f32>) -> Store {
    let mut store = Store::open(folder, "..", model(), x.ncols()).unwrap();
    store.append(&entries(0..x.nrows()), x.view()).unwrap();
    store
}

/// Returns (row, score) of the hits.
fn search(folder: &Path, query: &[f32], k: usize) -> Vec<(usize, f32)> {
    let index = Index::open(folder).unwrap();
    let hits = index.search(&index.all(), query, k).unwrap();
    hits.iter().map(|hit| (hit.entry.size as usize, hit.score)).collect()
}

#[test]
fn the_nearest_are_those_of_the_definition() {
    // 70,000 rows of 16 bytes are five blocks.
    let (n, e) = (70_000, 8);
    let folder = tempfile::tempdir().unwrap();
    let mut x = unit_rows((n, e), 1);
    // One picture occurs four times, far apart.
    for copy in [20_000, 40_000, 69_999] {
        let row = x.row(3).to_owned();
        x.row_mut(copy).assign(&row);
    }
    let mut store = filled(folder.path(), &x);
    let dropped = [0, 40_000, 16_384];
    store.drop_rows(dropped).unwrap();

    let query = x.row(3).to_vec();
    let score = |row: usize| -> f64 {
        x.row(row).iter().zip(&query).map(|(&x, &q)| f16::from_f32(x).to_f64() * f64::from(q)).sum()
    };
    let mut expected: Vec<(usize, f64)> = (0..n).filter(|row| !dropped.contains(row)).map(|r| (r, score(r))).collect();
    expected.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let hits = search(folder.path(), &query, 100);
    assert_eq!(hits.iter().take(3).map(|hit| hit.0).collect::<Vec<_>>(), [3, 20_000, 69_999]);
    for (hit, expected) in hits.iter().zip(&expected) {
        // The tolerance is eight roundings of numbers below one. Neighbours in rank may be nearer to each other than
        // that.
        assert!((f64::from(hit.1) - expected.1).abs() < 1e-6 && (score(hit.0) - expected.1).abs() < 1e-6);
    }
    for threads in [1, 2, 5] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| search(folder.path(), &query, 100)), hits, "{threads} threads");
    }
    assert_eq!(search(folder.path(), &query, n + 1).len(), n - dropped.len());
}

#[test]
fn dropped_rows_are_written_away_once_there_are_many() {
    let folder = tempfile::tempdir().unwrap();
    let x = unit_rows((40, 16), 2);
    let mut store = filled(folder.path(), &x);
    let hits = search(folder.path(), x.row(11).as_slice().unwrap(), 40);
    store.drop_rows(0..10).unwrap();
    store.compact().unwrap();
    assert!(folder.path().join("embeddings-0.f16").is_file());
    store.drop_rows([10]).unwrap();
    let before = search(folder.path(), x.row(11).as_slice().unwrap(), 40);
    // A reader that has the old files open goes on with them.
    let reader = Index::open(folder.path()).unwrap();
    store.compact().unwrap();
    assert!(!folder.path().join("embeddings-0.f16").exists() && !folder.path().join("entries-0.jsonl").exists());
    assert_eq!(fs::metadata(folder.path().join("embeddings-1.f16")).unwrap().len(), 29 * 32);
    assert_eq!(search(folder.path(), x.row(11).as_slice().unwrap(), 40), before);
    assert_eq!(reader.search(&reader.all(), x.row(11).as_slice().unwrap(), 40).unwrap().len(), 29);
    let expected: Vec<_> = hits.into_iter().filter(|hit| hit.0 > 10).collect();
    assert_eq!(before, expected);
    // The index can grow afterwards.
    store.append(&[entry(0)], x.slice(ndarray::s![..1, ..])).unwrap();
    assert_eq!(search(folder.path(), x.row(0).as_slice().unwrap(), 1)[0].0, 0);
}

#[test]
fn what_was_not_committed_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let x = unit_rows((9, 4), 3);
    drop(filled(folder.path(), &x));
    let append = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, [&fs::read(&path).unwrap(), bytes].concat()).unwrap();
    };
    append("embeddings-0.f16", &[0xff; 13]);
    append("codes-0.i8", &[7; 100]);
    append("lines-0.u64", &[7; 3]);
    append("digests-0.u128", &[7; 20]);
    append("entries-0.jsonl", b"{\"path\":\"half a li");
    // These are the files that a killed compaction and a killed write of index.json leave.
    for name in
        ["embeddings-1.f16", "entries-1.jsonl", "codes-1.i8", "lines-1.u64", "digests-1.u128", ".index.json.1.part"]
    {
        fs::write(folder.path().join(name), "remains").unwrap();
    }
    assert_eq!(search(folder.path(), x.row(8).as_slice().unwrap(), 1)[0].0, 8);
    let mut store = Store::open(folder.path(), "..", model(), 4).unwrap();
    store.append(&[entry(9)], unit_rows((1, 4), 9).view()).unwrap();
    assert_eq!(store.entries().unwrap().len(), 10);
    assert_eq!(search(folder.path(), unit_rows((1, 4), 9).as_slice().unwrap(), 1)[0].0, 9);
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    let files = ["codes-0.i8", "digests-0.u128", "embeddings-0.f16", "entries-0.jsonl"];
    assert_eq!(names, [&files[..], &["index.json", "index.lock", "lines-0.u64"]].concat());
    assert_eq!(store.digests().unwrap(), [None; 10]);
}

/// An index of the version before codes is searched as it is, and gets them when it is written to.
#[test]
fn an_index_without_codes_is_searched_and_gets_them() {
    let folder = tempfile::tempdir().unwrap();
    let x = unit_rows((900, 24), 7);
    let mut store = filled(folder.path(), &x);
    store.drop_rows([3]).unwrap();
    drop(store);
    let query = x.row(8).to_vec();
    let hits = search(folder.path(), &query, 5);
    let made = ["codes-0.i8", "lines-0.u64"].map(|name| {
        let path = folder.path().join(name);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        (path, bytes)
    });
    let manifest = folder.path().join("index.json");
    let json = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, json.replace("\"version\":4", "\"version\":2")).unwrap();
    assert_eq!(search(folder.path(), &query, 5), hits);
    assert!(!made[0].0.exists());
    // What a killed run has left of them is not taken for them.
    fs::write(&made[0].0, "remains").unwrap();
    let mut store = Store::open(folder.path(), "..", model(), 24).unwrap();
    assert_eq!(fs::read_to_string(&manifest).unwrap(), json);
    assert!(made.iter().all(|(path, bytes)| fs::read(path).unwrap() == *bytes));
    assert_eq!(search(folder.path(), &query, 5), hits);
    store.append(&[entry(900)], unit_rows((1, 24), 9).view()).unwrap();
    assert_eq!(search(folder.path(), unit_rows((1, 24), 9).as_slice().unwrap(), 1)[0].0, 900);
}

#[test]
fn only_one_writes() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &unit_rows((3, 4), 4));
    let second = Store::open(folder.path(), "..", model(), 4);
    assert!(matches!(second, Err(IndexError::Busy { .. })));
    drop(store);
    Store::open(folder.path(), "..", model(), 4).unwrap();
    let other = ModelId { fingerprint: "4567".into(), ..model() };
    assert!(matches!(Store::open(folder.path(), "..", other, 4), Err(IndexError::OtherModel { .. })));
}

/// Changes one file of an index; returns the messages of opening it for writing and of searching it.
fn broken(file: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) -> [String; 2] {
    let folder = tempfile::tempdir().unwrap();
    let x = unit_rows((9, 4), 5);
    drop(filled(folder.path(), &x));
    let path = folder.path().join(file);
    fs::write(&path, change(fs::read(&path).unwrap())).unwrap();
    let search =
        Index::open(folder.path()).and_then(|index| index.search(&index.all(), x.row(0).as_slice().unwrap(), 9));
    let store = Store::open(folder.path(), "..", model(), 4).and_then(|store| store.entries());
    let text = |error: IndexError| error.to_string().replace(&folder.path().display().to_string(), "INDEX");
    [search.map_or_else(text, |_| "found".into()), store.map_or_else(text, |_| "opened".into())]
}

#[test]
fn broken_files_are_named() {
    let not = |file: &str, reason: &str| format!("INDEX/{file}: not an index that can be used: {reason}");
    let truncated = |bytes: Vec<u8>| bytes[..bytes.len() - 1].to_vec();
    let short = not("embeddings-0.f16", "it has 71 bytes, index.json promises 72");
    assert_eq!(broken("embeddings-0.f16", truncated), [short.clone(), short]);
    let [search, store] = broken("entries-0.jsonl", truncated);
    assert!(search.contains("entries-0.jsonl") && search.contains("promises"), "{search}");
    assert_eq!(search, store);

    for (half, value) in [(0x7e00u16, "NaN"), (0x7c00, "inf"), (0x7bff, "")] {
        let [search, _] = broken("embeddings-0.f16", |mut bytes| {
            bytes[8 * 5..][..2].copy_from_slice(&half.to_le_bytes());
            bytes
        });
        assert!(search.contains("row 5 is not a vector of unit length"), "{search}");
        assert!(search.contains(value), "{search}");
    }
    let [search, store] = broken("entries-0.jsonl", |bytes| {
        String::from_utf8(bytes).unwrap().replace("folder/4.jpg", "../../4.jp").into_bytes()
    });
    assert!(
        search.contains("line 5: \"../../4.jp\" is not a path below a folder") || search.contains("promises"),
        "{search}"
    );
    assert_eq!(search, store);
    let [search, store] =
        broken("entries-0.jsonl", |bytes| bytes.iter().map(|b| if *b == b'\n' { b' ' } else { *b }).collect());
    assert!(search.contains("the last line has no end"), "{search}");
    assert_eq!(search, store);

    let [search, store] = broken("codes-0.i8", truncated);
    assert!(search.contains("codes-0.i8") && search.contains("promises"), "{search}");
    assert_eq!(store, "opened", "codes are made again");
    for place in [0u64, 1 << 40] {
        let [search, _] = broken("lines-0.u64", |mut bytes| {
            bytes[8 * 5..][..8].copy_from_slice(&place.to_le_bytes());
            bytes
        });
        assert!(search.contains("lines-0.u64: not an index that can be used: line "), "{search}");
    }

    let magic = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace("clip-index", "clap-index").into_bytes();
    let wrong = not("index.json", "its format is \"clap-index\" instead of \"clip-index\"");
    assert_eq!(broken("index.json", magic), [wrong.clone(), wrong]);
    let dated =
        |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace("\"version\":4", "\"version\":1").into_bytes();
    let older = not("index.json", "it was made by an older version of this program");
    assert_eq!(broken("index.json", dated), [older.clone(), older]);
    for bytes in [&b""[..], b"{", b"[]", b"\xff\xfe", b"null"] {
        let [search, store] = broken("index.json", |_| bytes.to_vec());
        assert!(search.starts_with(&not("index.json", "")), "{search}");
        assert_eq!(search, store);
    }
}

#[test]
fn an_index_is_found_by_its_own_name_or_by_the_folder_of_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join(clipwright::index::FOLDER);
    filled(&inside, &unit_rows((2, 4), 6));
    for path in [folder.path(), &inside] {
        let index = Index::open(path).unwrap();
        assert_eq!(index.file(&entry(1)), folder.path().join("folder/1.jpg"));
    }
    let error = Index::open(&PathBuf::from("nowhere")).unwrap_err().to_string();
    assert_eq!(error, "nowhere: no index here");
}
