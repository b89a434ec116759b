//! What an operand may be gathered from. A lane is a row of A or a column of B; K is the depth.

use super::Mat;
use super::filters::Filters;
use super::pack::{self, Lanes};
use super::panels::Panels;
use super::patches::Patches;
use super::vector::Vector;

/// Lanes as the micro-kernel reads them: (lane, k) at `k·step + lane`.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a> {
    pub data: &'a [f32],
    pub step: usize,
}

/// An operand as packing sees it.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// A matrix.
    Matrix(Lanes<'a>),
    /// A convolution's patches, each a lane.
    Patches(Patches<'a>),
    /// The same, each a step of K.
    PatchSteps(Patches<'a>),
    /// A convolution's weights.
    Filters(Filters<'a>),
    /// Weights that need no packing.
    Panels(Panels<'a>),
}

impl<'a> Source<'a> {
    /// A matrix whose rows are lanes.
    pub fn rows(m: Mat<'a>) -> Self {
        Source::Matrix(Lanes::rows(m))
    }

    /// A matrix whose columns are lanes.
    pub fn columns(m: Mat<'a>) -> Self {
        Source::Matrix(Lanes::columns(m))
    }

    /// The lanes from `lane` on, at depths from `depth` on, if neighbouring lanes are neighbours in memory.
    pub fn panel(&self, lane: usize, depth: usize) -> Option<Panel<'a>> {
        match self {
            Source::Matrix(lanes) => lanes.panel(lane, depth),
            Source::Panels(panels) => Some(panels.panel(lane, depth)),
            _ => None,
        }
    }

    /// Where the share that neighbouring lanes from `lane` on have of their panel begins, at depths `(from, length)`; only
    /// for a hint, as there may be no such lanes.
    pub fn share(&self, lane: usize, depth: (usize, usize)) -> Option<*const f32> {
        match self {
            Source::Panels(panels) => Some(panels.share(lane, depth)),
            _ => None,
        }
    }

    /// Whether packing would gain nothing over [`panel`](Self::panel).
    pub fn is_packed(&self) -> bool {
        matches!(self, Source::Panels(_))
    }
}

/// Packs `lanes` lanes from `first` on at `depth` steps from `k` on, see [`pack::panels`].
///
/// # Safety
/// The CPU has the instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn panels<V: Vector, const L: usize>(
    src: &Source,
    (first, lanes): (usize, usize),
    (k, depth): (usize, usize),
    unit: usize,
    pad: bool,
    dst: &mut [f32],
) {
    // SAFETY: passed on to the caller.
    unsafe {
        match src {
            Source::Matrix(m) => pack::panels::<V, L>(m.from(first, k), lanes, unit, pad, depth, dst),
            Source::Patches(p) => p.as_lanes::<V, L>((first, lanes), (k, depth), unit, dst),
            Source::PatchSteps(p) => p.as_steps::<V>((first, lanes), (k, depth), unit, dst),
            Source::Filters(f) => f.panels::<V, L>((first, lanes), (k, depth), unit, dst),
            Source::Panels(_) => unreachable!("never packed again"),
        }
    }
}
