//! `clipwright explain picture` and `explain attention`, with tiny random models; and where a trained one finds emoji.

use super::bench::{Bench, Outcome, bench, clip};
use super::blip;
use crate::support::tiny;
use clipwright::checkpoint::{Checkpoint, Overrides};
use clipwright::datasets::emoji::{Concept, Emoji, Split, TILE, Tile, Vendor};
use clipwright::embed::explainer::{Explainer, Heat};
use clipwright::models::blip::Parts;
use clipwright::pictures::{Channels, Picture, decode};
use clipwright::text::tokenizer::VOCABULARY;
use clipwright::{TextEncoder, random};
use ndarray::{Array2, Axis};
use rand::seq::index::sample;
use serde_json::Value;
use std::fs;

fn matrix(value: &Value) -> Array2<f32> {
    let rows: Vec<&Vec<Value>> = value.as_array().unwrap().iter().map(|row| row.as_array().unwrap()).collect();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j].as_f64().unwrap() as f32)
}

/// Makes a folder with a ResNet of 2 × 2 places.
fn resnet() -> Bench {
    let mut config = tiny::resnet(16);
    (config.vision_cfg.image_size, config.text_cfg.vocab_size) = (64, VOCABULARY);
    let bench = Bench::new(config);
    super::bench::paint(&bench, "a.png", [40, 90, 200], 1);
    bench
}

#[test]
fn a_picture_has_the_cosine_and_the_heat_of_every_text() {
    for (bench, places) in [(bench(), 3), (resnet(), 2)] {
        let texts = ["a", "<b>two</b>"];
        let found = bench.json(&["explain", "picture", "a.png", texts[0], texts[1]]).remove(0);
        let (clip, cells) = (clip(&bench), 3 * places);
        let picture = decode::open(&bench.path("a.png")).unwrap();
        let expected = clip.encode_text(&texts).dot(&clip.encode_image(&[picture]).row(0));
        for (i, text) in texts.iter().enumerate() {
            let one = &found["texts"][i];
            let off = one["cosine"].as_f64().unwrap() as f32 - expected[i];
            assert!(one["text"] == *text && off.abs() < 1e-5, "{one} {off}");
            let heat = matrix(&one["heat"]);
            assert!(heat.dim() == (cells, cells) && heat.iter().all(|&heat| heat >= 0.0), "{heat}");
        }
        // 50 × 40 pixels, of which a square in the middle is seen.
        assert_eq!(found["square"], serde_json::json!([5.0, 0.0, 45.0, 40.0]));

        // Of texts that are compared, what speaks for one speaks against the other.
        let heats = [0, 1].map(|i| matrix(&found["texts"][i]["heat"]));
        assert!(heats.iter().any(|heat| heat.sum() > 0.0), "{heats:?}");
        assert!((&heats[0] * &heats[1]).iter().all(|&both| both == 0.0), "{heats:?}");

        let said = bench.run(&["explain", "picture", "a.png", "a"]).out;
        assert!(said.starts_with("a.png\n") && said.lines().count() == 2 + cells, "{said}");
    }
}

/// Returns how many drawings a page has.
fn drawings(bench: &Bench, page: &str) -> usize {
    let html = fs::read_to_string(bench.path(page)).unwrap();
    assert!(!html.contains("<script") && !html.contains("http"), "one file, and nothing from elsewhere");
    html.matches("<img alt=").count()
}

#[test]
fn drawings_are_a_picture_or_a_page() {
    let bench = bench();
    let run = |args: &[&str]| {
        let Outcome { code, error, .. } = bench.run(args);
        assert_eq!((code, error.as_str()), (0, ""), "{args:?}");
    };
    run(&["explain", "picture", "a.png", "a", "<b>two</b>", "--output", "where.html"]);
    assert_eq!(drawings(&bench, "where.html"), 3);
    let html = fs::read_to_string(bench.path("where.html")).unwrap();
    assert!(html.contains("&lt;b&gt;two&lt;/b&gt;") && !html.contains("<b>two"), "texts are no markup");
    // The picture, the mean, the rollout and two heads; three layers' matrices would be of a text.
    run(&["explain", "attention", "a.png", "--output", "seen.html"]);
    assert_eq!(drawings(&bench, "seen.html"), 5);
    // Two layers and the two heads of the last.
    run(&["explain", "attention", "--text", "a red <i>", "--output", "text.html"]);
    assert_eq!(drawings(&bench, "text.html"), 4);
    for (name, args) in [
        ("where.png", &["picture", "b.jpg", "a"][..]),
        ("seen.png", &["attention", "b.jpg"]),
        ("text.png", &["attention", "--text", "a"]),
    ] {
        run(&[&["explain"], args, &["--output", name]].concat());
        let drawn = image::open(bench.path(name)).unwrap();
        assert!(drawn.width() > 800 && drawn.height() > 400, "{name}: {} × {}", drawn.width(), drawn.height());
    }
}

#[test]
fn attention_of_a_picture_is_that_of_the_token_that_leaves() {
    let bench = bench();
    let seen = |args: &[&str]| bench.json(&[&["explain", "attention", "a.png"], args].concat()).remove(0);
    let last = seen(&[]);
    let heads: Vec<Array2<f32>> = last["heads"].as_array().unwrap().iter().map(matrix).collect();
    assert_eq!((heads.len(), heads[0].dim(), &last["layer"]), (2, (3, 3), &3.into()));
    assert!(heads.iter().all(|head| (0.2..1.0).contains(&head.sum())), "the class token has the rest: {heads:?}");
    let mean = (&heads[0] + &heads[1]) / 2.0;
    assert!((matrix(&last["mean"]) - mean).iter().all(|off| off.abs() < 1e-6));
    assert!((0.1..1.0).contains(&matrix(&last["rollout"]).sum()), "{last}");
    let first = seen(&["--layer", "1"]);
    assert!(first["heads"] != last["heads"] && first["rollout"] == last["rollout"]);

    let pool = resnet().json(&["explain", "attention", "a.png"]).remove(0);
    assert_eq!((matrix(&pool["heads"][0]).dim(), pool.get("rollout")), ((2, 2), None));
}

#[test]
fn attention_of_a_text_looks_back() {
    let bench = bench();
    let read = bench.json(&["explain", "attention", "--text", "a red cat"]).remove(0);
    assert_eq!(read["tokens"], serde_json::json!(["<start_of_text>", "a", "red", "cat", "<end_of_text>"]));
    let matrices: Vec<Array2<f32>> =
        ["means", "heads"].iter().flat_map(|of| read[of].as_array().unwrap()).map(matrix).collect();
    assert_eq!(matrices.len(), 4, "two layers, and two heads of the last");
    for shares in matrices {
        assert!(shares.indexed_iter().all(|((i, j), &share)| (share > 0.0) == (j <= i)), "{shares}");
        assert!(shares.sum_axis(Axis(1)).iter().all(|sum| (sum - 1.0).abs() < 1e-5), "{shares}");
    }
}

#[test]
fn a_blip_shows_where_it_looks_for_each_word() {
    let bench = blip::bench(Parts::Captioner);
    let picture = "photos/p3.png";
    let seen = bench.json(&["explain", "attention", picture, "--output", "words.png"]).remove(0);
    let caption = seen["caption"].as_str().unwrap();
    let words: Vec<&str> =
        seen["words"].as_array().unwrap().iter().map(|word| word["word"].as_str().unwrap()).collect();
    assert_eq!(words.join(" "), caption);
    assert!(caption.starts_with("a picture of"), "{caption}");
    assert_eq!(matrix(&seen["words"][0]["attention"]).dim(), (2, 2));
    assert!(image::open(bench.path("words.png")).unwrap().width() > 800);
    bench.run(&["explain", "attention", picture, "--output", "words.html"]);
    assert_eq!(drawings(&bench, "words.html"), 1);
    for (args, words) in [
        (&["attention", "--text", "a"][..], "--text is for CLIPs"),
        (&["attention", picture, "--layer", "1"], "--layer is for CLIPs"),
    ] {
        blip::fails(&bench.run(&[&["explain"], args].concat()), 2, &[words]);
    }
    let matcher = blip::bench(Parts::Matcher);
    blip::fails(&matcher.run(&["explain", "attention", picture]), 1, &["help: name another"]);
    blip::fails(&matcher.run(&["explain", "picture", picture, "a"]), 1, &["BLIP"]);
}

#[test]
fn bad_input_is_named() {
    let bench = bench();
    bench.write("no.png", "no picture");
    for (args, code, words) in [
        (&["picture", "no.png", "a"][..], 1, &["no.png: not a picture"][..]),
        (&["picture", "none.png", "a"], 1, &["none.png: "]),
        (&["attention", "none.png"], 1, &["none.png: "]),
        (&["picture", "a.png"], 2, &["TEXT"]),
        (&["attention"], 2, &["FILE"]),
        (&["attention", "a.png", "--text", "a"], 2, &["--text"]),
        (&["attention", "a.png", "--layer", "4"], 2, &["--layer 4: the tower has 3 layers with attention"]),
        (&["attention", "--text", "a", "--layer", "3"], 2, &["--layer 3: the tower has 2 layers"]),
        (&["picture", "a.png", "a", "--output", "a.jpg"], 2, &["a.jpg", "must end in .png or .html"]),
        (&["picture", "a.png", "a", "--output", "none/a.png"], 1, &["none/a.png"]),
    ] {
        blip::fails(&bench.run(&[&["explain"], args].concat()), code, words);
    }
    let long = bench.run(&["explain", "picture", "a.png", &"word ".repeat(50)]);
    assert!(long.code == 0 && long.error.contains("is longer than the model's 20 tokens"), "{}", long.error);
}

/// Number of pairs of emoji.
const PAIRS: usize = 40;

/// Returns the share of a text's heat in the left or in the right half, or `None` if there is no heat.
fn share(Heat { map, .. }: &Heat, side: usize) -> Option<f32> {
    let (left, right) = map.view().split_at(Axis(1), map.ncols() / 2);
    let all = left.sum() + right.sum();
    (all > 0.0).then(|| [left, right][side].sum() / all)
}

/// Returns two drawings of 64 × 64 pixels side by side in the middle of a white square of 128.
fn side_by_side(emoji: &Emoji, tiles: [Tile; 2]) -> Picture {
    let mut both = Picture::new(2 * TILE, 2 * TILE, Channels::Rgb);
    both.samples.fill(255);
    let mut drawing = Picture::default();
    for (side, tile) in tiles.into_iter().enumerate() {
        emoji.paint(tile, &mut drawing);
        for (y, row) in drawing.samples.chunks_exact(3 * TILE).enumerate() {
            let at = 3 * ((TILE / 2 + y) * 2 * TILE + side * TILE);
            both.samples[at..at + row.len()].copy_from_slice(row);
        }
    }
    both
}

/// Measures a model that was trained on emoji: the mean share of heat in the half of the drawing that a text names, over
/// 40 pairs of drawings that it was not trained on.
///
/// CLIP_MODEL=runs/NAME cargo test --release --test commands emoji_light_up -- --ignored --nocapture
#[test]
#[ignore = "it needs a trained model, which CLIP_MODEL names"]
fn emoji_light_up_in_their_own_half() {
    let path = std::env::var("CLIP_MODEL").expect("CLIP_MODEL names a model");
    let checkpoint = Checkpoint::open(path.as_ref(), &Overrides::default()).unwrap();
    let (explainer, encoder) = (Explainer::new(&checkpoint).unwrap(), TextEncoder::new(&checkpoint).unwrap());
    let emoji = Emoji::load();
    let mut means = vec![];
    for vendor in [Vendor::Noto, Vendor::Twemoji] {
        let known = |concept: &Concept| concept.split == Split::Train && !concept.is_flag();
        let tiles = emoji.tiles(|of, concept| of == vendor && known(concept));
        let mut rng = random::rng(&[1]);
        let mut shares = vec![];
        for _ in 0..PAIRS {
            let places = sample(&mut rng, tiles.len(), 2);
            let pair = [0, 1].map(|side| tiles[places.index(side)]);
            let texts = encoder.encode(&pair.map(|tile| emoji.concepts()[tile.concept].label));
            let heats = explainer.heat(&side_by_side(&emoji, pair), texts.view());
            shares.extend(heats.iter().zip([0, 1]).map(|(heat, side)| share(heat, side)));
        }
        let cold = shares.iter().filter(|share| share.is_none()).count();
        // Where there is no heat, both halves have the same.
        let mean = shares.iter().map(|share| share.unwrap_or(0.5)).sum::<f32>() / shares.len() as f32;
        println!(
            "{vendor:?}: {:.1} % of the heat in the right half; {cold} of {} without heat",
            100.0 * mean,
            2 * PAIRS
        );
        means.push(mean);
    }
    assert!(means.iter().all(|&mean| mean >= 0.7), "{means:?}");
}
