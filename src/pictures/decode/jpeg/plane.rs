//! Room for the coefficients of a component.

use super::markers::{Component, Frame};
use kernels::jpeg::dct::Block;

/// The coefficients of a component, a square after the other.
pub(super) struct Plane {
    /// Number of squares in a row.
    pub stride: usize,
    pub blocks: Vec<Block>,
}

/// Makes room for the coefficients of this many rows of the frame's units.
pub(super) fn planes_of(frame: &Frame, rows: usize) -> Vec<Plane> {
    let plane = |component: &Component| {
        let stride = frame.columns * component.h;
        Plane { stride, blocks: vec![[0; 64]; stride * component.v * rows] }
    };
    frame.components.iter().map(plane).collect()
}
