//! Which rows of a packed batch belong together.

use super::dropout::{Dropout, Pass, Unit};
use crate::random::mix;
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
    /// The rate and the key of what a training pass drops, and the names of its rows and of those that leave.
    dropout: Option<(f32, u64)>,
    names: Vec<[u32; 2]>,
    leaving: Vec<[u32; 2]>,
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
    /// Sequence i becomes rows `offsets[i]..offsets[i + 1]`, of which nothing is dropped.
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
        self.dropout = None;
    }

    /// Takes what a training pass over these sequences drops.
    ///
    /// # Panics
    /// If there is not a place for each sequence.
    #[track_caller]
    pub fn drop(&mut self, pass: Option<Pass>) {
        let Some(Pass { rate, key, places }) = pass.filter(|pass| pass.rate != 0.0) else { return };
        assert_eq!(places.len(), self.len(), "dropout: places of sequences");
        self.dropout = Some((rate, key));
        let rows = self.ranges.iter().zip(places).flat_map(|(rows, &place)| rows.clone().map(move |_| place));
        self.names.clear();
        self.names.extend(rows.zip(&self.positions).map(|(place, &position)| [place, position]));
        self.leaving.clear();
        self.leaving.extend(self.pooled.iter().map(|&row| self.names[row as usize]));
    }

    /// What is dropped in a layer whose output has every row, or those that leave.
    pub fn dropout(&self, layer: usize, leaving: bool) -> Option<Dropout<'_>> {
        let (rate, key) = self.dropout?;
        let names = if leaving { &self.leaving } else { &self.names };
        Some(Dropout { rate, key: mix(key ^ layer as u64), names, unit: Unit::Value })
    }

    /// What is dropped in block i of `layers` by stochastic depth: whole branches, the more of them the deeper, from
    /// none in the first block to the pass's rate in the last (Huang et al. 2016, section 3).
    pub fn depth(&self, i: usize, layers: usize, leaving: bool) -> Option<Dropout<'_>> {
        let dropout = self.dropout(i, leaving).filter(|_| i > 0)?;
        Some(Dropout { rate: dropout.rate * i as f32 / (layers - 1) as f32, unit: Unit::Sequence, ..dropout })
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
