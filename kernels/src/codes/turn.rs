//! The matrix H: signs, then sums and differences.

use crate::isa::{Isa, multiversion};

/// Returns n, the numbers of a block: the largest power of two that divides the width.
pub(super) fn block(width: usize) -> usize {
    1 << width.trailing_zeros()
}

/// x ← H x
pub(super) fn turn(x: &mut [f64]) {
    on_each(Isa::best(), x, block(x.len()));
}

multiversion! {
    fn on_each(x: &mut [f64], n: usize) {
        for (j, x) in x.iter_mut().enumerate() {
            *x *= sign(j);
        }
        for block in x.chunks_exact_mut(n) {
            let mut half = 1;
            while half < n {
                for pair in block.chunks_exact_mut(2 * half) {
                    let (a, b) = pair.split_at_mut(half);
                    for (a, b) in a.iter_mut().zip(b) {
                        (*a, *b) = (*a + *b, *a - *b);
                    }
                }
                half *= 2;
            }
        }
    }
}

/// Returns the sign of place j: a bit of j well mixed (the last steps of MurmurHash3). Without signs a vector of equal
/// numbers would become one large number, and so would it with signs that follow a pattern of sums and differences.
#[inline(always)]
fn sign(j: usize) -> f64 {
    let mut x = j as u32 + 1;
    x = (x ^ x >> 16).wrapping_mul(0x85eb_ca6b);
    x = (x ^ x >> 13).wrapping_mul(0xc2b2_ae35);
    if (x ^ x >> 16) & 1 == 1 { -1.0 } else { 1.0 }
}
