//! Sums against their definitions in f64.
use crate::support::{assert_close, assert_same_bits, random};
use clipwright_kernels::isa::Isa;
use clipwright_kernels::reduce::*;

#[test]
fn column_sums_are_the_definition() {
    for (n, d) in [(0, 3), (1, 1), (7, 31), (33, 32), (100, 97), (50, 768), (1000, 161)] {
        let x = random(1, n * d);
        let mut expected = random(2, d);
        naive::add_column_sums(&x, &mut expected);
        for isa in Isa::available() {
            let mut out = random(2, d);
            add_column_sums_on(isa, &x, &mut out);
            // Sums of n terms ≤ 1: at worst every addition errs by half an ε of the sum, which is ~√n.
            assert_close("sum", &out, &expected, f32::EPSILON * (n as f32 + 1.0));
        }
    }
}

#[test]
fn squares_are_the_definition() {
    for n in [0, 1, 15, 16, 17, 65_537, 300_001] {
        let x = random(3, n);
        let expected = naive::sum_of_squares(&x);
        for isa in Isa::available() {
            // Both are in f64; only the order differs.
            let mut sums = vec![f64::NAN; n.div_ceil(PIECE)];
            squares_of_pieces_on(isa, &x, &mut sums);
            assert!((tree_sum(&sums) - expected).abs() <= 1e-12 * expected);
        }
    }
}

#[test]
fn one_number_that_is_not_finite_is_enough() {
    for isa in Isa::available() {
        for n in [0, 1, 15, 16, 17, 100] {
            let mut x = random(5, n);
            x.iter_mut().step_by(3).for_each(|x| *x *= f32::MAX);
            assert!(all_finite_on(isa, &x), "{n}");
            for i in 0..n {
                for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN] {
                    let mut x = x.clone();
                    x[i] = bad;
                    assert!(!all_finite_on(isa, &x), "{bad} at {i} of {n}");
                }
            }
        }
    }
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let x = random(4, 1501 * 203);
    assert_same_bits(|| {
        let mut sums = vec![0.0; 203];
        add_column_sums(&x, &mut sums);
        let mut squares = vec![0.0; x.len().div_ceil(PIECE)];
        squares_of_pieces(&x, &mut squares);
        sums.extend(
            squares.iter().flat_map(|sum| [(sum.to_bits() >> 32) as u32, sum.to_bits() as u32]).map(f32::from_bits),
        );
        sums
    });
}

#[test]
fn a_tree_adds_neighbours_first() {
    let terms = [1e16, 1.0, -1e16, 3.0, 0.5];
    assert_eq!(tree_sum(&terms), ((1e16 + 1.0) + -1e16) + (3.0 + 0.5));
    assert_eq!(tree_sum(&[]), 0.0);
}

#[test]
#[should_panic(expected = "7 elements in rows of 3")]
fn lengths_are_checked() {
    add_column_sums(&[0.0; 7], &mut [0.0; 3]);
}
