//! What `clipwright search` can be asked: sums of texts and pictures.

use super::search::{Bench, Outcome};
use clipwright::pictures::decode;
use clipwright::{ImageEncoder, TextEncoder};
use half::f16;
use ndarray::Array1;
use serde_json::{Value, json};

/// Returns the scores of all hits by their paths.
fn scores(report: &Value) -> Vec<(String, f32)> {
    let score = |hit: &Value| (hit["path"].as_str().unwrap().to_owned(), hit["score"].as_f64().unwrap() as f32);
    report["hits"].as_array().unwrap().iter().map(score).collect()
}

#[test]
fn the_parts_of_a_query_are_a_weighted_sum() {
    let (bench, n) = (Bench::new(12), 12);
    bench.index();
    let images = ImageEncoder::load(bench.path("model")).unwrap();
    let texts = TextEncoder::load(bench.path("model")).unwrap();
    let image = |i: usize| images.encode(&[decode::open(&bench.picture(i)).unwrap()]).row(0).to_owned();
    let text = |text: &str| texts.encode(&[text]).row(0).to_owned();
    let search = |args: &[&str]| bench.json(&[&["search", "pictures", "-k", "100"], args].concat());
    let check = |args: &[&str], sum: Array1<f32>| {
        let unit = &sum / sum.dot(&sum).sqrt();
        let found = scores(&search(args));
        assert!(found.len() == n && found.is_sorted_by(|a, b| a.1 >= b.1), "{args:?}: {found:?}");
        for (path, score) in found {
            let i = (0..n).find(|&i| path == Bench::name(i)).unwrap();
            let cosine = image(i).mapv(|x| f16::from_f32(x).to_f32()).dot(&unit);
            assert!((cosine - score).abs() < 1e-5, "{args:?}, {path}: {score} instead of {cosine}");
        }
    };
    let [first, second] = [0, 1].map(Bench::name);
    check(&["a cat"], text("a cat"));
    check(&["--text", "a cat"], text("a cat"));
    check(&["--not", "a cat"], -text("a cat"));
    check(&["a cat", "--text", "a dog"], text("a cat") + text("a dog"));
    check(&["--image", &first, "--weight", "0.5", "a cat"], 0.5 * image(0) + text("a cat"));
    check(
        &["a cat", "--weight", "3", "--image", &first, "--not", "a^2", "--not-image", &second, "--weight=0.25"],
        3.0 * text("a cat") + image(0) - text("a^2") - 0.25 * image(1),
    );
    // With eight bits no tower is read in passing.
    let eight = search(&["a cat", "--image", &first, "--precision", "int8", "--model", "model"]);
    assert_eq!(scores(&eight).len(), n);

    let report = search(&["a cat", "--image", &first, "--weight", "2", "--not", "a dog"]);
    assert_eq!(report["query"], format!("a cat + 2 × {first} − a dog"));
    let parts =
        json!([{"text": "a cat", "weight": 1.0}, {"image": first, "weight": 2.0}, {"text": "a dog", "weight": -1.0}]);
    assert_eq!(report["parts"], parts);
    let marked = report["hits"].as_array().unwrap().iter().filter(|hit| hit["is_query"] == true);
    assert_eq!(marked.map(|hit| hit["path"].as_str().unwrap()).collect::<Vec<_>>(), [first]);
}

#[test]
fn a_query_that_is_none_is_refused() {
    let bench = Bench::new(2);
    bench.index();
    let refused = |args: &[&str], reason: &str| {
        let Outcome { code, out, error } = bench.run(&[&["search", "pictures"], args].concat());
        assert!(code == 2 && out.is_empty() && error.contains(reason), "{args:?}: {error}");
    };
    refused(&["a cat", "--not", "a cat"], "cancel each other out");
    refused(&["a cat", "--weight", "2", "--text", "a cat", "--not", "a cat", "--weight", "3"], "cancel each other out");
    refused(&["--weight", "2", "a cat"], "--weight 2: no text or picture stands in front of it");
    refused(&["a cat", "--weight", "-1"], "--weight");
    refused(&["a cat", "--weight=-1"], "not a number above 0");
    refused(&["--rerank", "2", "a cat", "--not", "a dog"], "--rerank");
    refused(&["--rerank", "2", "a cat", "--text", "a dog"], "--rerank");
    assert!(bench.refused(&["search", "pictures", "a cat", "--not-image", "nowhere.png"]).contains("nowhere.png"));
}
