//! What an operand may be gathered from. A lane is a row of A or a column of B; K is the depth.

use super::filters::Filters;
use super::pack::{self, Lanes};
use super::patches::Patches;
use super::vector::Vector;

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
}

impl<'a> Source<'a> {
    /// See [`Lanes::in_rows`].
    pub fn lanes_in_rows(&self, lane: usize, depth: usize) -> Option<(&'a [f32], usize)> {
        match self {
            Source::Matrix(lanes) => lanes.in_rows(lane, depth),
            _ => None,
        }
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
        }
    }
}
