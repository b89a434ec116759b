//! The weights of a convolution as an operand.

use super::blocked::pieces;
use super::pack::{load, transpose};
use super::patches::blocks;
use super::vector::Vector;

/// The weights (O, I, k, k) of a convolution; K as for [`Patches`](super::patches::Patches).
#[derive(Clone, Copy)]
pub(crate) struct Filters<'a> {
    data: &'a [f32],
    taps: usize,
    lanes: usize,
    lane_stride: usize,
    channels: usize,
    channel_stride: usize,
}

impl<'a> Filters<'a> {
    /// Lanes are the outputs, channels the inputs.
    pub fn new(data: &'a [f32], (outputs, inputs): (usize, usize), taps: usize) -> Self {
        let (lane_stride, channel_stride) = (inputs * taps, taps);
        Filters { data, taps, lanes: outputs, lane_stride, channels: inputs, channel_stride }
    }

    /// Lanes and channels exchanged.
    pub fn t(self) -> Self {
        let Filters { lanes, lane_stride, channels, channel_stride, .. } = self;
        Filters { lanes: channels, lane_stride: channel_stride, channels: lanes, channel_stride: lane_stride, ..self }
    }

    pub fn lanes(&self) -> usize {
        self.lanes
    }

    pub fn channels(&self) -> usize {
        self.channels
    }

    pub fn taps(&self) -> usize {
        self.taps
    }

    /// The taps between a channel and a lane.
    pub fn filter(&self, lane: usize, channel: usize) -> &'a [f32] {
        &self.data[lane * self.lane_stride + channel * self.channel_stride..][..self.taps]
    }

    /// Numbers that a lane has.
    pub fn size(&self) -> usize {
        self.taps * self.channels
    }

    /// Packs lanes `first..first + lanes` at steps `k..k + depth` into panels of `unit` lanes, zero behind the last.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`.
    #[inline(always)]
    pub(super) unsafe fn panels<V: Vector, const L: usize>(
        &self,
        (first, lanes): (usize, usize),
        (k, depth): (usize, usize),
        unit: usize,
        dst: &mut [f32],
    ) {
        assert!(self.data.len() == self.lanes * self.channels * self.taps);
        assert!(first + lanes <= self.lanes && k + depth <= self.size() && unit.is_multiple_of(L));
        assert!(dst.len() == lanes.next_multiple_of(unit) * depth);
        for lane in (0..lanes.next_multiple_of(unit)).step_by(L) {
            let (panel, within) = (lane / unit * unit, lane % unit);
            let group = &mut dst[panel * depth + within..];
            for (channel, channels, at) in blocks(self.taps, self.channels, (k, depth)) {
                for c in 0..channels {
                    let from = (first + lane) * self.lane_stride + (channel + c) * self.channel_stride;
                    let from = self.data.as_ptr().wrapping_add(from);
                    let width = lanes.saturating_sub(lane).min(L);
                    for (tap, n) in pieces(self.taps, L) {
                        // SAFETY: the assertions say that these lanes have these channels at all taps, and that the
                        // panel has a register's room at every step.
                        unsafe {
                            // Loops of a constant length: the square stays in registers.
                            let mut rows = [V::splat(0.0); L];
                            for (l, row) in rows.iter_mut().enumerate() {
                                if l < width {
                                    *row = load(from.wrapping_add(l * self.lane_stride + tap), n);
                                }
                            }
                            for (i, column) in transpose(rows).into_iter().enumerate() {
                                if i < n {
                                    let step = at + (tap + i) * channels + c;
                                    column.store(group.as_mut_ptr().wrapping_add(step * unit));
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
