//! `clipwright explain`: tokens, models and gradient checks.

use super::bench::{Bench, Outcome, bench, lines};
use super::blip;
use clipwright::models::blip::Parts;
use clipwright::models::clip::Config;
use clipwright::models::clip::model;
use clipwright::params::count;
use clipwright::text::Tokenizer;
use serde_json::{Value, json};
use std::fs;

/// Runs a command that must succeed and say nothing else, in a folder without a model; returns its lines of JSON.
#[track_caller]
fn json_alone(bench: &Bench, args: &[&str]) -> Vec<Value> {
    let outcome = bench.run_alone(&[&["explain"], args, &["--json"]].concat());
    assert_eq!((outcome.code, outcome.error.as_str()), (0, ""), "{args:?}");
    lines(&outcome.out)
}

#[track_caller]
fn refused(outcome: &Outcome, reason: &str) {
    assert!(outcome.code == 2 && outcome.error.contains(reason), "{outcome:?}");
}

fn ids(tokens: &Value) -> Vec<u64> {
    tokens.as_array().unwrap().iter().map(|token| token["id"].as_u64().unwrap()).collect()
}

#[test]
fn tokens_are_those_of_clip_without_a_model() {
    let bench = bench();
    let texts = ["A photo of a cat", "naïve 東京"];
    let said = json_alone(&bench, &[&["tokens"][..], &texts].concat());
    let clip = Tokenizer::clip();
    for (text, said) in texts.iter().zip(&said) {
        let expected: Vec<u64> = clip.encode(text, 77).ids.into_iter().map(u64::from).collect();
        assert_eq!((ids(&said["tokens"]), &said["context_length"]), (expected, &json!(77)));
        assert_eq!(said["leaves"], said["tokens"].as_array().unwrap().len() - 1);
        assert_eq!(said["cut_off"], json!([]));
    }
    assert_eq!((&said[0]["cleaned"], said[0]["words"].as_array().unwrap().len()), (&json!("a photo of a cat"), 5));
    let cat = &said[0]["words"][4];
    assert_eq!(cat["letters"], json!(["c", "a", "t</w>"]));
    assert_eq!(cat["merges"], json!([{"rank": 24, "parts": ["c", "at</w>"]}, {"rank": 1856, "parts": ["cat</w>"]}]));
}

/// A model's own context cuts, and the end stays.
#[test]
fn what_does_not_fit_is_cut_off() {
    let bench = bench();
    let text = "a cat ".repeat(50);
    let said = &bench.json(&["explain", "tokens", &text])[0];
    let context = said["context_length"].as_u64().unwrap() as usize;
    let expected: Vec<u64> = Tokenizer::clip().encode(&text, context).ids.into_iter().map(u64::from).collect();
    assert_eq!(ids(&said["tokens"]), expected);
    assert_eq!(expected.len() + ids(&said["cut_off"]).len(), 102);
    let outcome = bench.run(&["explain", "tokens", &text]);
    assert!(outcome.out.contains("cut off") && outcome.out.contains("this row leaves the tower"), "{}", outcome.out);
}

/// A BLIP's texts are cleaned as its captions, cut into word pieces, and their first row leaves.
#[test]
fn tokens_of_a_blip() {
    let said = &blip::bench(Parts::Matcher).json(&["explain", "tokens", "(Two) Unicorns!"])[0];
    assert_eq!(
        (&said["kind"], &said["cleaned"], &said["leaves"]),
        (&json!("pieces"), &json!("two unicorns"), &json!(0))
    );
    assert_eq!(said["words"][1]["merges"], json!([]));
    assert_eq!(said["other_starts"].as_array().unwrap().len(), 2);
}

/// A page is one file, in which no text is markup, and it is whole or not there.
#[test]
fn pages_are_one_file() {
    let bench = bench();
    let topics: [&[&str]; 4] = [
        &["tokens", "<script>alert(1)</script> & a cat"],
        &["model", "Emoji-ViT-S"],
        &["model", "Emoji-BLIP-S"],
        &["gradcheck", "layer_norm", "--without", "mean"],
    ];
    for topic in topics {
        let outcome = bench.run_alone(&[&["explain"], topic, &["--output", "page.html"]].concat());
        assert_eq!((outcome.code, outcome.error.as_str()), (0, ""), "{topic:?}");
        let page = fs::read_to_string(bench.path("page.html")).unwrap();
        assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"), "{page}");
        assert!(!page.contains("<script") && !page.contains("http") && !page.contains("url("), "{page}");
        fs::remove_file(bench.path("page.html")).unwrap();
    }
    for topic in topics {
        for name in ["page.png", "page", "page.htm"] {
            let outcome = bench.run_alone(&[&["explain"], topic, &["-o", name]].concat());
            refused(&outcome, "must end in .html: this topic writes a page");
            assert!(!bench.path(name).exists());
        }
    }
    let outcome = bench.run_alone(&["explain", "model", "RN50", "--output", "no/page.html"]);
    assert!(outcome.code == 1 && outcome.error.contains("no/page.html"), "{outcome:?}");
}

/// The parts of a preset are the whole, and so are those of a checkpoint with the same sizes.
#[test]
fn parts_of_a_model() {
    let bench = bench();
    let said = &json_alone(&bench, &["model", "ViT-B-32", "--caption-tokens", "77"])[0];
    let config = Config::preset("ViT-B-32").unwrap();
    assert_eq!(said["parameters"], count(&model::spec(&config)));
    let [image, text, joint] = &said["towers"].as_array().unwrap()[..] else { panic!("{said}") };
    assert_eq!(image["multiply_adds"], config.vision().flops(0.0).forward / 2.0);
    assert_eq!(text["multiply_adds"], config.text().flops(77).forward / 2.0);
    assert_eq!(joint["parameters"], 1);
    let parts: Vec<_> = image["parts"].as_array().unwrap().iter().map(|part| (&part["name"], &part["count"])).collect();
    assert_eq!(format!("{parts:?}").matches("String").count(), 6, "{parts:?}");
    assert_eq!((&image["parts"][2]["count"], &image["parts"][2]["input"]), (&json!(11), &json!([50, 768])));
    for tower in [image, text] {
        for column in ["parameters", "multiply_adds", "kept_bytes"] {
            let sum: f64 = tower["parts"].as_array().unwrap().iter().map(|part| part[column].as_f64().unwrap()).sum();
            assert_eq!(Some(sum), tower[column].as_f64(), "{column}");
        }
        let flow = tower["parts"].as_array().unwrap().windows(2);
        flow.for_each(|pair| assert_eq!(pair[0]["output"], pair[1]["input"]));
    }
    let fewer = &json_alone(&bench, &["model", "ViT-B-32", "--caption-tokens", "77", "--grad-checkpointing"])[0];
    assert!(fewer["towers"][0]["kept_bytes"].as_f64() < image["kept_bytes"].as_f64().map(|bytes| bytes / 2.0));

    let own = &bench.json(&["explain", "model"])[0];
    assert_eq!(own["parameters"], bench.json(&["info"])[0]["parameters"]);
    refused(&bench.run(&["explain", "model", "RN50"]), "not both");
    refused(&bench.run_alone(&["explain", "model", "RN51"]), "RN51");
    refused(&bench.run_alone(&["explain", "model", "RN50", "--caption-tokens", "78"]), "77 at most");
}

/// Encoder and decoder of a pre-trained BLIP share parameters, which are counted once.
#[test]
fn parts_of_a_blip() {
    let bench = bench();
    for parts in [Parts::Captioner, Parts::Matcher, Parts::Answerer, Parts::Pretrained] {
        let blip = blip::bench(parts);
        let [said, info] = [&["explain", "model"][..], &["info"]].map(|args| blip.json(args).remove(0));
        assert_eq!(said["parameters"], info["parameters"], "{parts:?}");
    }
    let whole = &json_alone(&bench, &["model", "BLIP-base"])[0];
    let names: Vec<_> =
        whole["towers"].as_array().unwrap().iter().map(|tower| tower["name"].as_str().unwrap()).collect();
    let texts = ["text encoder", "image-grounded text encoder", "image-grounded text decoder"];
    assert_eq!(names, [&["image encoder"][..], &texts].concat());
    let shared = |tower: usize, part: usize| whole["towers"][tower]["parts"][part]["shared"].as_u64().unwrap();
    assert!(shared(1, 1) == 0 && shared(2, 2) > 0 && shared(3, 2) > 0, "{whole}");
}

/// A term that is left out is named by its gradient, and the library passes.
#[test]
fn a_gradient_check() {
    let bench = bench();
    let said = &json_alone(&bench, &["gradcheck", "attention", "--without", "root-of-q"])[0];
    let right: Vec<_> =
        said["gradients"].as_array().unwrap().iter().map(|g| (g["name"].clone(), g["right"].clone())).collect();
    assert_eq!(right, [("dq", false), ("dk", true), ("dv", true)].map(|(name, right)| (json!(name), json!(right))));
    assert_eq!(said["steps"].as_array().unwrap().len(), 12);
    // √c is 2, so every entry is off by as much as it is.
    let off = said["gradients"][0]["tour_error"].as_f64().unwrap();
    assert!((off - 1.0).abs() < 1e-6, "{off}");
    let text = bench.run_alone(&["explain", "gradcheck", "attention", "--without", "root-of-q"]);
    assert!(text.out.contains("dq[") && text.out.contains("expected") && !text.out.contains("dk["), "{}", text.out);
    let text = bench.run_alone(&["explain", "gradcheck", "softmax"]).out;
    assert!(text.contains("every gradient is right"), "{text}");
    let help = bench.run_alone(&["explain", "gradcheck", "--help"]).out;
    assert!(help.contains("layer_norm       mean, along, weight"), "{help}");
    refused(
        &bench.run_alone(&["explain", "gradcheck", "softmax", "--without", "root"]),
        "the terms of softmax are mean",
    );
    refused(&bench.run_alone(&["explain", "gradcheck", "sofmax"]), "softmax");
}
