//! Packing: a panel of an operand is copied so that the micro-kernel reads it front to back.
//!
//! A panel holds some rows of A (or columns of B) along K: element (lane, k) at `k·step + lane`. Whatever the strides
//! of the operand were, every line that the micro-kernel then touches is used whole and comes in order.

use super::Mat;
use super::vector::Vector;
use std::cell::RefCell;

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

    /// The lanes from `lane` on, at depths from `depth` on.
    pub fn from(self, lane: usize, depth: usize) -> Self {
        Lanes { data: &self.data[lane * self.lane_stride + depth * self.depth_stride..], ..self }
    }
}

/// Packs the first `width` lanes at depths `0..depth` into a panel of `step` lanes, zero from `width` on.
///
/// # Safety
/// The CPU has the instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn panel<V: Vector, const L: usize>(
    src: Lanes,
    width: usize,
    step: usize,
    depth: usize,
    dst: &mut [f32],
) {
    assert!(0 < width && width <= step && dst.len() == step * depth);
    if depth == 0 {
        return;
    }
    assert!((width - 1) * src.lane_stride + (depth - 1) * src.depth_stride < src.data.len());
    let (src_at, end) = (src.data.as_ptr(), dst.len());
    for group in (0..step).step_by(L) {
        let (lanes, out) = (width.saturating_sub(group).min(L), L.min(step - group));
        // Ascending in k, so that where a panel is narrower than a register a whole one may be stored: what spills
        // over is overwritten by the next step.
        let mut put = |k: usize, x: V| {
            let at = k * step + group;
            // SAFETY: `at + L` or `at + out` is at most `end`.
            unsafe {
                let p = dst.as_mut_ptr().add(at);
                if at + L <= end && (out == L || step < L) { x.store(p) } else { x.store_first(p, out) }
            }
        };
        // SAFETY: the assertion above says that all lanes at all depths lie in the data.
        unsafe {
            let first = src_at.wrapping_add(group * src.lane_stride);
            if src.lane_stride == 1 {
                for k in 0..depth {
                    put(k, load::<V>(first.wrapping_add(k * src.depth_stride), lanes));
                }
            } else if src.depth_stride == 1 {
                for k in (0..depth).step_by(L) {
                    let n = L.min(depth - k);
                    let rows: [V; L] = std::array::from_fn(|l| {
                        let n = if l < lanes { n } else { 0 };
                        load::<V>(first.wrapping_add(l * src.lane_stride + k), n)
                    });
                    for (l, x) in transpose(rows).into_iter().enumerate().take(n) {
                        put(k + l, x);
                    }
                }
            } else {
                for k in 0..depth {
                    let mut gathered = [0.0; L];
                    for (l, x) in gathered.iter_mut().enumerate().take(lanes) {
                        *x = *first.add(l * src.lane_stride + k * src.depth_stride);
                    }
                    put(k, V::load(gathered.as_ptr()));
                }
            }
        }
    }
}

/// The first `n` lanes, where a whole register is the common case.
#[inline(always)]
unsafe fn load<V: Vector>(p: *const f32, n: usize) -> V {
    // SAFETY: passed on to the caller.
    unsafe { if n >= V::LANES { V::load(p) } else { V::load_first(p, n) } }
}

/// The transpose of a square, one register a row. One round of zipping the upper half of the rows with the lower half
/// rotates the bits of (row, column) by one place; as many rounds as a column number has bits swap the two.
#[inline(always)]
unsafe fn transpose<V: Vector, const L: usize>(mut rows: [V; L]) -> [V; L] {
    for _ in 0..L.ilog2() {
        let old = rows;
        for i in 0..L / 2 {
            // SAFETY: passed on to the caller.
            (rows[2 * i], rows[2 * i + 1]) = unsafe { old[i].zip(old[i + L / 2]) };
        }
    }
    rows
}

/// One cache line: buffers of lines are aligned, so that no vector of a packed panel straddles two.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

const LINE: usize = 16;

/// Runs `work` on a buffer of `len` elements of any content, kept by this thread from call to call.
///
/// The buffer is taken out while in use: a thread that waits in `work` for others may be handed another product to
/// compute, which then takes the next one. Calls nest, so the stack hands every level the buffer it had before.
pub(super) fn with_buffer<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    thread_local!(static KEPT: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) });
    let mut lines = KEPT.with_borrow_mut(|kept| kept.pop()).unwrap_or_default();
    if lines.len() * LINE < len {
        lines = vec![Line([0.0; LINE]); len.div_ceil(LINE)];
    }
    // SAFETY: a line is sixteen floats without padding.
    let floats = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<f32>(), lines.len() * LINE) };
    let result = work(&mut floats[..len]);
    KEPT.with_borrow_mut(|kept| kept.push(lines));
    result
}
