//! The sources that an operand may be gathered from. A lane is a row of A or a column of B; K is the depth.

use super::blocking::Span;
use super::fetched::Fetched;
use super::filters::Filters;
use super::matrix::Mat;
use super::pack::{self, Lanes, Panel};
use super::panels::Panels;
use super::patches::Patches;
use super::vector::multivector;
use crate::isa::Isa;

/// An operand as packing sees it.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// A matrix.
    Matrix(Lanes<'a>),
    /// A convolution's patches, each a lane.
    Patches(Patches<'a>),
    /// A convolution's patches, each a step of K.
    PatchSteps(Patches<'a>),
    /// A convolution's plain weights.
    Filters(Filters<'a>),
    /// Weights that are laid out, and need no packing unless they have 16 bits and are read often.
    Panels(Panels<'a>),
    /// Weights that are fetched, of which packing sees only rows that are there.
    Fetched(Fetched<'a>),
}

impl<'a> Source<'a> {
    /// Views a matrix whose rows are the lanes.
    pub fn rows(m: Mat<'a>) -> Self {
        Source::Matrix(Lanes::rows(m))
    }

    /// Views a matrix whose columns are the lanes.
    pub fn columns(m: Mat<'a>) -> Self {
        Source::Matrix(Lanes::columns(m))
    }

    /// Views a convolution's weights, plain or laid out.
    pub fn filters(filters: Filters<'a>) -> Self {
        filters.laid_out().map_or(Source::Filters(filters), Source::Panels)
    }

    /// Returns the lanes from `lane` on, at depths from `depth` on, if neighbouring lanes are neighbours in memory.
    pub fn panel(&self, lane: usize, depth: usize) -> Option<Panel<'a>> {
        match self {
            Source::Matrix(lanes) => lanes.panel(lane, depth),
            Source::Panels(panels) => Some(panels.panel(lane, depth)),
            _ => None,
        }
    }

    /// Returns the [share](Panels::share) that lanes from `lane` on have of their panel, if the operand is laid out.
    pub fn share(&self, lane: usize, depth: Span) -> Option<*const u8> {
        match self {
            Source::Panels(panels) => Some(panels.share(lane, depth)),
            _ => None,
        }
    }

    /// Whether the operand is a matrix, of which panels may be wider than a register.
    pub fn is_matrix(&self) -> bool {
        matches!(self, Source::Matrix(_))
    }

    /// Whether packing would gain nothing over [`panel`](Self::panel).
    pub fn is_packed(&self) -> bool {
        matches!(self, Source::Panels(panels) if panels.bytes() == size_of::<f32>())
    }

    /// Returns how many bytes a number takes where it lies.
    pub fn bytes(&self) -> usize {
        if let Source::Panels(panels) = self { panels.bytes() } else { size_of::<f32>() }
    }

    /// Whether the micro-kernel can read the operand as it is, if each number is read only once.
    pub fn is_laid_out(&self) -> bool {
        matches!(self, Source::Panels(_))
    }
}

/// Column i of `to`, whose rows have `stride` elements, becomes row i of `m`, for every i; further columns are
/// unspecified. The stride is a multiple of the widest register's lanes.
pub(crate) fn transpose_matrix(isa: Isa, m: Mat, stride: usize, to: &mut [f32]) {
    pack(isa, &Source::rows(m), (0, m.rows), (0, m.cols), stride, true, to);
}

multivector! {
    /// Packs the lanes of the first span at the steps of the second one, see [`pack::panels`].
    pub(super) fn pack<V, L>(src: &Source, lanes: Span, depths: Span, unit: usize, pad: bool, dst: &mut [f32]) {
        // SAFETY: the body has the instruction set of `V`.
        unsafe {
            match src {
                Source::Matrix(m) => {
                    pack::panels::<V, L>(m.from(lanes.0, depths.0), lanes.1, unit, pad, depths.1, dst)
                }
                Source::Patches(p) => p.as_lanes::<V, L>(lanes, depths, unit, dst),
                Source::PatchSteps(p) => p.as_steps::<V>(lanes, depths, unit, dst),
                Source::Filters(f) => f.panels::<V, L>(lanes, depths, unit, dst),
                Source::Panels(p) => p.pack::<V>(lanes, depths, unit, dst),
                Source::Fetched(w) => panic!("weights {:?} that have not been fetched", w.dim()),
            }
        }
    }
}
