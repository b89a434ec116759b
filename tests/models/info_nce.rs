//! The streaming loss against its plain definition in f64: values, gradients by central differences, several positives,
//! several tiles.

use clipwright::loss::info_nce::{self, Loss, Saved, Scratch};
use clipwright::loss::positives::Positives;
use clipwright::tree::Arena;
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;

/// f32 logits of size s carry errors of some 1e-7·s, which the softmax takes over.
const TOLERANCE: f64 = 1e-5;

/// Unit rows, exactly representable in f32.
fn unit_rows(n: usize, d: usize, seed: u64) -> Array2<f32> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut x = Array2::from_shape_fn((n, d), |_| rng.sample::<f32, _>(StandardNormal));
    x.rows_mut().into_iter().for_each(|mut row| row /= row.dot(&row).sqrt());
    x
}

/// The definition, with the whole N×N matrix: `[image→text, text→image]`.
fn oracle(images: &Array2<f64>, texts: &Array2<f64>, logit_scale: f64, positives: &Positives) -> [f64; 2] {
    let logits = images.dot(&texts.t()) * logit_scale.exp();
    [logits.clone(), logits.reversed_axes()].map(|logits| {
        let losses = logits.rows().into_iter().enumerate().map(|(i, row)| {
            let max = row.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
            let lse = max + row.mapv(|x| (x - max).exp()).sum().ln();
            let fitting = positives.of(i);
            lse - fitting.iter().map(|&j| row[j as usize]).sum::<f64>() / fitting.len() as f64
        });
        losses.sum::<f64>() / positives.len() as f64
    })
}

struct Streamed {
    loss: Loss,
    dimages: Array2<f32>,
    dtexts: Array2<f32>,
    dlogit_scale: f32,
}

fn streamed(images: &Array2<f32>, texts: &Array2<f32>, logit_scale: f32, positives: &Positives) -> Streamed {
    let n = images.nrows();
    let (mut saved, mut scratch) = (Arena::default(), Arena::default());
    let mut saved = saved.carve(&Saved::dims(n));
    let mut scratch = scratch.carve(&Scratch::dims(n));
    let scale = logit_scale.exp();
    let (images, texts) = (images.view(), texts.view());
    let loss = info_nce::forward(images, texts, scale, positives, &mut saved, &mut scratch);
    // Gradients are overwritten: what was there must not matter.
    let poisoned = Array2::from_elem(images.raw_dim(), f32::NAN);
    let (mut dimages, mut dtexts) = (poisoned.clone(), poisoned);
    let dlogit_scale = info_nce::backward(
        images,
        texts,
        scale,
        positives,
        &saved,
        dimages.view_mut(),
        dtexts.view_mut(),
        &mut scratch,
    );
    Streamed { loss, dimages, dtexts, dlogit_scale }
}

fn positives(n: usize, concepts: u64, captions: u64) -> Positives {
    let mut positives = Positives::default();
    let keys = |m: u64, seed| {
        let mut rng = Pcg64::seed_from_u64(seed);
        (0..n).map(|_| rng.random_range(0..m)).collect::<Vec<_>>()
    };
    positives.fill(&keys(concepts, 1), &keys(captions, 2));
    positives
}

fn assert_close(what: &str, ours: f64, expected: f64, size: f64) {
    assert!((ours - expected).abs() <= TOLERANCE * size, "{what}: {ours} is not {expected}, of {size}");
}

/// All partial derivatives by central differences of the f64 definition.
#[test]
fn every_gradient_is_that_of_the_definition() {
    for (n, d, positives) in
        [(1, 3, Positives::diagonal(1)), (7, 5, Positives::diagonal(7)), (11, 6, positives(11, 5, 7))]
    {
        let (images, texts, logit_scale) = (unit_rows(n, d, 3), unit_rows(n, d, 4), 2.1f32);
        let ours = streamed(&images, &texts, logit_scale, &positives);
        let (i64, t64) = (images.mapv(f64::from), texts.mapv(f64::from));
        let mean = |i: &Array2<f64>, t: &Array2<f64>, s: f64| oracle(i, t, s, &positives).iter().sum::<f64>() / 2.0;
        let h = 1e-5;
        let largest = |x: &Array2<f32>| x.fold(1e-3f64, |max, v| max.max(f64::from(v.abs())));
        for index in ndarray::indices((n, d)) {
            let nudged = |x: &Array2<f64>, h: f64| {
                let mut x = x.clone();
                x[index] += h;
                x
            };
            let s = f64::from(logit_scale);
            let di = (mean(&nudged(&i64, h), &t64, s) - mean(&nudged(&i64, -h), &t64, s)) / (2.0 * h);
            let dt = (mean(&i64, &nudged(&t64, h), s) - mean(&i64, &nudged(&t64, -h), s)) / (2.0 * h);
            assert_close(&format!("dimages {index:?}"), ours.dimages[index].into(), di, largest(&ours.dimages));
            assert_close(&format!("dtexts {index:?}"), ours.dtexts[index].into(), dt, largest(&ours.dtexts));
        }
        let s = f64::from(logit_scale);
        let ds = (mean(&i64, &t64, s + h) - mean(&i64, &t64, s - h)) / (2.0 * h);
        assert_close("dlogit_scale", ours.dlogit_scale.into(), ds, 1.0);
    }
}

/// A batch of several tiles each way, the last ones cut, with scale 100 and with many positives.
#[test]
fn tiles_make_the_loss_of_the_whole_matrix() {
    let (n, d) = (4200, 6);
    let (images, texts, logit_scale) = (unit_rows(n, d, 5), unit_rows(n, d, 6), 100f32.ln());
    let positives = positives(n, 300, 1000);
    let ours = streamed(&images, &texts, logit_scale, &positives);
    let (i64, t64) = (images.mapv(f64::from), texts.mapv(f64::from));
    let s = f64::from(logit_scale);
    let [i2t, t2i] = oracle(&i64, &t64, s, &positives);
    assert_close("image to text", ours.loss.image_to_text.into(), i2t, i2t);
    assert_close("text to image", ours.loss.text_to_image.into(), t2i, t2i);

    // Along a random direction: Σ gradient · direction is the derivative.
    let (vi, vt) = (unit_rows(n, d, 7).mapv(f64::from), unit_rows(n, d, 8).mapv(f64::from));
    let along =
        |h: f64| oracle(&(&i64 + &(h * &vi)), &(&t64 + &(h * &vt)), s + h, &positives).iter().sum::<f64>() / 2.0;
    let h = 1e-6;
    let expected = (along(h) - along(-h)) / (2.0 * h);
    let dot = |g: &Array2<f32>, v: &Array2<f64>| (g.mapv(f64::from) * v).sum();
    let found = dot(&ours.dimages, &vi) + dot(&ours.dtexts, &vt) + f64::from(ours.dlogit_scale);
    let size =
        (ours.dimages.mapv(|v| f64::from(v).powi(2)).sum() + ours.dtexts.mapv(|v| f64::from(v).powi(2)).sum()).sqrt();
    assert_close("directional derivative", found, expected, size * (2.0 * n as f64).sqrt().max(1.0));
}

/// Nothing is known yet: the loss is that of guessing.
#[test]
fn equal_embeddings_give_the_chance_line() {
    let same = Array2::from_elem((50, 4), 0.5);
    let ours = streamed(&same, &same, 2.0, &Positives::diagonal(50));
    assert!((ours.loss.mean() - 50f32.ln()).abs() < 1e-5);
}
