//! Products with rows of f16 against their definition in f64.
use crate::support::{assert_close, random};
use clipwright_kernels::half::*;
use clipwright_kernels::isa::Isa;

#[test]
fn every_f16_is_widened_exactly() {
    let rows: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    for isa in Isa::available() {
        // As rows of one, and as one lane of rows of sixteen and of seventeen.
        for d in [1, 16, 17] {
            let mut padded = vec![0; 2 * d * 65_536];
            let (lane, mut x) = (d - 1, vec![0.0; d]);
            x[lane] = 1.0;
            for (row, half) in padded.chunks_exact_mut(2 * d).zip(rows.chunks_exact(2)) {
                row[2 * lane..].copy_from_slice(half);
            }
            let mut out = vec![0.0; 65_536];
            products_on(isa, &padded, &x, &mut out);
            for (half, &out) in (0..=u16::MAX).zip(&out) {
                let expected = naive::value(half.to_le_bytes()) as f32;
                assert!(out == expected || out.is_nan() && expected.is_nan(), "{half:#06x}: {out} on {}", isa.name());
            }
        }
    }
}

#[test]
fn every_isa_is_the_definition() {
    for (n, d) in [(0, 3), (1, 1), (3, 15), (2, 16), (5, 33), (7, 512), (4, 769)] {
        // Exponents 10 to 14: magnitudes between 2⁻⁵ and 1.
        let bits = random(1, n * d).into_iter().map(|r| {
            let sign = if r < 0.0 { 0x8000 } else { 0 };
            sign | (0x2800 + (r.abs() * f32::from(0x1400u16)) as u16)
        });
        let rows: Vec<u8> = bits.flat_map(u16::to_le_bytes).collect();
        let (x, mut expected) = (random(2, d), vec![0.0; n]);
        naive::products(&rows, &x, &mut expected);
        for isa in Isa::available() {
            let mut out = vec![f32::NAN; n];
            products_on(isa, &rows, &x, &mut out);
            // Terms ≤ 1 whose partial sums are ~√d: a rounding for each of the d/16 steps of a lane.
            assert_close("products", &out, &expected, f32::EPSILON * (d as f32).sqrt() * (2.0 + d as f32 / 16.0));
        }
    }
}

#[test]
#[should_panic(expected = "f16 products: 2 rows of 3 in 10 bytes")]
fn lengths_are_checked() {
    products(&[0; 10], &[0.0; 3], &mut [0.0; 2]);
}
