use crate::support::compare::{TOLERANCE, to_f64};
use crate::support::gradcheck::{Layer, Pass, START};
use crate::support::oracle::{self, Relus};
use crate::support::{random, trees::poisoned};
use clipwright::layers::batch_norm::{self, BatchNorm, Gate, Residual, Saved, Scratch};
use clipwright::layers::{Dim4, pictures, pictures_mut};
use clipwright::params::Spec;
use ndarray::{Array2, ArrayView2};

/// Sizes: odd ones, one channel, and more rows or channels than a block has.
const SHAPES: [Dim4; 5] = [(5, 1, 1, 3), (1, 3, 5, 1), (3, 2, 3, 7), (2, 7, 5, 5), (1, 2, 3, 70)];

fn rows((n, h, w, _): Dim4) -> usize {
    n * h * w
}

fn layer<const K: usize>(name: &str, dim: Dim4, inputs: [&str; K]) -> Layer<BatchNorm<Spec>, K> {
    let spec = BatchNorm::spec(dim.3, 1.0);
    Layer::new(format!("{name} of {dim:?}"), spec, inputs.map(|name| (name, rows(dim), dim.3)))
}

/// Runs forward, then backward. dx replaces x, and dy becomes the gradient of the residual.
fn run<const K: usize>(dim: Dim4, relu: bool, pass: Pass<BatchNorm<Spec>, K>) {
    let Pass { p, x: inputs, mut y, dy, dx: gradients, mut g } = pass;
    let (saved, scratch) = (&mut poisoned(&Saved::dims(dim.3)), &mut poisoned(&Scratch::dims(dim.3)));
    let x = pictures(inputs[0], dim);
    let residual = inputs.get(1).map_or(Residual::None, |x| Residual::Plain(x.to_slice().expect("whole")));
    batch_norm::statistics(x, saved, scratch);
    batch_norm::normalize(&p, saved, x, residual, relu, pictures_mut(y.view_mut(), dim));

    let mut gradients = gradients.into_iter();
    let mut dx = gradients.next().expect("dx");
    dx.assign(&inputs[0]);
    let mut dy = dy.to_owned();
    let gate = match (relu, K) {
        (false, _) => Gate::Open,
        (true, 1) => Gate::Own,
        (true, _) => Gate::Output(y.as_slice().expect("whole")),
    };
    let (x, dy_pictures) = (pictures_mut(dx, dim), pictures_mut(dy.view_mut(), dim));
    batch_norm::backward(&p, saved, gate, x, dy_pictures, &mut g, &mut poisoned(&Scratch::dims(dim.3)));
    gradients.for_each(|mut dresidual| dresidual.assign(&dy));
    check_observed(dim, inputs[0], &g);
}

/// Checks that forward has added mean and unbiased variance of x to what the slots of the buffers held.
fn check_observed(dim: Dim4, x: ArrayView2<f32>, g: &BatchNorm<&mut [f32]>) {
    let n = rows(dim) as f64;
    for (j, x) in x.columns().into_iter().enumerate() {
        let x = to_f64(x);
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        for (slot, expected) in [(g.running_mean[j], mean), (g.running_var[j], variance)] {
            assert!((f64::from(slot - START) - expected).abs() <= TOLERANCE, "{slot} instead of {expected}");
        }
    }
    assert_eq!(g.num_batches_tracked, [START + 1.0]);
}

#[test]
fn plain() {
    for dim in SHAPES {
        layer("batch_norm", dim, ["x"]).check(|p, [x]| oracle::batch_norm(p, x), |pass| run(dim, false, pass));
    }
}

#[test]
fn then_relu() {
    for dim in SHAPES {
        let relus = Relus::default();
        let oracle = |p: &BatchNorm<&[f64]>, [x]: [ArrayView2<f64>; 1]| relus.restart().apply(oracle::batch_norm(p, x));
        layer("batch_norm, relu", dim, ["x"]).check(oracle, |pass| run(dim, true, pass));
    }
}

#[test]
fn with_a_residual() {
    for (dim, relu) in SHAPES.into_iter().flat_map(|dim| [(dim, false), (dim, true)]) {
        let relus = Relus::default();
        // Without a ReLU the gradient of the residual is dy itself, so it is not returned.
        let oracle = |p: &BatchNorm<&[f64]>, [x, residual]: [ArrayView2<f64>; 2]| {
            let z = oracle::batch_norm(p, x) + residual;
            if relu { relus.restart().apply(z) } else { z }
        };
        layer("batch_norm + residual", dim, ["x", "residual"]).check(oracle, |pass| run(dim, relu, pass));
    }
}

/// In evaluation the layer is a scale and a shift by the running statistics.
#[test]
fn folded() {
    let channels = 7;
    let params = random::params(BatchNorm::spec(channels, 1.0), 1);
    let (x, point) = (random::matrix((11, channels), 2), to_f64(&params.flat));
    let (mut scale, mut shift) = (vec![f32::NAN; channels], vec![f32::NAN; channels]);
    batch_norm::fold(&params.view(), &mut scale, &mut shift);
    let y = Array2::from_shape_fn(x.dim(), |(n, j)| f64::from(x[[n, j]] * scale[j] + shift[j]));
    let expected =
        oracle::batch_norm_running(&clipwright::params::view(&params.spec, &point), x.mapv(f64::from).view());
    let apart = (&y - &expected).mapv(f64::abs).fold(0.0, |a: f64, &b| a.max(b));
    assert!(apart < TOLERANCE * 10.0, "{apart} apart, of at most 10");
}

/// A planted fault that the check must find: dx as if μ and σ did not depend on x.
#[test]
fn with_constant_statistics() {
    let dim = (2, 3, 2, 5);
    let mismatches = layer("batch_norm", dim, ["x"]).mismatches(
        |p, [x]| oracle::batch_norm(p, x),
        |Pass { p, x: [x], y, dy, dx: [mut dx], g }| {
            let spoiled = Array2::from_shape_fn(x.dim(), |(n, j)| {
                let column = x.column(j);
                let mean = column.mean().expect("rows");
                let variance = column.mapv(|x| (x - mean).powi(2)).mean().expect("rows");
                dy[[n, j]] * p.weight[j] / (variance + 1e-5).sqrt()
            });
            run(dim, false, Pass { p, x: [x], y, dy, dx: [dx.view_mut()], g });
            dx.assign(&spoiled);
        },
    );
    assert_eq!(mismatches.iter().map(|m| m.tensor.as_str()).collect::<Vec<_>>(), ["dx"]);
}
