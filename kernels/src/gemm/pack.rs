//! Packing: a panel of an operand is copied so that the micro-kernel reads it front to back.
//!
//! A panel holds some rows of A (or columns of B) along K: element (lane, k) at `k·step + lane`. Whatever the strides
//! of the operand were, every line that the micro-kernel then touches is used whole and comes in order.

use super::Mat;
use super::kernel::prefetch;
use super::source::Panel;
use super::vector::Vector;
use crate::memory::Floats;
use std::cell::RefCell;
use std::thread::LocalKey;

/// An operand as packing sees it: rows of A or columns of B are lanes, K is the depth.
#[derive(Clone, Copy)]
pub(super) struct Lanes<'a> {
    data: &'a [f32],
    lane_stride: usize,
    depth_stride: usize,
}

impl<'a> Lanes<'a> {
    pub fn rows(m: Mat<'a>) -> Self {
        Lanes { data: m.data, lane_stride: m.row_stride, depth_stride: m.col_stride }
    }

    pub fn columns(m: Mat<'a>) -> Self {
        Lanes::rows(m.t())
    }

    /// See [`Source::panel`](super::source::Source::panel).
    pub fn panel(&self, lane: usize, depth: usize) -> Option<Panel<'a>> {
        let data = self.data.get(lane + depth * self.depth_stride..).filter(|_| self.lane_stride == 1)?;
        Some(Panel { data, step: self.depth_stride })
    }

    /// The lanes from `lane` on, at depths from `depth` on.
    pub fn from(self, lane: usize, depth: usize) -> Self {
        Lanes { data: &self.data[lane * self.lane_stride + depth * self.depth_stride..], ..self }
    }
}

/// Packs the first `lanes` lanes at depths `0..depth` into panels of `unit` lanes, one behind the other. The last panel
/// is as narrow as what is left, or, where `pad` says so, full, with any content behind it.
///
/// # Safety
/// The CPU has the instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn panels<V: Vector, const L: usize>(
    src: Lanes,
    lanes: usize,
    unit: usize,
    pad: bool,
    depth: usize,
    dst: &mut [f32],
) {
    let room = if pad { lanes.next_multiple_of(unit) } else { lanes };
    assert!(0 < lanes && (unit <= L || unit.is_multiple_of(L)) && dst.len() == room * depth);
    if depth == 0 {
        return;
    }
    assert!((lanes - 1) * src.lane_stride + (depth - 1) * src.depth_stride < src.data.len());
    // Where lanes lie side by side, neighbouring panels share lines and pages: all are packed a few steps at a time.
    let stretch = if src.lane_stride == 1 { STRETCH } else { depth };
    for k in (0..depth).step_by(stretch) {
        for first in (0..lanes).step_by(unit) {
            let width = unit.min(lanes - first);
            let step = if pad { unit } else { width };
            // A panel narrower than a register is stored by whole registers nevertheless, with lanes of the next panel:
            // what spills over is overwritten by the next step. Only the last steps, where it would leave the panel, are
            // cut to size.
            let whole = if step >= L { depth } else { (step * depth + step).saturating_sub(L) / step };
            let n = stretch.min(depth - k);
            for lane in (0..width).step_by(L) {
                let group = Group {
                    src: src.data.as_ptr().wrapping_add((first + lane) * src.lane_stride + k * src.depth_stride),
                    lanes: (lanes - first - lane).min(L),
                    lane_stride: src.lane_stride,
                    depth_stride: src.depth_stride,
                    dst: dst.as_mut_ptr().wrapping_add(first * depth + k * step + lane),
                    step,
                    depth: n,
                    whole: whole.saturating_sub(k).min(n),
                };
                // SAFETY: the caller gives the instruction set; the assertions say that all lanes can be read and their
                // panels be written at all depths.
                unsafe { group.pack::<V, L>() }
            }
        }
    }
}

/// Steps of K packed for one panel before the next: enough to amortise the change, few enough for the rows they come
/// from to stay in L1.
const STRETCH: usize = 8;

/// As many lanes of a panel as a register has, at some steps of K.
pub(super) struct Group {
    pub src: *const f32,
    /// That can be read: at least those that the panel has.
    pub lanes: usize,
    pub lane_stride: usize,
    pub depth_stride: usize,
    pub dst: *mut f32,
    pub step: usize,
    pub depth: usize,
    /// Steps at which a whole register may be stored.
    pub whole: usize,
}

/// # Safety
/// Of every method: the CPU has the instruction set of `V`, and the pointers cover what [`Group`] describes.
impl Group {
    #[inline(always)]
    pub unsafe fn pack<V: Vector, const L: usize>(&self) {
        // SAFETY: passed on to the caller.
        unsafe {
            match (self.lane_stride, self.depth_stride) {
                (1, _) => self.copy::<V, L>(),
                (_, 1) if self.depth >= L => self.transpose::<V, L>(),
                _ => self.gather::<V, L>(),
            }
        }
    }

    /// Stores the lanes of step `k`; steps come in ascending order.
    #[inline(always)]
    unsafe fn put<V: Vector>(&self, k: usize, x: V) {
        // SAFETY: `whole` tells where a register fits.
        unsafe {
            let p = self.dst.add(k * self.step);
            if k < self.whole { x.store(p) } else { x.store_first(p, self.step) }
        }
    }

    /// Lanes lie side by side.
    #[inline(always)]
    unsafe fn copy<V: Vector, const L: usize>(&self) {
        // SAFETY: passed on to the caller.
        unsafe {
            if self.lanes == L && self.whole == STRETCH {
                // A constant number of steps, which the compiler writes out.
                for k in 0..STRETCH {
                    let from = self.src.wrapping_add(k * self.depth_stride);
                    prefetch(from.wrapping_add(STRETCH * self.depth_stride));
                    V::load(from).store(self.dst.add(k * self.step));
                }
            } else {
                for k in 0..self.depth {
                    self.put(k, load::<V>(self.src.add(k * self.depth_stride), self.lanes));
                }
            }
        }
    }

    /// Every lane is contiguous along K, for a register at least.
    #[inline(always)]
    unsafe fn transpose<V: Vector, const L: usize>(&self) {
        let whole = self.whole / L * L;
        // SAFETY: passed on to the caller.
        unsafe {
            for k in (0..whole).step_by(L) {
                for (i, x) in self.square::<V, L>(k).into_iter().enumerate() {
                    x.store(self.dst.add((k + i) * self.step));
                }
            }
            for k in (whole..self.depth).step_by(L) {
                let k = k.min(self.depth - L);
                for (i, x) in self.square::<V, L>(k).into_iter().enumerate() {
                    self.put(k + i, x);
                }
            }
        }
    }

    /// Steps `k..k + L`, a register each; the last lane stands in for those that are missing.
    #[inline(always)]
    unsafe fn square<V: Vector, const L: usize>(&self, k: usize) -> [V; L] {
        // SAFETY: passed on to the caller.
        unsafe {
            let mut rows = [V::splat(0.0); L];
            for (l, row) in rows.iter_mut().enumerate() {
                *row = V::load(self.src.add(l.min(self.lanes - 1) * self.lane_stride + k));
            }
            transpose(rows)
        }
    }

    /// Nothing is contiguous, or not for long.
    #[inline(always)]
    unsafe fn gather<V: Vector, const L: usize>(&self) {
        // SAFETY: passed on to the caller.
        unsafe {
            for k in 0..self.depth {
                let mut lanes = [0.0; L];
                for (l, x) in lanes.iter_mut().enumerate().take(self.lanes) {
                    *x = *self.src.add(l * self.lane_stride + k * self.depth_stride);
                }
                self.put(k, V::load(lanes.as_ptr()));
            }
        }
    }
}

/// The first `n` lanes, where a whole register is the common case.
#[inline(always)]
pub(super) unsafe fn load<V: Vector>(p: *const f32, n: usize) -> V {
    // SAFETY: passed on to the caller.
    unsafe { if n >= V::LANES { V::load(p) } else { V::load_first(p, n) } }
}

/// Stores the first `n` lanes, where a whole register is the common case.
#[inline(always)]
pub(super) unsafe fn put<V: Vector>(x: V, p: *mut f32, n: usize) {
    // SAFETY: passed on to the caller.
    unsafe { if n >= V::LANES { x.store(p) } else { x.store_first(p, n) } }
}

/// The transpose of a square, one register a row.
///
/// Few shuffles cross the borders of four lanes, as they are slow: fours change places first, then the lanes in each.
#[inline(always)]
pub(super) unsafe fn transpose<V: Vector, const L: usize>(mut rows: [V; L]) -> [V; L] {
    // SAFETY: passed on to the caller.
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

/// Scratch memory that every thread keeps from call to call.
///
/// A buffer has its full size from the start, so that nothing is allocated later however the shapes vary; the pages
/// that no product touches are never backed by memory.
pub(crate) struct Kept {
    /// Elements.
    pub size: usize,
    pub kept: &'static LocalKey<RefCell<Vec<Floats>>>,
}

impl Kept {
    /// Runs `work` on a buffer of `len` elements of any content.
    ///
    /// The buffer is taken out while in use: a thread that waits in `work` for others may be handed another product
    /// to compute, which then takes the next one. Calls nest, so the stack hands every level the buffer it had before.
    pub fn with<R>(&self, len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
        let mut buffer = self.kept.with_borrow_mut(|kept| kept.pop()).unwrap_or_default();
        if buffer.len() < len.max(self.size) {
            buffer = Floats::zeros(len.max(self.size));
        }
        let result = work(&mut buffer[..len]);
        self.kept.with_borrow_mut(|kept| kept.push(buffer));
        result
    }
}
