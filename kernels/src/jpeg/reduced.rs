//! The inverse cosine transform of JPEG to fewer samples: 64 coefficients become a square of 4 × 4, 2 × 2 or 1.
//!
//! A sample is the mean of the 2 × 2, 4 × 4 or 8 × 8 samples that the whole transform ([`dct`](super::dct)) has in its
//! place. So a picture is shrunk before it is decoded, for a part of the work. The mean over 2ʲ neighbours of a wave is
//! the wave at their centre, times a factor that is 0 for some frequencies:
//!
//! ```text
//! 2⁻ʲ Σᵢ cos((2i + 1)nπ/16) = cos(2ʲ(2l + 1)nπ/16) · Πₖ cos(2ᵏnπ/16)        i = 2ʲl … 2ʲ(l + 1) − 1,  k = 0 … j − 1
//! ```
//!
//! Pairs have nothing of frequency 4, and groups of four nothing of 2, 4 and 6. Columns come first, then rows, in fixed
//! point as in the whole transform, and rounded as libjpeg rounds it (`jidctred.c`).

use super::dct::{BETWEEN, BITS, Block};
use crate::isa::{Isa, multiversion};

/// out ← the samples of squares that lie side by side, `edge` × `edge` of each
///
/// `scale` is the quantisation table, in the order of a block. Each of the `edge` rows of `out` has `stride` samples.
///
/// # Panics
/// Panics if `edge` is not 4, 2 or 1, or `out` is too short.
#[track_caller]
pub fn squares(edge: usize, blocks: &[Block], scale: &Block, stride: usize, out: &mut [u8]) {
    squares_on(Isa::best(), edge, blocks, scale, stride, out);
}

/// Computes [`squares`] on a given instruction set.
#[track_caller]
pub fn squares_on(isa: Isa, edge: usize, blocks: &[Block], scale: &Block, stride: usize, out: &mut [u8]) {
    let width = edge * blocks.len();
    assert!(matches!(edge, 1 | 2 | 4), "dct: squares of {edge} × {edge}");
    assert!(width <= stride && out.len() >= (edge - 1) * stride + width, "dct: {width} × {edge} of {}", out.len());
    match edge {
        4 => fours(isa, blocks, scale, stride, out),
        2 => twos(isa, blocks, scale, stride, out),
        _ => blocks.iter().zip(out).for_each(|(block, out)| {
            let mean = i32::from(block[0].wrapping_mul(scale[0]));
            *out = to_sample((mean + 4) >> 3);
        }),
    }
}

multiversion! {
    fn fours(blocks: &[Block], scale: &Block, stride: usize, out: &mut [u8]) {
        each(blocks, scale, stride, out, four, 1);
    }
}

multiversion! {
    fn twos(blocks: &[Block], scale: &Block, stride: usize, out: &mut [u8]) {
        each(blocks, scale, stride, out, two, 2);
    }
}

/// Transforms squares by `column`, whose results have `more` bits after the point beyond [`BITS`].
#[inline(always)]
fn each<const N: usize>(
    blocks: &[Block],
    scale: &Block,
    stride: usize,
    out: &mut [u8],
    column: impl Fn([i32; 8]) -> [i32; N],
    more: u32,
) {
    for (i, block) in blocks.iter().enumerate() {
        let x: [[i16; 8]; 8] = std::array::from_fn(|row| {
            std::array::from_fn(|lane| block[8 * row + lane].wrapping_mul(scale[8 * row + lane]))
        });
        let mut between = [[0; 8]; N];
        for lane in 0..8 {
            let sums = column(x.map(|row| row[lane].into()));
            for (row, sum) in between.iter_mut().zip(sums) {
                row[lane] = rounded(sum, BITS - BETWEEN + more).clamp(i16::MIN.into(), i16::MAX.into());
            }
        }
        for (row, x) in between.into_iter().enumerate() {
            let samples = column(x).map(|sum| to_sample(rounded(sum, BITS + BETWEEN + 3 + more)));
            out[row * stride + N * i..][..N].copy_from_slice(&samples);
        }
    }
}

#[inline(always)]
fn rounded(sum: i32, shift: u32) -> i32 {
    sum.wrapping_add(1 << (shift - 1)) >> shift
}

#[inline(always)]
fn to_sample(value: i32) -> u8 {
    (value.clamp(-128, 127) + 128) as u8
}

/// Σ xₙ fₙ
#[inline(always)]
fn dot<const N: usize>(x: [i32; N], factors: [i32; N]) -> i32 {
    (0..N).fold(0, |sum, n| sum.wrapping_add(x[n].wrapping_mul(factors[n])))
}

/// The sums of the pairs of a column's 8 samples.
#[inline(always)]
fn four(x: [i32; 8]) -> [i32; 4] {
    let (mean, odd) = (x[0] << (BITS + 1), [x[1], x[3], x[5], x[7]]);
    let even = dot([x[2], x[6]], EVEN);
    let [outer, inner] = FOURS.map(|factors| dot(odd, factors));
    let (a, b) = (mean.wrapping_add(even), mean.wrapping_sub(even));
    [a.wrapping_add(outer), b.wrapping_add(inner), b.wrapping_sub(inner), a.wrapping_sub(outer)]
}

/// The sums of the two halves of a column's 8 samples.
#[inline(always)]
fn two(x: [i32; 8]) -> [i32; 2] {
    let (mean, odd) = (x[0] << (BITS + 2), dot([x[1], x[3], x[5], x[7]], TWOS));
    [mean.wrapping_add(odd), mean.wrapping_sub(odd)]
}

// The factors of frequencies, times 2¹³: sums of √2 cos((2i + 1)nπ/16) over the samples i of a pair or of a half.

/// Of frequencies 2 and 6, in the outer pairs.
const EVEN: [i32; 2] = [15137, -6270];
/// Of frequencies 1, 3, 5 and 7, in the outer and in the inner pairs.
const FOURS: [[i32; 4]; 2] = [[20995, 7373, -4926, -4176], [8697, -17799, 11893, -1730]];
/// Of the same, in a half.
const TWOS: [i32; 4] = [29692, -10426, 6967, -5906];
