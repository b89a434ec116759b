use super::shapes::INIT;
use crate::support::{
    gradcheck::{Layer, Pass},
    oracle_models,
    trees::{Leaves, poisoned},
};
use clipwright::loss::info_nce::{self, Saved, Scratch};
use clipwright::loss::positives::Positives;
use clipwright::params::Spec;
use ndarray::{Array2, ArrayView2};

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
        y.fill(info_nce::forward(images, texts, scale, positives, saved, &mut scratch()).mean());
        let (di, dt) = (dimages.view_mut(), dtexts.view_mut());
        let dscale = info_nce::backward(images, texts, scale, positives, saved, di, dt, &mut scratch());
        dimages *= dy;
        dtexts *= dy;
        let [dlogit_scale] = g.leaves;
        dlogit_scale[0] += dy * dscale;
    }
}

/// Rows of any length: the derivation needs no unit vectors. (A single pair has no loss.)
#[test]
fn every_entry() {
    for (n, width) in [(2, 6), (3, 10), (13, 7), (31, 5)] {
        let mut positives = Positives::diagonal(n);
        layer(n, width).check(oracle(&positives), pass(&positives));
        let keys = |modulus: u64| (0..n as u64).map(|i| i * i % modulus).collect::<Vec<_>>();
        positives.fill(&keys(11), &keys(17));
        layer(n, width).check(oracle(&positives), pass(&positives));
    }
}

/// More than one tile of logits, down and across.
#[test]
fn many_tiles() {
    let positives = Positives::diagonal(4099);
    layer(4099, 2).check_directions(oracle(&positives), pass(&positives));
}
