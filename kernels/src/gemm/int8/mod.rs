//! Products with weights of eight bits: C ← epilogue(A·B), where every sum is one of whole numbers.
//!
//! Eight bits instead of 32 are a quarter of the memory to read, and processors multiply four times as many of them at
//! once. The weights are rounded once, a column of B at a time, and A anew in every product, a row at a time:
//!
//! ```text
//! Bₖⱼ ≈ tⱼ·wₖⱼ               wₖⱼ in −127..=127,  tⱼ = max(maxₖ |Bₖⱼ|/127, maxₖ |Bₖⱼ + B₍ₖ₊₁₎ⱼ|/128) with even k
//! Aᵢₖ ≈ sᵢ·(aᵢₖ − zᵢ)        aᵢₖ in 0..=255,     sᵢ = (maxₖ Aᵢₖ − minₖ Aᵢₖ)/255, where both include 0
//! Cᵢⱼ ≈ sᵢ·tⱼ·(Σₖ aᵢₖ·wₖⱼ − zᵢ·Σₖ wₖⱼ) + Σₗ Aᵢₗ·Bₗⱼ
//! ```
//!
//! The first two sums are exact, and the rest is done in one order, so C has the same bits on every instruction set and
//! for any number of threads. (Jacob et al. 2018, section 2.3.)
//!
//! The step tⱼ is such that two neighbouring weights add up to −128..=128. Then the two products with them add up to less
//! than 2¹⁵, and CPUs with AVX2 alone can add them in 16 bits, twice as many at once as in 32.
//!
//! The last sum is over the outliers l, a few columns of A that may be many times as large as the others. A row that was
//! rounded together with them would have few of its 256 numbers left for the rest, so they keep their 32 bits, and the
//! first two sums leave them out. (Dettmers et al. 2022, section 3.2; there they are found anew in every product.)
//!
//! | file | what it is for |
//! |---|---|
//! | `isa` | which instructions multiply |
//! | `weights`, `rows` | rounding the columns of B, once, and the rows of A |
//! | `registers`, `kernel` | the micro-kernels, and the registers that they are written in |
//! | `amx` | the micro-kernel for processors with registers of two dimensions |
//! | `product` | the way through the tiles of C |
//! | `naive` | the definition |

#[cfg(target_arch = "x86_64")]
mod amx;
mod isa;
mod kernel;
mod naive;
mod product;
mod registers;
mod rows;
#[cfg(test)]
mod tests;
mod weights;

pub use isa::Integers;
#[doc(hidden)]
pub use naive::naive;
pub use product::{gemm_int8, gemm_int8_on};
pub use weights::{Int8, Parts};

/// Four neighbouring steps of K are multiplied at once: as many numbers of eight bits as a sum of 32 bits has room for.
const QUAD: usize = 4;

/// Returns the whole number that is nearest to x, the even one of two, for |x| < 2²². The sum with 1.5·2²³ has no bits
/// left for a fraction, so that its lowest bits are the number; this is the same everywhere and takes two instructions.
#[inline(always)]
fn nearest(x: f32) -> i32 {
    const SHIFT: f32 = 12_582_912.0;
    (x + SHIFT).to_bits().wrapping_sub(SHIFT.to_bits()) as i32
}
