//! What is computed of a picture, if a part of it is asked for.

use super::markers::Frame;
use crate::pictures::region::Region;
use std::ops::Range;

/// The pixels of the result, and the units that they depend on.
pub(super) struct Area {
    pub region: Region,
    /// Columns and rows of units.
    pub columns: Range<usize>,
    pub rows: Range<usize>,
}

impl Area {
    /// Smooth upsampling looks at the next sample on either side, which stands for at most `h` pixels across and `v` down.
    pub fn new(frame: &Frame, region: Region) -> Self {
        let units = |start: usize, length: usize, margin: usize, n: usize| {
            let unit = margin * frame.edge;
            start.saturating_sub(margin) / unit..(start + length + margin).div_ceil(unit).min(n)
        };
        let columns = units(region.x, region.width, frame.h, frame.columns);
        let rows = units(region.y, region.height, frame.v, frame.rows);
        Self { region, columns, rows }
    }

    /// Returns the column of the first pixel of the units.
    pub fn left(&self, frame: &Frame) -> usize {
        self.columns.start * frame.h * frame.edge
    }
}
