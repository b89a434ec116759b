//! Reads a text tower part by part, each when its turn comes, for a few captions that go through it once.

use super::open::Checkpoint;
use crate::checkpoint::CheckpointError;
use crate::checkpoint::places::{Picked, Place, Places};
use crate::layers::block::Block;
use crate::models::clip::text::Text;
use crate::params::{Params, Spec};
use crate::tree::{Path, Tree};

/// The parts of a checkpoint's text tower.
pub(crate) struct TextParts<'a> {
    checkpoint: &'a Checkpoint,
    spec: Text<Spec>,
    places: Text<Places>,
}

impl<'a> TextParts<'a> {
    /// Finds the parts, and reads none.
    ///
    /// # Errors
    /// Returns an error if there is no text tower.
    pub fn new(checkpoint: &'a Checkpoint) -> Result<Self, CheckpointError> {
        let spec = checkpoint.text_shape()?.spec();
        let places = checkpoint.scheme().text(&spec);
        Ok(TextParts { checkpoint, spec, places })
    }

    /// Reads everything but the blocks. The table of tokens has one row for each of `ids`, in their order; of the others,
    /// which are most of a small tower, nothing is read.
    ///
    /// # Errors
    /// Returns an error if a tensor cannot be read.
    pub fn without_blocks(&self, ids: &[u32]) -> Result<Params<Text<Spec>>, CheckpointError> {
        let (mut spec, mut places) = (self.spec.map(&Path::ROOT, &mut |_, spec| spec.clone()), self.places.clone());
        spec.transformer.resblocks.clear();
        places.transformer.resblocks.clear();
        let stored = [spec.token_embedding.shape[0], spec.token_embedding.shape[1]];
        spec.token_embedding.shape[0] = ids.len();
        for place in &mut places.token_embedding {
            if let Place::Whole(name) = place {
                *place = Place::Rows(name.clone(), Picked { stored, rows: ids.to_vec() });
            }
        }
        let mut params = self.checkpoint.tensors().load(spec, &places)?;
        self.checkpoint.tensors().round(&mut params, self.checkpoint.rounding)?;
        Ok(params)
    }

    /// Makes room for one block.
    pub fn room(&self) -> Params<Block<Spec>> {
        Params::zeros(self.spec.transformer.resblocks[0].clone())
    }

    /// Reads block `i` in place of another.
    ///
    /// # Errors
    /// Returns an error if a tensor cannot be read.
    pub fn read_block(&self, i: usize, block: &mut Params<Block<Spec>>) -> Result<(), CheckpointError> {
        self.checkpoint.tensors().load_into(block, &self.places.transformer.resblocks[i])?;
        self.checkpoint.tensors().round(block, self.checkpoint.rounding)
    }
}
