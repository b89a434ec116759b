//! Plots have the stated size, show something, and survive odd input. If `PLOT_DIR` is set, they are kept there for
//! inspection.

use clipwright::app::plot::answers::Answers;
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
    let row = |concepts: &str, pictures: &str, classes, best: f64, raw_pixels| {
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
                raw_pixels,
            }),
            retrieval: Retrieval { image_to_text: recall, text_to_image: recall },
            retrieval_chance: Retrieval { image_to_text: chance, text_to_image: chance },
        }
    };
    let raw_pixels = |top1, top5| Some(TopK { top1, top5 });
    Report {
        rows: vec![
            row("seen", "noto, trained on", 1552, 0.52, None),
            row("seen", "twemoji, held out", 1542, 0.37, raw_pixels(0.639, 0.789)),
            row("held-out", "noto, trained on", 371, 0.12, None),
            row("held-out", "twemoji, held out", 371, 0.08, raw_pixels(0.096, 0.232)),
        ],
        ..Report::default()
    }
}

#[test]
fn curves_of_a_run() {
    let metrics = metrics();
    check("loss.png", &curves::loss(&metrics).unwrap().draw(), (1440, 840));
    // The key needs two rows.
    check("recall.png", &curves::recall(&metrics).unwrap().draw(), (1800, 1300));
    check("schedule.png", &curves::schedule(&metrics).unwrap().draw(), (1800, 1120));
}

#[test]
fn curves_of_a_run_that_has_hardly_begun_or_blown_up() {
    let mut blown = Metrics { steps: metrics().steps[..1].to_vec(), evaluations: metrics().evaluations[..1].to_vec() };
    check("one_step.png", &curves::schedule(&blown).unwrap().draw(), (1800, 1120));
    let mut step = Step { step: 2, ..blown.steps[0].clone() };
    (step.metrics[0].value, step.metrics[5].value) = (f64::NAN, f64::INFINITY);
    blown.steps.push(step);
    check("blown.png", &curves::loss(&blown).unwrap().draw(), (1440, 840));
}

#[test]
fn what_has_no_values_is_not_drawn() {
    let empty = Metrics::default();
    assert!([curves::loss, curves::recall, curves::schedule].iter().all(|plot| plot(&empty).is_none()));

    let mut own = metrics();
    for row in own.evaluations.iter_mut().flat_map(|evaluation| &mut evaluation.eval.rows) {
        (row.zero_shot, row.concepts, row.pictures) = (None, "own".into(), "validation pairs".into());
    }
    check("own_recall.png", &curves::recall(&own).unwrap().draw(), (1800, 686));

    own.steps.iter_mut().for_each(|step| step.metrics.retain(|metric| metric.name == "lr"));
    check("lr_alone.png", &curves::schedule(&own).unwrap().draw(), (900, 560));
    assert!(curves::loss(&own).is_none());
}

/// Returns whether there is text of this colour in the last `columns` columns, above the labels of the steps.
fn writes(picture: &RgbImage, columns: u32, colour: [u8; 3]) -> bool {
    let (width, height) = picture.dimensions();
    let margin = imageops::crop_imm(picture, width - columns, 120, columns, height - 220).to_image();
    // Averaging makes thin strokes a little lighter.
    margin.pixels().any(|p| p.0.iter().zip(colour).all(|(a, b)| a.abs_diff(b) <= 24))
}

#[test]
fn chance_and_last_values_are_written() {
    let (blue, faint) = ([0x00, 0x72, 0xb2], [0x80, 0x80, 0x88]);
    let mut metrics = metrics();
    let loss = curves::loss(&metrics).unwrap().draw();
    assert!(writes(&loss, 130, blue), "the last loss");
    assert!(writes(&loss, 80, faint), "chance of the loss");
    assert!(writes(&curves::recall(&metrics).unwrap().draw(), 80, faint), "chance of recall");
    metrics.steps.iter_mut().flat_map(|step| &mut step.metrics).for_each(|metric| metric.chance = None);
    assert!(!writes(&curves::loss(&metrics).unwrap().draw(), 80, faint), "there is no chance");
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

/// Returns answers to n pictures, of which most are right.
fn answers(title: &str, n: usize) -> Answers {
    let (pictures, captions) = held_out(n);
    let mut rng = Pcg64::seed_from_u64(2);
    let cosines = Array2::from_shape_fn((n, n), |(i, j)| {
        let near = if i == j {
            0.32
        } else if i / 3 == j / 3 {
            0.18
        } else {
            0.0
        };
        near + rng.random_range(-0.17..0.24)
    });
    Answers { title: title.into(), pictures, captions, truth: (0..n).collect(), cosines }
}

/// Returns answers in which several pictures of different shapes share a caption, in scripts of all kinds.
fn shared_captions() -> Answers {
    let shapes = [(90, 30), (30, 90), (50, 50), (200, 40), (10, 10)];
    let pictures =
        shapes.map(|(w, h)| RgbImage::from_fn(w, h, |x, y| image::Rgb([(255 * x / w) as u8, 90, (255 * y / h) as u8])));
    let captions = ["口を開けて笑っている顔、とても嬉しい、そして長い説明が続く", "웃고 있는 얼굴 😀", "你好，世界"]
        .map(String::from);
    let cosines = Array2::from_shape_fn((5, 3), |(i, j)| if i % 3 == j { 0.5 } else { -0.1 });
    Answers {
        title: "Validation pairs".into(),
        pictures: pictures.into(),
        captions: captions.into(),
        truth: vec![0, 1, 2, 0, 0],
        cosines,
    }
}

#[test]
fn the_similarity_matrix() {
    let mut one = answers("Seen concepts, drawn by twemoji, a vendor never trained on", 8);
    one.captions[4] =
        "a caption that is far too long for its place and therefore has to be wrapped and in the end cut off".into();
    let two = answers("Held-out concepts, never trained on, drawn by twemoji", 8);
    check("matrix.png", &similarity_matrix(&[one, two]), (2216, 1056));
    check("own_matrix.png", &similarity_matrix(&[shared_captions()]), (940, 636));

    let mut broken = answers("Training pairs", 3);
    broken.cosines.row_mut(1).fill(f32::NAN);
    similarity_matrix(&[broken]);
}

#[test]
fn the_sheet_of_best_captions() {
    let (one, two) = (answers("Seen concepts", 8), answers("Held-out concepts", 6));
    check("sheet.png", &sheet(&[one, two], 4), (2084, 1488));
    check("own_sheet.png", &sheet(&[shared_captions()], 5), (2084, 624));
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
    let same = Entry::best(&picture, &["a", "b"], &[0.5, 0.5], 0, 1);
    assert_eq!(same.truth, ("a", 2), "a model that cannot tell captions apart is not right");
}
