//! From gradients to the next parameters, and from what a step observed to running statistics.

pub mod adamw;
pub mod clip_grad;
pub mod running;
pub mod schedule;
