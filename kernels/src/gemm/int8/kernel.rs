//! The micro-kernel: a tile of sums, held in registers over a stretch of K.

use super::QUAD;
use super::registers::Registers;
use crate::gemm::panels::WIDTH;
use crate::gemm::vector::prefetch_l2;
use crate::memory::LINE;

/// A row of a tile has this many registers.
const NV: usize = 2;

/// Weights are asked for this many bytes ahead; behind a panel there is the next one. The CPU itself stops looking ahead
/// at the end of a page of 4096 bytes. Ten rows times the weights of twelve layers that no cache holds took 5.3 ms without,
/// 2.5 ms with a page, 2.0 ms with two and 1.9 ms with four.
const AHEAD: usize = 16_384;

/// Σₖ aᵢₖ·wₖⱼ over a stretch of K, for the rows of the micro-kernel and the columns of [`NV`] registers.
pub(super) struct Tile<A> {
    /// How many fours of K there are.
    pub quads: usize,
    /// Every [run](super::rows::Activation::RUN) of K has its activations of each row.
    pub a: *const A,
    /// Every four steps have four weights of each column of a panel.
    pub w: *const i8,
    /// A tile's columns in every row, which no other thread touches.
    pub sums: *mut i32,
    pub stride: usize,
    /// Whether the sums are added to; if not, they are not read.
    pub add: bool,
}

/// A compiled copy of the micro-kernel.
///
/// # Safety
/// The CPU has the micro-kernel's instructions, and the pointers cover what [`Tile`] describes.
pub(super) type TileFn<A> = unsafe fn(&Tile<A>);

/// The micro-kernels of some instructions: `tiles[i]` makes a tile of `i + 1` rows and `cols` columns.
pub(super) struct Kernel<A: 'static> {
    pub tiles: &'static [TileFn<A>],
    pub cols: usize,
}

#[inline(always)]
unsafe fn tile<R: Registers, const ROWS: usize>(t: &Tile<R::Activation>) {
    // SAFETY: the pointers are at four steps of K of which there are `quads`, and C has the tile's columns in each row.
    unsafe {
        let mut sums = [[R::zero(); NV]; ROWS];
        let (mut a, mut w) = (t.a, t.w);
        for _ in 0..t.quads {
            for line in (0..NV * R::COLS * QUAD).step_by(LINE * size_of::<f32>()) {
                prefetch_l2(w.cast::<u8>().wrapping_add(AHEAD + line));
            }
            let weights: [_; NV] = [R::load(w), R::load(w.add(R::COLS * QUAD))];
            for (i, sums) in sums.iter_mut().enumerate() {
                let a = R::splat(a.add(i * QUAD));
                for (sums, &weights) in sums.iter_mut().zip(&weights) {
                    *sums = R::dot(*sums, a, weights);
                }
            }
            (a, w) = (a.add(ROWS * QUAD), w.wrapping_add(WIDTH * QUAD));
        }
        for (i, sums) in sums.into_iter().enumerate() {
            R::store(sums, t.sums.add(i * t.stride), t.add);
        }
    }
}

/// Defines a module with the [`Kernel`] of some instructions, whose tiles have these numbers of rows.
macro_rules! kernel {
    ($name:ident, $registers:ident $(, $features:literal)?; $($rows:literal)*) => {
        pub(super) mod $name {
            use super::*;
            use crate::gemm::int8::registers::$registers;

            type A = <$registers as Registers>::Activation;

            pub static KERNEL: Kernel<A> =
                Kernel { tiles: &[$(make::<$rows>),*], cols: NV * $registers::COLS };

            $(#[target_feature(enable = $features)])?
            unsafe fn make<const ROWS: usize>(t: &Tile<A>) {
                // SAFETY: this copy is compiled for the instructions, and `TileFn` asks for the pointers.
                unsafe { tile::<$registers, ROWS>(t) }
            }
        }
    };
}

// The rows are those of the f32 kernels, for the same reason: as many sums as leave registers for the operands.
kernel! { portable, Portable; 1 2 3 4 }

#[cfg(target_arch = "x86_64")]
kernel! { avx2, Avx2, "avx2"; 1 2 3 4 5 6 }

#[cfg(target_arch = "x86_64")]
kernel! { avx_vnni, AvxVnni, "avx2,avxvnni"; 1 2 3 4 5 6 }

#[cfg(target_arch = "x86_64")]
kernel! { avx512_vnni, Avx512Vnni, "avx512f,avx512vnni"; 1 2 3 4 5 6 7 8 9 10 11 12 13 14 }

#[cfg(target_arch = "aarch64")]
kernel! { neon_dot, NeonDot, "neon,dotprod"; 1 2 3 4 5 6 7 8 9 10 11 12 }
