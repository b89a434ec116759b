//! What turns gradients into the next parameters, and what a step observed into running statistics.

pub mod adamw;
pub mod clip_grad;
pub mod lr_factors;
pub mod running;
pub mod schedule;
