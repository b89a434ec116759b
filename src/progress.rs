//! Work that takes long: how far it is, and whether anybody still waits for it.

/// How far a piece of work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is counted, in the plural.
    pub what: &'static str,
    pub done: usize,
    pub todo: usize,
}

/// Nobody waits for the result any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped before it was done")]
pub struct Stopped;

/// What is told how far the work is, from any thread, and says whether it goes on.
pub type Watch<'a> = &'a (dyn Fn(Progress) -> Result<(), Stopped> + Sync);
