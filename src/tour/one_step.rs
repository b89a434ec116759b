//! A training step on one page: two pictures and two captions, from pixels to moved weights.
//!
//! The chapters take the step apart in plain f64. Here are the same parts as they train models, in the order in which a
//! step calls them. [`train::step`](crate::train::step) does no more than this, but for larger batches and for several
//! machines. `cargo test --release --test one_step` runs the program and shows what it prints.
#![doc = concat!("```\n", include_str!("../../tests/one_step.rs"), "```")]
