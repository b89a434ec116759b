//! Packing: a panel of an operand is copied so that the micro-kernel reads it front to back.
//!
//! A panel holds some rows of A (or columns of B) along K: element (lane, k) at `k·step + lane`. Whatever the strides
//! of the operand were, every line that the micro-kernel then touches is used whole and comes in order.
//!
//! SAFETY (whole file): the caller has the instruction set of `V`, as `vector.rs` says. A pointer to where something is
//! gathered from is made by `wrapping_add`, as it may lead out of the operand where nothing is gathered; what is loaded
//! or stored is addressed by `add`.

use super::matrix::Mat;
use super::numbers::Numbers;
use super::vector::{Vector, load, prefetch, transpose};

/// Lanes as the micro-kernel reads them: element (lane, k) is `data[k·step + lane]`.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a> {
    pub data: Numbers<'a>,
    pub step: usize,
}

/// A matrix as packing sees it: rows of A or columns of B are lanes, K is the depth.
#[derive(Clone, Copy)]
pub(super) struct Lanes<'a> {
    data: &'a [f32],
    lane_stride: usize,
    depth_stride: usize,
}

impl<'a> Lanes<'a> {
    /// Views a matrix whose rows are the lanes.
    pub fn rows(m: Mat<'a>) -> Self {
        Lanes { data: m.data, lane_stride: m.row_stride, depth_stride: m.col_stride }
    }

    /// Views a matrix whose columns are the lanes.
    pub fn columns(m: Mat<'a>) -> Self {
        Lanes::rows(m.t())
    }

    /// Returns the lanes from `lane` on, at depths from `depth` on, as a panel, if neighbouring lanes are neighbours in
    /// memory.
    pub fn panel(&self, lane: usize, depth: usize) -> Option<Panel<'a>> {
        let data = self.data.get(lane + depth * self.depth_stride..).filter(|_| self.lane_stride == 1)?;
        Some(Panel { data: Numbers::F32(data), step: self.depth_stride })
    }

    /// Leaves out the lanes before `lane` and the depths before `depth`.
    pub fn from(self, lane: usize, depth: usize) -> Self {
        Lanes { data: &self.data[lane * self.lane_stride + depth * self.depth_stride..], ..self }
    }
}

/// Packs the first `lanes` lanes at depths `0..depth` into panels of `unit` lanes, one behind the other. The last panel
/// is as narrow as what is left, or full where `pad` says so, with unspecified content behind the last lane.
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
    assert!(0 < lanes && (!pad || unit <= L || unit.is_multiple_of(L)) && dst.len() == room * depth);
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
            // A panel narrower than a register is stored by whole registers nevertheless, with lanes of the next
            // panel: what spills over is overwritten by the next step. Only the last steps, where it would leave the
            // panel, are cut to size.
            let whole = if step >= L { depth } else { (step * depth + step).saturating_sub(L) / step };
            let n = stretch.min(depth - k);
            for lane in (0..width).step_by(L) {
                let of_group = (step - lane).min(L);
                // Lanes of this panel that have been packed are not overwritten again.
                let whole = if of_group < L && step > L { 0 } else { whole };
                let group = Group {
                    src: src.data.as_ptr().wrapping_add((first + lane) * src.lane_stride + k * src.depth_stride),
                    lanes: (lanes - first - lane).min(L),
                    lane_stride: src.lane_stride,
                    depth_stride: src.depth_stride,
                    dst: dst.as_mut_ptr().wrapping_add(first * depth + k * step + lane),
                    step,
                    width: of_group,
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

/// This many steps of K are packed for one panel before the next: enough to amortise the change, few enough for the
/// rows that they come from to stay in L1.
const STRETCH: usize = 8;

/// Some lanes of a panel, as many as a register has, at some steps of K.
pub(super) struct Group {
    pub src: *const f32,
    /// How many lanes can be read, which is at least as many as the panel has.
    pub lanes: usize,
    pub lane_stride: usize,
    pub depth_stride: usize,
    /// Where the first step goes.
    pub dst: *mut f32,
    /// The distance in elements from one step to the next, which is the number of the panel's lanes.
    pub step: usize,
    /// How many lanes are stored, at most as many as a register has.
    pub width: usize,
    pub depth: usize,
    /// At this many steps, the first ones, a whole register may be stored.
    pub whole: usize,
}

/// # Safety
/// Every method asks for the instruction set of `V`, and for pointers that cover what [`Group`] describes.
impl Group {
    /// Packs by the way that suits the strides.
    #[inline(always)]
    pub unsafe fn pack<V: Vector, const L: usize>(&self) {
        // SAFETY: the strides are what each way asks for; a transposition has the steps of one square at least.
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
            if k < self.whole { x.store(p) } else { x.store_first(p, self.width) }
        }
    }

    /// Packs lanes that lie side by side.
    #[inline(always)]
    unsafe fn copy<V: Vector, const L: usize>(&self) {
        // SAFETY: `lanes` of them can be read at each of `depth` steps; at `whole` steps a register fits.
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

    /// Packs lanes that are contiguous along K, for a register at least.
    #[inline(always)]
    unsafe fn transpose<V: Vector, const L: usize>(&self) {
        let whole = self.whole / L * L;
        // SAFETY: squares begin at `depth − L` at most; at `whole` steps a register fits.
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

    /// Loads steps `k..k + L`, a register each; the last lane stands in for those that are missing.
    #[inline(always)]
    unsafe fn square<V: Vector, const L: usize>(&self, k: usize) -> [V; L] {
        // SAFETY: each of `lanes` lanes has `depth` contiguous steps, of which these are.
        unsafe {
            let mut rows = [V::splat(0.0); L];
            for (l, row) in rows.iter_mut().enumerate() {
                *row = V::load(self.src.add(l.min(self.lanes - 1) * self.lane_stride + k));
            }
            transpose(rows)
        }
    }

    /// Packs lanes of which nothing is contiguous, or not for long.
    #[inline(always)]
    unsafe fn gather<V: Vector, const L: usize>(&self) {
        // SAFETY: `lanes` of them can be read at each of `depth` steps.
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
