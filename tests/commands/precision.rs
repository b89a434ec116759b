//! Embedding in eight bits, by the commands.

use super::bench::{Bench, bench};
use ndarray::Array2;

/// Embeds what the arguments name.
fn embed(bench: &Bench, args: &[&str]) -> Array2<f32> {
    let rows = bench.json(&[&["embed"], args].concat());
    let numbers: Vec<Vec<f32>> =
        rows.iter().map(|row| serde_json::from_value(row["embedding"].clone()).unwrap()).collect();
    Array2::from_shape_vec((rows.len(), 64), numbers.concat()).unwrap()
}

#[test]
fn pictures_and_texts_are_embedded_in_eight_bits_if_asked_for() {
    let bench = bench();
    bench.write("texts.txt", "a dog\na red car at night\na cat under a tree\n");
    for what in [&["a.png", "b.jpg", "c.png"][..], &["--texts", "texts.txt"]] {
        let exact = embed(&bench, what);
        assert_eq!(embed(&bench, &[what, &["--precision", "f32"]].concat()), exact, "f32 is the default");
        let rounded = embed(&bench, &[what, &["--precision", "int8"]].concat());
        assert_eq!(embed(&bench, &[what, &["--precision", "int8"]].concat()), rounded, "the same bits again");
        assert_ne!(rounded, exact);
        for (rounded, exact) in rounded.rows().into_iter().zip(exact.rows()) {
            assert!(rounded.dot(&exact) > 0.999, "{what:?}: cosine {}", rounded.dot(&exact));
            assert!((rounded.dot(&rounded) - 1.0).abs() < 1e-5, "unit length");
        }
    }
}

#[test]
fn an_index_made_in_32_bits_is_searched_in_eight() {
    let bench = bench();
    let found = |args: &[&str]| bench.json(&[&["search", ".", "--image", "b.jpg", "-k", "1"], args].concat());
    assert_eq!(bench.run(&["index", "."]).code, 0);
    let [exact, rounded] = ["f32", "int8"].map(|precision| found(&["--precision", precision])[0]["hits"][0].clone());
    assert_eq!(rounded["path"], exact["path"]);
    let [exact, rounded] = [&exact, &rounded].map(|hit| hit["score"].as_f64().expect("a score"));
    assert!((exact - rounded).abs() < 0.01 && exact != rounded, "{exact} and {rounded}");
}

#[test]
fn what_cannot_be_computed_in_is_refused() {
    let bench = bench();
    let refused = bench.run(&["embed", "a.png", "--precision", "int4"]);
    assert_eq!(refused.code, 2);
    assert!(refused.error.contains("int4") && refused.error.contains("f32, int8"), "{}", refused.error);
}

#[test]
fn bench_says_what_it_computes_in() {
    let bench = bench();
    let only = ["bench", "--batch", "2", "--repeats", "1", "--only", "encode_text", "--precision"];
    let report = |precision| bench.json(&[&only[..], &[precision]].concat()).remove(0);
    assert!(report("f32")["integers"].is_null() && report("f32")["precision"] == "f32");
    assert!(report("int8")["integers"].is_string() && report("int8")["precision"] == "int8");
    let text = bench.run(&[&only[..], &["int8"]].concat()).out;
    assert!(text.contains("encoding in int8, by "), "{text}");
}
