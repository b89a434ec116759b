//! An index of a million pictures, 1 GB of f16, asked for the nearest ten; opening it is a part of the answer.
//! `cargo bench --bench search`

use clipwright::index::{Entry, Index, ModelId, Store};
use clipwright::layers::normalize;
use clipwright::random::normals;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;
use std::path::Path;

const ROWS: usize = 1_000_000;
const EMBED_DIM: usize = 512;
/// Rows written at a time.
const PART: usize = 50_000;

/// Random unit vectors.
fn vectors(n: usize, seed: usize) -> Array2<f32> {
    normalize::unit(normals((n, EMBED_DIM), seed as u64).view())
}

fn fill(folder: &Path) {
    let model =
        ModelId { path: "a/model".into(), kind: Default::default(), quick_gelu: true, fingerprint: "0123".into() };
    let mut store = Store::open(folder, "..", model, EMBED_DIM).expect("a folder that can be written");
    for start in (0..ROWS).step_by(PART) {
        let entry = |row: usize| Entry {
            path: format!("photographs/2024/{}/IMG_{row:07}.jpg", row / 1000),
            size: row as u64,
            modified: 1_700_000_000_000_000_000 + row as i64,
        };
        let entries: Vec<_> = (start..start + PART).map(entry).collect();
        store.append(&entries, vectors(PART, start).view()).expect("room for a gigabyte");
    }
}

fn search(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fill(folder.path());
    // The first row of a part is what its seed begins with.
    let row = ROWS - 6 * PART;
    let query = vectors(1, row);
    let query = query.as_slice().expect("one row");
    let nearest =
        || Index::open(folder.path()).and_then(|index| index.search(&index.all(), query, 10)).expect("an index");
    let best = &nearest()[0];
    assert!(best.entry.size == row as u64 && best.score > 0.999, "{best:?}");

    let mut group = c.benchmark_group("search");
    group.sample_size(10);
    group.throughput(Throughput::Bytes((ROWS * EMBED_DIM * 2) as u64));
    group.bench_function("10 of a million", |b| b.iter(nearest));
    group.finish();
}

criterion_group!(benches, search);
criterion_main!(benches);
