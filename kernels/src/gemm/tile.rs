//! The micro-kernel: a small tile of C, held in registers while one pass over K adds one outer product per step.
//!
//! It is written once over [`Vector`], with loops and without closures, because a closure that the compiler does not
//! inline is compiled without the instruction set.
//!
//! SAFETY (whole file): the caller has the instruction set of `V`, as `vector.rs` says, and gives the pointers that
//! [`Tile`] describes. A pointer steps behind the last element that it reads by `wrapping_add`, because a whole stride
//! may lead out of the operand's memory; only what is loaded or stored is addressed by `add`.

use super::numbers::Element;
use super::vector::{Vector, load, prefetch, prefetch_l2, put};

/// C\[i, j\] ← α·Σₖ a\[k·a_step + i\]·b\[k·b_step + j\] (+ C\[i, j\]) for the rows of the kernel and `cols` columns.
pub(super) struct Tile {
    pub depth: usize,
    /// Every step has as many elements as the tile has rows.
    pub a: *const f32,
    pub a_step: usize,
    /// Every step has as many numbers, of the type that the micro-kernel is for, as a full tile has columns, whatever
    /// `cols` is.
    pub b: *const u8,
    pub b_step: usize,
    /// Where the packing tiles write B's panel, packed and in 32 bits: `depth` full rows.
    pub packed: *mut f32,
    /// `cols` elements in every row, which no other thread touches.
    pub c: *mut f32,
    pub c_stride: usize,
    pub cols: usize,
    pub alpha: f32,
    /// Whether C is added to; if not, it is not read.
    pub add: bool,
    pub ahead: Ahead,
}

/// The part of B that is needed next and is prefetched while this tile is computed. It is never read, so any address
/// will do.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    pub start: *const u8,
    /// The distance in bytes from what one step of K prefetches to what the next one does; each prefetches a tile's
    /// width.
    pub step: usize,
}

/// Makes a tile of `MR` rows and `NV` vectors, where B has numbers of `E`, and copies B's panel as it goes if it is to
/// `PACK`. Every element is one chain of multiply-adds in the order of K, so its bits do not depend on the tile that it falls into.
#[inline(always)]
pub(super) unsafe fn tile<V: Vector, E: Element, const MR: usize, const NV: usize, const PACK: bool>(t: &Tile) {
    // SAFETY: `a`, `b` and `packed` are at step k whenever step k is made, and steps are below `depth`.
    unsafe {
        for i in 0..MR {
            for v in 0..NV {
                prefetch(t.c.wrapping_add(i * t.c_stride + v * V::LANES));
            }
        }
        let mut acc = [[V::splat(0.0); NV]; MR];
        let (mut a, mut b, mut packed, mut ahead) = (t.a, t.b.cast::<E>(), t.packed, t.ahead.start);
        for _ in 0..t.depth / 4 {
            for _ in 0..4 {
                for v in 0..NV {
                    prefetch_l2(ahead.wrapping_add(v * size_of::<V>()));
                }
                ahead = ahead.wrapping_add(t.ahead.step);
                step::<V, E, MR, NV, PACK>(&mut acc, a, b, packed);
                (a, b) = (a.wrapping_add(t.a_step), b.wrapping_add(t.b_step));
                packed = packed.wrapping_add(NV * V::LANES);
            }
        }
        for _ in 0..t.depth % 4 {
            step::<V, E, MR, NV, PACK>(&mut acc, a, b, packed);
            (a, b) = (a.wrapping_add(t.a_step), b.wrapping_add(t.b_step));
            packed = packed.wrapping_add(NV * V::LANES);
        }
        store(&acc, t);
    }
}

/// acc += a·bᵀ for one step along K.
#[inline(always)]
unsafe fn step<V: Vector, E: Element, const MR: usize, const NV: usize, const PACK: bool>(
    acc: &mut [[V; NV]; MR],
    a: *const f32,
    b: *const E,
    packed: *mut f32,
) {
    // SAFETY: `a` has MR elements and `b` has NV vectors, as has `packed` where it is asked for.
    unsafe {
        let mut vectors = [V::splat(0.0); NV];
        for (v, vector) in vectors.iter_mut().enumerate() {
            *vector = E::load(b.add(v * V::LANES));
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
    // SAFETY: whole vectors are only stored where `cols` says that all of them lie within C.
    unsafe {
        match (t.cols == NV * V::LANES, t.add) {
            (true, true) => store_whole::<V, MR, NV, true>(acc, t),
            (true, false) => store_whole::<V, MR, NV, false>(acc, t),
            (false, _) => store_part(acc, t),
        }
    }
}

/// Stores a tile of full width.
///
/// The compiler writes this loop out and so keeps the sums in registers; over a longer body it would leave them in
/// memory, throughout the tile and at half the speed.
#[inline(always)]
unsafe fn store_whole<V: Vector, const MR: usize, const NV: usize, const ADD: bool>(acc: &[[V; NV]; MR], t: &Tile) {
    // SAFETY: C has MR rows of NV vectors.
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

/// Stores a tile at the right edge. A copy of the sums is put into memory, so that the loop need not be written out.
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
