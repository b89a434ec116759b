//! Σⱼ bytesⱼ·highⱼ and Σⱼ bytesⱼ·lowⱼ of every row, with the same whole numbers on every instruction set.
//!
//! A sum is below 2³¹ for rows of up to 2¹⁶ numbers: 2¹⁶·255·128.

use super::STEP;
use crate::gemm::int8::Integers;

/// The sums of the upper and of the lower bytes.
pub(super) type Sums = [i32; 2];

/// Calls `each` with the sums of every row and the bytes behind its codes.
pub(super) fn for_each(integers: Integers, coded: &[u8], row: usize, query: [&[i8]; 2], each: impl FnMut(Sums, &[u8])) {
    match integers {
        Integers::Portable | Integers::NeonDot(_) => rows(coded, row, query, portable, each),
        // SAFETY: the token is the proof that this CPU has the instructions.
        #[cfg(target_arch = "x86_64")]
        Integers::Avx2(_) => unsafe { x86::avx2(coded, row, query, each) },
        // SAFETY: the token is the proof that this CPU has the instructions.
        #[cfg(target_arch = "x86_64")]
        Integers::AvxVnni(_) => unsafe { x86::avx_vnni(coded, row, query, each) },
        // SAFETY: the token is the proof that this CPU has the instructions.
        #[cfg(target_arch = "x86_64")]
        Integers::Avx512Vnni(_) | Integers::Amx(_) => unsafe { x86::avx512_vnni(coded, row, query, each) },
        #[cfg(not(target_arch = "x86_64"))]
        _ => unreachable!("no token is ever made here"),
    }
}

/// Goes through the rows.
#[inline(always)]
fn rows(
    coded: &[u8],
    row: usize,
    [high, low]: [&[i8]; 2],
    sums: impl Fn([&[[i8; STEP]]; 2], &[[u8; STEP]]) -> Sums,
    mut each: impl FnMut(Sums, &[u8]),
) {
    let query = [high.as_chunks().0, low.as_chunks().0];
    for row in coded.chunks_exact(row) {
        let (codes, behind) = row.split_at(high.len());
        each(sums(query, codes.as_chunks().0), behind);
    }
}

/// Computes the sums of one row by plain loops.
#[inline(always)]
fn portable([high, low]: [&[[i8; STEP]]; 2], codes: &[[u8; STEP]]) -> Sums {
    let dot = |query: &[[i8; STEP]]| {
        let pairs = codes.as_flattened().iter().zip(query.as_flattened());
        pairs.map(|(&code, &a)| i32::from(code) * i32::from(a)).sum()
    };
    [dot(high), dot(low)]
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{STEP, Sums, rows};
    use std::arch::x86_64::*;

    /// Defines the way through the rows for some instructions: registers of so many bytes, their zero, their sum, and what
    /// adds the products of a register of codes with registers of both bytes of the query.
    macro_rules! sums {
        ($name:ident, $features:literal, $bytes:literal, $zero:ident,
         |[$h:ident, $l:ident], $codes:ident, $high:ident, $low:ident| $add:block, $sum:ident) => {
            /// # Safety
            /// The CPU has the instructions.
            #[target_feature(enable = $features)]
            pub unsafe fn $name(coded: &[u8], row: usize, query: [&[i8]; 2], each: impl FnMut(Sums, &[u8])) {
                let sums = |[high, low]: [&[[i8; STEP]]; 2], codes: &[[u8; STEP]]| {
                    // SAFETY: this copy is compiled for the instructions, and the steps of a register are within those of
                    // a chunk.
                    unsafe {
                        let (mut upper, mut lower) = ($zero(), $zero());
                        for ((codes, high), low) in codes.iter().zip(high).zip(low) {
                            for at in (0..STEP).step_by($bytes) {
                                let ($h, $l, $codes) = (upper, lower, codes.as_ptr().add(at));
                                let ($high, $low) = (high.as_ptr().add(at), low.as_ptr().add(at));
                                [upper, lower] = $add;
                            }
                        }
                        [$sum(upper), $sum(lower)]
                    }
                };
                rows(coded, row, query, sums, each);
            }
        };
    }

    // Sums of two products of 16 bits, which cannot overflow with numbers of eight.
    sums! { avx2, "avx2", 16, _mm256_setzero_si256, |[h, l], codes, high, low| {
        let codes = _mm256_cvtepu8_epi16(_mm_loadu_si128(codes.cast()));
        let [high, low] = [high, low].map(|bytes| _mm256_cvtepi8_epi16(_mm_loadu_si128(bytes.cast())));
        [_mm256_add_epi32(h, _mm256_madd_epi16(codes, high)), _mm256_add_epi32(l, _mm256_madd_epi16(codes, low))]
    }, add_up }

    // Sums of four products of eight bits in one instruction.
    sums! { avx_vnni, "avx2,avxvnni", 32, _mm256_setzero_si256, |[h, l], codes, high, low| {
        let codes = _mm256_loadu_si256(codes.cast());
        let [high, low] = [high, low].map(|bytes| _mm256_loadu_si256(bytes.cast()));
        [_mm256_dpbusd_avx_epi32(h, codes, high), _mm256_dpbusd_avx_epi32(l, codes, low)]
    }, add_up }

    sums! { avx512_vnni, "avx512f,avx512vnni", 64, _mm512_setzero_si512, |[h, l], codes, high, low| {
        let codes = _mm512_loadu_si512(codes.cast());
        let [high, low] = [high, low].map(|bytes| _mm512_loadu_si512(bytes.cast()));
        [_mm512_dpbusd_epi32(h, codes, high), _mm512_dpbusd_epi32(l, codes, low)]
    }, _mm512_reduce_add_epi32 }

    /// Adds up the eight numbers of a register.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn add_up(x: __m256i) -> i32 {
        let x = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
        let x = _mm_add_epi32(x, _mm_unpackhi_epi64(x, x));
        _mm_cvtsi128_si32(x).wrapping_add(_mm_extract_epi32::<1>(x))
    }
}
