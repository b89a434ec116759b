//! The two programs as their users see them, and the plots that they draw.

#[path = "../support/mod.rs"]
mod support;

mod bench;
mod encoders;
mod eval;
mod one_embedding;
mod pictures;
mod plots;
mod search;
mod tables;
mod train;
