//! Which rows of a packed batch belong together.

/// A batch of sequences of unequal lengths as one matrix of `rows()` rows without padding.
///
/// The index lists that the layers need are kept here and refilled in place, so that a training step allocates none.
#[derive(Clone, Debug, Default)]
pub struct Sequences {
    offsets: Vec<usize>,
    positions: Vec<u32>,
    pooled: Vec<u32>,
    singles: Vec<usize>,
}

/// The row of a sequence that leaves the tower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// The class token.
    First,
    /// The end-of-text token.
    Last,
}

impl Sequences {
    /// Sequence s becomes rows `offsets[s]..offsets[s + 1]`.
    ///
    /// # Panics
    /// If `offsets` does not start at 0 or a sequence is empty.
    pub fn fill(&mut self, offsets: impl Iterator<Item = usize>, pool: Pool) {
        self.offsets.clear();
        self.offsets.extend(offsets);
        assert_eq!(self.offsets.first(), Some(&0), "offsets start at 0");
        self.positions.clear();
        self.pooled.clear();
        for pair in self.offsets.windows(2) {
            assert!(pair[0] < pair[1], "sequence of rows {}..{} is empty", pair[0], pair[1]);
            self.positions.extend(0..(pair[1] - pair[0]) as u32);
            self.pooled.push(match pool {
                Pool::First => pair[0] as u32,
                Pool::Last => pair[1] as u32 - 1,
            });
        }
        self.singles.clear();
        self.singles.extend(0..self.offsets.len());
    }

    /// How many sequences.
    pub fn len(&self) -> usize {
        self.pooled.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rows in all.
    pub fn rows(&self) -> usize {
        self.positions.len()
    }

    /// Sequence s has rows `offsets[s]..offsets[s + 1]`.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// Each row's place in its sequence, from 0.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// The pooled row of each sequence.
    pub fn pooled(&self) -> &[u32] {
        &self.pooled
    }

    /// The offsets 0, 1, 2, … of as many sequences of one row.
    pub fn singles(&self) -> &[usize] {
        &self.singles
    }
}
