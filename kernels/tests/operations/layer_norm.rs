//! LayerNorm against its definition in f64.
use crate::support::{assert_close, assert_same_bits, random};
use clipwright_kernels::Write;
use clipwright_kernels::isa::Isa;
use clipwright_kernels::layer_norm::{backward, backward_on, forward, forward_on, naive, recompute_on};

const SHAPES: [(usize, usize); 7] = [(1, 1), (3, 31), (5, 33), (50, 768), (37, 129), (2, 1000), (300, 517)];

/// CLIP's, timm's Vision Transformers', BERT's.
const EPS: [f32; 3] = [1e-5, 1e-6, 1e-12];

/// y, mean, rstd
fn run(isa: Option<Isa>, x: &[f32], weight: &[f32], bias: &[f32], eps: f32, n: usize) -> [Vec<f32>; 3] {
    let (mut y, mut mean, mut rstd) = (vec![f32::NAN; x.len()], vec![f32::NAN; n], vec![f32::NAN; n]);
    match isa {
        Some(isa) => forward_on(isa, x, weight, bias, eps, &mut y, &mut mean, &mut rstd),
        None => naive::forward(x, weight, bias, eps, &mut y, &mut mean, &mut rstd),
    }
    [y, mean, rstd]
}

#[test]
fn forward_is_the_definition_and_recompute_its_bits() {
    for ((n, d), eps) in SHAPES.into_iter().flat_map(|shape| EPS.map(|eps| (shape, eps))) {
        let (x, weight, bias) = (random(1, n * d), random(2, d), random(3, d));
        let [y, mean, rstd] = run(None, &x, &weight, &bias, eps, n);
        for isa in Isa::available() {
            let [fast_y, fast_mean, fast_rstd] = run(Some(isa), &x, &weight, &bias, eps, n);
            // A single column has no variance: r = 1/√ε, exactly; the others have r ≈ 2.
            assert_close("mean", &fast_mean, &mean, 1e-6);
            assert_close("rstd", &fast_rstd, &rstd, if d == 1 { 1e-6 / eps.sqrt() } else { 1e-5 });
            // |y| ≤ a few, a few roundings.
            assert_close("y", &fast_y, &y, 2e-6);
            let mut again = vec![f32::NAN; n * d];
            recompute_on(isa, &x, &weight, &bias, &fast_mean, &fast_rstd, &mut again);
            assert_eq!(again, fast_y, "{n}×{d} on {isa:?}");
        }
    }
}

#[test]
fn a_large_mean_does_not_swallow_the_variance() {
    let x: Vec<f32> = random(4, 512).iter().map(|x| 1000.0 + x).collect();
    let (weight, bias) = (vec![1.0; 512], vec![0.0; 512]);
    let expected = run(None, &x, &weight, &bias, 1e-5, 1);
    for isa in Isa::available() {
        // x has a spacing of 6e-5 at 1000, and so has the mean; r ≈ √3 passes that on. mean(x²) − μ² would err by 0.1.
        assert_close("y", &run(Some(isa), &x, &weight, &bias, 1e-5, 1)[0], &expected[0], 2e-4);
    }
}

#[test]
fn backward_is_the_definition() {
    for (n, d) in SHAPES {
        let (x, weight, dy) = (random(1, n * d), random(2, d), random(5, n * d));
        let [_, mean, rstd] = run(None, &x, &weight, &weight, 1e-5, n);
        for (isa, write) in Isa::available().into_iter().flat_map(|isa| [(isa, Write::Set), (isa, Write::Add)]) {
            let start = if write == Write::Set { vec![f32::NAN; n * d] } else { random(6, n * d) };
            let (mut dx, mut dw, mut db) = (start.clone(), random(7, d), random(8, d));
            let (mut expected, mut expected_w, mut expected_b) = (start, dw.clone(), db.clone());
            naive::backward(&x, &weight, &mean, &rstd, &dy, write, &mut expected, &mut expected_w, &mut expected_b);
            backward_on(isa, &x, &weight, &mean, &rstd, &dy, write, &mut dx, &mut dw, &mut db);
            // A few roundings, times r (2, but 316 for the single column).
            assert_close("dx", &dx, &expected, if d == 1 { 1e-4 } else { 4e-6 });
            // Sums of n terms of size ≤ 4: the roundings add up to n·ε at worst.
            assert_close("dweight", &dw, &expected_w, 4.0 * f32::EPSILON * (n as f32 + 8.0));
            assert_close("dbias", &db, &expected_b, f32::EPSILON * (n as f32 + 8.0));
        }
    }
}

/// Rows whose variance is 0, and rows whose variance is a third of BERT's ε: r ≈ 10⁶.
fn nearly_constant(d: usize) -> Vec<f32> {
    // A sum of equal powers of two is exact, and so is the mean.
    let constant = [0.0, 0.5, -2.0].map(|x| vec![x; d]);
    let varied = random(9, 2 * d).iter().map(|x| 1e-6 * x).collect();
    [constant.concat(), varied].concat()
}

#[test]
fn a_constant_row_becomes_the_bias() {
    for (d, eps) in [7, 33, 768].into_iter().flat_map(|d| EPS.map(|eps| (d, eps))) {
        let (x, weight, bias) = (nearly_constant(d), random(2, d), random(3, d));
        let expected = run(None, &x, &weight, &bias, eps, 5);
        for isa in Isa::available() {
            let [y, mean, rstd] = run(Some(isa), &x, &weight, &bias, eps, 5);
            assert_eq!(y[..3 * d], bias.repeat(3), "{d}, ε = {eps} on {isa:?}");
            assert_close("y", &y, &expected[0], 2e-6);
            assert_close("mean", &mean, &expected[1], 1e-12);
            assert_close("rstd", &rstd, &expected[2], 2e-6 / eps.sqrt());
            // A mean that rounds is off by a few units of the last place, and the row by as much from its mean.
            let [y, _, rstd] = run(Some(isa), &vec![0.3; d], &weight, &bias, eps, 1);
            assert!(rstd[0].is_finite() && rstd[0] <= 1.0 / eps.sqrt());
            assert_close("y", &y, &bias, 0.3 * 8.0 * f32::EPSILON / eps.sqrt());
        }
    }
}

/// ⟨dy, y⟩ of one row in f64.
fn objective(x: &[f64], weight: &[f32], bias: &[f32], eps: f32, dy: &[f32]) -> f64 {
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
    let y = |i: usize| (x[i] - mean) / (variance + f64::from(eps)).sqrt() * f64::from(weight[i]) + f64::from(bias[i]);
    (0..x.len()).map(|i| y(i) * f64::from(dy[i])).sum()
}

/// Central differences in f64, where the gradient changes fastest.
#[test]
fn gradients_of_nearly_constant_rows_are_differences() {
    for (d, eps) in [5, 33].into_iter().flat_map(|d| EPS.map(|eps| (d, eps))) {
        let (x, weight, bias, dy) = (nearly_constant(d), random(2, d), random(3, d), random(4, 5 * d));
        let step = 1e-4 * f64::from(eps).sqrt();
        let expected: Vec<f32> = (0..5 * d)
            .map(|at| {
                let (row, i) = (at / d * d, at % d);
                let moved = |step: f64| {
                    let mut x: Vec<f64> = x[row..row + d].iter().map(|&x| f64::from(x)).collect();
                    x[i] += step;
                    objective(&x, &weight, &bias, eps, &dy[row..row + d])
                };
                ((moved(step) - moved(-step)) / (2.0 * step)) as f32
            })
            .collect();
        for isa in Isa::available() {
            let [_, mean, rstd] = run(Some(isa), &x, &weight, &bias, eps, 5);
            let (mut dx, mut dw, mut db) = (vec![f32::NAN; 5 * d], vec![0.0; d], vec![0.0; d]);
            backward_on(isa, &x, &weight, &mean, &rstd, &dy, Write::Set, &mut dx, &mut dw, &mut db);
            let largest = expected.iter().fold(0.0f32, |a, b| a.max(b.abs()));
            // The differences err by step²·y‴ ≈ 1e-8 of the largest, f32 by a few roundings.
            assert_close(&format!("dx, {d}, ε = {eps} on {isa:?}"), &dx, &expected, 3e-6 * largest);
        }
    }
}

#[test]
#[should_panic(expected = "layer norm with ε = 0")]
fn epsilon_is_positive() {
    forward(&[1.0; 6], &[0.0; 3], &[0.0; 3], 0.0, &mut [0.0; 6], &mut [0.0; 2], &mut [0.0; 2]);
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let (n, d) = (501, 770);
    let (x, weight, bias, dy) = (random(1, n * d), random(2, d), random(3, d), random(4, n * d));
    assert_same_bits(|| {
        let (mut y, mut mean, mut rstd) = (vec![0.0; n * d], vec![0.0; n], vec![0.0; n]);
        forward(&x, &weight, &bias, 1e-12, &mut y, &mut mean, &mut rstd);
        let (mut dx, mut dw, mut db) = (vec![0.0; n * d], vec![0.0; d], vec![0.0; d]);
        backward(&x, &weight, &mean, &rstd, &dy, Write::Set, &mut dx, &mut dw, &mut db);
        [y, mean, rstd, dx, dw, db].concat()
    });
}

#[test]
#[should_panic(expected = "layer norm of 2 rows of 3: matrices of [6, 5]")]
fn lengths_are_checked() {
    forward(&[0.0; 6], &[0.0; 3], &[0.0; 3], 1e-5, &mut [0.0; 5], &mut [0.0; 2], &mut [0.0; 2]);
}
