//! CLIP as a whole: against the reference implementations, its training step, its checkpoints in every format, and the
//! facade in front of them.

#[path = "../support/mod.rs"]
mod support;

mod checkpoint;
mod checkpoint_configs;
mod checkpoint_formats;
mod facade;
mod golden;
mod objective;
mod train_step;
