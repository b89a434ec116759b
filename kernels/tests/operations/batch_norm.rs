//! Batch normalisation against its definition in f64.
use crate::support::{assert_close, assert_same_bits, random};
use clipwright_kernels::batch_norm::{
    EPS, Gate, Norm, Residual, backward, backward_on, naive, normalize, normalize_on, scratch_len, statistics,
    statistics_on,
};
use clipwright_kernels::isa::Isa;

/// Rows, channels: one row, one channel, fewer and more than a block of either, several pieces.
const SHAPES: [(usize, usize); 8] = [(1, 1), (1, 5), (7, 1), (63, 24), (130, 65), (5, 200), (20_011, 7), (2_600, 133)];

fn all() -> impl Iterator<Item = (Isa, usize, usize)> {
    Isa::available().into_iter().flat_map(|isa| SHAPES.map(|(rows, channels)| (isa, rows, channels)))
}

/// Mean and variance.
fn measured(isa: Isa, x: &[f32], channels: usize) -> [Vec<f32>; 2] {
    let (mut mean, mut variance) = (vec![f32::NAN; channels], vec![f32::NAN; channels]);
    statistics_on(isa, x, &mut mean, &mut variance, &mut vec![f32::NAN; scratch_len(channels)]);
    [mean, variance]
}

fn expected(x: &[f32], channels: usize) -> [Vec<f32>; 2] {
    let (mut mean, mut variance) = (vec![f32::NAN; channels], vec![f32::NAN; channels]);
    naive::statistics(x, &mut mean, &mut variance);
    [mean, variance]
}

#[test]
fn statistics_are_the_definition() {
    for (isa, rows, channels) in all() {
        let x = random(1, rows * channels);
        let ([mean, variance], [true_mean, true_variance]) = (measured(isa, &x, channels), expected(&x, channels));
        assert_close("mean", &mean, &true_mean, 2e-7);
        assert_close("variance", &variance, &true_variance, 2e-7);
    }
}

/// mean(x²) − μ² would have no digit left; sums around the first number lose none. (The mean itself has a spacing of
/// 6e-5 at 1000.)
#[test]
fn a_large_mean_does_not_swallow_the_variance() {
    for (isa, rows, channels) in all().filter(|&(_, rows, _)| rows > 60) {
        let x: Vec<f32> = random(4, rows * channels).iter().map(|x| 1000.0 + x).collect();
        let ([mean, variance], [true_mean, true_variance]) = (measured(isa, &x, channels), expected(&x, channels));
        assert_close("mean", &mean, &true_mean, 6.2e-5);
        assert_close("variance", &variance, &true_variance, 5e-7);
    }
}

/// Vectors for a [`Norm`] that has little to do with x.
struct Vectors {
    mean: Vec<f32>,
    rstd: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Vectors {
    fn new(seed: u64, channels: usize) -> Self {
        let rstd = naive::rstd(&random(seed, channels).iter().map(|v| v.abs()).collect::<Vec<_>>());
        let rstd = rstd.iter().map(|r| r.min(2.0)).collect();
        let [mean, weight, bias] = [1, 2, 3].map(|i| random(seed + i, channels));
        Vectors { mean, rstd, weight, bias }
    }

    fn norm(&self) -> Norm<'_> {
        Norm { mean: &self.mean, rstd: &self.rstd, weight: &self.weight, bias: &self.bias }
    }
}

#[test]
fn normalize_is_the_definition() {
    for (isa, rows, channels) in all() {
        let (vectors, others) = (Vectors::new(10, channels), Vectors::new(20, channels));
        let (x, residual) = (random(1, rows * channels), random(2, rows * channels));
        for added in [Residual::None, Residual::Plain(&residual), Residual::Normed(others.norm(), &residual)] {
            for relu in [false, true] {
                let (mut y, mut expected) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
                normalize_on(isa, vectors.norm(), &x, added, relu, &mut y);
                naive::normalize(vectors.norm(), &x, added, relu, &mut expected);
                // |y| ≤ 10, a few roundings.
                assert_close("y", &y, &expected, 3e-6);
            }
        }
    }
}

#[test]
fn backward_is_the_definition() {
    for (isa, rows, channels) in all() {
        let vectors = Vectors::new(10, channels);
        let (x, dy, y) = (random(1, rows * channels), random(2, rows * channels), random(3, rows * channels));
        // Where z is nearly 0, one rounding decides the gate.
        let mut z = vec![0.0; x.len()];
        naive::normalize(vectors.norm(), &x, Residual::None, false, &mut z);
        let dy: Vec<f32> = dy.iter().zip(&z).map(|(dy, z)| if z.abs() < 1e-5 { 0.0 } else { *dy }).collect();
        for gate in [Gate::Open, Gate::Own, Gate::Output(&y)] {
            let start = || [x.clone(), dy.clone(), random(4, channels), random(5, channels)];
            let ([mut dx, mut dz, mut dw, mut db], scratch) = (start(), &mut vec![f32::NAN; scratch_len(channels)]);
            backward_on(isa, vectors.norm(), gate, &mut dx, &mut dz, &mut dw, &mut db, scratch);
            let [mut true_dx, mut true_dz, mut true_dw, mut true_db] = start();
            naive::backward(vectors.norm(), gate, &mut true_dx, &mut true_dz, &mut true_dw, &mut true_db);
            if let Gate::Output(_) = gate {
                assert_eq!(dz, true_dz, "the gradient of the residual");
            } else {
                assert_eq!(dz, dy, "dy is only read");
            }
            // Terms of size ≤ 4; sums of n of them in blocks lose √n·ε of their size and more.
            assert_close("dx", &dx, &true_dx, 4e-6);
            let many = 4.0 * f32::EPSILON * (rows as f32 + 8.0).min(64.0 + (rows as f32).sqrt());
            assert_close("dweight", &dw, &true_dw, 4.0 * many);
            assert_close("dbias", &db, &true_db, many);
        }
    }
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let (rows, channels) = (9_001, 40);
    let (x, dy, vectors) = (random(1, rows * channels), random(2, rows * channels), Vectors::new(3, channels));
    assert_same_bits(|| {
        let (mut mean, mut variance) = (vec![0.0; channels], vec![0.0; channels]);
        let scratch = &mut vec![0.0; scratch_len(channels)];
        statistics(&x, &mut mean, &mut variance, scratch);
        let rstd: Vec<f32> = variance.iter().map(|v| 1.0 / (v + EPS).sqrt()).collect();
        let norm = Norm { mean: &mean, rstd: &rstd, ..vectors.norm() };
        let mut y = vec![0.0; x.len()];
        normalize(norm, &x, Residual::Plain(&dy), true, &mut y);
        let (mut dx, mut dz, mut dw, mut db) = (x.clone(), dy.clone(), vec![0.0; channels], vec![0.0; channels]);
        backward(norm, Gate::Output(&y), &mut dx, &mut dz, &mut dw, &mut db, scratch);
        [mean.clone(), variance, y, dx, dz, dw, db].concat()
    });
}

#[test]
#[should_panic(expected = "batch norm of 3 channels: matrices of [6, 5]")]
fn lengths_are_checked() {
    let v = Vectors::new(1, 3);
    normalize(v.norm(), &[0.0; 6], Residual::None, false, &mut [0.0; 5]);
}
