//! Hostile versions of the three files of an index.

use super::{cases, damaged, edits, promptly};
use clipwright::index::{Entry, Index, ModelId, Store, near_earlier};
use ndarray::Array2;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const ROWS: usize = 9;
const WIDTH: usize = 4;

fn model() -> ModelId {
    ModelId { path: "some/model".into(), quick_gelu: true, fingerprint: "0123".into(), ..ModelId::default() }
}

fn entry(row: usize) -> Entry {
    Entry { path: format!("folder/{row}.jpg"), size: row as u64, modified: -5 }
}

/// Makes an index of unit vectors along the axes.
fn filled() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let x = Array2::from_shape_fn((ROWS, WIDTH), |(row, i)| if row % WIDTH == i { 1.0 } else { 0.0 });
    let entries: Vec<Entry> = (0..ROWS).map(entry).collect();
    let mut store = Store::open(folder.path(), "..", model(), WIDTH).unwrap();
    store.append(&entries, x.view()).unwrap();
    store.drop_rows([3]).unwrap();
    folder
}

/// Searches the index and writes to it: rows are added and dropped, and the files compacted.
fn use_it(folder: &Path) {
    if let Ok(index) = Index::open(folder)
        && index.manifest().embed_dim == WIDTH
        && let Ok(hits) = index.search(&index.all(), &[0.0, 1.0, 0.0, 0.0], usize::MAX)
    {
        assert!(hits.iter().all(|hit| hit.score.is_finite() && !hit.entry.path.contains("..")));
    }
    if let Ok(index) = Index::open(folder)
        && let Ok(entries) = index.entries(&index.all())
    {
        let rows: Vec<usize> = entries.into_iter().map(|(row, _)| row).collect();
        let _ = near_earlier(&index, &rows, 0.5, &|_| Ok(()));
        let _ = index.digests();
    }
    let Ok(mut store) = Store::open(folder, "..", model(), WIDTH) else { return };
    let _ = store.entries();
    let _ = store.digests();
    if store.manifest().embed_dim == WIDTH {
        let _ = store.append(&[entry(100)], Array2::zeros((1, WIDTH)).view());
    }
    let _ = store.drop_rows(0..store.manifest().rows.min(8)).and_then(|()| store.compact());
}

fn change(folder: &Path, changed: impl Fn(&mut Value)) {
    let path = folder.join("index.json");
    let mut json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    changed(&mut json);
    fs::write(path, json.to_string()).unwrap();
}

/// The tests that other seeds can be given.
pub const TESTS: &[fn()] = &[damaged_files_are_survived, monstrous_manifests_are_survived];

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn damaged_files_are_survived(file in prop::sample::select(&["index.json", "entries-0.jsonl", "embeddings-0.f16", "digests-0.u128"][..]), edits in edits()) {
        let folder = filled();
        let path = folder.path().join(file);
        fs::write(&path, damaged(&fs::read(&path).unwrap(), &edits)).unwrap();
        use_it(folder.path());
    }

    /// Well-formed numbers may promise more than any file can hold.
    #[test]
    fn monstrous_manifests_are_survived(
        changes in prop::collection::vec((
            prop::sample::select(&["embed_dim", "rows", "entry_bytes", "generation", "dropped", "root"][..]),
            prop::sample::select(vec![json!(0), json!(1), json!(4), json!(8), json!(1 << 16), json!(1u64 << 40), json!(u64::MAX), json!(-1),
                json!([]), json!([8]), json!([0, 1, 2, 3, 4, 5, 6, 7, 8]), json!([u64::MAX]), json!(""), json!("/"), json!("../../..")]),
        ), 1..4),
    ) {
        let folder = filled();
        change(folder.path(), |json| changes.iter().for_each(|(field, value)| json[*field] = value.clone()));
        promptly(|| use_it(folder.path()));
    }
}

/// The largest generation number is refused, since the next generation must have a number too.
#[test]
fn the_last_generation_is_refused() {
    let folder = filled();
    for file in ["embeddings", "entries"] {
        let end = if file == "entries" { "jsonl" } else { "f16" };
        let [from, to] = [0, u64::MAX].map(|generation| folder.path().join(format!("{file}-{generation}.{end}")));
        fs::rename(from, to).unwrap();
    }
    change(folder.path(), |json| json["generation"] = json!(u64::MAX));
    let error = Store::open(folder.path(), "..", model(), WIDTH).unwrap_err().to_string();
    assert!(error.contains("generation"), "{error}");
}
