//! The two ways to write a result.

/// Whether a kernel replaces what its output holds or adds to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// `out = value`; what was there before, NaN included, is never read.
    Set,
    /// `out += value`.
    Add,
}
