//! The few vector operations that the micro-kernels are written in, one implementation per instruction set.
//!
//! SAFETY (whole file): every method of [`Vector`], and every function that is generic over it, may only run on a CPU
//! that has the instruction set of the type, inlined into a function compiled for it. [`multivector!`] makes such
//! functions, and an [`Isa`](crate::isa::Isa) proves that they may be called. Pointers must be valid for the lanes that
//! are touched; they need no alignment.

#[cfg(not(target_arch = "aarch64"))]
use crate::half::{widen, widen_bf16};

/// A register of `f32` lanes.
///
/// # Safety
/// Every method asks for the instruction set of the type, and for pointers that are valid for the lanes that it
/// touches.
pub(super) trait Vector: Copy {
    const LANES: usize;
    /// Puts `x` into every lane.
    unsafe fn splat(x: f32) -> Self;
    /// Loads all lanes from memory.
    unsafe fn load(p: *const f32) -> Self;
    /// Loads all lanes from numbers of f16, whose values they get.
    unsafe fn load_f16(p: *const u16) -> Self;
    /// Loads all lanes from numbers of bf16, whose values they get.
    unsafe fn load_bf16(p: *const u16) -> Self;
    /// Stores all lanes to memory.
    unsafe fn store(self, p: *mut f32);
    /// Loads the first `n < LANES` lanes from memory; the rest are zero, and nothing behind them is touched.
    unsafe fn load_first(p: *const f32, n: usize) -> Self;
    /// Stores the first `n < LANES` lanes to memory; nothing behind them is touched.
    unsafe fn store_first(self, p: *mut f32, n: usize);
    /// self · b + c
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    /// self + b
    unsafe fn add(self, b: Self) -> Self;
    /// Interleaves the lanes of both within every four: (a₀ b₀ a₁ b₁) and (a₂ b₂ a₃ b₃).
    unsafe fn zip(self, b: Self) -> (Self, Self);
    /// Separates the even fours of lanes of both from the odd ones, of which a register has more than one.
    unsafe fn unzip_fours(self, _b: Self) -> (Self, Self) {
        unreachable!("a register is one four")
    }
}

/// The widest register has this many lanes.
pub(super) const MAX_LANES: usize = 16;

/// The four lanes that every CPU of the target has: plain arrays, which the compiler turns into SSE registers, or NEON's.
#[cfg(not(target_arch = "aarch64"))]
pub(super) type Portable = [f32; 4];
#[cfg(target_arch = "aarch64")]
pub(super) type Portable = std::arch::aarch64::float32x4_t;

#[cfg(not(target_arch = "aarch64"))]
impl Vector for [f32; 4] {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: `p` is valid for a register, which is four lanes here.
        unsafe { p.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const u16) -> Self {
        // SAFETY: `p` is valid for a register, which is four lanes here.
        unsafe { p.cast::<[u16; 4]>().read_unaligned() }.map(widen)
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> Self {
        // SAFETY: `p` is valid for a register, which is four lanes here.
        unsafe { p.cast::<[u16; 4]>().read_unaligned() }.map(widen_bf16)
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: `p` is valid for a register, which is four lanes here.
        unsafe { p.cast::<[f32; 4]>().write_unaligned(self) }
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize) -> Self {
        // SAFETY: `p` is valid for `n` lanes, and only lanes below `n` are read.
        std::array::from_fn(|i| if i < n { unsafe { *p.add(i) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize) {
        for (i, x) in self.into_iter().enumerate().take(n) {
            // SAFETY: `p` is valid for `n` lanes, and only lanes below `n` are written.
            unsafe { *p.add(i) = x }
        }
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        std::array::from_fn(|i| crate::isa::mul_add::<{ crate::isa::FUSED }>(self[i], b[i], c[i]))
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        std::array::from_fn(|i| self[i] + b[i])
    }
    #[inline(always)]
    unsafe fn zip(self, b: Self) -> (Self, Self) {
        ([self[0], b[0], self[1], b[1]], [self[2], b[2], self[3], b[3]])
    }
}

/// Implements [`Vector`] by intrinsics.
macro_rules! vector {
    ($vector:ty, $lanes:literal: $(fn $name:ident($($args:tt)*) $(-> $r:ty)? $body:block)*) => {
        impl Vector for $vector {
            const LANES: usize = $lanes;
            $(
                #[inline(always)]
                unsafe fn $name($($args)*) $(-> $r)? {
                    // SAFETY: the intrinsics ask for no more than `Vector` does, the instruction set and pointers
                    // that are valid for the lanes touched; lanes that are masked or not among the first are not.
                    unsafe { $body }
                }
            )*
        }
    };
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use super::Vector;
    use std::arch::aarch64::*;
    use std::arch::asm;

    vector! { float32x4_t, 4:
        fn splat(x: f32) -> Self { vdupq_n_f32(x) }
        fn load(p: *const f32) -> Self { vld1q_f32(p) }
        fn load_f16(p: *const u16) -> Self {
            // The intrinsic is not stable yet.
            let halves = vld1_u16(p);
            let floats: float32x4_t;
            asm!(
                "fcvtl {floats:v}.4s, {halves:v}.4h",
                floats = out(vreg) floats, halves = in(vreg) halves,
                options(pure, nomem, nostack, preserves_flags)
            );
            floats
        }
        fn load_bf16(p: *const u16) -> Self { vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(p))) }
        fn store(self, p: *mut f32) { vst1q_f32(p, self) }
        fn load_first(p: *const f32, n: usize) -> Self {
            let mut lanes = [0.0; 4];
            p.copy_to_nonoverlapping(lanes.as_mut_ptr(), n);
            vld1q_f32(lanes.as_ptr())
        }
        fn store_first(self, p: *mut f32, n: usize) {
            let mut lanes = [0.0; 4];
            vst1q_f32(lanes.as_mut_ptr(), self);
            p.copy_from_nonoverlapping(lanes.as_ptr(), n);
        }
        fn mul_add(self, b: Self, c: Self) -> Self { vfmaq_f32(c, self, b) }
        fn add(self, b: Self) -> Self { vaddq_f32(self, b) }
        fn zip(self, b: Self) -> (Self, Self) { (vzip1q_f32(self, b), vzip2q_f32(self, b)) }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Vector;
    use std::arch::x86_64::*;

    vector! { __m256, 8:
        fn splat(x: f32) -> Self { _mm256_set1_ps(x) }
        fn load(p: *const f32) -> Self { _mm256_loadu_ps(p) }
        fn load_f16(p: *const u16) -> Self { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
        fn load_bf16(p: *const u16) -> Self {
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()))))
        }
        fn store(self, p: *mut f32) { _mm256_storeu_ps(p, self) }
        fn load_first(p: *const f32, n: usize) -> Self { _mm256_maskload_ps(p, first(n)) }
        fn store_first(self, p: *mut f32, n: usize) { _mm256_maskstore_ps(p, first(n), self) }
        fn mul_add(self, b: Self, c: Self) -> Self { _mm256_fmadd_ps(self, b, c) }
        fn add(self, b: Self) -> Self { _mm256_add_ps(self, b) }
        fn zip(self, b: Self) -> (Self, Self) { (_mm256_unpacklo_ps(self, b), _mm256_unpackhi_ps(self, b)) }
        fn unzip_fours(self, b: Self) -> (Self, Self) {
            (_mm256_permute2f128_ps::<0x20>(self, b), _mm256_permute2f128_ps::<0x31>(self, b))
        }
    }

    /// Makes a mask of the first `n` of eight lanes.
    #[inline(always)]
    unsafe fn first(n: usize) -> __m256i {
        // SAFETY: this is only called by the implementation for AVX2, whose callers have it.
        unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
    }

    vector! { __m512, 16:
        fn splat(x: f32) -> Self { _mm512_set1_ps(x) }
        fn load(p: *const f32) -> Self { _mm512_loadu_ps(p) }
        fn load_f16(p: *const u16) -> Self { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
        fn load_bf16(p: *const u16) -> Self {
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()))))
        }
        fn store(self, p: *mut f32) { _mm512_storeu_ps(p, self) }
        fn load_first(p: *const f32, n: usize) -> Self { _mm512_maskz_loadu_ps((1 << n) - 1, p) }
        fn store_first(self, p: *mut f32, n: usize) { _mm512_mask_storeu_ps(p, (1 << n) - 1, self) }
        fn mul_add(self, b: Self, c: Self) -> Self { _mm512_fmadd_ps(self, b, c) }
        fn add(self, b: Self) -> Self { _mm512_add_ps(self, b) }
        fn zip(self, b: Self) -> (Self, Self) { (_mm512_unpacklo_ps(self, b), _mm512_unpackhi_ps(self, b)) }
        fn unzip_fours(self, b: Self) -> (Self, Self) {
            (_mm512_shuffle_f32x4::<0b10_00_10_00>(self, b), _mm512_shuffle_f32x4::<0b11_01_11_01>(self, b))
        }
    }
}

/// Compiles a function once per instruction set. The first parameter of the generated function is the
/// [`Isa`](crate::isa::Isa); inside the body, the first name in angle brackets is the [`Vector`] and the second one the
/// number of its lanes. The body may rely on the CPU's having the instruction set.
macro_rules! multivector {
    ($(#[$doc:meta])* $vis:vis unsafe fn $($rest:tt)*) => {
        $crate::gemm::vector::multivector! { @ [$(#[$doc])* $vis unsafe] $($rest)* }
    };
    ($(#[$doc:meta])* $vis:vis fn $($rest:tt)*) => {
        $crate::gemm::vector::multivector! { @ [$(#[$doc])* $vis] $($rest)* }
    };
    (@ [$($head:tt)*] $name:ident<$v:ident, $l:ident>($($a:ident: $t:ty),* $(,)?) $(-> $r:ty)? $body:block) => {
        $($head)* fn $name(isa: $crate::isa::Isa, $($a: $t),*) $(-> $r)? {
            #[inline(always)]
            unsafe fn body<$v: $crate::gemm::vector::Vector, const $l: usize>($($a: $t),*) $(-> $r)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn avx2($($a: $t),*) $(-> $r)? {
                // SAFETY: this copy is compiled for AVX2, which is all that the body asks for.
                unsafe { body::<std::arch::x86_64::__m256, 8>($($a),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            unsafe fn avx512($($a: $t),*) $(-> $r)? {
                // SAFETY: this copy is compiled for AVX-512, which is all that the body asks for.
                unsafe { body::<std::arch::x86_64::__m512, 16>($($a),*) }
            }
            match isa {
                // SAFETY: every CPU can run this.
                $crate::isa::Isa::Portable => unsafe { body::<$crate::gemm::vector::Portable, 4>($($a),*) },
                // SAFETY: the token is the proof that this CPU has AVX2, FMA and F16C.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx2(_) => unsafe { avx2($($a),*) },
                // SAFETY: the token is the proof that this CPU has AVX-512 F, BW, DQ and VL.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx512(_) => unsafe { avx512($($a),*) },
                #[cfg(not(target_arch = "x86_64"))]
                _ => unreachable!("no token is ever made here"),
            }
        }
    };
}
pub(super) use multivector;

/// Loads the first `n` lanes, where a whole register is the common case.
#[inline(always)]
pub(super) unsafe fn load<V: Vector>(p: *const f32, n: usize) -> V {
    // SAFETY: `p` is valid for `n` lanes, and a whole register is only read where that is not more.
    unsafe { if n >= V::LANES { V::load(p) } else { V::load_first(p, n) } }
}

/// Stores the first `n` lanes, where a whole register is the common case.
#[inline(always)]
pub(super) unsafe fn put<V: Vector>(x: V, p: *mut f32, n: usize) {
    // SAFETY: `p` is valid for `n` lanes, and a whole register is only written where that is not more.
    unsafe { if n >= V::LANES { x.store(p) } else { x.store_first(p, n) } }
}

/// Transposes a square, which has one register a row.
///
/// Few shuffles cross the borders of four lanes, as they are slow: fours change places first, then the lanes in each.
#[inline(always)]
pub(super) unsafe fn transpose<V: Vector, const L: usize>(mut rows: [V; L]) -> [V; L] {
    // SAFETY: the instruction set is there (whole file), and only registers are touched.
    unsafe {
        // The fours j of rows r, r + 4, r + 8 and so on become register 4·j + r.
        for _ in 0..(L / 4).ilog2() {
            let old = rows;
            for i in 0..L / 2 {
                let (even, odd) = old[i / 4 * 8 + i % 4].unzip_fours(old[i / 4 * 8 + 4 + i % 4]);
                (rows[i], rows[i + L / 2]) = (even, odd);
            }
        }
        for fours in rows.as_chunks_mut::<4>().0 {
            for _ in 0..2 {
                let [a, b, c, d] = *fours;
                let ((a, b), (c, d)) = (a.zip(c), b.zip(d));
                *fours = [a, b, c, d];
            }
        }
        rows
    }
}

/// Asks for the line at `p`, so that it has come by the time it is needed. Any address will do.
#[inline(always)]
pub(super) fn prefetch(p: *const f32) {
    // SAFETY: every x86-64 CPU has this hint, which is harmless for any address.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    unsafe {
        std::arch::x86_64::_mm_prefetch(p.cast(), std::arch::x86_64::_MM_HINT_T0);
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = p;
}

/// Asks for the line at `p` as [`prefetch`] does, but into L2, so that what is used now keeps its place in L1.
#[inline(always)]
pub(super) fn prefetch_l2(p: *const u8) {
    // SAFETY: every x86-64 CPU has this hint, which is harmless for any address.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    unsafe {
        std::arch::x86_64::_mm_prefetch(p.cast(), std::arch::x86_64::_MM_HINT_T1);
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = p;
}
