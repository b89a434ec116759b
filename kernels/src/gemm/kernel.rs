//! The micro-kernels of each instruction set: how large their tiles are, and their compiled copies.

use super::dots::{Dots, WIDTH, dots};
use super::numbers::{Bf16, Element, F16, TYPES};
use super::tile::{Tile, tile};
use super::vector::{Portable, Vector};
use crate::isa::Isa;

/// A compiled copy of the micro-kernel that makes a tile.
///
/// # Safety
/// The CPU has the kernel's instruction set, and the pointers cover what [`Tile`] describes.
type TileFn = unsafe fn(&Tile);

/// A compiled copy of the micro-kernel that makes dot products.
///
/// # Safety
/// The CPU has the kernel's instruction set, and the pointers are as [`dots`] says.
type DotFn = unsafe fn(depth: usize, a: *const f32, a_stride: usize, b: [*const f32; WIDTH], out: &mut Dots);

/// The micro-kernels of an instruction set, and the sizes that the loop nest needs to know.
pub(super) struct Kernel {
    /// The rows of a full tile: as many as leave registers for one row of B and a broadcast element of A.
    pub mr: usize,
    /// The columns of a full tile.
    pub nr: usize,
    /// The micro-kernels of which `tiles[i]` make a tile of `i + 1` rows, a pair for each type of B's numbers. The second
    /// of a pair also packs B as it goes.
    pub tiles: &'static [[[TileFn; 2]; TYPES]],
    /// The micro-kernels of which `dots[i]` makes the dot products of `i + 1` rows of A with [`WIDTH`] columns of B.
    pub dots: &'static [DotFn],
}

impl Kernel {
    /// Returns the micro-kernels of an instruction set for products of so many rows: those whose tiles have all of them,
    /// if there are such. Then no row of B is read twice, nor widened twice if it has 16 bits.
    pub fn for_rows(isa: Isa, rows: usize) -> &'static Kernel {
        match (isa, rows) {
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2(_), rows) if rows > avx2::KERNEL.mr && rows <= avx2_tall::KERNEL.mr => &avx2_tall::KERNEL,
            _ => Kernel::of(isa),
        }
    }

    /// Returns the micro-kernels of an instruction set.
    pub fn of(isa: Isa) -> &'static Kernel {
        match isa {
            Isa::Portable => &portable::KERNEL,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => &avx2::KERNEL,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => &avx512::KERNEL,
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("no token is ever made here"),
        }
    }
}

/// A full tile has at least this many columns, whatever the instruction set.
pub(super) const MIN_NR: usize = 8;

/// A row of a tile has this many vectors, unless it is to have more rows than leave registers for them. As panels of A
/// mostly have no more rows than a vector has lanes, tiles of the 32 short registers of NEON grow to the side.
const NV: usize = if cfg!(target_arch = "aarch64") { 4 } else { 2 };

/// Defines a module with the [`Kernel`] of an instruction set, whose tiles and dot products have these numbers of rows.
macro_rules! kernel {
    ($name:ident, $vector:ty, $nv:expr $(, $features:literal)?; tiles $($mr:literal)*; dots $($rows:literal)*) => {
        mod $name {
            use crate::gemm::kernel::*;

            pub static KERNEL: Kernel = Kernel {
                mr: [$($mr),*].len(),
                nr: $nv * <$vector>::LANES,
                tiles: &[$([of::<f32, $mr>(), of::<F16, $mr>(), of::<Bf16, $mr>()]),*],
                dots: &[$(make_dots::<$rows>),*],
            };

            $(#[target_feature(enable = $features)])?
            unsafe fn make<E: Element, const MR: usize, const PACK: bool>(t: &Tile) {
                // SAFETY: this copy is compiled for the instruction set, and `TileFn` asks for the pointers.
                unsafe { tile::<$vector, E, MR, { $nv }, PACK>(t) }
            }

            const fn of<E: Element, const MR: usize>() -> [TileFn; 2] {
                [make::<E, MR, false>, make::<E, MR, true>]
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn make_dots<const R: usize>(
                depth: usize,
                a: *const f32,
                a_stride: usize,
                b: [*const f32; WIDTH],
                out: &mut Dots,
            ) {
                // SAFETY: this copy is compiled for the instruction set, and `DotFn` asks for the pointers.
                unsafe { dots::<$vector, R>(depth, a, a_stride, b, out) }
            }
        }
    };
}

// 16 registers of 4 lanes: 4×2 sums, 2 of B, 1 of A, and one for the product where it is not fused. 32 of NEON: 4×4 sums,
// 4 of B, 1 of A.
kernel! { portable, Portable, NV; tiles 1 2 3 4; dots 1 2 }

// 16 registers of 8 lanes: 6×2 sums, 2 of B, 1 of A. Twelve independent sums cover the latency of two FMA units.
#[cfg(target_arch = "x86_64")]
kernel! { avx2, std::arch::x86_64::__m256, NV, "avx2,fma,f16c"; tiles 1 2 3 4 5 6; dots 1 2 }

// 12×1 sums, 1 of B, 1 of A.
#[cfg(target_arch = "x86_64")]
kernel! { avx2_tall, std::arch::x86_64::__m256, 1, "avx2,fma,f16c"; tiles 1 2 3 4 5 6 7 8 9 10 11 12; dots 1 2 }

// 32 registers of 16 lanes: 14×2 sums, 2 of B, 1 of A.
#[cfg(target_arch = "x86_64")]
kernel! {
    avx512, std::arch::x86_64::__m512, NV, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c";
    tiles 1 2 3 4 5 6 7 8 9 10 11 12 13 14;
    dots 1 2 3 4 5 6
}
