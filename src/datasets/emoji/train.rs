//! The emoji as a training set.

use super::captions::{Language, Words, words};
use super::cut::{Cut, Side};
use super::set::{Emoji, Tile};
use crate::datasets::dataset::{Dataset, Example};
use crate::datasets::error::BadExample;
use crate::random::Rng;
use rand::seq::IndexedRandom;
use std::sync::Arc;

/// The pictures of a [`Cut`], with a new random caption at each reading.
pub struct EmojiTraining {
    emoji: Arc<Emoji>,
    tiles: Vec<Tile>,
    concepts: Vec<u64>,
    words: Vec<Vec<Words>>,
}

impl EmojiTraining {
    /// Makes a set with captions in the given languages, each equally often, or in English if none is given.
    pub fn new(emoji: Arc<Emoji>, cut: Cut, languages: &[Language]) -> Self {
        let tiles = emoji.exam(cut, Side::Trained, Side::Trained);
        let concepts = tiles.iter().map(|tile| tile.concept as u64).collect();
        let words = words(emoji.concepts(), languages);
        Self { emoji, tiles, concepts, words }
    }

    /// Returns the pictures in the order of the examples.
    pub fn tiles(&self) -> &[Tile] {
        &self.tiles
    }
}

impl Dataset for EmojiTraining {
    fn concepts(&self) -> &[u64] {
        &self.concepts
    }

    fn read(&self, index: usize, rng: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        let tile = self.tiles[index];
        self.emoji.paint(tile, &mut example.picture);
        let words = self.words[tile.concept].choose(rng).expect("every concept has words");
        words.draw(rng, &mut example.caption);
        example.may_flip = self.emoji.concepts()[tile.concept].may_flip;
        Ok(())
    }
}
