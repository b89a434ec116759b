//! The processes that share the work of an exam.

use serde::{Serialize, de::DeserializeOwned};
use std::ops::Range;

/// Processes that hold the same model and ask it the same questions in the same order, each a part of them.
pub trait Crew {
    /// Returns the results of `n` pieces of work, of which `work` does a range. Every process gets all of them.
    ///
    /// # Errors
    /// Returns the error of `work`, which has to fail in all processes if it does in one.
    fn share<T: Serialize + DeserializeOwned, E>(
        &self,
        n: usize,
        work: impl FnOnce(Range<usize>) -> Result<Vec<T>, E>,
    ) -> Result<Vec<T>, E>;
}

/// One process by itself.
pub struct Single;

impl Crew for Single {
    fn share<T: Serialize + DeserializeOwned, E>(
        &self,
        n: usize,
        work: impl FnOnce(Range<usize>) -> Result<Vec<T>, E>,
    ) -> Result<Vec<T>, E> {
        work(0..n)
    }
}
