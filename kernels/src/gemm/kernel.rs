//! The micro-kernel: a small tile of C, held in registers while one pass over K adds one outer product per step.
//!
//! Written once over [`Vector`]; each instruction set has its own tile size and its own compiled copies. Loops, not
//! closures: a closure that the compiler does not inline is compiled without the instruction set.

use super::pack::{load, put};
use super::skinny::{Dots, WIDTH};
use super::source::{self, Source};
use super::vector::{Portable, Vector};
use crate::isa::Isa;

/// C\[i, j\] ← α·Σₖ a\[k·a_step + i\]·b\[k·b_step + j\] (+ C\[i, j\]) for the rows of the kernel and `cols` columns.
pub(super) struct Tile {
    pub depth: usize,
    pub a: *const f32,
    pub a_step: usize,
    /// A full panel's width must be readable at every step, whatever `cols` is.
    pub b: *const f32,
    pub b_step: usize,
    /// Where the packing tiles write B's panel, packed.
    pub packed: *mut f32,
    pub c: *mut f32,
    pub c_stride: usize,
    pub cols: usize,
    pub alpha: f32,
    /// Whether C is added to; if not, it is not read.
    pub add: bool,
    pub ahead: Ahead,
}

/// What is needed of B later, and comes from memory while this tile is computed.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    pub start: *const f32,
    /// Elements from where one step of K asks to where the next one does; each asks for a tile's width.
    pub step: usize,
}

/// # Safety
/// The CPU has the kernel's instruction set, and the pointers cover what [`Tile`] describes.
type TileFn = unsafe fn(&Tile);

/// # Safety
/// The CPU has the kernel's instruction set; the rows of A, `a_stride` apart, and those of B have `depth` elements.
type DotFn = unsafe fn(depth: usize, a: *const f32, a_stride: usize, b: [*const f32; WIDTH], out: &mut Dots);

/// # Safety
/// The CPU has the kernel's instruction set.
type PackFn = unsafe fn(src: &Source, lanes: Range, depths: Range, unit: usize, pad: bool, dst: &mut [f32]);

/// Where it starts, and its length.
type Range = (usize, usize);

/// What the loop nest needs to know about an instruction set.
pub(super) struct Kernel {
    /// Rows of a full tile: as many as leave registers for one row of B and a broadcast element of A.
    pub mr: usize,
    /// Columns of a full tile.
    pub nr: usize,
    /// `tiles[i]` makes a tile of `i + 1` rows; `mr` of them. The second of each also packs B as it goes.
    pub tiles: &'static [[TileFn; 2]],
    /// `dots[i]` makes the dot products of `i + 1` rows of A with [`WIDTH`] columns of B.
    pub dots: &'static [DotFn],
    /// See [`source::panels`].
    pub pack: PackFn,
}

impl Kernel {
    pub fn of(isa: Isa) -> &'static Kernel {
        match isa {
            Isa::Portable => &PORTABLE,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => &AVX2,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => &AVX512,
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("no token is ever made here"),
        }
    }
}

/// [`Kernel::tiles`] of these numbers of rows.
macro_rules! tiles {
    ($tile:ident: $($rows:literal)*) => { &[$([$tile::<$rows, false>, $tile::<$rows, true>]),*] };
}

/// 16 registers of 4 lanes: 4×2 sums, 2 of B, 1 of A, and one for the product where it is not fused.
static PORTABLE: Kernel = Kernel {
    mr: 4,
    nr: 8,
    tiles: tiles!(portable: 1 2 3 4),
    dots: &[portable_dots::<1>, portable_dots::<2>],
    pack: portable_pack,
};

unsafe fn portable<const MR: usize, const PACK: bool>(t: &Tile) {
    // SAFETY: passed on to the caller.
    unsafe { tile::<Portable, MR, 2, PACK>(t) }
}

unsafe fn portable_dots<const R: usize>(
    depth: usize,
    a: *const f32,
    a_stride: usize,
    b: [*const f32; WIDTH],
    out: &mut Dots,
) {
    // SAFETY: passed on to the caller.
    unsafe { dots::<Portable, R>(depth, a, a_stride, b, out) }
}

unsafe fn portable_pack(src: &Source, lanes: Range, depths: Range, unit: usize, pad: bool, dst: &mut [f32]) {
    // SAFETY: passed on to the caller.
    unsafe { source::panels::<Portable, 4>(src, lanes, depths, unit, pad, dst) }
}

/// 16 registers of 8 lanes: 6×2 sums, 2 of B, 1 of A. Twelve independent sums cover the latency of two FMA units.
#[cfg(target_arch = "x86_64")]
static AVX2: Kernel = Kernel {
    mr: 6,
    nr: 16,
    tiles: tiles!(avx2: 1 2 3 4 5 6),
    dots: &[avx2_dots::<1>, avx2_dots::<2>],
    pack: avx2_pack,
};

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const MR: usize, const PACK: bool>(t: &Tile) {
    // SAFETY: passed on to the caller.
    unsafe { tile::<std::arch::x86_64::__m256, MR, 2, PACK>(t) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2_dots<const R: usize>(
    depth: usize,
    a: *const f32,
    a_stride: usize,
    b: [*const f32; WIDTH],
    out: &mut Dots,
) {
    // SAFETY: passed on to the caller.
    unsafe { dots::<std::arch::x86_64::__m256, R>(depth, a, a_stride, b, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2_pack(src: &Source, lanes: Range, depths: Range, unit: usize, pad: bool, dst: &mut [f32]) {
    // SAFETY: passed on to the caller.
    unsafe { source::panels::<std::arch::x86_64::__m256, 8>(src, lanes, depths, unit, pad, dst) }
}

/// 32 registers of 16 lanes: 14×2 sums, 2 of B, 1 of A.
#[cfg(target_arch = "x86_64")]
static AVX512: Kernel = Kernel {
    mr: 14,
    nr: 32,
    tiles: tiles!(avx512: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
    dots: &[avx512_dots::<1>, avx512_dots::<2>, avx512_dots::<3>, avx512_dots::<4>, avx512_dots::<5>, avx512_dots::<6>],
    pack: avx512_pack,
};

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn avx512<const MR: usize, const PACK: bool>(t: &Tile) {
    // SAFETY: passed on to the caller.
    unsafe { tile::<std::arch::x86_64::__m512, MR, 2, PACK>(t) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn avx512_dots<const R: usize>(
    depth: usize,
    a: *const f32,
    a_stride: usize,
    b: [*const f32; WIDTH],
    out: &mut Dots,
) {
    // SAFETY: passed on to the caller.
    unsafe { dots::<std::arch::x86_64::__m512, R>(depth, a, a_stride, b, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn avx512_pack(src: &Source, lanes: Range, depths: Range, unit: usize, pad: bool, dst: &mut [f32]) {
    // SAFETY: passed on to the caller.
    unsafe { source::panels::<std::arch::x86_64::__m512, 16>(src, lanes, depths, unit, pad, dst) }
}

/// A tile of `MR` rows and `NV` vectors. Every element is one chain of multiply-adds in the order of K, so its bits do
/// not depend on the tile that it falls into.
#[inline(always)]
unsafe fn tile<V: Vector, const MR: usize, const NV: usize, const PACK: bool>(t: &Tile) {
    // SAFETY: the caller gives the instruction set and the operands that `Tile` describes.
    unsafe {
        for i in 0..MR {
            for v in 0..NV {
                prefetch(t.c.wrapping_add(i * t.c_stride + v * V::LANES));
            }
        }
        let mut acc = [[V::splat(0.0); NV]; MR];
        let (mut a, mut b, mut packed, mut ahead) = (t.a, t.b, t.packed, t.ahead.start);
        for _ in 0..t.depth / 4 {
            for _ in 0..4 {
                for v in 0..NV {
                    prefetch_l2(ahead.wrapping_add(v * V::LANES));
                }
                ahead = ahead.wrapping_add(t.ahead.step);
                step::<V, MR, NV, PACK>(&mut acc, a, b, packed);
                (a, b, packed) = (a.add(t.a_step), b.add(t.b_step), packed.wrapping_add(NV * V::LANES));
            }
        }
        for _ in 0..t.depth % 4 {
            step::<V, MR, NV, PACK>(&mut acc, a, b, packed);
            (a, b) = (a.wrapping_add(t.a_step), b.wrapping_add(t.b_step));
            packed = packed.wrapping_add(NV * V::LANES);
        }
        store(&acc, t);
    }
}

/// Asks for the line at `p`, which is needed later; by then it has come.
#[inline(always)]
pub(super) fn prefetch(p: *const f32) {
    // SAFETY: a hint, harmless for any address, on every x86-64 CPU.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::x86_64::_mm_prefetch(p.cast(), std::arch::x86_64::_MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// The same, into L2: what is used now keeps its place in L1.
#[inline(always)]
fn prefetch_l2(p: *const f32) {
    // SAFETY: as above.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::x86_64::_mm_prefetch(p.cast(), std::arch::x86_64::_MM_HINT_T1);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// acc += a·bᵀ for one step along K.
#[inline(always)]
unsafe fn step<V: Vector, const MR: usize, const NV: usize, const PACK: bool>(
    acc: &mut [[V; NV]; MR],
    a: *const f32,
    b: *const f32,
    packed: *mut f32,
) {
    // SAFETY: `a` has MR elements and `b` has NV vectors, as has `packed` where it is asked for.
    unsafe {
        let mut vectors = [V::splat(0.0); NV];
        for (v, vector) in vectors.iter_mut().enumerate() {
            *vector = V::load(b.add(v * V::LANES));
            if PACK {
                vector.store(packed.add(v * V::LANES));
            }
        }
        for (i, row) in acc.iter_mut().enumerate() {
            let a = V::splat(*a.add(i));
            for (sum, &b) in row.iter_mut().zip(&vectors) {
                *sum = a.mul_add(b, *sum);
            }
        }
    }
}

/// C ← α·acc (+ C)
#[inline(always)]
unsafe fn store<V: Vector, const MR: usize, const NV: usize>(acc: &[[V; NV]; MR], t: &Tile) {
    // SAFETY: passed on to the caller; whole vectors lie within `cols` columns.
    unsafe {
        match (t.cols == NV * V::LANES, t.add) {
            (true, true) => store_whole::<V, MR, NV, true>(acc, t),
            (true, false) => store_whole::<V, MR, NV, false>(acc, t),
            (false, _) => store_part(acc, t),
        }
    }
}

/// The compiler writes this loop out and so keeps the sums in registers; over a longer body it would leave them in memory,
/// throughout the tile and at half the speed.
#[inline(always)]
unsafe fn store_whole<V: Vector, const MR: usize, const NV: usize, const ADD: bool>(acc: &[[V; NV]; MR], t: &Tile) {
    // SAFETY: passed on to the caller.
    unsafe {
        let (alpha, zero) = (V::splat(t.alpha), V::splat(0.0));
        for (i, row) in acc.iter().enumerate() {
            for (v, sum) in row.iter().enumerate() {
                let c = t.c.add(i * t.c_stride + v * V::LANES);
                alpha.mul_add(*sum, if ADD { V::load(c) } else { zero }).store(c);
            }
        }
    }
}

/// For a tile at the right edge. A copy of the sums is put into memory, so that the loop need not be written out.
#[inline(always)]
unsafe fn store_part<V: Vector, const MR: usize, const NV: usize>(acc: &[[V; NV]; MR], t: &Tile) {
    // SAFETY: all lanes that are touched stay within `cols` columns.
    unsafe {
        let alpha = V::splat(t.alpha);
        let acc = std::hint::black_box(*acc);
        for (i, row) in acc.iter().enumerate() {
            for (v, sum) in row.iter().enumerate().take(t.cols.div_ceil(V::LANES)) {
                let (c, lanes) = (t.c.add(i * t.c_stride + v * V::LANES), t.cols - v * V::LANES);
                let old = if t.add { load(c, lanes) } else { V::splat(0.0) };
                put(alpha.mul_add(*sum, old), c, lanes);
            }
        }
    }
}

/// out\[r, s\] ← Σₖ a\[r, k\]·b\[s, k\]: each lane sums its share of K, then the lanes are added.
#[inline(always)]
unsafe fn dots<V: Vector, const R: usize>(
    depth: usize,
    a: *const f32,
    a_stride: usize,
    b: [*const f32; WIDTH],
    out: &mut Dots,
) {
    // SAFETY: all loads stay below `depth`; the caller gives the instruction set.
    unsafe {
        let mut acc = [[V::splat(0.0); WIDTH]; R];
        let whole = depth - depth % V::LANES;
        // The next columns lie behind these; they come while these are used.
        let next = WIDTH * b[1].offset_from_unsigned(b[0]);
        for k in (0..whole).step_by(V::LANES) {
            let mut columns = [V::splat(0.0); WIDTH];
            for (column, b) in columns.iter_mut().zip(&b) {
                prefetch(b.wrapping_add(next + k));
                *column = V::load(b.add(k));
            }
            for (r, sums) in acc.iter_mut().enumerate() {
                let a = V::load(a.add(r * a_stride + k));
                for (sum, &b) in sums.iter_mut().zip(&columns) {
                    *sum = a.mul_add(b, *sum);
                }
            }
        }
        if whole < depth {
            for (r, sums) in acc.iter_mut().enumerate() {
                let a = V::load_first(a.add(r * a_stride + whole), depth - whole);
                for (sum, b) in sums.iter_mut().zip(&b) {
                    *sum = a.mul_add(V::load_first(b.add(whole), depth - whole), *sum);
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(&acc) {
            *out = lane_sums(*sums);
        }
    }
}

/// The sum of each register's lanes. Zipping two registers and adding the halves leaves both in one, with half as many
/// partial sums each.
#[inline(always)]
unsafe fn lane_sums<V: Vector>(x: [V; 4]) -> [f32; 4] {
    // SAFETY: the caller gives the instruction set; an array of 16 has room for any register.
    unsafe {
        let ((a, c), (b, d)) = (x[0].zip(x[2]), x[1].zip(x[3]));
        let (low, high) = a.add(c).zip(b.add(d));
        let mut lanes = [0.0; 16];
        low.add(high).store(lanes.as_mut_ptr());
        let mut sums = [0.0; 4];
        for group in lanes[..V::LANES].chunks_exact(4) {
            for (sum, lane) in sums.iter_mut().zip(group) {
                *sum += lane;
            }
        }
        sums
    }
}
