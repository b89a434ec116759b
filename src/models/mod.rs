//! The two towers and CLIP over both, with their configurations.

pub mod clip;
pub mod config;
pub mod flops;
pub mod text;
pub mod tower;
pub mod vit;

pub use clip::Clip;
pub use config::{Config, TextConfig, VisionConfig};

use crate::layers::sequences::Sequences;
use crate::tree::Arena;

/// Whether a forward pass is followed by its backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Every block's activations are kept, about ten widths a row and block.
    All,
    /// Two blocks' worth of memory are used in turn: for inference.
    Nothing,
}

/// What one tower keeps from its forward to its backward pass. Made once, reused for every batch.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(crate) sequences: Sequences,
    pub(crate) saved: Arena,
}
