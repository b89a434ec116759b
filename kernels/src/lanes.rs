//! Folding slices in a fixed number of lanes, so that the compiler may vectorise a sum without reordering it.

use crate::isa::mul_add;
use std::array::from_fn;

/// The lanes of a sum: one AVX-512 register or two AVX2 ones. Twice as many would hide more of an addition's latency,
/// but the compiler then no longer keeps them in registers.
const LANES: usize = 16;

/// Folds the i-th elements of N equally long slices, i = 0, 1, …, in lanes, then `join`s the lanes pairwise.
#[inline(always)]
pub(crate) fn fold<const N: usize>(
    slices: [&[f32]; N],
    init: f32,
    f: impl Fn(f32, [f32; N]) -> f32,
    join: impl Fn(f32, f32) -> f32,
) -> f32 {
    let chunked = slices.map(|s| s.as_chunks::<LANES>());
    let chunks = chunked.iter().map(|c| c.0.len()).min().unwrap_or(0);
    let mut lanes = [init; LANES];
    for c in 0..chunks {
        // The chunks are copied, so that the compiler keeps them in registers.
        let chunk: [[f32; LANES]; N] = from_fn(|k| chunked[k].0[c]);
        for i in 0..LANES {
            lanes[i] = f(lanes[i], from_fn(|k| chunk[k][i]));
        }
    }
    for (i, lane) in lanes.iter_mut().enumerate().take(chunked[0].1.len()) {
        *lane = f(*lane, from_fn(|k| chunked[k].1[i]));
    }
    across(lanes, join)
}

/// Joins the lanes pairwise, in log₂ N steps on whole registers each.
#[inline(always)]
pub(crate) fn across<const N: usize>(mut lanes: [f32; N], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = N;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            lanes[i] = join(lanes[i], lanes[i + width]);
        }
    }
    lanes[0]
}

/// Σᵢ f(the i-th elements)
#[inline(always)]
pub(crate) fn sum<const N: usize>(slices: [&[f32]; N], f: impl Fn([f32; N]) -> f32) -> f32 {
    fold(slices, 0.0, |sum, x| sum + f(x), |a, b| a + b)
}

/// Σ xᵢ·yᵢ
#[inline(always)]
pub(crate) fn dot<const FMA: bool>(x: &[f32], y: &[f32]) -> f32 {
    fold([x, y], 0.0, |sum, [x, y]| mul_add::<FMA>(x, y, sum), |a, b| a + b)
}

/// max(a, b) in one instruction; a NaN in b is passed over
#[inline(always)]
pub(crate) fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// maxᵢ xᵢ, or −∞ for an empty slice
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    fold([x], f32::NEG_INFINITY, |max, [x]| larger(max, x), larger)
}
