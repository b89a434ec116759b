//! The weights of a convolution as an operand.

use super::blocking::{Span, pieces};
use super::panels::Panels;
use super::patches::{MAX_TAPS, blocks, step};
use super::vector::{Vector, load, transpose};
use super::weight::Weight;

/// The weights of a convolution as an operand; K as for [`Patches`](super::patches::Patches).
#[derive(Clone, Copy)]
pub(crate) struct Filters<'a> {
    weights: Weight<'a>,
    taps: usize,
    lanes: usize,
    channels: usize,
    /// The distance in elements from one lane of plain weights to the next.
    lane_stride: usize,
    /// The distance in elements from one channel of plain weights to the next.
    channel_stride: usize,
}

impl<'a> Filters<'a> {
    /// Views the filters of a forward pass, whose lanes are the outputs and whose channels are the inputs.
    #[track_caller]
    pub fn new(weights: Weight<'a>, (outputs, inputs): (usize, usize), taps: usize) -> Self {
        if let Weight::Panels(panels) = weights {
            assert_eq!(panels.dim(), (inputs * taps, outputs), "convolution: shape of the laid-out weights");
        }
        let is_read = matches!(weights, Weight::Plain(_) | Weight::Panels(_));
        assert!(is_read, "convolutions have plain weights or panels");
        let (lane_stride, channel_stride) = (inputs * taps, taps);
        Filters { weights, taps, lanes: outputs, channels: inputs, lane_stride, channel_stride }
    }

    /// Exchanges lanes and channels, of plain weights only.
    pub fn t(self) -> Self {
        assert!(matches!(self.weights, Weight::Plain(_)), "laid-out weights have no transpose");
        let Filters { lanes, lane_stride, channels, channel_stride, .. } = self;
        Filters { lanes: channels, lane_stride: channel_stride, channels: lanes, channel_stride: lane_stride, ..self }
    }

    /// Returns the number of lanes.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// Returns the number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Returns the number of a filter's taps.
    pub fn taps(&self) -> usize {
        self.taps
    }

    /// Returns how many numbers a lane has.
    pub fn size(&self) -> usize {
        self.taps * self.channels
    }

    /// Returns the weights if they are laid out.
    pub(super) fn laid_out(&self) -> Option<Panels<'a>> {
        match self.weights {
            Weight::Panels(panels) => Some(panels),
            _ => None,
        }
    }

    /// Loads the weights of `L` lanes from `first` on for a channel, at each tap; they are zero behind the last lane.
    #[inline(always)]
    pub(super) fn at_taps<const L: usize>(&self, first: usize, channel: usize) -> [[f32; L]; MAX_TAPS] {
        let lanes = L.min(self.lanes.saturating_sub(first));
        let mut taps = [[0.0; L]; MAX_TAPS];
        for (t, tap) in taps.iter_mut().enumerate().take(self.taps) {
            match self.weights {
                Weight::Plain(data) => {
                    let start = first * self.lane_stride + channel * self.channel_stride + t;
                    for (l, x) in tap.iter_mut().enumerate().take(lanes) {
                        *x = data[start + l * self.lane_stride];
                    }
                }
                Weight::Panels(panels) => {
                    let row = panels.panel(first, step(self.taps, self.channels, channel, t));
                    row.data.read(&mut tap[..lanes]);
                }
                Weight::Half(_) | Weight::Int8(_) | Weight::Fetched(_) => unreachable!("refused from the start"),
            }
        }
        taps
    }

    /// Packs lanes `first..first + lanes` of plain weights at steps `k..k + depth` into panels of `unit` lanes, zero
    /// behind the last.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`.
    #[inline(always)]
    pub(super) unsafe fn panels<V: Vector, const L: usize>(
        &self,
        (first, lanes): Span,
        (k, depth): Span,
        unit: usize,
        dst: &mut [f32],
    ) {
        let Weight::Plain(data) = self.weights else { unreachable!("panels are never packed again") };
        assert!(data.len() == self.lanes * self.channels * self.taps);
        assert!(first + lanes <= self.lanes && k + depth <= self.size() && unit.is_multiple_of(L));
        assert!(dst.len() == lanes.next_multiple_of(unit) * depth);
        for lane in (0..lanes.next_multiple_of(unit)).step_by(L) {
            let (panel, within) = (lane / unit * unit, lane % unit);
            let group = &mut dst[panel * depth + within..];
            for (channel, channels, at) in blocks(self.taps, self.channels, (k, depth)) {
                for c in 0..channels {
                    let from = (first + lane) * self.lane_stride + (channel + c) * self.channel_stride;
                    let from = data.as_ptr().wrapping_add(from);
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
