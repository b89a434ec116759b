use super::shapes::INIT;
use crate::support::{
    compare::assert_close,
    gradcheck::{Layer, Pass},
    oracle_models, random,
    trees::{Leaves, poisoned},
};
use clipwright::loss::contrast::Scores;
use clipwright::loss::info_nce::{self, Saved, Scratch};
use clipwright::loss::one_way::{self, Targets};
use clipwright::loss::positives::Positives;
use clipwright::params::Spec;
use kernels::gemm::Backend;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};
use std::ops::Range;

type Loss = Layer<Leaves<Spec, 1>, 2>;

fn layer(n: usize, width: usize) -> Loss {
    let spec = Leaves { names: ["logit_scale"], leaves: [Spec::new(&[], INIT)] };
    Layer::new(format!("info_nce {n}×{width}"), spec, [("images", n, width), ("texts", n, width)])
}

fn oracle(positives: &Positives) -> impl Fn(&Leaves<&[f64], 1>, [ArrayView2<f64>; 2]) -> Array2<f64> {
    |p, [images, texts]| Array2::from_elem((1, 1), oracle_models::info_nce(images, texts, p.leaves[0][0], positives))
}

/// y is the loss alone, so the pass multiplies by dy what `backward` returns for dy = 1.
fn pass(positives: &Positives) -> impl FnOnce(Pass<Leaves<Spec, 1>, 2>) {
    |Pass { p, x: [images, texts], mut y, dy, dx: [mut dimages, mut dtexts], g }| {
        let (n, scale, dy) = (images.nrows(), p.leaves[0][0].exp(), dy[[0, 0]]);
        let saved = &mut poisoned(&Saved::dims(n));
        let scratch = || poisoned(&Scratch::dims(n));
        y.fill(info_nce::forward(images, texts, scale, positives, saved, &mut scratch()).mean() as f32);
        let (di, dt) = (dimages.view_mut(), dtexts.view_mut());
        let dscale = info_nce::backward(images, texts, scale, positives, saved, di, dt, &mut scratch());
        dimages *= dy;
        dtexts *= dy;
        let [dlogit_scale] = g.leaves;
        dlogit_scale[0] += dy * dscale;
    }
}

/// Returns keys of which some are equal.
pub(super) fn keys(n: usize, modulus: u64) -> Vec<u64> {
    (0..n as u64).map(|i| i * i % modulus).collect()
}

pub(super) fn many_positives(n: usize, concepts: u64, captions: u64) -> Positives {
    let mut positives = Positives::default();
    positives.fill(&keys(n, concepts), &keys(n, captions));
    positives
}

/// The check on rows of any length, since the derivation needs no unit vectors. (A single pair has no loss.)
#[test]
fn every_entry() {
    for (n, width) in [(2, 6), (3, 10), (13, 7), (31, 5)] {
        for positives in [Positives::diagonal(n), many_positives(n, 11, 17)] {
            layer(n, width).check(oracle(&positives), pass(&positives));
        }
    }
}

/// The check on more than one tile of scores in both directions, the last ones cut, with one and with many positives.
#[test]
fn many_tiles() {
    let n = 4099;
    for positives in [Positives::diagonal(n), many_positives(n, 701, 2003)] {
        layer(n, 2).check_directions(oracle(&positives), pass(&positives));
    }
}

/// The loss of equal embeddings is that of guessing.
#[test]
fn equal_embeddings_give_the_chance_line() {
    let same = Array2::from_elem((50, 4), 0.5);
    let (saved, scratch) = (&mut poisoned(&Saved::dims(50)), &mut poisoned(&Scratch::dims(50)));
    let loss = info_nce::forward(same.view(), same.view(), 7.4, &Positives::diagonal(50), saved, scratch);
    assert!((loss.mean() - 50f64.ln()).abs() < 1e-5, "{loss:?}"); // a sum of 50 equal terms, rounded
}

/// N, for more than a row of tiles and no whole number of them.
const N: usize = 1000;
const SCALE: f32 = 14.3;

fn rows(x: &Array2<f32>, range: &Range<usize>) -> Array2<f32> {
    x.slice(s![range.clone(), ..]).to_owned()
}

/// Whether two matrices are the same bits. Other libraries' products add in an order that depends on the shape: theirs
/// are the same but for rounding, a few millionths of the largest entry.
pub(super) fn same(a: ArrayView2<f32>, b: ArrayView2<f32>) -> bool {
    let largest = b.iter().fold(0.0, |largest: f32, x| largest.max(x.abs()));
    let near = || a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 5e-6 * largest);
    if Backend::chosen() == Backend::Simd { a == b } else { a.dim() == b.dim() && near() }
}

/// Machines that each take a part of the pairs get bit for bit the results of one machine with all pairs.
#[test]
fn parts_are_the_whole() {
    let [images, texts] = [1, 2].map(|seed| random::matrix((N, 24), seed) * 0.2);
    let (i, t) = (images.view(), texts.view());
    let gradients = |positives: &Positives, saved: &Saved<ArrayViewMut2<f32>>| {
        let [mut di, mut dt] = [(); 2].map(|_| Array2::from_elem((positives.len(), 24), f32::NAN));
        let scratch = &mut poisoned(&Scratch::dims(N));
        info_nce::backward(i, t, SCALE, positives, saved, di.view_mut(), dt.view_mut(), scratch);
        (di, dt)
    };
    let whole = many_positives(N, 331, 701);
    let saved = &mut poisoned(&Saved::dims(N));
    let loss = info_nce::forward(i, t, SCALE, &whole, saved, &mut poisoned(&Scratch::dims(N)));
    let (dimages, dtexts) = gradients(&whole, saved);
    for cuts in [vec![0, 500, 1000], vec![0, 250, 500, 750, 1000], vec![0, 17, 300, 1000]] {
        let (gathered, mut mean) = (&mut poisoned(&Saved::dims(N)), 0.0);
        let parts = cuts.windows(2).map(|cut| {
            let mut part = Positives::default();
            part.fill_for(cut[0]..cut[1], &keys(N, 331), &keys(N, 701));
            part
        });
        let parts: Vec<_> = parts.collect();
        for part in &parts {
            let loss = info_nce::forward(i, t, SCALE, part, gathered, &mut poisoned(&Scratch::dims(N)));
            mean += loss.mean();
        }
        for (part, whole) in [(&gathered.image_lse, &saved.image_lse), (&gathered.text_lse, &saved.text_lse)] {
            assert!(same(part.view(), whole.view()), "{cuts:?}");
        }
        assert!((mean - loss.mean()).abs() < 1e-12 * mean, "{mean} instead of {loss:?}"); // f64 sums in another order
        for part in &parts {
            let (di, dt) = gradients(part, gathered);
            let (dimages, dtexts) = (rows(&dimages, &part.own()), rows(&dtexts, &part.own()));
            assert!(same(di.view(), dimages.view()) && same(dt.view(), dtexts.view()), "{:?}", part.own());
        }
    }
}

/// The symmetric loss is the mean of the two one-way losses.
#[test]
fn two_directions_are_the_symmetric_loss() {
    let [images, texts] = [1, 2].map(|seed| random::matrix((N, 24), seed) * 0.2);
    let positives = many_positives(N, 331, 701);
    let saved = &mut poisoned(&Saved::dims(N));
    let scratch = &mut poisoned(&Scratch::dims(N));
    let [mut dimages, mut dtexts] = [(); 2].map(|_| Array2::from_elem((N, 24), f32::NAN));
    let (i, t) = (images.view(), texts.view());
    let loss = info_nce::forward(i, t, SCALE, &positives, saved, scratch);
    let dscale = info_nce::backward(i, t, SCALE, &positives, saved, dimages.view_mut(), dtexts.view_mut(), scratch);

    let (targets, weight) = (Targets { hard: &positives, soft: None }, 0.5 / N as f32);
    let one_way = |rows, cols| {
        let scores = Scores { rows, cols, scale: SCALE };
        let (saved, scratch) =
            (&mut poisoned(&one_way::Saved::dims(N, 24)), &mut poisoned(&one_way::Scratch::dims(N, N)));
        let loss = one_way::forward(&scores, &targets, weight, saved, scratch);
        let [mut drows, mut dcols] = [(); 2].map(|_| Array2::from_elem((N, 24), f32::NAN));
        let (dr, dc) = (drows.view_mut(), Some(dcols.view_mut()));
        let dscale = one_way::backward(&scores, &targets, weight, saved, dr, dc, scratch);
        (loss, drows, dcols, dscale)
    };
    let ((a, di, dt, ds), (b, dt_too, di_too, ds_too)) = (one_way(i, t), one_way(t, i));
    assert_close("dimages", (di + di_too).view(), dimages.view());
    assert_close("dtexts", (dt + dt_too).view(), dtexts.view());
    let (given, expected) = ([[a + b, ds + ds_too]], [[loss.mean() as f32, dscale]]);
    assert_close("loss and dlogit_scale", ArrayView2::from(&given), ArrayView2::from(&expected));
}
