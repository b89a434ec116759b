//! A few emoji with their names: pairs that a model can know by heart.

use super::captions::Language;
use super::concept::Split;
use super::set::{Emoji, Tile};
use super::vendor::Vendor;
use crate::datasets::dataset::{Dataset, Example};
use crate::datasets::error::BadExample;
use crate::digest::{Digest, digest};
use crate::random::Rng;
use std::sync::Arc;

/// Drawings of distinct concepts by one vendor, each with the name of its concept, at every reading the same.
pub struct EmojiPairs {
    emoji: Arc<Emoji>,
    tiles: Vec<Tile>,
    concepts: Vec<u64>,
    names: Vec<&'static str>,
}

impl EmojiPairs {
    /// Takes `count` pairs, evenly spread over the concepts that may be trained on, or all of them if there are fewer.
    /// Flags are left out.
    pub fn new(emoji: Arc<Emoji>, count: usize, language: Language) -> Self {
        let all = emoji
            .tiles(|vendor, concept| vendor == Vendor::Noto && concept.split == Split::Train && !concept.is_flag());
        let count = count.min(all.len());
        let tiles: Vec<Tile> = (0..count).map(|i| all[i * all.len() / count]).collect();
        let (concepts, labels) = (tiles.iter().map(|tile| tile.concept as u64).collect(), emoji.labels(language));
        let names = tiles.iter().map(|tile| labels[tile.concept]).collect();
        EmojiPairs { emoji, tiles, concepts, names }
    }
}

impl Dataset for EmojiPairs {
    fn concepts(&self) -> &[u64] {
        &self.concepts
    }

    fn list_digest(&self) -> Digest {
        digest(&self.names)
    }

    fn read(&self, index: usize, _: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        let tile = self.tiles[index];
        self.emoji.paint(tile, &mut example.picture);
        self.names[index].clone_into(&mut example.caption);
        example.may_flip = self.emoji.concepts()[tile.concept].may_flip;
        Ok(())
    }
}
