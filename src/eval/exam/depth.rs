//! How much an exam measures.

/// How much an exam measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The scores that the curves of a run show.
    Quick,
    /// All scores of the final table, those of the baseline on raw pixels included.
    Full,
}
