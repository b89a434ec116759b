//! The few vector operations that the micro-kernels are written in, one implementation per instruction set.

/// A register of `f32` lanes.
///
/// # Safety
/// Every method may only run on a CPU that has the instruction set of the type, inlined into a function compiled for
/// it. Pointers must be valid for the lanes that are touched; they need no alignment.
pub(super) trait Vector: Copy {
    const LANES: usize;
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(p: *const f32) -> Self;
    unsafe fn store(self, p: *mut f32);
    /// The first `n < LANES` lanes from memory, the rest zero; nothing behind them is touched.
    unsafe fn load_first(p: *const f32, n: usize) -> Self;
    /// The first `n < LANES` lanes to memory; nothing behind them is touched.
    unsafe fn store_first(self, p: *mut f32, n: usize);
    /// self · b + c
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    unsafe fn add(self, b: Self) -> Self;
    /// Within every four lanes, those of both in turn: (a₀ b₀ a₁ b₁), and (a₂ b₂ a₃ b₃).
    unsafe fn zip(self, b: Self) -> (Self, Self);
    /// The even fours of lanes of both, and the odd ones.
    unsafe fn unzip_fours(self, b: Self) -> (Self, Self);
}

/// Four lanes of plain arrays, which the compiler turns into SSE or NEON registers.
pub(super) type Portable = [f32; 4];

impl Vector for Portable {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller vouches for four lanes.
        unsafe { p.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the caller vouches for four lanes.
        unsafe { p.cast::<[f32; 4]>().write_unaligned(self) }
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize) -> Self {
        // SAFETY: only lanes below `n` are read, which the caller vouches for.
        std::array::from_fn(|i| if i < n { unsafe { *p.add(i) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, n: usize) {
        for (i, x) in self.into_iter().enumerate().take(n) {
            // SAFETY: only lanes below `n` are written, which the caller vouches for.
            unsafe { *p.add(i) = x }
        }
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        // Without the instruction, a fused multiply-add is a slow library call.
        const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
        std::array::from_fn(|i| crate::isa::mul_add::<FUSED>(self[i], b[i], c[i]))
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        std::array::from_fn(|i| self[i] + b[i])
    }
    #[inline(always)]
    unsafe fn zip(self, b: Self) -> (Self, Self) {
        ([self[0], b[0], self[1], b[1]], [self[2], b[2], self[3], b[3]])
    }
    #[inline(always)]
    unsafe fn unzip_fours(self, _: Self) -> (Self, Self) {
        unreachable!("a register is one four")
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Vector;
    use std::arch::x86_64::*;

    // SAFETY of every block below: the trait's contract gives the instruction set and valid pointers.

    impl Vector for __m256 {
        const LANES: usize = 8;

        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: see above.
            unsafe { _mm256_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            // SAFETY: see above.
            unsafe { _mm256_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: see above.
            unsafe { _mm256_storeu_ps(p, self) }
        }
        #[inline(always)]
        unsafe fn load_first(p: *const f32, n: usize) -> Self {
            // SAFETY: see above; masked lanes are not touched.
            unsafe { _mm256_maskload_ps(p, first(n)) }
        }
        #[inline(always)]
        unsafe fn store_first(self, p: *mut f32, n: usize) {
            // SAFETY: see above; masked lanes are not touched.
            unsafe { _mm256_maskstore_ps(p, first(n), self) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, b: Self, c: Self) -> Self {
            // SAFETY: see above.
            unsafe { _mm256_fmadd_ps(self, b, c) }
        }
        #[inline(always)]
        unsafe fn add(self, b: Self) -> Self {
            // SAFETY: see above.
            unsafe { _mm256_add_ps(self, b) }
        }
        #[inline(always)]
        unsafe fn zip(self, b: Self) -> (Self, Self) {
            // SAFETY: see above.
            unsafe { (_mm256_unpacklo_ps(self, b), _mm256_unpackhi_ps(self, b)) }
        }
        #[inline(always)]
        unsafe fn unzip_fours(self, b: Self) -> (Self, Self) {
            // SAFETY: see above.
            unsafe { (_mm256_permute2f128_ps::<0x20>(self, b), _mm256_permute2f128_ps::<0x31>(self, b)) }
        }
    }

    /// A mask of the first `n` of eight lanes.
    #[inline(always)]
    unsafe fn first(n: usize) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
    }

    impl Vector for __m512 {
        const LANES: usize = 16;

        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            // SAFETY: see above.
            unsafe { _mm512_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            // SAFETY: see above.
            unsafe { _mm512_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: see above.
            unsafe { _mm512_storeu_ps(p, self) }
        }
        #[inline(always)]
        unsafe fn load_first(p: *const f32, n: usize) -> Self {
            // SAFETY: see above; masked lanes are not touched.
            unsafe { _mm512_maskz_loadu_ps((1 << n) - 1, p) }
        }
        #[inline(always)]
        unsafe fn store_first(self, p: *mut f32, n: usize) {
            // SAFETY: see above; masked lanes are not touched.
            unsafe { _mm512_mask_storeu_ps(p, (1 << n) - 1, self) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, b: Self, c: Self) -> Self {
            // SAFETY: see above.
            unsafe { _mm512_fmadd_ps(self, b, c) }
        }
        #[inline(always)]
        unsafe fn add(self, b: Self) -> Self {
            // SAFETY: see above.
            unsafe { _mm512_add_ps(self, b) }
        }
        #[inline(always)]
        unsafe fn zip(self, b: Self) -> (Self, Self) {
            // SAFETY: see above.
            unsafe { (_mm512_unpacklo_ps(self, b), _mm512_unpackhi_ps(self, b)) }
        }
        #[inline(always)]
        unsafe fn unzip_fours(self, b: Self) -> (Self, Self) {
            // SAFETY: see above.
            unsafe { (_mm512_shuffle_f32x4::<0b10_00_10_00>(self, b), _mm512_shuffle_f32x4::<0b11_01_11_01>(self, b)) }
        }
    }
}
