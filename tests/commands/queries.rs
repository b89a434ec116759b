//! What `clipwright search` can be asked: sums of texts and pictures.

use super::search::{Bench, Outcome, paths};
use clipwright::pictures::decode;
use clipwright::{ImageEncoder, TextEncoder};
use half::f16;
use ndarray::Array1;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::time::{Duration, UNIX_EPOCH};

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

/// Searches with one zone of the clock; returns the numbers of the pictures found, and what standard output says of them.
fn found(bench: &Bench, zone: &str, args: &[&str]) -> (Vec<usize>, String) {
    let args = [&["search", "pictures", "a cat", "-k", "100"], args].concat();
    let run = |args: &[&str]| String::from_utf8(bench.command(args).env("TZ", zone).output().unwrap().stdout).unwrap();
    let report: Value = serde_json::from_str(&run(&[&args[..], &["--json"]].concat())).unwrap();
    let number = |path: String| (0..100).find(|&i| path == Bench::name(i)).unwrap();
    let mut numbers: Vec<usize> = paths(&report).into_iter().map(number).collect();
    numbers.sort_unstable();
    assert_eq!(report["pictures"], 7);
    if let Some(matching) = report["matching"].as_u64() {
        assert_eq!(matching, numbers.len() as u64);
    }
    (numbers, run(&args))
}

#[test]
fn filters_leave_pictures_out_and_count_them() {
    let bench = Bench::new(8);
    // Picture i is of i hours after midnight in Berlin, 2026-01-31; one is dropped from the index.
    for i in 0..8 {
        let time = UNIX_EPOCH + Duration::from_secs(1_769_814_000 + 3600 * i as u64);
        File::options().write(true).open(bench.picture(i)).unwrap().set_modified(time).unwrap();
    }
    bench.index();
    fs::remove_file(bench.picture(7)).unwrap();
    bench.index();
    let all = |args: &[&str]| found(&bench, "Europe/Berlin", args).0;
    assert_eq!(all(&[]), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(all(&["--path", "sub"]), [2, 5]);
    assert_eq!(all(&["--path", "sub/2.png", "--path", "[34].png"]), [2, 3, 4]);
    assert_eq!(all(&["--not-path", "SUB/*.PNG", "--not-path", "1.png"]), [0, 3, 4, 6]);
    assert_eq!(all(&["--after", "2026-01-31", "--before", "2026-01-31T03:00"]), [0, 1, 2]);
    assert_eq!(all(&["--after", "2026-01-31T03:00Z"]), [4, 5, 6]);
    // In Greenwich the day begins an hour later.
    assert_eq!(found(&bench, "UTC", &["--after", "2026-01-31"]).0, [1, 2, 3, 4, 5, 6]);
    let (numbers, said) = found(&bench, "UTC", &["--before", "2026-01-31", "--path", "*.png"]);
    assert!(numbers == [0] && said.ends_with("\n1 of 7 pictures matches the filters\n"), "{said}");
    let (numbers, said) = found(&bench, "UTC", &["--before", "2026-01-30"]);
    assert_eq!(
        (numbers.len(), said.as_str()),
        (0, "no picture is left to search\n0 of 7 pictures match the filters\n")
    );

    // A filter changes neither scores nor order of the others.
    let search = |args: &[&str]| bench.json(&[&["search", "pictures", "a cat"], args].concat());
    let (whole, part) = (scores(&search(&[])), scores(&search(&["--not-path", "sub"])));
    assert_eq!(part, whole.iter().filter(|hit| !hit.0.contains("sub")).cloned().collect::<Vec<_>>());

    let (least, rest) = (whole[2].1.to_string(), &whole[..3]);
    assert_eq!(scores(&search(&["--above", &least])), rest);
    let said = bench.run(&["search", "pictures", "a cat", "--above", "0.999"]).out;
    let expected = format!("no picture has a cosine of 0.999 or more; the best has {:.4}\n", whole[0].1);
    assert_eq!(said, expected);
    for args in [["--path", "a["], ["--after", "soon"], ["--above", "2"]] {
        let Outcome { code, error, .. } = bench.run(&[&["search", "pictures", "a cat"], &args[..]].concat());
        assert!(code == 2 && error.contains(args[0]) && error.contains(args[1]), "{error}");
    }
}
