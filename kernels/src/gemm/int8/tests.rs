//! The same bits from every instruction, and the error of rounding within what it must be.

use super::{Int8, Integers, gemm_int8_on, naive};
use crate::activation::Activation;
use crate::gemm::{Epilogue, Mat, MatMut};
use crate::support::{assert_same_bits, random};

#[cfg(miri)]
const SHAPES: &[(usize, usize, usize)] = &[(1, 32, 1), (5, 32, 7), (15, 64, 9)];
#[cfg(not(miri))]
const SHAPES: &[(usize, usize, usize)] = &[
    (1, 32, 1),
    (1, 64, 768),
    (5, 32, 7),
    (6, 96, 130),
    (10, 288, 64),
    (14, 64, 63),
    (15, 32, 1025),
    (17, 32, 64),
    (31, 64, 70),
    (63, 64, 1100),
    (50, 320, 96),
    (77, 64, 3),
    (131, 544, 33),
    (1500, 64, 3072),
    (0, 32, 5),
    (3, 0, 5),
    (3, 32, 0),
];

fn rounded(weights: &[f32], outputs: usize, inputs: usize) -> Vec<f32> {
    let mut to = vec![f32::NAN; Int8::size(outputs, inputs)];
    Int8::round(weights, outputs, inputs, &mut to);
    to
}

#[test]
fn every_instruction_and_number_of_threads_gives_the_bits_of_the_definition() {
    for &(m, n, k) in SHAPES {
        let (a, mut w) = (random(1, m * (k + 3)), random(2, n * k));
        // The first steps of K are outliers, one more than are kept, if there are many.
        w.chunks_mut(k.max(1)).for_each(|row| row.iter_mut().take(17.min(k / 4)).for_each(|w| *w *= 9.0));
        let w = rounded(&w, n, k);
        let a = Mat { data: &a, rows: m, cols: k, row_stride: k + 3, col_stride: 1 };
        let b = Int8::new(&w, n, k);
        let mut expected = vec![f32::NAN; m * n];
        naive(a, b, &mut expected);
        for integers in Integers::available() {
            let product = || {
                let mut c = vec![f32::NAN; m * n];
                gemm_int8_on(integers, a, b, MatMut::new(&mut c, m, n), Epilogue::None);
                c
            };
            let differs = product().iter().zip(&expected).position(|(c, e)| c.to_bits() != e.to_bits());
            assert_eq!(differs, None, "{} {:?}", integers.name(), (m, n, k));
            assert_same_bits(product);
        }
    }
}

#[test]
fn rounding_costs_half_a_step_of_each_operand_at_most() {
    let (m, n, k) = (9, 32, 200);
    let (a, w) = (random(3, m * k), random(4, n * k));
    let data = rounded(&w, n, k);
    let mut c = vec![0.0; m * n];
    gemm_int8_on(
        Integers::best(),
        Mat::new(&a, m, k),
        Int8::new(&data, n, k),
        MatMut::new(&mut c, m, n),
        Epilogue::None,
    );
    for (i, a) in a.chunks(k).enumerate() {
        let step =
            (a.iter().fold(0.0, |max: f32, &x| max.max(x)) - a.iter().fold(0.0, |min: f32, &x| min.min(x))) / 255.0;
        for (j, w) in w.chunks(k).enumerate() {
            let exact: f64 = a.iter().zip(w).map(|(&a, &w)| f64::from(a) * f64::from(w)).sum();
            let pairs = w.chunks(2).map(|pair| pair.iter().sum::<f32>().abs() / 128.0);
            let w_step = w.iter().map(|w| w.abs() / 127.0).chain(pairs).fold(0.0, f32::max);
            // An activation may be off by a whole step where its zero was rounded the other way.
            let bound: f32 = a.iter().zip(w).map(|(a, w)| step * w.abs() + 0.5 * w_step * (a.abs() + step)).sum();
            let off = (f64::from(c[i * n + j]) - exact).abs();
            assert!(off <= f64::from(bound), "({i}, {j}): off by {off}, which may be {bound}");
            assert!(off < 0.05 * (k as f64).sqrt(), "({i}, {j}): off by {off}");
        }
    }
}

#[test]
fn what_is_exact_in_eight_bits_stays_exact() {
    // Rows of whole numbers from −128 to 127 whose step is 1, and weights of whole numbers whose step is 1 too. The pairs
    // at the end, where the activations are the largest, make the largest sums.
    let (n, k) = (32, 256);
    let a: Vec<f32> = (0..k).map(|i| i as f32 - 128.0).collect();
    let w: Vec<f32> = (0..n * k)
        .map(|i| match i % k {
            0 | 3 | 249 => 127.0,
            1 | 2 | 248 => -127.0,
            250.. => [64.0, -64.0][i / k % 2],
            _ => (i * 7 % 129) as f32 - 64.0,
        })
        .collect();
    let data = rounded(&w, n, k);
    for integers in Integers::available() {
        let mut c = vec![0.0; n];
        gemm_int8_on(integers, Mat::new(&a, 1, k), Int8::new(&data, n, k), MatMut::new(&mut c, 1, n), Epilogue::None);
        for (c, w) in c.iter().zip(w.chunks(k)) {
            let exact: f64 = a.iter().zip(w).map(|(&a, &w)| f64::from(a) * f64::from(w)).sum();
            assert_eq!(f64::from(*c), exact, "{}", integers.name());
        }
    }
}

#[test]
fn two_neighbouring_weights_have_room_in_sixteen_bits() {
    let (n, k) = (64, 129);
    let mut w: Vec<f32> = random(17, n * k).iter().map(|w| 64.0 * w).collect();
    // Halves that could be rounded away from zero together, and pairs of the largest weights there are.
    (w[0], w[1], w[2], w[3]) = (64.5, 63.5, -64.5, -63.5);
    w[4..k].fill(0.0);
    w[k..2 * k].fill(3.0);
    let parts = Int8::new(&rounded(&w, n, k), n, k).parts();
    assert!(parts.has_narrow_pairs(k));
    assert_eq!(&parts.weights[..4], [64, 64, -64, -64]);
    assert!(parts.weights[k..2 * k].iter().all(|&w| w == 64));
    for (i, wide) in [(1, 65), (k - 2, 65)] {
        let mut parts = parts.clone();
        parts.weights[k + i] = wide;
        assert!(!parts.has_narrow_pairs(k), "{i}");
    }
}

#[test]
fn the_epilogue_follows_the_product() {
    let (m, n, k) = (20, 96, 40);
    let (a, bias, residual) = (random(5, m * k), random(6, n), random(7, m * n));
    let data = rounded(&random(8, n * k), n, k);
    let b = Int8::new(&data, n, k);
    let run = |epilogue| {
        let mut c = vec![f32::NAN; m * n];
        gemm_int8_on(Integers::best(), Mat::new(&a, m, k), b, MatMut::new(&mut c, m, n), epilogue);
        c
    };
    let plain = run(Epilogue::None);
    let with_residual = run(Epilogue::BiasResidual { bias: &bias, residual: Mat::new(&residual, m, n) });
    let activated = run(Epilogue::BiasActivation { bias: &bias, activation: Activation::QuickGelu });
    for i in 0..m * n {
        assert_eq!(with_residual[i], plain[i] + bias[i % n] + residual[i]);
        let expected = Activation::QuickGelu.apply(plain[i] + bias[i % n]);
        assert!((activated[i] - expected).abs() < 1e-5 * (1.0 + expected.abs()));
    }
}

#[test]
fn a_row_with_a_nan_or_an_infinity_shows_it_and_the_others_do_not() {
    let (n, k) = (32, 40);
    let data = rounded(&random(9, n * k), n, k);
    for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut a = random(10, 3 * k);
        a[k + 17] = bad;
        for integers in Integers::available() {
            let mut c = vec![0.0; 3 * n];
            let b = Int8::new(&data, n, k);
            gemm_int8_on(integers, Mat::new(&a, 3, k), b, MatMut::new(&mut c, 3, n), Epilogue::None);
            assert!(c[n..2 * n].iter().all(|c| !c.is_finite()), "{bad} {}", integers.name());
            assert!(c[..n].iter().chain(&c[2 * n..]).all(|c| c.is_finite()), "{bad} {}", integers.name());
        }
    }
}

#[test]
fn rows_of_zeros_and_columns_of_zeros_give_zeros() {
    let (n, k) = (32, 12);
    let mut w = random(11, n * k);
    w[..k].fill(0.0);
    let data = rounded(&w, n, k);
    let mut a = random(12, 2 * k);
    a[..k].fill(0.0);
    let mut c = vec![f32::NAN; 2 * n];
    gemm_int8_on(
        Integers::best(),
        Mat::new(&a, 2, k),
        Int8::new(&data, n, k),
        MatMut::new(&mut c, 2, n),
        Epilogue::None,
    );
    assert!(c[..n].iter().all(|&c| c == 0.0) && c[n] == 0.0 && c[n + 1] != 0.0);
}

#[test]
fn columns_may_be_cut_between_panels() {
    let (n, k) = (96, 9);
    let (a, data) = (random(13, 2 * k), rounded(&random(14, n * k), n, k));
    let run = |b: Int8| {
        let cols = b.dim().1;
        let mut c = vec![f32::NAN; 2 * cols];
        gemm_int8_on(Integers::best(), Mat::new(&a, 2, k), b, MatMut::new(&mut c, 2, cols), Epilogue::None);
        c
    };
    let whole = run(Int8::new(&data, n, k));
    let (head, tail) = Int8::new(&data, n, k).split_at(32);
    let (head, tail) = (run(head), run(tail));
    assert_eq!((&whole[..32], &whole[32..96]), (&head[..32], &tail[..64]));
}

#[test]
fn a_few_large_columns_cost_the_others_nothing() {
    let (m, n, k) = (4, 64, 256);
    let (mut a, mut w) = (random(15, m * k), random(16, n * k));
    let run = |a: &[f32], w: &[f32]| {
        let data = rounded(w, n, k);
        let mut c = vec![0.0; m * n];
        let b = Int8::new(&data, n, k);
        gemm_int8_on(Integers::best(), Mat::new(a, m, k), b, MatMut::new(&mut c, m, n), Epilogue::None);
        let exact =
            |i: usize, j: usize| -> f64 { (0..k).map(|l| f64::from(a[i * k + l]) * f64::from(w[j * k + l])).sum() };
        (0..m * n).map(|e| (f64::from(c[e]) - exact(e / n, e % n)).powi(2)).sum::<f64>().sqrt()
    };
    let even = run(&a, &w);
    for column in [5, 77, 255] {
        (0..m).for_each(|i| a[i * k + column] *= 30.0);
        (0..n).for_each(|j| w[j * k + column] *= 30.0);
    }
    let uneven = run(&a, &w);
    assert!(uneven < 1.1 * even, "errors of {even} without outliers, {uneven} with them");
}
