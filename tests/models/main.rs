//! Tests of CLIP as a whole: against the reference implementations, the training step, checkpoints in every format, and
//! the facade.

#[path = "../support/mod.rs"]
mod support;

mod blip_checkpoint;
mod checkpoint;
mod checkpoint_configs;
mod checkpoint_formats;
mod checkpoint_found;
mod facade;
mod golden;
mod objective;
mod open_clip_configs;
mod train_step;
