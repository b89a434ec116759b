//! The products of one vector with many rows of f16, which are what a search through stored embeddings computes.
//!
//! ```text
//! out[i] = Σⱼ rows[i, j] · x[j]
//! ```
//! The rows are little-endian bytes as they lie in a file: nothing is copied or aligned first. Every f16 is an f32, so
//! only the products and their sum round.

use crate::isa::{Isa, mul_add, multiversion};
use crate::lanes::across;

/// The lanes of a sum: one AVX-512 register or two AVX2 ones, as in the sums of f32.
const CHUNK: usize = 16;

/// out\[i\] = ⟨row i, x⟩, on the caller's thread
///
/// `rows` (N,d) in two bytes each, `x` (d), `out` (N)
#[track_caller]
pub fn products(rows: &[u8], x: &[f32], out: &mut [f32]) {
    products_on(Isa::best(), rows, x, out);
}

/// Computes [`products`] on a given instruction set.
#[track_caller]
pub fn products_on(isa: Isa, rows: &[u8], x: &[f32], out: &mut [f32]) {
    let (n, d, bytes) = (out.len(), x.len(), rows.len());
    assert!(d > 0 && bytes == 2 * d * n, "f16 products: {n} rows of {d} in {bytes} bytes");
    each_row(isa, rows, x, out);
}

multiversion! {
    /// Computes the product with each row.
    fn each_row(rows: &[u8], x: &[f32], out: &mut [f32]) {
        let (x_chunks, x_tail) = x.as_chunks::<CHUNK>();
        for (row, out) in rows.chunks_exact(2 * x.len()).zip(out) {
            let (chunks, tail) = row.as_chunks::<2>().0.as_chunks::<CHUNK>();
            let mut lanes = [0.0; CHUNK];
            for (row, x) in chunks.iter().zip(x_chunks) {
                for i in 0..CHUNK {
                    lanes[i] = mul_add::<FMA>(widen(u16::from_le_bytes(row[i])), x[i], lanes[i]);
                }
            }
            for (lane, (&half, &x)) in lanes.iter_mut().zip(tail.iter().zip(x_tail)) {
                *lane = mul_add::<FMA>(widen(u16::from_le_bytes(half)), x, *lane);
            }
            *out = across(lanes, |a, b| a + b);
        }
    }
}

/// Widens an f16 to the f32 of the same value. It selects instead of branching, so that the compiler vectorises it.
#[inline(always)]
pub(crate) fn widen(half: u16) -> f32 {
    let half = u32::from(half);
    let magnitude = half & 0x7fff;
    // The bias of exponents is 127 instead of 15; an exponent of 31, which means infinity or NaN, becomes 255.
    let rebias = if magnitude >= 0x7c00 { (2 * (127 - 15)) << 23 } else { (127 - 15) << 23 };
    // A number below 2⁻¹⁴, the smallest normal one, is its bits as a whole number times 2⁻²⁴.
    let small = (magnitude as i32 as f32 * (1.0 / (1 << 24) as f32)).to_bits();
    let bits = if magnitude < 0x0400 { small } else { (magnitude << 13) + rebias };
    f32::from_bits(bits | (half & 0x8000) << 16)
}

/// Widens a bf16, the upper half of the bits of an f32, to the f32 of the same value.
#[inline(always)]
pub(crate) fn widen_bf16(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

/// The definition, in f64.
#[doc(hidden)]
pub mod naive {
    pub fn products(rows: &[u8], x: &[f32], out: &mut [f32]) {
        for (i, out) in out.iter_mut().enumerate() {
            let at = |j: usize| value([rows[2 * (i * x.len() + j)], rows[2 * (i * x.len() + j) + 1]]);
            *out = x.iter().enumerate().map(|(j, &x)| at(j) * f64::from(x)).sum::<f64>() as f32;
        }
    }

    /// Reads IEEE 754 binary16: one bit of sign, five of exponent, ten of fraction.
    pub fn value(half: [u8; 2]) -> f64 {
        let half = u16::from_le_bytes(half);
        let sign = if half >> 15 == 1 { -1.0 } else { 1.0 };
        let (exponent, fraction) = (i32::from(half >> 10 & 31), f64::from(half & 1023));
        sign * match exponent {
            0 => fraction * 2f64.powi(-24),
            31 if fraction == 0.0 => f64::INFINITY,
            31 => f64::NAN,
            _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
        }
    }
}
