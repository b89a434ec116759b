//! Reads a tower part by part, each when its turn comes, for a few captions or pictures that go through it once.

use super::open::Checkpoint;
use crate::checkpoint::CheckpointError;
use crate::checkpoint::places::{Picked, Place, Places};
use crate::layers::block::Block;
use crate::models::clip::text::Text;
use crate::models::clip::visual::Visual;
use crate::models::clip::vit::Vit;
use crate::models::stack::Turn;
use crate::params::{Params, Spec};
use crate::tree::Tree;
use crate::weights::{Stored, Weights};
use std::mem::take;

/// The most rows for which products read matrices themselves. With more they take most of the time, and are faster with
/// weights that are laid out.
const MAX_ROWS: usize = 1024;

/// What is in memory of the block that has its turn.
pub(crate) enum Room {
    /// Little but the rows that are multiplied.
    Fetched,
    Whole(Box<Weights<Block<Stored>>>),
}

/// The parts of a checkpoint's tower: its blocks, which are all alike, and what is left without them.
pub(crate) struct Parts<'a, S: Tree<Leaf = Spec>> {
    checkpoint: &'a Checkpoint,
    spec: S,
    places: S::Of<Places>,
    block: Block<Spec>,
    block_places: Vec<Block<Places>>,
}

impl<'a> Parts<'a, Text<Spec>> {
    /// Finds the parts of the text tower, and reads none.
    ///
    /// # Errors
    /// Returns an error if there is no text tower.
    pub fn of_text(checkpoint: &'a Checkpoint) -> Result<Self, CheckpointError> {
        let mut spec = checkpoint.text_shape()?.spec();
        let mut places = checkpoint.scheme().text(&spec);
        let block = take(&mut spec.transformer.resblocks).swap_remove(0);
        let block_places = take(&mut places.transformer.resblocks);
        Ok(Parts { checkpoint, spec, places, block, block_places })
    }

    /// Reads everything but the blocks. The table of tokens has one row for each of `ids`, in their order; of the others,
    /// which are most of a small tower, nothing is read.
    ///
    /// # Errors
    /// Returns an error if a tensor cannot be read.
    pub fn without_blocks(&self, ids: &[u32]) -> Result<Params<Text<Spec>>, CheckpointError> {
        let (mut spec, mut places) = (self.spec.clone(), self.places.clone());
        let stored = [spec.token_embedding.shape[0], spec.token_embedding.shape[1]];
        spec.token_embedding.shape[0] = ids.len();
        for place in &mut places.token_embedding {
            if let Place::Whole(name) = place {
                *place = Place::Rows(name.clone(), Picked { stored, rows: ids.to_vec() });
            }
        }
        self.read(spec, &places)
    }
}

impl<'a> Parts<'a, Vit<Spec>> {
    /// Finds the parts of the image tower, and reads none. A ResNet has none, nor a checkpoint without an image tower.
    pub fn of_vit(checkpoint: &'a Checkpoint) -> Option<Self> {
        let spec = checkpoint.architecture.vision()?.spec();
        let places = checkpoint.resampled(checkpoint.scheme().visual(&spec));
        let (Visual::Vit(mut spec), Visual::Vit(mut places)) = (spec, places) else { return None };
        let block = take(&mut spec.transformer.resblocks).swap_remove(0);
        let block_places = take(&mut places.transformer.resblocks);
        Some(Parts { checkpoint, spec, places, block, block_places })
    }

    /// Reads everything but the blocks.
    ///
    /// # Errors
    /// Returns an error if a tensor cannot be read.
    pub fn without_blocks(&self) -> Result<Params<Vit<Spec>>, CheckpointError> {
        self.read(self.spec.clone(), &self.places)
    }
}

impl<S: Tree<Leaf = Spec>> Parts<'_, S> {
    /// Reads parameters, and rounds those that inference rounds.
    fn read<P: Tree<Leaf = Spec>>(&self, spec: P, places: &P::Of<Places>) -> Result<Params<P>, CheckpointError> {
        let mut params = self.checkpoint.tensors().load(spec, places)?;
        self.checkpoint.tensors().round(&mut params, self.checkpoint.rounding)?;
        Ok(params)
    }

    /// Makes room for what a block needs while it has its turn, which so many rows take.
    pub fn room(&self, rows: usize) -> Room {
        let tensors = self.checkpoint.tensors();
        if rows <= MAX_ROWS && self.block_places.iter().all(|places| tensors.can_fetch(&self.block, places)) {
            return Room::Fetched;
        }
        Room::Whole(Box::new(tensors.room_for(&self.block, &self.block_places, self.checkpoint.rounding)))
    }

    /// Reads a block and lets it take its turn: its matrices are read by the products that need them, if rows are few and
    /// the file can be read so, or else before, in place of those of another block.
    ///
    /// # Errors
    /// Returns an error if a tensor cannot be read.
    pub fn pass(&self, turn: Turn, room: &mut Room) -> Result<(), CheckpointError> {
        let (tensors, rounding) = (self.checkpoint.tensors(), self.checkpoint.rounding);
        let (spec, places) = (&self.block, &self.block_places[turn.i]);
        match room {
            Room::Fetched => tensors.with_fetched(spec, places, rounding, |block| turn.take(block)),
            Room::Whole(room) => {
                tensors.load_weights_into(room, spec, places, rounding)?;
                turn.take(&room.view());
                Ok(())
            }
        }
    }
}
