//! Rounding rows to bytes.

use super::turn::{block, turn};
use super::{MAX_CODE, ZERO, width};
use crate::half::widen;
use rayon::prelude::*;

/// What t and r take behind the codes.
const BEHIND: usize = 2 * size_of::<f32>();
/// By how much r is lengthened for the roundings in it: those of its own computation, and those of y.
const MORE: (f64, f64) = (1.0 + 1e-6, 1e-12);

/// Returns how many bytes are made of a row of e numbers.
pub fn row_bytes(e: usize) -> usize {
    width(e) + BEHIND
}

/// Rounds N rows of f16, on all threads.
///
/// `rows` (N,e) in two bytes each, `coded` (N,row) in [`row_bytes`] each
///
/// # Panics
/// Panics if the lengths are not those of so many rows.
#[track_caller]
pub fn encode(rows: &[u8], e: usize, coded: &mut [u8]) {
    let (from, to, bytes) = (2 * e, row_bytes(e), (rows.len(), coded.len()));
    assert!(
        e > 0 && rows.len().is_multiple_of(from) && coded.len() == rows.len() / from * to,
        "codes of {e}: {bytes:?}"
    );
    let pairs = coded.par_chunks_exact_mut(to).zip(rows.par_chunks_exact(from));
    pairs.for_each_init(Vec::new, |y, (coded, row)| encode_row(row, y, coded));
}

/// Rounds one row. One with a number that is not finite gets an infinite r, so that nothing is concluded about it.
fn encode_row(row: &[u8], y: &mut Vec<f64>, coded: &mut [u8]) {
    let (codes, behind) = coded.split_at_mut(coded.len() - BEHIND);
    y.clear();
    y.extend(row.as_chunks::<2>().0.iter().map(|&half| f64::from(widen(u16::from_le_bytes(half)))));
    y.resize(codes.len(), 0.0);
    turn(y);
    let square: f64 = y.iter().map(|y| y * y).sum();
    let max = y.iter().fold(0.0, |max: f64, y| max.max(y.abs()));
    let t = if square.is_finite() { (max / MAX_CODE) as f32 } else { 0.0 };
    let inverse = if t > 0.0 { 1.0 / f64::from(t) } else { 0.0 };
    let mut off = 0.0;
    for (code, y) in codes.iter_mut().zip(&*y) {
        let c = (y * inverse).round().clamp(-MAX_CODE, MAX_CODE);
        off += (y - f64::from(t) * c).powi(2);
        *code = (c as i32 + ZERO) as u8;
    }
    let r = (off.sqrt() * MORE.0 + square.sqrt() * MORE.1) / (block(y.len()) as f64).sqrt();
    let r = if square.is_finite() { r as f32 } else { f32::INFINITY };
    behind.copy_from_slice([t, r].map(f32::to_le_bytes).as_flattened());
}
