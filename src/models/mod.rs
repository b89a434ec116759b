//! Model families and what they share.
//!
//! | file | what it knows |
//! |---|---|
//! | [`clip`] | CLIP: two towers and the learnt temperature |
//! | [`stack`] | what every pre-norm Transformer is behind its embedding |

pub mod clip;
pub mod stack;

pub use crate::layers::Keep;

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
    /// A ResNet's block inputs, which outlive what each block saves.
    pub(crate) inputs: Arena,
    pub(crate) saved: Arena,
}
