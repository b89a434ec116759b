//! Numbers of 16 bits, to which inference rounds weights and which it reads as they are.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use kernels::gemm::Numbers;
use rayon::prelude::*;

/// So many numbers are rounded at a time: they stay in the first-level cache.
const PIECE: usize = 1024;

/// A type of numbers of 16 bits. Each of them is an f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// IEEE 754 binary16: eleven significant bits, from 6·10⁻⁸ to 65,504.
    F16,
    /// The upper half of an f32: eight significant bits, and all of its range.
    Bf16,
}

impl Half {
    /// Rounds to nearest, ties to even, and writes the bits.
    pub(super) fn round(self, values: &[f32], bits: &mut [u16]) {
        let pieces = values.par_chunks(PIECE).zip(bits.par_chunks_mut(PIECE));
        pieces.for_each(|(values, bits)| match self {
            Half::F16 => bits.reinterpret_cast_mut::<f16>().convert_from_f32_slice(values),
            Half::Bf16 => bits.reinterpret_cast_mut::<bf16>().convert_from_f32_slice(values),
        });
    }

    /// Rounds to nearest, ties to even, where the values are.
    pub(crate) fn round_in_place(self, values: &mut [f32]) {
        values.par_chunks_mut(PIECE).for_each(|values| {
            let bits = &mut [0_u16; PIECE][..values.len()];
            match self {
                Half::F16 => {
                    let halves = bits.reinterpret_cast_mut::<f16>();
                    halves.convert_from_f32_slice(values);
                    halves.convert_to_f32_slice(values);
                }
                Half::Bf16 => {
                    let halves = bits.reinterpret_cast_mut::<bf16>();
                    halves.convert_from_f32_slice(values);
                    halves.convert_to_f32_slice(values);
                }
            }
        });
    }

    /// Whether rounding changes any of the values.
    pub(crate) fn changes(self, values: &[f32]) -> bool {
        values.par_chunks(PIECE).any(|values| {
            let mut rounded = values.to_vec();
            self.round_in_place(&mut rounded);
            rounded != values
        })
    }

    /// Rounds the first `len` values of `memory`, whose bits then take the first half of their place.
    pub(super) fn narrow(self, memory: &mut [f32], len: usize) {
        let mut bits = [0; PIECE];
        for first in (0..len).step_by(PIECE) {
            let bits = &mut bits[..PIECE.min(len - first)];
            self.round(&memory[first..][..bits.len()], bits);
            bytemuck::cast_slice_mut(memory)[first..][..bits.len()].copy_from_slice(bits);
        }
    }

    /// Views bits of this type as products read them.
    pub(super) fn numbers(self, bits: &[u16]) -> Numbers<'_> {
        match self {
            Half::F16 => Numbers::F16(bits),
            Half::Bf16 => Numbers::Bf16(bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_number_of_16_bits_is_taken_and_the_even_one_of_two() {
        let tiny = f32::from_bits(1);
        let cases = [
            (
                Half::F16,
                [1.0 + 0.5f32.powi(11), 1.0 + 3.0 * 0.5f32.powi(11), 0.5f32.powi(25), 65_519.0, -tiny],
                [1.0, 1.0 + 0.5f32.powi(9), 0.0, 65_504.0, -0.0],
            ),
            (
                Half::Bf16,
                [1.0 + 0.5f32.powi(8), 1.0 + 3.0 * 0.5f32.powi(8), 1e-40, 65_519.0, -tiny],
                [1.0, 1.0 + 0.5f32.powi(6), f32::from_bits(1 << 16), 65_536.0, -0.0],
            ),
        ];
        for (half, values, expected) in cases {
            let (mut bits, mut rounded) = ([0; 5], values);
            half.round(&values, &mut bits);
            half.round_in_place(&mut rounded);
            let mut narrowed = values;
            half.narrow(&mut narrowed, 5);
            assert_eq!(bytemuck::cast_slice::<_, u16>(&narrowed)[..5], bits, "{half:?}");
            let mut again = [0; 5];
            half.round(&rounded, &mut again);
            assert_eq!((rounded.map(f32::to_bits), bits), (expected.map(f32::to_bits), again), "{half:?}: {rounded:?}");
        }
    }
}
