//! Room for the coefficients of a component.

use super::markers::{Component, Frame};
use kernels::jpeg::dct::Block;
use std::ops::Range;

/// The coefficients of a component, a square after the other.
pub(super) struct Plane {
    /// The column of squares with which each row begins.
    pub first: usize,
    /// Number of squares in a row.
    pub stride: usize,
    pub blocks: Vec<Block>,
}

/// Makes room for the coefficients of these columns of the frame's units and this many rows.
pub(super) fn planes_of(frame: &Frame, columns: &Range<usize>, rows: usize) -> Vec<Plane> {
    let plane = |component: &Component| {
        let stride = columns.len() * component.h;
        Plane { first: columns.start * component.h, stride, blocks: vec![[0; 64]; stride * component.v * rows] }
    };
    frame.components.iter().map(plane).collect()
}
