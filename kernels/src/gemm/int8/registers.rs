//! The few operations on whole numbers that the micro-kernel is written in, one implementation per instruction set.
//!
//! SAFETY (whole file): every method of [`Registers`] may only run on a CPU that has the instructions of the type,
//! inlined into a function compiled for them; an [`Integers`](super::Integers) proves that such a function may be
//! called. Pointers must be valid for what is read or written; they need no alignment.

use super::QUAD;
use super::rows::Activation;

/// Registers of sums, weights and activations. A register of weights has four steps of K of some neighbouring columns.
///
/// # Safety
/// Every method asks for the instructions of the type, and for pointers that are valid for what it touches.
pub(super) trait Registers {
    /// What an activation is packed as.
    type Activation: Activation;
    type Sums: Copy;
    type Weights: Copy;
    type Activations: Copy;
    /// The columns in a register.
    const COLS: usize;
    unsafe fn zero() -> Self::Sums;
    /// Puts four activations of a row beside the weights of every column.
    unsafe fn splat(p: *const Self::Activation) -> Self::Activations;
    /// Loads the weights of [`COLS`](Self::COLS) columns.
    unsafe fn load(p: *const i8) -> Self::Weights;
    /// Adds to the sum of every column the products of its weights with the activations.
    unsafe fn dot(sums: Self::Sums, a: Self::Activations, w: Self::Weights) -> Self::Sums;
    /// Stores the sums of twice as many columns as a register has, or adds them to what is there.
    unsafe fn store(pair: [Self::Sums; 2], p: *mut i32, add: bool);
}

/// Plain arrays.
pub(super) struct Portable;

impl Registers for Portable {
    type Activation = i16;
    type Sums = [i32; 4];
    type Weights = [i8; 4 * QUAD];
    type Activations = [i16; QUAD];
    const COLS: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> [i32; 4] {
        [0; 4]
    }
    #[inline(always)]
    unsafe fn splat(p: *const i16) -> [i16; QUAD] {
        // SAFETY: `p` is valid for four activations.
        unsafe { p.cast::<[i16; QUAD]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load(p: *const i8) -> Self::Weights {
        // SAFETY: `p` is valid for four columns of four weights.
        unsafe { p.cast::<Self::Weights>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn dot(sums: [i32; 4], a: [i16; QUAD], w: Self::Weights) -> [i32; 4] {
        let product = |j: usize, k: usize| i32::from(a[k]) * i32::from(w[QUAD * j + k]);
        std::array::from_fn(|j| sums[j] + (product(j, 0) + product(j, 1)) + (product(j, 2) + product(j, 3)))
    }
    #[inline(always)]
    unsafe fn store(pair: [[i32; 4]; 2], p: *mut i32, add: bool) {
        for (i, sum) in pair.into_iter().flatten().enumerate() {
            // SAFETY: `p` is valid for eight sums.
            unsafe { *p.add(i) = sum + if add { *p.add(i) } else { 0 } }
        }
    }
}

#[cfg(target_arch = "aarch64")]
pub(super) use neon::NeonDot;
#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512Vnni, AvxVnni};

/// Implements [`Registers`] by intrinsics.
macro_rules! registers {
    ($(#[$doc:meta])* $name:ident, $activation:ty, $sums:ty, $operands:ty, $cols:literal:
     $(fn $method:ident($($args:tt)*) $(-> $r:ty)? $body:block)*) => {
        $(#[$doc])*
        pub(in super::super) struct $name;

        impl Registers for $name {
            type Activation = $activation;
            type Sums = $sums;
            type Weights = $operands;
            type Activations = $operands;
            const COLS: usize = $cols;
            $(
                #[inline(always)]
                unsafe fn $method($($args)*) $(-> $r)? {
                    // SAFETY: the intrinsics ask for no more than `Registers` does, the instructions and pointers
                    // that are valid for a register.
                    unsafe { $body }
                }
            )*
        }
    };
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use super::Registers;
    use std::arch::aarch64::*;
    use std::arch::asm;

    registers! {
        /// Four products of eight bits are added to a sum by one instruction, whose intrinsic is not stable yet.
        NeonDot, i8, int32x4_t, int8x16_t, 4:
        fn zero() -> int32x4_t { vdupq_n_s32(0) }
        fn splat(p: *const i8) -> int8x16_t { vreinterpretq_s8_s32(vdupq_n_s32(p.cast::<i32>().read_unaligned())) }
        fn load(p: *const i8) -> int8x16_t { vld1q_s8(p) }
        fn dot(mut sums: int32x4_t, a: int8x16_t, w: int8x16_t) -> int32x4_t {
            asm!(
                "sdot {sums:v}.4s, {a:v}.16b, {w:v}.16b",
                sums = inout(vreg) sums, a = in(vreg) a, w = in(vreg) w,
                options(pure, nomem, nostack, preserves_flags)
            );
            sums
        }
        fn store(pair: [int32x4_t; 2], p: *mut i32, add: bool) {
            for (i, sums) in pair.into_iter().enumerate() {
                let p = p.add(4 * i);
                vst1q_s32(p, if add { vaddq_s32(vld1q_s32(p), sums) } else { sums });
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Registers;
    use std::arch::x86_64::*;

    registers! {
        /// Products of eight bits are added in pairs to sums of 16, which have room for them, and these in pairs to 32.
        Avx2, u8, __m256i, __m256i, 8:
        fn zero() -> __m256i { _mm256_setzero_si256() }
        fn splat(p: *const u8) -> __m256i { _mm256_set1_epi32(p.cast::<i32>().read_unaligned()) }
        fn load(p: *const i8) -> __m256i { _mm256_loadu_si256(p.cast()) }
        fn dot(sums: __m256i, a: __m256i, w: __m256i) -> __m256i {
            let pairs = _mm256_maddubs_epi16(a, w);
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
        fn store(pair: [__m256i; 2], p: *mut i32, add: bool) {
            put256(pair[0], p, add);
            put256(pair[1], p.add(8), add);
        }
    }

    registers! {
        /// Four products of eight bits are added to a sum by one instruction.
        AvxVnni, u8, __m256i, __m256i, 8:
        fn zero() -> __m256i { _mm256_setzero_si256() }
        fn splat(p: *const u8) -> __m256i { _mm256_set1_epi32(p.cast::<i32>().read_unaligned()) }
        fn load(p: *const i8) -> __m256i { _mm256_loadu_si256(p.cast()) }
        fn dot(sums: __m256i, a: __m256i, w: __m256i) -> __m256i { _mm256_dpbusd_avx_epi32(sums, a, w) }
        fn store(pair: [__m256i; 2], p: *mut i32, add: bool) {
            put256(pair[0], p, add);
            put256(pair[1], p.add(8), add);
        }
    }

    registers! {
        /// Four products of eight bits are added to a sum by one instruction.
        Avx512Vnni, u8, __m512i, __m512i, 16:
        fn zero() -> __m512i { _mm512_setzero_si512() }
        fn splat(p: *const u8) -> __m512i { _mm512_set1_epi32(p.cast::<i32>().read_unaligned()) }
        fn load(p: *const i8) -> __m512i { _mm512_loadu_si512(p.cast()) }
        fn dot(sums: __m512i, a: __m512i, w: __m512i) -> __m512i { _mm512_dpbusd_epi32(sums, a, w) }
        fn store(pair: [__m512i; 2], p: *mut i32, add: bool) {
            put512(pair[0], p, add);
            put512(pair[1], p.add(16), add);
        }
    }

    /// Stores eight sums, or adds them to what is there.
    #[inline(always)]
    unsafe fn put256(sums: __m256i, p: *mut i32, add: bool) {
        // SAFETY: this is only called by the implementations above, whose callers have AVX2 and room for a register.
        unsafe {
            let before = if add { _mm256_loadu_si256(p.cast()) } else { _mm256_setzero_si256() };
            _mm256_storeu_si256(p.cast(), _mm256_add_epi32(before, sums));
        }
    }

    /// Stores sixteen sums, or adds them to what is there.
    #[inline(always)]
    unsafe fn put512(sums: __m512i, p: *mut i32, add: bool) {
        // SAFETY: this is only called by the implementation above, whose callers have AVX-512 and room for a register.
        unsafe {
            let before = if add { _mm512_loadu_si512(p.cast()) } else { _mm512_setzero_si512() };
            _mm512_storeu_si512(p.cast(), _mm512_add_epi32(before, sums));
        }
    }
}
