use super::info_nce::{many_positives, same};
use super::shapes::INIT;
use crate::support::{
    compare::{assert_close, compare, to_f64},
    gradcheck::{Layer, Pass},
    oracle_models, random,
    trees::{Leaves, poisoned},
};
use clipwright::checkpoint::safetensors::Reader;
use clipwright::loss::contrast::Scores;
use clipwright::loss::positives::Positives;
use clipwright::loss::sigmoid::{self, Scratch, Sums};
use clipwright::params::Spec;
use ndarray::{Array2, ArrayView2, s};
use rayon::ThreadPoolBuilder;
use std::path::Path;

type Loss = Layer<Leaves<Spec, 2>, 2>;

fn layer(n: usize, width: usize) -> Loss {
    let spec = || Spec::new(&[], INIT);
    let spec = Leaves { names: ["logit_scale", "logit_bias"], leaves: [spec(), spec()] };
    Layer::new(format!("sigmoid {n}×{width}"), spec, [("images", n, width), ("texts", n, width)])
}

fn oracle(positives: &Positives) -> impl Fn(&Leaves<&[f64], 2>, [ArrayView2<f64>; 2]) -> Array2<f64> {
    |Leaves { leaves: [scale, bias], .. }, [images, texts]| {
        Array2::from_elem((1, 1), oracle_models::sigmoid(images, texts, scale[0], bias[0], positives))
    }
}

/// The results of one pass.
#[derive(Debug, PartialEq)]
struct Given {
    sums: Sums,
    dimages: Array2<f32>,
    dtexts: Array2<f32>,
}

impl Given {
    /// Returns the sums over these pairs: the loss, ∂loss/∂logit_scale and ∂loss/∂logit_bias.
    fn totals(&self) -> [f64; 3] {
        let Sums { loss, dlogit_bias, dlogit_scale } = &self.sums;
        [loss, dlogit_scale, dlogit_bias].map(|shares| shares.iter().sum())
    }
}

fn run(images: ArrayView2<f32>, texts: ArrayView2<f32>, scale: f32, bias: f32, positives: &Positives) -> Given {
    let [mut dimages, mut dtexts] = [(); 2].map(|_| Array2::from_elem((positives.len(), images.ncols()), f32::NAN));
    let (di, dt) = (dimages.view_mut(), dtexts.view_mut());
    let (scores, mut sums) = (Scores { rows: images, cols: texts, scale }, Sums::default());
    let scratch = &mut poisoned(&Scratch::dims(images.nrows()));
    sigmoid::forward_backward(&scores, bias, positives, di, dt, &mut sums, scratch);
    Given { sums, dimages, dtexts }
}

/// y is the loss alone, so the pass multiplies by dy what it gets for dy = 1. `spoil` may change the results.
fn pass(positives: &Positives, spoil: impl FnOnce(&mut Given)) -> impl FnOnce(Pass<Leaves<Spec, 2>, 2>) {
    |Pass { p, x: [images, texts], mut y, dy, dx: [mut dimages, mut dtexts], g }| {
        let [scale, bias] = p.leaves.map(|leaf| leaf[0]);
        let mut given = run(images, texts, scale.exp(), bias, positives);
        spoil(&mut given);
        let ([loss, dscale, dbias], dy) = (given.totals(), dy[[0, 0]]);
        y.fill(loss as f32);
        dimages.assign(&(given.dimages * dy));
        dtexts.assign(&(given.dtexts * dy));
        let [dlogit_scale, dlogit_bias] = g.leaves;
        dlogit_scale[0] += dy * dscale as f32;
        dlogit_bias[0] += dy * dbias as f32;
    }
}

/// The check on rows of any length, since the derivation needs no unit vectors.
#[test]
fn every_entry() {
    for (n, width) in [(1, 4), (2, 6), (3, 10), (13, 7), (31, 5)] {
        for positives in [Positives::diagonal(n), many_positives(n, 11, 17)] {
            layer(n, width).check(oracle(&positives), pass(&positives, |_| {}));
        }
    }
}

/// The check on more than one tile of scores in both directions, the last ones cut, with one and with many positives.
#[test]
fn many_tiles() {
    let n = 4099;
    for positives in [Positives::diagonal(n), many_positives(n, 701, 2003)] {
        layer(n, 2).check_directions(oracle(&positives), pass(&positives, |_| {}));
    }
}

/// A share that is wrong or missing, gradients that are off by a thousandth or never written, and positives that are
/// taken for negatives.
#[test]
fn planted_faults_are_found() {
    let positives = many_positives(13, 11, 17);
    let found = |spoil: fn(&mut Given)| {
        let mismatches = layer(13, 7).mismatches(oracle(&positives), pass(&positives, spoil));
        mismatches.into_iter().map(|mismatch| mismatch.tensor).collect::<Vec<_>>()
    };
    assert!(found(|_| {}).is_empty());
    assert_eq!(found(|given| given.sums.loss[5] *= 0.99), ["y"]);
    assert_eq!(found(|given| given.dimages *= 0.999), ["dimages"]);
    assert_eq!(found(|given| given.dtexts[[12, 6]] = f32::NAN), ["dtexts"]);
    assert_eq!(found(|given| given.sums.dlogit_bias[0] = 0.0), ["dlogit_bias"]);
    assert_eq!(found(|given| given.sums.dlogit_scale.swap_with_slice(&mut given.sums.loss.clone())), ["dlogit_scale"]);
    // The diagonal alone is wrong where more pairs fit.
    let diagonal = layer(13, 7).mismatches(oracle(&positives), pass(&Positives::diagonal(13), |_| {}));
    assert_eq!(diagonal.len(), 5, "{diagonal:?}");
}

/// The loss alone against PyTorch in f64, with ordinary logits, with those of SigLIP's start, and with logits from −176
/// to 144.
#[test]
fn the_reference_agrees() {
    let file =
        Reader::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/siglip_loss.safetensors")).unwrap();
    for case in ["plain", "init", "extreme"] {
        let read = |name: &str, shape: &[usize]| {
            let mut values = vec![0.0; shape.iter().product()];
            file.read(&format!("{case}.{name}"), shape, &mut values).unwrap();
            values
        };
        let matrix = |name: &str| Array2::from_shape_vec((7, 5), read(name, &[7, 5])).unwrap();
        let scalar = |name: &str| read(name, &[1])[0];
        let (images, texts) = (matrix("images"), matrix("texts"));
        let (scale, bias) = (scalar("logit_scale").exp(), scalar("logit_bias"));
        let given = run(images.view(), texts.view(), scale, bias, &Positives::diagonal(7));
        assert_close(&format!("{case} dimages"), given.dimages.view(), matrix("grad.images").view());
        assert_close(&format!("{case} dtexts"), given.dtexts.view(), matrix("grad.texts").view());
        let names = ["loss", "grad.logit_scale", "grad.logit_bias"];
        for (name, given) in names.into_iter().zip(given.totals()) {
            let mismatch = compare(&format!("{case} {name}"), &[1], &[given], &[f64::from(scalar(name))]);
            assert!(mismatch.is_none(), "{}", mismatch.unwrap());
        }
    }
}

/// N, for more than a row of tiles and no whole number of them.
const N: usize = 1000;

fn embeddings(n: usize, width: usize) -> [Array2<f32>; 2] {
    [1, 2].map(|seed| random::matrix((n, width), seed) * 0.2)
}

/// Machines that each take a part of the pairs get bit for bit the results of one machine with all pairs, the sums
/// included, since their shares are put together in the order of the pairs.
#[test]
fn parts_are_the_whole() {
    let [images, texts] = embeddings(N, 24);
    let run = |positives: &Positives| run(images.view(), texts.view(), 14.3, -7.5, positives);
    let whole = run(&many_positives(N, 331, 701));
    for cuts in [vec![0, 500, 1000], vec![0, 250, 500, 750, 1000], vec![0, 17, 300, 1000]] {
        for cut in cuts.windows(2) {
            let own = cut[0]..cut[1];
            let part = run(&many_positives_of(own.clone()));
            let rows = |x: &Array2<f32>| x.slice(s![own.clone(), ..]).to_owned();
            assert!(same(part.dimages.view(), rows(&whole.dimages).view()), "{own:?}");
            assert!(same(part.dtexts.view(), rows(&whole.dtexts).view()), "{own:?}");
            let shares = |Sums { loss, dlogit_bias, dlogit_scale }: &Sums, own: std::ops::Range<usize>| {
                let shares = [loss, dlogit_bias, dlogit_scale].map(|shares| shares[own.clone()].to_vec()).concat();
                Array2::from_shape_vec((1, shares.len()), shares.iter().map(|&share| share as f32).collect()).unwrap()
            };
            let (part, whole) = (shares(&part.sums, 0..own.len()), shares(&whole.sums, own.clone()));
            assert!(same(part.view(), whole.view()), "{own:?}");
        }
    }
}

fn many_positives_of(own: std::ops::Range<usize>) -> Positives {
    let mut part = Positives::default();
    part.fill_for(own, &super::info_nce::keys(N, 331), &super::info_nce::keys(N, 701));
    part
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let [images, texts] = embeddings(5000, 40);
    let positives = many_positives(5000, 331, 701);
    let run = || run(images.view(), texts.view(), 10.0, -10.0, &positives);
    let [one, two, five] =
        [1, 2, 5].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run));
    assert!(one == two && one == five);
}

/// ∂loss/∂logit_scale is Σ ⟨Iᵢ, dIᵢ⟩, and as well Σ ⟨Tⱼ, dTⱼ⟩: dS∘(S − b) summed by rows and by columns.
#[test]
fn the_scales_gradient_is_the_same_from_either_side() {
    let [images, texts] = embeddings(N, 24);
    let given = run(images.view(), texts.view(), 14.3, -7.5, &many_positives(N, 331, 701));
    let [_, dscale, _] = given.totals();
    let from_texts: f64 = to_f64((&texts * &given.dtexts).view()).iter().sum();
    assert!((dscale - from_texts).abs() < 1e-5 * dscale.abs(), "{dscale} and {from_texts}");
}

/// A model that gives one logit to all pairs has at best the loss of chance, where the gradient of the bias is zero.
#[test]
fn equal_embeddings_give_the_chance_line_at_the_best_bias() {
    let same = Array2::from_elem((50, 4), 0.5);
    for positives in [Positives::diagonal(50), many_positives(50, 11, 17)] {
        let p = (0..50).map(|j| positives.count(j)).sum::<usize>() as f64 / 2500.0;
        let at = |bias: f64| run(same.view(), same.view(), 7.0, (bias - 7.0) as f32, &positives).totals();
        let best = (p / (1.0 - p)).ln();
        let ([loss, _, dbias], chance) = (at(best), sigmoid::chance(&positives));
        assert!((loss - chance).abs() < 1e-5 * chance && dbias.abs() < 1e-5, "{loss} and {chance}, {dbias}");
        assert!([best - 0.1, best + 0.1].iter().all(|&bias| at(bias)[0] > chance));
    }
    let n: f64 = 4096.0;
    let plain = sigmoid::chance(&Positives::diagonal(4096));
    assert!((plain - (1.0 + n.ln())).abs() < 1e-3, "{plain}");
}
