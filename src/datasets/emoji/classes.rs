//! The emoji as a classification task: the class of a drawing is the English name of its concept.

use super::set::{Emoji, Tile};
use super::vendor::Vendor;
use crate::datasets::dataset::{Dataset, Example};
use crate::datasets::error::BadExample;
use crate::datasets::questions::Questions;
use crate::random::Rng;
use std::sync::Arc;

/// A dataset of drawings whose classes are their concepts.
struct Drawings {
    emoji: Arc<Emoji>,
    tiles: Vec<Tile>,
    classes: Vec<u64>,
}

/// Returns the questions with the drawings of `Vendor::HELD_OUT` to test on and all others to train on.
pub fn questions(emoji: &Arc<Emoji>) -> Questions {
    let drawings = |held_out: bool| -> Arc<dyn Dataset> {
        let tiles = emoji.tiles(|vendor, _| (vendor == Vendor::HELD_OUT) == held_out);
        let classes = tiles.iter().map(|tile| tile.concept as u64).collect();
        Arc::new(Drawings { emoji: Arc::clone(emoji), tiles, classes })
    };
    let names = emoji.names().map(String::from).collect();
    Questions::new(drawings(true), Some(drawings(false)), Some(names))
}

impl Dataset for Drawings {
    fn concepts(&self) -> &[u64] {
        &self.classes
    }

    fn read(&self, index: usize, _: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        let tile = self.tiles[index];
        self.emoji.paint(tile, &mut example.picture);
        example.caption = self.emoji.concepts()[tile.concept].label.to_owned();
        Ok(())
    }
}
