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
fn sum_of_squares_is_the_definition() {
    for n in [0, 1, 15, 16, 17, 65_537, 300_001] {
        let x = random(3, n);
        let expected = naive::sum_of_squares(&x);
        for isa in Isa::available() {
            // Both are in f64; only the order differs.
            assert!((sum_of_squares_on(isa, &x) - expected).abs() <= 1e-12 * expected);
        }
    }
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let x = random(4, 1501 * 203);
    assert_same_bits(|| {
        let mut sums = vec![0.0; 203];
        add_column_sums(&x, &mut sums);
        let squares = sum_of_squares(&x).to_bits();
        sums.extend([f32::from_bits((squares >> 32) as u32), f32::from_bits(squares as u32)]);
        sums
    });
}

#[test]
#[should_panic(expected = "7 elements in rows of 3")]
fn lengths_are_checked() {
    add_column_sums(&[0.0; 7], &mut [0.0; 3]);
}
