//! Packing: a panel of an operand is copied so that the micro-kernel reads it front to back.
//!
//! A panel holds `W` rows of A (or columns of B) along all of K: element (lane, k) at `k·W + lane`. Whatever the strides
//! of the operand were, every line that the micro-kernel then touches is used whole and comes in order.

use super::Mat;
use std::cell::Cell;

/// Packs lanes `lane..lane + width` at depths `depth..depth + dst.len() / step` into a panel of `step` lanes. Lanes from
/// `width` to `step` are zero.
pub(super) type PackFn = fn(src: &Lanes, lane: usize, width: usize, depth: usize, step: usize, dst: &mut [f32]);

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

    fn from(&self, lane: usize, depth: usize) -> &'a [f32] {
        &self.data[lane * self.lane_stride + depth * self.depth_stride..]
    }
}

/// [`PackFn`] for full panels of `W` lanes; a narrower one at the edge goes element by element.
pub(super) fn panel<const W: usize>(
    src: &Lanes,
    lane: usize,
    width: usize,
    depth: usize,
    step: usize,
    dst: &mut [f32],
) {
    if dst.is_empty() {
        return;
    }
    if width == W && src.lane_stride == 1 {
        copy_rows::<W>(src.from(lane, depth), src.depth_stride, dst)
    } else if width == W && src.depth_stride == 1 {
        transpose::<W>(src, lane, depth, dst)
    } else {
        elements(src, lane, width, depth, step, dst)
    }
}

/// Lanes lie side by side: one short copy per step of K.
fn copy_rows<const W: usize>(src: &[f32], stride: usize, dst: &mut [f32]) {
    for (k, out) in dst.as_chunks_mut::<W>().0.iter_mut().enumerate() {
        *out = *src[k * stride..].first_chunk().expect("the view fits its data");
    }
}

/// Every lane is contiguous along K: transposed in squares of four, a stretch of K at a time so that the lines written
/// are still in the L1 cache when the next four lanes come to them.
fn transpose<const W: usize>(src: &Lanes, lane: usize, depth: usize, dst: &mut [f32]) {
    const STRETCH: usize = 64;
    let mut k = depth;
    for dst in dst.chunks_mut(STRETCH * W) {
        for group in 0..W.div_ceil(4) {
            // The last square overlaps the one before where W is no multiple of four.
            let i = (4 * group).min(W - 4);
            let lanes = std::array::from_fn(|l| &src.from(lane + i + l, k)[..dst.len() / W]);
            transpose_four::<W>(lanes, i, dst.as_chunks_mut::<W>().0);
        }
        k += STRETCH;
    }
}

#[inline(always)]
fn transpose_four<const W: usize>(lanes: [&[f32]; 4], i: usize, dst: &mut [[f32; W]]) {
    let (squares, rest) = dst.as_chunks_mut::<4>();
    let [a, b, c, d] = lanes.map(|lane| lane.as_chunks::<4>());
    for ((((out, a), b), c), d) in squares.iter_mut().zip(a.0).zip(b.0).zip(c.0).zip(d.0) {
        for (k, out) in out.iter_mut().enumerate() {
            out[i..i + 4].copy_from_slice(&[a[k], b[k], c[k], d[k]]);
        }
    }
    for (k, out) in rest.iter_mut().enumerate() {
        out[i..i + 4].copy_from_slice(&[a.1[k], b.1[k], c.1[k], d.1[k]]);
    }
}

fn elements(src: &Lanes, lane: usize, width: usize, depth: usize, step: usize, dst: &mut [f32]) {
    let src_at = src.from(lane, depth);
    for (k, out) in dst.chunks_exact_mut(step).enumerate() {
        for (i, x) in out.iter_mut().enumerate() {
            *x = if i < width { src_at[i * src.lane_stride + k * src.depth_stride] } else { 0.0 };
        }
    }
}

/// One cache line: buffers of lines are aligned, so that no vector of a packed panel straddles two.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

pub(super) const LINE: usize = 16;

/// Runs `work` on a buffer of `len` elements of any content, kept by this thread from call to call.
///
/// The buffer is taken out while in use: a thread that waits in `work` for others may be handed another product to
/// compute, which then finds no buffer and makes its own; the larger of the two is kept.
pub(super) fn with_buffer<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    thread_local!(static KEPT: Cell<Vec<Line>> = const { Cell::new(Vec::new()) });
    let mut lines = KEPT.take();
    if lines.len() * LINE < len {
        lines = vec![Line([0.0; LINE]); len.div_ceil(LINE)];
    }
    // SAFETY: a line is sixteen floats without padding.
    let floats = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<f32>(), lines.len() * LINE) };
    let result = work(&mut floats[..len]);
    let other = KEPT.take();
    KEPT.set(if other.len() > lines.len() { other } else { lines });
    result
}
