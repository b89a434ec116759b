//! The two towers, the image tower of either kind, and CLIP over both, with their configurations.

pub mod clip;
pub mod config;
pub mod flops;
pub mod resnet;
pub mod text;
pub mod tower;
pub mod visual;
pub mod vit;

pub use crate::layers::Keep;
pub use clip::Clip;
pub use config::{Config, Layers, TextConfig, VisionConfig};

use crate::layers::sequences::Sequences;
use crate::tree::Arena;

/// What a forward pass is for, where that makes a difference: to BatchNorm it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By the statistics of the batch.
    Training(Keep),
    /// By the running statistics; nothing is kept.
    Inference,
}

/// What one tower keeps from its forward to its backward pass. Made once, reused for every batch.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(crate) sequences: Sequences,
    pub(crate) saved: Arena,
}
