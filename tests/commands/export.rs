//! The files that `clipwright export` and `embed` write for other programs, read as those read them.

use super::search::{Bench, Outcome};
use serde_json::{Value, json};
use std::fs;

/// Returns the numbers behind a header of so many bytes.
fn numbers(bytes: &[u8], header: usize) -> Vec<f32> {
    bytes[header..].as_chunks::<4>().0.iter().map(|&x| f32::from_le_bytes(x)).collect()
}

fn int(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

#[test]
fn an_index_is_exported_in_the_order_of_its_rows() {
    let bench = Bench::new(9);
    bench.index();
    fs::remove_file(bench.picture(4)).unwrap();
    bench.index();
    let report = bench.json(&["export", "pictures", "--output", "all.faiss"]);
    assert_eq!(report, json!({"output": "all.faiss", "rows": 8, "width": 64, "names": "all.names.jsonl"}));
    let faiss = fs::read(bench.path("all.faiss")).unwrap();
    assert_eq!(
        (&faiss[..4], &faiss[4..8], int(&faiss, 8), int(&faiss, 37)),
        (&b"IxFI"[..], &[64, 0, 0, 0][..], 8, 512)
    );
    let rows = numbers(&faiss, 45);
    bench.json(&["export", "pictures", "-o", "all.npy"]);
    let npy = fs::read(bench.path("all.npy")).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([npy[8], npy[9]]));
    assert!(
        npy.starts_with(b"\x93NUMPY\x01\0") && String::from_utf8_lossy(&npy[..header]).contains("'shape': (8, 64)")
    );
    assert_eq!(numbers(&npy, header), rows);
    // A picture's row finds the picture: the largest dot product is that of its own row.
    let names = fs::read_to_string(bench.path("all.names.jsonl")).unwrap();
    let names: Vec<Value> = names.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(names.len() == 8 && !names.contains(&json!({"image": Bench::name(4)})));
    let embedded = bench.run(&["embed", "--model", "model", &Bench::name(5)]).out;
    let own: Vec<f32> =
        serde_json::from_value(serde_json::from_str::<Value>(&embedded).unwrap()["embedding"].clone()).unwrap();
    let dot = |row: &[f32]| row.iter().zip(&own).map(|(a, b)| a * b).sum::<f32>();
    let best = (0..8).max_by(|&a, &b| dot(&rows[64 * a..][..64]).total_cmp(&dot(&rows[64 * b..][..64]))).unwrap();
    assert_eq!(names[best], json!({"image": Bench::name(5)}));
}

#[test]
fn exported_parts_make_the_same_index_again() {
    let bench = Bench::new(7);
    bench.index();
    let report = bench.json(&["export", "pictures", "--output", "parts", "--dtype", "f16"]);
    assert_eq!(report, json!({"output": "parts", "rows": 7, "width": 64}));
    assert!(fs::read(bench.path("parts/metadata/metadata_0.parquet")).unwrap().starts_with(b"PAR1"));
    bench.json(&["index", "pictures", "--from", "parts", "--output", "again"]);
    let search = |index| bench.json(&["search", index, "a cat", "--image", &Bench::name(1)])["hits"].clone();
    let without_folder = |hits: Value| hits.to_string().replace(&bench.path("").display().to_string(), "");
    assert_eq!(without_folder(search("again")), without_folder(search("pictures")));
    for name in ["embeddings-0.f16", "entries-0.jsonl"] {
        let [a, b] = ["again", "pictures/.clip-index"].map(|index| fs::read(bench.path(index).join(name)).unwrap());
        assert!(a == b, "{name}");
    }
    // Another state of the index does not mix with this one.
    fs::remove_file(bench.picture(0)).unwrap();
    bench.index();
    assert!(
        bench.refused(&["export", "pictures", "--output", "parts", "--dtype", "f16"]).contains("parts: begun with")
    );
}

#[test]
fn embed_writes_faiss_too() {
    let bench = Bench::new(3);
    bench.json(&["embed", "pictures", "--model", "model", "--output", "a.faiss"]);
    bench.json(&["embed", "pictures", "--model", "model", "--output", "b.npy"]);
    let [faiss, npy] = ["a.faiss", "b.npy"].map(|name| fs::read(bench.path(name)).unwrap());
    assert_eq!(numbers(&faiss, 45), numbers(&npy, npy.len() - 3 * 64 * 4));
    assert_eq!(fs::read_to_string(bench.path("a.names.jsonl")).unwrap().lines().count(), 3);
}

#[test]
fn what_cannot_be_exported_is_said() {
    let bench = Bench::new(1);
    assert!(bench.refused(&["export", "pictures", "--output", "a.npy"]).contains("no index here"));
    bench.index();
    assert!(bench.refused(&["export", "pictures", "--output", "no/a.npy"]).contains("no/a.npy"));
    for (args, reason) in [
        (&["export", "pictures", "--output", "a.txt"][..], ".npy, .faiss"),
        (&["export", "pictures", "--output", "a.faiss", "--dtype", "f16"], "flat indexes are of f32"),
        (&["export", "pictures", "--output", "a.npy", "--model", "model"], "made already"),
        (
            &["embed", "pictures", "--model", "model", "--output", "a.faiss", "--dtype", "f16"],
            "flat indexes are of f32",
        ),
    ] {
        let Outcome { code, error, .. } = bench.run(args);
        assert!(code == 2 && error.contains(reason), "{error}");
    }
    assert!(!bench.path("a.npy").exists() && !bench.path("a.faiss").exists());
}
