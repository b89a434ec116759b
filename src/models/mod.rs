//! Model families and what they share.
//!
//! | file | what it knows |
//! |---|---|
//! | [`clip`] | CLIP: two towers and the learnt temperature |
//! | `captions` | a batch of tokenized captions |
//! | [`parts`] | the parts of a model, and what each takes |
//! | [`sizes`] | checks of sizes before anything is allocated for them |
//! | [`stack`] | the part of a pre-norm Transformer behind its embedding |

pub mod blip;
mod captions;
pub mod clip;
pub mod parts;
pub mod sizes;
pub mod stack;

pub use crate::layers::Keep;
pub use captions::Captions;
pub(crate) use captions::Packed;

use crate::layers::patch_dropout::{PatchDropout, Patches};
use crate::layers::sequences::Sequences;
use crate::tree::Arena;

/// The purpose of a forward pass, on which the statistics that BatchNorm uses and the patches that a ViT sees depend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode<'a> {
    /// The pass is one of training: BatchNorm uses the statistics of the batch.
    Training(Keep),
    /// The pass is one of training a ViT that sees only some patches of each picture.
    Masked(Keep, PatchDropout<'a>),
    /// The pass is one of inference: BatchNorm uses the running statistics, and nothing is kept.
    Inference,
}

/// What one tower keeps from its forward to its backward pass. It is made once and reused for every batch.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(crate) sequences: Sequences,
    /// What the last forward pass of a Transformer kept.
    pub(crate) keep: Keep,
    pub(crate) patches: Patches,
    /// A ResNet's block inputs, which outlive what each block saves.
    pub(crate) inputs: Arena,
    pub(crate) saved: Arena,
    /// How many [layer groups](clip::groups) of a CLIP's tower are not trained, counted from its input. No backward
    /// pass goes into them, and their BatchNorms use the running statistics in every pass.
    pub(crate) locked: usize,
}

impl Workspace {
    /// Makes the workspace of a CLIP's tower whose first `groups` [layer groups](clip::groups) are not trained.
    pub fn locked(groups: usize) -> Self {
        Workspace { locked: groups, ..Self::default() }
    }
}
