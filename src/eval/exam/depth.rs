//! How much is asked.

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What a curve needs.
    Quick,
    /// What the final table shows, raw pixels' scores included.
    Full,
}
