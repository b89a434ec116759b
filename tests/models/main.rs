//! Tests of CLIP and BLIP as a whole: against the reference implementations, the training step, checkpoints in every
//! format, and the facade.
#![allow(clippy::single_range_in_vec_init, reason = "one picture's rows are a list of one range")]

#[path = "../support/mod.rs"]
mod support;

mod blip;
mod blip_checkpoint;
mod blip_objective;
mod blip_objective_golden;
mod blip_passes;
mod blip_tuning;
mod checkpoint;
mod checkpoint_configs;
mod checkpoint_formats;
mod checkpoint_found;
mod explainer;
mod facade;
mod golden;
mod half;
mod int8;
mod locks;
mod objective;
#[cfg(feature = "onnx")]
mod onnx;
#[cfg(feature = "onnx")]
mod onnx_runtime;
mod open_clip_configs;
mod patch_dropout;
mod resize;
mod shards;
mod siglip;
mod sigmoid;
mod train_step;
