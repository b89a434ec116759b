//! Dropout against its definition, and the statistics of what it draws.
use crate::support::{assert_same_bits, random};
use clipwright_kernels::dropout::{Dropout, Unit, add_residual_on, apply, apply_on, naive};
use clipwright_kernels::isa::Isa;

fn names(rows: usize) -> Vec<[u32; 2]> {
    (0..rows as u32).map(|i| [i / 7, i % 7]).collect()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Returns the mask of some rows.
fn mask(dropout: Dropout, width: usize) -> Vec<f32> {
    let mut mask = vec![1.0; dropout.names.len() * width];
    apply(dropout, width, &mut mask);
    mask
}

#[test]
fn every_isa_is_the_definition() {
    for (rows, width) in [(0, 5), (1, 1), (9, 33), (20, 128), (3, 300)] {
        let names = &names(rows);
        for (rate, unit) in
            [0.0, 0.1, 0.5, 0.999].into_iter().flat_map(|r| [Unit::Value, Unit::Sequence].map(|u| (r, u)))
        {
            let dropout = Dropout { rate, key: 0x0123_4567_89ab_cdef, names, unit };
            let (x, residual) = (random(1, rows * width), random(2, rows * width));
            let dropped: Vec<f32> =
                x.iter().enumerate().map(|(i, x)| naive::mask(dropout, i / width, 0, i % width) as f32 * x).collect();
            let sum: Vec<f32> = residual.iter().zip(&dropped).map(|(residual, x)| residual + x).collect();
            for isa in Isa::available() {
                let [mut y, mut z] = [x.clone(), x.clone()];
                apply_on(isa, dropout, width, &mut y);
                add_residual_on(isa, dropout, width, &residual, &mut z);
                assert!(bits(&y) == bits(&dropped) && bits(&z) == bits(&sum), "{rows}×{width}, {dropout:?} on {isa:?}");
            }
        }
    }
}

/// Of n values n·p are dropped, give or take four standard deviations; the mean stays.
#[test]
fn the_share_is_the_rate_and_the_mean_stays() {
    let (rows, width) = (700, 301);
    for rate in [0.1, 0.5, 0.9] {
        for unit in [Unit::Value, Unit::Sequence] {
            let mask = mask(Dropout { rate, key: 1, names: &names(rows), unit }, width);
            let n = if unit == Unit::Value { rows * width } else { rows / 7 } as f64;
            let dropped = mask.iter().filter(|&&m| m == 0.0).count() as f64 / mask.len() as f64;
            let deviation = (f64::from(rate * (1.0 - rate)) / n).sqrt();
            assert!((dropped - f64::from(rate)).abs() < 4.0 * deviation, "{dropped} of {rate}, {unit:?}");
            let mean = mask.iter().map(|&m| f64::from(m)).sum::<f64>() / mask.len() as f64;
            assert!((mean - 1.0).abs() < 4.0 * deviation / f64::from(1.0 - rate), "mean {mean}, {rate}, {unit:?}");
        }
    }
}

/// Two masks agree about as often as two coins would: over keys that differ by a bit, and neighbours in every direction.
#[test]
fn nothing_repeats() {
    let (rows, width) = (700, 300);
    let (names, swapped) = (names(rows), names(rows).iter().map(|&[a, b]| [b + 200, a]).collect::<Vec<_>>());
    let draw = |key, names| mask(Dropout { rate: 0.5, key, names, unit: Unit::Value }, width);
    let base = draw(5, &names);
    let agree = |what: &str, a: &[f32], b: &[f32]| {
        let n = a.len() as f64;
        let same = a.iter().zip(b).filter(|(a, b)| a == b).count() as f64;
        assert!((same - n / 2.0).abs() < 4.5 * (n / 4.0).sqrt(), "{what}: {same} of {n}");
    };
    (0..64).for_each(|bit| agree("another key", &base, &draw(5 ^ (1 << bit), &names)));
    agree("other names", &base, &draw(5, &swapped));
    for lag in [1, 2, 8, 16, 32, 64, 128, width, 7 * width] {
        agree(&format!("a lag of {lag}"), &base[lag..], &base[..base.len() - lag]);
    }
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let names = &names(901);
    for unit in [Unit::Value, Unit::Sequence] {
        assert_same_bits(|| mask(Dropout { rate: 0.1, key: 2, names, unit }, 777));
    }
}

#[test]
#[should_panic(expected = "dropout: a rate of 1, not from 0 to")]
fn all_is_too_much() {
    mask(Dropout { rate: 1.0, key: 0, names: &names(3), unit: Unit::Value }, 4);
}

#[test]
#[should_panic(expected = "dropout: 3 names of rows of 4")]
fn every_row_has_a_name() {
    apply(Dropout { rate: 0.1, key: 0, names: &names(3), unit: Unit::Value }, 4, &mut [0.0; 13]);
}
