//! Which rows of a packed batch belong together.

use std::mem::replace;
use std::ops::Range;

/// A batch of sequences of unequal lengths as one matrix of `rows()` rows without padding.
///
/// The index lists that the layers need are kept here and refilled in place, so that a training step allocates none.
#[derive(Clone, Debug, Default)]
pub struct Sequences {
    ranges: Vec<Range<usize>>,
    positions: Vec<u32>,
    pooled: Vec<u32>,
    singles: Vec<Range<usize>>,
}

/// The rows of each sequence that leave the Transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// The class token.
    First,
    /// The end-of-text token.
    Last,
    /// Every row, as an encoder gives them to another's cross-attention.
    All,
}

impl Pool {
    /// How many rows leave, of `rows` in `sequences`.
    pub fn rows(self, rows: usize, sequences: usize) -> usize {
        if self == Pool::All { rows } else { sequences }
    }
}

impl Sequences {
    /// Sequence s becomes rows `offsets[s]..offsets[s + 1]`.
    ///
    /// # Panics
    /// If `offsets` does not start at 0 or a sequence is empty.
    pub fn fill(&mut self, mut offsets: impl Iterator<Item = usize>, pool: Pool) {
        assert_eq!(offsets.next(), Some(0), "offsets start at 0");
        self.ranges.clear();
        self.ranges.extend(offsets.scan(0, |start, end| Some(replace(start, end)..end)));
        self.positions.clear();
        self.pooled.clear();
        for rows in &self.ranges {
            assert!(!rows.is_empty(), "sequence of rows {rows:?} is empty");
            self.positions.extend(0..rows.len() as u32);
            let (start, end) = (rows.start as u32, rows.end as u32);
            self.pooled.extend(match pool {
                Pool::First => start..start + 1,
                Pool::Last => end - 1..end,
                Pool::All => start..end,
            });
        }
        self.singles.clear();
        self.singles.extend((0..self.ranges.len()).map(|s| s..s + 1));
    }

    /// How many sequences.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rows in all.
    pub fn rows(&self) -> usize {
        self.positions.len()
    }

    /// The rows of each sequence.
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// Each row's place in its sequence, from 0.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// The rows that leave: one of each sequence, or all.
    pub fn pooled(&self) -> &[u32] {
        &self.pooled
    }

    /// The rows 0..1, 1..2, … of as many sequences of one row.
    pub fn singles(&self) -> &[Range<usize>] {
        &self.singles
    }
}
