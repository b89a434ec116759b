//! The bounds hold for every row, are narrow, and have the same bits on every instruction set.

use super::{Query, encode, row_bytes};
use crate::gemm::int8::Integers;
use crate::half::products_on;
use crate::isa::Isa;
use crate::support::random;

/// Rounds numbers from −1 to 1 towards zero to f16, as bytes.
fn halves(x: &[f32]) -> Vec<u8> {
    let half = |x: &f32| {
        let (sign, size) = (if x.is_sign_negative() { 0x8000 } else { 0 }, x.abs());
        let bits =
            if size < 6.103_515_6e-5 { (size * 16_777_216.0) as u32 } else { (size.to_bits() - (112 << 23)) >> 13 };
        (sign | bits as u16).to_le_bytes()
    };
    x.iter().flat_map(half).collect()
}

/// Rows of which each breaks another way of rounding.
fn rows(e: usize) -> Vec<f32> {
    let mut rows = vec![];
    for case in 0..40 {
        let mut row = random(case, e);
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|x| *x /= norm);
        match case % 10 {
            1 => row.fill(0.0),
            2 => row.fill(1.0 / (e as f32).sqrt()),
            3 => row.iter_mut().enumerate().for_each(|(j, x)| *x = if j == 3 { 0.95 } else { *x * 0.3 }),
            4 => row.iter_mut().for_each(|x| *x *= 1e-6),
            5 => row.iter_mut().enumerate().for_each(|(j, x)| *x = if j + 1 == e { -1.0 } else { 0.0 }),
            6 => row.iter_mut().for_each(|x| *x = if *x > 0.0 { 1.0 } else { -1.0 }),
            _ => {}
        }
        rows.extend(row);
    }
    rows
}

#[test]
fn products_lie_within_their_bounds() {
    for e in [1, 3, 64, 65, 200, 512, 640, 768] {
        let rows = halves(&rows(e));
        let n = rows.len() / (2 * e);
        let mut coded = vec![0; n * row_bytes(e)];
        encode(&rows, e, &mut coded);
        for case in 0..12 {
            let mut q = random(100 + case, e);
            match case % 6 {
                1 => q.fill(0.0),
                2 => q.iter_mut().for_each(|q| *q *= 1e-20),
                3 => q.iter_mut().for_each(|q| *q *= 1e6),
                // The vector is a row itself, the zero row and the large number among them.
                4 => {
                    q = (0..e)
                        .map(|j| {
                            crate::half::widen(u16::from_le_bytes([rows[2 * (3 * e + j)], rows[2 * (3 * e + j) + 1]]))
                        })
                        .collect()
                }
                5 => q.iter_mut().enumerate().for_each(|(j, q)| *q = if j == 0 { 1.0 } else { 0.0 }),
                _ => {}
            }
            let query = Query::new(&q);
            let [mut lower, mut upper] = [vec![f32::NAN; n], vec![f32::NAN; n]];
            query.bounds(&coded, &mut lower, &mut upper);
            for isa in Isa::available() {
                let mut exact = vec![f32::NAN; n];
                products_on(isa, &rows, &q, &mut exact);
                for (i, x) in exact.iter().enumerate() {
                    let (lower, upper) = (lower[i], upper[i]);
                    assert!(lower <= *x && *x <= upper, "{} e {e}, q {case}, row {i}: {lower} {x} {upper}", isa.name());
                }
            }
            for integers in Integers::available() {
                let [mut low, mut up] = [vec![f32::NAN; n], vec![f32::NAN; n]];
                query.bounds_on(integers, &coded, &mut low, &mut up);
                assert!(low == lower && up == upper, "{}", integers.name());
            }
        }
    }
}

/// What a search gains depends on how narrow the bounds are: a twentieth of the distances between cosines of photographs.
#[test]
fn bounds_are_narrow_even_beside_a_large_number() {
    let e = 512;
    let rows = halves(&rows(e));
    let n = rows.len() / (2 * e);
    let mut coded = vec![0; n * row_bytes(e)];
    encode(&rows, e, &mut coded);
    let mut q = random(7, e);
    let norm = q.iter().map(|q| q * q).sum::<f32>().sqrt();
    q.iter_mut().for_each(|q| *q /= norm);
    let [mut lower, mut upper] = [vec![0.0; n], vec![0.0; n]];
    Query::new(&q).bounds(&coded, &mut lower, &mut upper);
    for (i, (lower, upper)) in lower.iter().zip(&upper).enumerate().filter(|(i, _)| i % 10 != 6) {
        assert!(upper - lower < 0.022, "row {i}: {}", upper - lower);
    }
}

/// Nothing is concluded about rows or vectors with numbers that are none.
#[test]
fn what_is_not_finite_has_no_bounds() {
    for bad in [[0x00, 0x7c], [0x00, 0xfc], [0x00, 0x7e]] {
        let mut rows = halves(&random(1, 2 * 64));
        rows[64 * 2 + 10..][..2].copy_from_slice(&bad);
        let mut coded = vec![0; 2 * row_bytes(64)];
        encode(&rows, 64, &mut coded);
        let [mut lower, mut upper] = [[0.0; 2]; 2];
        Query::new(&random(2, 64)).bounds(&coded, &mut lower, &mut upper);
        assert!(
            lower[0].is_finite() && lower[1] == f32::NEG_INFINITY && upper[1] == f32::INFINITY,
            "{lower:?} {upper:?}"
        );
    }
    let mut coded = vec![0; row_bytes(64)];
    encode(&halves(&random(1, 64)), 64, &mut coded);
    for bad in [f32::NAN, f32::INFINITY] {
        let [mut lower, mut upper] = [[0.0]; 2];
        let mut q = random(2, 64);
        q[3] = bad;
        Query::new(&q).bounds(&coded, &mut lower, &mut upper);
        assert!(upper[0].is_nan() || upper[0] == f32::INFINITY, "{upper:?}");
    }
}
