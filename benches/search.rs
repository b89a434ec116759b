//! Indexes of a hundred thousand and of a million pictures, 0.5 GB of codes, asked for the nearest ten; opening them
//! is a part of the answer. The same without codes reads 1 GB of f16.

use crate::Bench;
use crate::rates::Rates;
use clipwright::index::{Entry, Index, ModelId, Store};
use clipwright::layers::normalize;
use clipwright::random::normals;
use criterion::{Criterion, Throughput};
use ndarray::Array2;
use std::fs;
use std::path::Path;

/// What is timed.
pub const BENCHES: &[Bench] = &[search];

const ROWS: [usize; 2] = [100_000, 1_000_000];
const EMBED_DIM: usize = 512;
/// Rows written at a time.
const PART: usize = 50_000;

/// Random unit vectors.
fn vectors(n: usize, seed: usize) -> Array2<f32> {
    normalize::unit(normals((n, EMBED_DIM), seed as u64).view())
}

fn fill(folder: &Path, rows: usize) {
    let model = ModelId { path: "a/model".into(), quick_gelu: true, fingerprint: "0123".into(), ..ModelId::default() };
    let mut store = Store::open(folder, "..", model, EMBED_DIM).expect("a folder that can be written");
    for start in (0..rows).step_by(PART) {
        let entry = |row: usize| Entry {
            path: format!("photographs/2024/{}/IMG_{row:07}.jpg", row / 1000),
            size: row as u64,
            modified: 1_700_000_000_000_000_000 + row as i64,
        };
        let entries: Vec<_> = (start..start + PART).map(entry).collect();
        store.append(&entries, vectors(PART, start).view()).expect("room for a gigabyte");
    }
}

/// Makes an index one of the version before codes.
fn without_codes(folder: &Path) {
    let path = folder.join("index.json");
    let json = fs::read_to_string(&path).expect("a manifest");
    fs::write(path, json.replace("\"version\":4", "\"version\":2")).expect("room for a manifest");
}

fn search(c: &mut Criterion<Rates>) {
    let mut group = c.benchmark_group("search: the nearest");
    group.sample_size(10);
    for rows in ROWS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fill(folder.path(), rows);
        // The first row of a part is what its seed begins with.
        let row = rows - 2 * PART;
        let query = vectors(1, row);
        let query = query.as_slice().expect("one row");
        let answer =
            || Index::open(folder.path()).and_then(|index| index.search(&index.all(), query, 10)).expect("an index");
        let nearest = answer();
        assert!(nearest[0].entry.size == row as u64 && nearest[0].score > 0.999, "{:?}", nearest[0]);
        group.throughput(Throughput::Bytes((rows * EMBED_DIM) as u64));
        group.bench_function(format!("10 of {rows}"), |b| b.iter(answer));
        without_codes(folder.path());
        assert_eq!(answer(), nearest);
        group.throughput(Throughput::Bytes((rows * EMBED_DIM * 2) as u64));
        group.bench_function(format!("10 of {rows} without codes"), |b| b.iter(answer));
    }
    group.finish();
}
