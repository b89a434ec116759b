//! What all judges use.

use clipwright::tour::bridge::{plain, random};
use clipwright::tour::chain_rule::{Matrix, sum};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Returns a matrix of draws from N(0, 1).
pub fn draws(dim: (usize, usize), seed: u64) -> Matrix {
    plain(random(dim, seed).view())
}

/// Returns a row of draws from N(0, 1).
pub fn row(len: usize, seed: u64) -> Vec<f64> {
    draws((1, len), seed).remove(0)
}

/// The loss of every judge is Σ dy∘y, whose gradient by y is dy.
pub fn dot(dy: &Matrix, y: &Matrix) -> f64 {
    sum(y.len(), |n| sum(y[n].len(), |i| dy[n][i] * y[n][i]))
}

/// Checks that a judge refuses a wrong solution, and what it says.
#[track_caller]
pub fn refuses(said: &str, judge: impl FnOnce()) {
    let panic = catch_unwind(AssertUnwindSafe(judge)).expect_err("a fault that nobody sees");
    let message = panic.downcast_ref::<String>().map_or("", String::as_str);
    assert!(message.contains(said), "{message}");
}
