//! The two programs as their users meet them, and the pictures that they draw.

#[path = "../support/mod.rs"]
mod support;

mod bench;
mod encoders;
mod eval;
mod pictures;
mod plots;
mod search;
mod train;
