//! The inverse cosine transform of JPEG: 64 coefficients become the samples of a square of 8 × 8 pixels.
//!
//! Sample (i, j) is a sum over the frequencies (l, n), with the factor f(0) = 1/√2 and f(n) = 1 elsewhere:
//!
//! ```text
//! yᵢⱼ = 128 + ¼ Σₗ Σₙ f(l) f(n) xₗₙ cos((2i + 1)lπ/16) cos((2j + 1)nπ/16)
//! ```
//!
//! Columns come first, then rows. Each is an 8-point transform of 12 products in fixed point (Loeffler, Ligtenberg and
//! Moschytz 1989), whose constants have 13 bits after the point. Between the two passes the numbers have two bits after
//! the point. Wherever the vector code of libjpeg-turbo keeps 16 bits, so does this, and damaged files look the same.

use crate::isa::Isa;

/// The coefficients of a square, rows of 8 from the lowest frequency.
pub type Block = [i16; 64];

/// Number of bits after the point in the constants.
pub(super) const BITS: u32 = 13;
/// Number of bits after the point between the passes.
pub(super) const BETWEEN: u32 = 2;

/// out ← the samples of squares that lie side by side
///
/// `scale` is the quantisation table, in the order of a block. Each of the 8 rows of `out` has `stride` samples.
///
/// # Panics
/// Panics if `out` is too short.
#[track_caller]
pub fn squares(blocks: &[Block], scale: &Block, stride: usize, out: &mut [u8]) {
    squares_on(Isa::best(), blocks, scale, stride, out);
}

/// Computes [`squares`] on a given instruction set.
#[track_caller]
pub fn squares_on(isa: Isa, blocks: &[Block], scale: &Block, stride: usize, out: &mut [u8]) {
    let width = 8 * blocks.len();
    assert!(width <= stride && out.len() >= 7 * stride + width, "dct: {width} × 8 of {} samples", out.len());
    match isa {
        Isa::Portable => portable(blocks, scale, stride, out),
        // SAFETY: the token is the proof that this CPU has AVX2.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(_) | Isa::Avx512(_) => unsafe { avx2::squares(blocks, scale, stride, out) },
        #[cfg(not(target_arch = "x86_64"))]
        _ => unreachable!("no token is ever made here"),
    }
}

fn portable(blocks: &[Block], scale: &Block, stride: usize, out: &mut [u8]) {
    for (i, block) in blocks.iter().enumerate() {
        let out = &mut out[8 * i..];
        if is_flat(block) {
            fill(block, scale, stride, out);
            continue;
        }
        let mut values = [[0i16; 8]; 8];
        for (value, (x, scale)) in values.as_flattened_mut().iter_mut().zip(block.iter().zip(scale)) {
            *value = x.wrapping_mul(*scale);
        }
        pass::<{ BITS - BETWEEN }>(&mut values);
        values = transposed(&values);
        pass::<{ BITS + BETWEEN + 3 }>(&mut values);
        for (row, values) in transposed(&values).iter().enumerate() {
            let samples = values.map(|value| (value.clamp(-128, 127) + 128) as u8);
            out[row * stride..][..8].copy_from_slice(&samples);
        }
    }
}

/// Returns whether all coefficients but the mean are 0.
#[inline(always)]
fn is_flat(block: &Block) -> bool {
    let rows = block.as_chunks::<8>().0;
    rows[0][1..] == [0; 7] && rows[1..].iter().all(|row| *row == [0; 8])
}

/// Computes a square whose only coefficient is the mean, as both passes do.
#[inline(always)]
fn fill(block: &Block, scale: &Block, stride: usize, out: &mut [u8]) {
    let mean = i32::from(block[0].wrapping_mul(scale[0]));
    let between = (mean << BETWEEN).clamp(i16::MIN.into(), i16::MAX.into());
    let sample = (((between + (1 << (BETWEEN + 2))) >> (BETWEEN + 3)).clamp(-128, 127) + 128) as u8;
    (0..8).for_each(|row| out[row * stride..][..8].fill(sample));
}

fn transposed(values: &[[i16; 8]; 8]) -> [[i16; 8]; 8] {
    std::array::from_fn(|i| std::array::from_fn(|j| values[j][i]))
}

/// Transforms the 8 columns, and drops `SHIFT` bits after the point.
fn pass<const SHIFT: u32>(values: &mut [[i16; 8]; 8]) {
    for lane in 0..8 {
        let sums = column(std::array::from_fn(|row| values[row][lane]));
        for (row, sum) in values.iter_mut().zip(sums) {
            let rounded = sum.wrapping_add(1 << (SHIFT - 1)) >> SHIFT;
            row[lane] = rounded.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        }
    }
}

/// The transform of one column; the result has [`BITS`] more bits after the point.
fn column(x: [i16; 8]) -> [i32; 8] {
    // a·f + b·g, with factors of at most 16 bits.
    let pair = |a: i16, b: i16, [f, g]: [i32; 2]| (i32::from(a) * f).wrapping_add(i32::from(b) * g);
    let [sum, difference] = [x[0].wrapping_add(x[4]), x[0].wrapping_sub(x[4])].map(|value| i32::from(value) << BITS);
    let [low, high] = [LOW, HIGH].map(|factors| pair(x[2], x[6], factors));
    let even = [(sum, high), (difference, low)].map(|(a, b)| [a.wrapping_add(b), a.wrapping_sub(b)]);
    let even = [even[0][0], even[1][0], even[1][1], even[0][1]];
    let (a, b) = (x[7].wrapping_add(x[3]), x[5].wrapping_add(x[1]));
    let [first, second] = [FIRST, SECOND].map(|factors| pair(a, b, factors));
    let odd = [
        pair(x[7], x[1], ODD[0]).wrapping_add(second),
        pair(x[5], x[3], ODD[1]).wrapping_add(first),
        pair(x[5], x[3], ODD[2]).wrapping_add(second),
        pair(x[7], x[1], ODD[3]).wrapping_add(first),
    ];
    std::array::from_fn(|i| match i {
        0..4 => even[i].wrapping_add(odd[i]),
        _ => even[7 - i].wrapping_sub(odd[7 - i]),
    })
}

// The factors of pairs of values, times 2¹³: sums of the 12 constants, so that a pair takes one instruction.

/// Of x₂ and x₆.
const LOW: [i32; 2] = [4433, 4433 - 15137];
const HIGH: [i32; 2] = [4433 + 6270, 4433];
/// Of x₇ + x₃ and x₅ + x₁.
const FIRST: [i32; 2] = [9633 - 16069, 9633];
const SECOND: [i32; 2] = [9633, 9633 - 3196];
/// Of x₇ and x₁ for the outer two, of x₅ and x₃ for the inner two.
const ODD: [[i32; 2]; 4] =
    [[-7373, 12299 - 7373], [-20995, 25172 - 20995], [16819 - 20995, -20995], [2446 - 7373, -7373]];

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{BETWEEN, BITS, Block, FIRST, HIGH, LOW, ODD, SECOND, fill, is_flat};
    use std::arch::x86_64::*;

    /// Eight rows of eight numbers of 16 bits.
    type Rows = [__m128i; 8];

    #[target_feature(enable = "avx2")]
    pub fn squares(blocks: &[Block], scale: &Block, stride: usize, out: &mut [u8]) {
        let scale = load(scale);
        for (i, block) in blocks.iter().enumerate() {
            let out = &mut out[8 * i..];
            if is_flat(block) {
                fill(block, &store(scale), stride, out);
                continue;
            }
            let x = load(block);
            let x = std::array::from_fn(|row| _mm_mullo_epi16(x[row], scale[row]));
            let between = transposed(pass::<{ (BITS - BETWEEN) as i32 }>(x));
            let y = transposed(pass::<{ (BITS + BETWEEN + 3) as i32 }>(between));
            for row in 0..8 {
                let samples = _mm_add_epi8(_mm_packs_epi16(y[row], y[row]), _mm_set1_epi8(-128));
                out[row * stride..][..8].copy_from_slice(&_mm_cvtsi128_si64(samples).to_le_bytes());
            }
        }
    }

    #[target_feature(enable = "avx2")]
    fn load(block: &Block) -> Rows {
        let rows = block.as_chunks::<8>().0;
        // SAFETY: a row has 16 bytes, as many as are loaded.
        std::array::from_fn(|row| unsafe { _mm_loadu_si128(rows[row].as_ptr().cast()) })
    }

    #[target_feature(enable = "avx2")]
    fn store(rows: Rows) -> Block {
        let mut block = [0; 64];
        for (row, to) in rows.iter().zip(block.as_chunks_mut::<8>().0) {
            // SAFETY: a row has 16 bytes, as many as are stored.
            unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), *row) };
        }
        block
    }

    /// Transforms the columns, and drops `SHIFT` bits after the point.
    #[target_feature(enable = "avx2")]
    fn pass<const SHIFT: i32>(x: Rows) -> Rows {
        let [sum, difference] = [_mm_add_epi16(x[0], x[4]), _mm_sub_epi16(x[0], x[4])]
            .map(|value| _mm256_slli_epi32::<{ BITS as i32 }>(_mm256_cvtepi16_epi32(value)));
        let middle = pairs(x[2], x[6]);
        let [low, high] = [LOW, HIGH].map(|factors| times(middle, factors));
        let half = _mm256_set1_epi32(1 << (SHIFT - 1));
        let [sum, difference] = [sum, difference].map(|value| _mm256_add_epi32(value, half));
        let even = [
            _mm256_add_epi32(sum, high),
            _mm256_add_epi32(difference, low),
            _mm256_sub_epi32(difference, low),
            _mm256_sub_epi32(sum, high),
        ];
        let sums = pairs(_mm_add_epi16(x[7], x[3]), _mm_add_epi16(x[5], x[1]));
        let [first, second] = [FIRST, SECOND].map(|factors| times(sums, factors));
        let [outer, inner] = [pairs(x[7], x[1]), pairs(x[5], x[3])];
        let odd = [
            _mm256_add_epi32(times(outer, ODD[0]), second),
            _mm256_add_epi32(times(inner, ODD[1]), first),
            _mm256_add_epi32(times(inner, ODD[2]), second),
            _mm256_add_epi32(times(outer, ODD[3]), first),
        ];
        let y = |i: usize| match i {
            0..4 => _mm256_add_epi32(even[i], odd[i]),
            _ => _mm256_sub_epi32(even[7 - i], odd[7 - i]),
        };
        let two = |i: usize| {
            let [a, b] = [y(i), y(i + 1)].map(|sum| _mm256_srai_epi32::<SHIFT>(sum));
            let both = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(a, b));
            [_mm256_castsi256_si128(both), _mm256_extracti128_si256::<1>(both)]
        };
        let [[a, b], [c, d], [e, f], [g, h]] = [two(0), two(2), two(4), two(6)];
        [a, b, c, d, e, f, g, h]
    }

    /// Puts each number of `a` beside that of `b`.
    #[target_feature(enable = "avx2")]
    fn pairs(a: __m128i, b: __m128i) -> __m256i {
        _mm256_set_m128i(_mm_unpackhi_epi16(a, b), _mm_unpacklo_epi16(a, b))
    }

    #[target_feature(enable = "avx2")]
    fn times(pairs: __m256i, [f, g]: [i32; 2]) -> __m256i {
        _mm256_madd_epi16(pairs, _mm256_set1_epi32(g << 16 | f & 0xffff))
    }

    #[target_feature(enable = "avx2")]
    fn transposed([a, b, c, d, e, f, g, h]: Rows) -> Rows {
        let low = |a, b| _mm_unpacklo_epi16(a, b);
        let high = |a, b| _mm_unpackhi_epi16(a, b);
        let [ae, bf, cg, dh] = [low(a, e), low(b, f), low(c, g), low(d, h)];
        let [ea, fb, gc, hd] = [high(a, e), high(b, f), high(c, g), high(d, h)];
        let [aceg, bdfh, ecga, fdhb] = [low(ae, cg), low(bf, dh), high(ae, cg), high(bf, dh)];
        let [geca, hfdb, gace, hbdf] = [low(ea, gc), low(fb, hd), high(ea, gc), high(fb, hd)];
        [
            low(aceg, bdfh),
            high(aceg, bdfh),
            low(ecga, fdhb),
            high(ecga, fdhb),
            low(geca, hfdb),
            high(geca, hfdb),
            low(gace, hbdf),
            high(gace, hbdf),
        ]
    }
}

/// The definition, in f64.
#[doc(hidden)]
pub mod naive {
    use super::Block;
    use std::f64::consts::{FRAC_1_SQRT_2, PI};

    /// Returns the samples of a square before they are rounded.
    pub fn square(block: &Block, scale: &Block) -> [f64; 64] {
        let wave = |i: usize, n: usize| {
            let factor = if n == 0 { FRAC_1_SQRT_2 } else { 1.0 };
            factor * ((2 * i + 1) as f64 * n as f64 * PI / 16.0).cos()
        };
        std::array::from_fn(|at| {
            let term = |n: usize| {
                let x = f64::from(block[n]) * f64::from(scale[n]);
                x * wave(at / 8, n / 8) * wave(at % 8, n % 8)
            };
            128.0 + (0..64).map(term).sum::<f64>() / 4.0
        })
    }
}
