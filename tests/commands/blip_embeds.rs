//! The commands that embed pictures and texts, with BLIPs, against the library.

use super::bench::{Bench, lines};
use super::blip::{bench, blip, fails, pictures, put};
use clipwright::checkpoint::blip::Format;
use clipwright::models::blip::Parts;
use ndarray::Array2;
use serde_json::Value;
use std::fs;

/// Returns the rows of lines of JSON.
fn rows(lines: &[Value]) -> Array2<f32> {
    let row = |line: &Value| -> Vec<f32> { serde_json::from_value(line["embedding"].clone()).unwrap() };
    let flat: Vec<f32> = lines.iter().flat_map(row).collect();
    Array2::from_shape_vec((lines.len(), flat.len() / lines.len()), flat).unwrap()
}

#[test]
fn embeddings_are_those_of_the_facade() {
    let bench = bench(Parts::Matcher);
    let blip = blip(&bench);
    assert_eq!(rows(&bench.json(&["embed", "photos"])), blip.encode_image(&pictures(&bench)).unwrap());
    bench.write("texts.txt", "A red CAR!\ntwo dogs, one cat\n");
    let texts = rows(&bench.json(&["embed", "--texts", "texts.txt"]));
    assert_eq!(texts, blip.encode_text(&["a red car", "two dogs, one cat"]).unwrap());
    bench.write("texts.txt", "a car\n...\n");
    fails(&bench.run(&["embed", "--texts", "texts.txt"]), 1, &["texts.txt, line 2", "cleaning"]);
    bench.write("texts.txt", format!("{}red", "so ".repeat(31)));
    assert!(bench.run(&["embed", "--texts", "texts.txt"]).error.contains("30 words and 35 tokens"));
}

#[test]
fn classes_are_ranked_by_cosines() {
    let bench = bench(Parts::Pretrained);
    let blip = blip(&bench);
    let labels = ["cat", "dog", "red car"];
    let outcome = bench.run(&["classify", "photos", "--labels", "cat,dog,red car", "--json"]);
    assert!(outcome.code == 0 && outcome.error.contains("0.07"), "{outcome:?}");
    let prompts = labels.map(|label| format!("a photo of a {label}"));
    let cosines = blip.encode_image(&pictures(&bench)).unwrap().dot(&blip.encode_text(&prompts).unwrap().t());
    for (line, cosines) in super::bench::lines(&outcome.out).iter().zip(cosines.rows()) {
        let sum: f32 = cosines.iter().map(|cosine| (cosine / 0.07).exp()).sum();
        for scored in line["best"].as_array().unwrap() {
            let cosine = cosines[scored["index"].as_u64().unwrap() as usize];
            assert!((scored["cosine"].as_f64().unwrap() as f32 - cosine).abs() < 1e-5);
            assert!((scored["probability"].as_f64().unwrap() as f32 - (cosine / 0.07).exp() / sum).abs() < 1e-4);
        }
    }
}

#[test]
fn models_without_heads_embed_nothing() {
    for (parts, what) in [(Parts::Captioner, "a captioner"), (Parts::Answerer, "answers questions")] {
        let bench = bench(parts);
        for command in [&["embed", "photos"][..], &["index", "photos"], &["classify", "photos", "--labels", "a,b"]] {
            fails(&bench.run(command), 1, &["model/model.safetensors", what, "blip-itm-base-coco"]);
        }
        assert!(!bench.path("photos/.clip-index/index.json").exists());
        fails(&bench.run(&["embed", "photos", "--activation", "gelu"]), 2, &["--activation", "BLIP"]);
        fails(&bench.run(&["embed", "photos", "--precision", "int8"]), 2, &["--precision", "BLIP"]);
    }
}

/// Returns paths and scores of hits.
fn hits(line: &Value) -> Vec<(String, f32)> {
    let hit = |hit: &Value| (hit["path"].as_str().unwrap().to_owned(), hit["score"].as_f64().unwrap() as f32);
    line["hits"].as_array().unwrap().iter().map(hit).collect()
}

/// Returns the match logits and the cosines of all pictures.
fn judged(bench: &Bench, text: &str) -> Vec<(String, f32, f32)> {
    let matches = blip(bench).match_texts(&pictures(bench), &[text]).unwrap();
    let of = |i: usize| (format!("photos/p{i}.png"), matches.logits[[i, 0]], matches.cosines[[i, 0]]);
    (0..10).map(of).collect()
}

#[test]
fn a_search_ranks_again() {
    let bench = bench(Parts::Matcher);
    assert_eq!(bench.json(&["index", "photos"])[0]["added"], 10);
    let manifest: Value =
        serde_json::from_slice(&fs::read(bench.path("photos/.clip-index/index.json")).unwrap()).unwrap();
    assert_eq!(manifest["model"]["kind"], "blip");
    let mut judged = judged(&bench, "a red car");
    judged.sort_by(|a, b| b.2.total_cmp(&a.2));
    let plain = bench.json(&["search", "photos", "A red CAR!"]);
    for ((path, score), (expected, _, cosine)) in hits(&plain[0]).iter().zip(&judged) {
        // Embeddings are stored with eleven bits.
        assert!((score - cosine).abs() < 2e-3 && (path == expected || plain.len() > 1), "{path} {expected}");
    }

    let again = bench.json(&["search", "photos", "A red CAR!", "--rerank", "6", "-k", "8"]);
    let again_hits = hits(&again[0]);
    let mut best: Vec<(String, f32)> = hits(&plain[0])[..6]
        .iter()
        .map(|(path, _)| judged.iter().find(|(other, ..)| other == path).unwrap())
        .map(|(path, logit, cosine)| (path.clone(), logit + cosine))
        .collect();
    best.sort_by(|a, b| b.1.total_cmp(&a.1));
    for ((path, score), (expected, other)) in again_hits.iter().zip(&best) {
        assert!(path == expected && (score - other).abs() < 1e-5, "{again_hits:?} {best:?}");
    }
    assert_eq!((again_hits.len(), &again_hits[6..]), (8, &hits(&plain[0])[6..8]));
    assert!(again[0]["hits"][0]["logit"].is_number() && again[0]["hits"][6].get("logit").is_none());

    // Pictures that are gone or damaged keep their order behind the others.
    let gone = [&hits(&plain[0])[0].0, &hits(&plain[0])[2].0];
    fs::remove_file(bench.path(gone[0])).unwrap();
    bench.write(gone[1], "no picture");
    let outcome = bench.run(&["search", "photos", "a red car", "--rerank", "10", "--html", "a.html"]);
    assert!(outcome.code == 0 && gone.iter().all(|path| outcome.error.contains(&path[..])), "{outcome:?}");
    let lines: Vec<&str> = outcome.out.lines().collect();
    assert!(lines[8].ends_with(gone[0]) && lines[9].ends_with(gone[1]), "{outcome:?}");
    assert_eq!(lines[10], "scores are match logit + cosine, of the last 2 cosines alone");
    assert!(fs::read_to_string(bench.path("a.html")).unwrap().contains("scores are match logit + cosine"));

    fails(&bench.run(&["search", "photos", "(...)"]), 2, &["(...)", "cleaning"]);
    fails(&bench.run(&["search", "photos", "--image", "photos/p1.png", "--rerank", "2"]), 2, &["--rerank", "--image"]);
}

#[test]
fn an_index_belongs_to_its_model() {
    let bench = bench(Parts::Matcher);
    bench.json(&["index", "photos"]);
    let search = |model: &str| bench.run_alone(&["search", "photos", "a car", "--model", model]);
    fails(&search("clip"), 1, &["a BLIP", "a CLIP", "cannot be compared"]);
    put(&bench.path("other"), Parts::Pretrained, Format::Original);
    fails(&search("other"), 1, &["an index of embeddings by", "cannot be compared"]);
    assert_eq!(bench.run_alone(&["search", "photos", "a car"]).code, 0, "the index has a model");
    assert_eq!(bench.run_alone(&["index", "photos"]).code, 0);
    assert_eq!(bench.run_alone(&["index", "photos", "--output", "of_clip", "--model", "clip"]).code, 0);
    let outcome = bench.run_alone(&["search", "of_clip", "a car", "--rerank", "3"]);
    fails(&outcome, 2, &["--rerank", "of_clip", "CLIP"]);
}

#[test]
fn bench_times_what_either_family_does() {
    let bench = bench(Parts::Answerer);
    let names = |model: &str, only: &[&str]| -> Vec<String> {
        let args = [&["bench", "--json", "--model", model, "--batch", "2", "--repeats", "1"], only].concat();
        let outcome = bench.run_alone(&args);
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let report = &lines(&outcome.out)[0];
        let of = |result: &Value| {
            assert!(result["median_seconds"].as_f64() > Some(0.0) && result["gflop"].as_f64() > Some(0.0), "{result}");
            result["work"].as_str().unwrap().to_string()
        };
        report["results"].as_array().unwrap().iter().map(of).collect()
    };
    assert_eq!(names("model", &[]), ["encode_image", "encode_text", "train_step", "match", "caption", "answer"]);
    assert_eq!(names("clip", &[]), ["encode_image", "encode_text", "train_step", "info_nce"]);
    assert_eq!(names("model", &["--only", "match,answer"]), ["match", "answer"]);
    let refused = bench.run_alone(&["bench", "--model", "model", "--only", "info_nce"]);
    fails(&refused, 2, &["info_nce", "match, caption, answer"]);
    for model in ["model", "clip"] {
        let refused = bench.run_alone(&["bench", "--model", model, "--image-size", "7"]);
        fails(&refused, 2, &["--image-size 7", "multiple"]);
    }
    let small = ["--image-size", "16", "--only", "train_step"];
    assert_eq!([names("model", &small), names("clip", &small)], [["train_step"]; 2]);
    let small = ["--image-size", "16", "--only", "train_step", "--grad-checkpointing"];
    assert_eq!([names("model", &small), names("clip", &small)], [["train_step"]; 2]);
    for (model, only) in [("clip", "encode_image"), ("RN50", "train_step")] {
        let refused = bench.run_alone(&["bench", "--model", model, "--only", only, "--grad-checkpointing"]);
        fails(&refused, 2, &["--grad-checkpointing", if model == "clip" { "train_step" } else { "a ResNet" }]);
    }
}
