//! Plots have the stated size, show something, and survive odd input. If `PLOT_DIR` is set, they are kept there for
//! inspection.

use clipwright::app::plot::matrix::similarity_matrix;
use clipwright::app::plot::sheet::{Entry, Guess, sheet};
use clipwright::app::plot::{curves, save};
use clipwright::eval::report::{Report, Row, ZeroShot};
use clipwright::eval::retrieval::{Recall, Retrieval};
use clipwright::eval::zero_shot::TopK;
use clipwright::train::log::{Evaluation, Metrics, Step};
use clipwright::train::metric::Metric;
use image::{RgbImage, imageops};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::collections::HashSet;
use std::path::Path;

/// Checks that a plot has the size and more than a few colours, and keeps it if `PLOT_DIR` is set.
fn check(name: &str, picture: &RgbImage, size: (u32, u32)) {
    if let Ok(folder) = std::env::var("PLOT_DIR") {
        save(Path::new(&folder).join(name), picture).unwrap();
    }
    assert_eq!(picture.dimensions(), size, "{name}");
    let colours: HashSet<_> = picture.pixels().map(|p| p.0).collect();
    assert!(colours.len() > 50, "{name} has {} colours", colours.len());
    let paper = |p: &image::Rgb<u8>| p.0 == [255; 3];
    let border =
        (0..size.0).flat_map(|x| [(x, 0), (x, size.1 - 1)]).chain((0..size.1).flat_map(|y| [(0, y), (size.0 - 1, y)]));
    assert!(
        border.into_iter().all(|(x, y)| paper(picture.get_pixel(x, y))),
        "{name}: something is cut off at the edge"
    );
}

fn metrics() -> Metrics {
    let mut rng = Pcg64::seed_from_u64(1);
    let chance = 128f64.ln();
    let steps = (1..=1500).map(|step| {
        let t = step as f64 / 1500.0;
        let loss = chance * (0.28 + 0.72 * (-4.0 * t).exp()) + rng.random_range(-0.25..0.25);
        let lr = 5e-4 * if t < 0.05 { t / 0.05 } else { 0.5 + 0.5 * (std::f64::consts::PI * (t - 0.05) / 0.95).cos() };
        let metrics = vec![
            Metric::new("loss", loss).against_chance(chance),
            Metric::new("loss_image_to_text", loss - 0.1 * t),
            Metric::new("loss_text_to_image", loss + 0.1 * t),
            Metric::new("logit_scale", 14.3 + 20.0 * t * t),
            Metric::new("lr", lr),
            Metric::new("grad_norm", 1.0 + 3.0 * (-6.0 * t).exp() + rng.random_range(0.0..0.5)),
            Metric::new("pairs_per_second", 200.0 + rng.random_range(-9.0..9.0)),
        ];
        Step { step, metrics }
    });
    let evaluations = (0..=6).map(|i| Evaluation { step: 250 * i, eval: report(i as f64 / 6.0) });
    Metrics { steps: steps.collect(), evaluations: evaluations.collect() }
}

fn report(t: f64) -> Report {
    let row = |concepts: &str, pictures: &str, classes, best: f64, floor| {
        let r = |k: f64| (best * k * t.sqrt()).min(1.0);
        let recall = Recall { at1: r(1.0), at5: r(1.8), at10: r(2.1) };
        let chance = Recall { at1: 0.001, at5: 0.005, at10: 0.01 };
        Row {
            concepts: concepts.into(),
            pictures: pictures.into(),
            without_flags: false,
            images: classes,
            zero_shot: Some(ZeroShot {
                classes,
                score: TopK { top1: r(1.0), top5: r(1.8) },
                chance: TopK::chance(classes),
                floor,
            }),
            retrieval: Retrieval { image_to_text: recall, text_to_image: recall },
            retrieval_chance: Retrieval { image_to_text: chance, text_to_image: chance },
        }
    };
    let floor = |top1, top5| Some(TopK { top1, top5 });
    Report {
        rows: vec![
            row("seen", "noto, trained on", 1552, 0.52, None),
            row("seen", "twemoji, held out", 1542, 0.37, floor(0.639, 0.789)),
            row("held-out", "noto, trained on", 371, 0.12, None),
            row("held-out", "twemoji, held out", 371, 0.08, floor(0.096, 0.232)),
        ],
    }
}

#[test]
fn curves_of_a_run() {
    let metrics = metrics();
    check("loss.png", &curves::loss(&metrics), (1440, 840));
    check("recall.png", &curves::recall(&metrics), (1680, 1240));
    check("schedule.png", &curves::schedule(&metrics), (1680, 1120));
}

#[test]
fn curves_of_a_run_that_has_hardly_begun_or_blown_up() {
    let empty = Metrics::default();
    assert_eq!(curves::loss(&empty).dimensions(), (1440, 840));
    assert_eq!(curves::recall(&empty).dimensions(), (1680, 1240));
    let mut blown = Metrics { steps: metrics().steps[..1].to_vec(), evaluations: metrics().evaluations[..1].to_vec() };
    check("one_step.png", &curves::schedule(&blown), (1680, 1120));
    let mut step = Step { step: 2, ..blown.steps[0].clone() };
    (step.metrics[0].value, step.metrics[5].value) = (f64::NAN, f64::INFINITY);
    blown.steps.push(step);
    check("blown.png", &curves::loss(&blown), (1440, 840));
}

/// Returns pictures of twemoji's held-out concepts, spread over the set, with their names.
fn held_out(n: usize) -> (Vec<RgbImage>, Vec<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/emoji");
    let table = std::fs::read_to_string(folder.join("emoji.tsv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    let ids = std::fs::read_to_string(folder.join("twemoji.ids")).unwrap();
    let sheet = image::open(folder.join("twemoji.png")).unwrap().to_rgb8();
    let tiles = ids.lines().map(|id| id.parse::<usize>().unwrap()).enumerate();
    let held_out: Vec<_> = tiles.filter(|&(_, id)| rows[id][2] == "heldout").collect();
    let chosen = held_out.iter().step_by(held_out.len() / n).take(n);
    chosen
        .map(|&(k, id)| {
            let (x, y) = (k as u32 % 32 * 64, k as u32 / 32 * 64);
            (imageops::crop_imm(&sheet, x, y, 64, 64).to_image(), rows[id][7].to_string())
        })
        .unzip()
}

fn similarities(n: usize) -> Array2<f32> {
    let mut rng = Pcg64::seed_from_u64(2);
    Array2::from_shape_fn((n, n), |(i, j)| {
        let near = if i == j {
            0.32
        } else if i / 3 == j / 3 {
            0.18
        } else {
            0.0
        };
        near + rng.random_range(-0.17..0.24)
    })
}

#[test]
fn the_similarity_matrix() {
    let (pictures, names) = held_out(16);
    let mut captions: Vec<&str> = names.iter().map(String::as_str).collect();
    captions[4] = "a caption that is far too long for its place and therefore has to be wrapped and in the end cut off";
    let picture = similarity_matrix(&pictures, &captions, similarities(16).view());
    check("matrix.png", &picture, (1844, 1596));

    let mut broken = similarities(3);
    broken.row_mut(1).fill(f32::NAN);
    similarity_matrix(&pictures[..3], &captions[..3], broken.view());
}

#[test]
fn the_sheet_of_best_captions() {
    let (pictures, names) = held_out(15);
    let captions: Vec<&str> = names.iter().map(String::as_str).collect();
    let scores = similarities(15);
    let entry = |i: usize| Entry::best(&pictures[i], &captions, &scores.row(i).to_vec(), i, 4);
    let entries: Vec<Entry> = (0..15).map(entry).collect();
    check("sheet.png", &sheet(&entries), (2084, 1352));
}

#[test]
fn the_best_captions_are_the_best() {
    let picture = RgbImage::new(8, 8);
    let entry = Entry::best(&picture, &["a", "b", "c", "d"], &[0.1, f32::NAN, 0.7, 0.4], 0, 2);
    let guess = |caption, score| Guess { caption, score, right: false };
    assert_eq!(entry.guesses, [guess("c", 0.7), guess("d", 0.4)]);
    assert_eq!(entry.truth, ("a", 3));
    let nan = Entry::best(&picture, &["a", "b"], &[0.1, f32::NAN], 1, 1);
    assert_eq!(nan.truth, ("b", 2));
}
