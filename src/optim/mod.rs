//! From gradients to the next parameters.

pub mod adamw;
pub mod clip_grad;
pub mod schedule;
