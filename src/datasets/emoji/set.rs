//! The whole set: concepts, and the pictures of every vendor.

use super::captions::{Language, labels};
use super::concept::{Concept, Split};
use super::cut::{Cut, Side};
use super::flip::may_flip;
use super::sheet::Sheet;
use super::vendor::Vendor;
use crate::pictures::picture::Picture;

/// One picture of the set, identified by vendor and concept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    pub vendor: Vendor,
    /// Position of the concept in [`Emoji::concepts`].
    pub concept: usize,
    /// Position of the picture in the vendor's sheet.
    place: usize,
}

/// The whole decoded set.
pub struct Emoji {
    concepts: Vec<Concept>,
    sheets: Vec<Sheet>,
}

impl Emoji {
    /// Decodes the embedded files. Pictures are kept as palette indices, 4 KiB each.
    pub fn load() -> Self {
        Self { concepts: concepts(), sheets: Vendor::ALL.into_iter().map(Sheet::decode).collect() }
    }

    /// Returns the concepts in Unicode's order.
    pub fn concepts(&self) -> &[Concept] {
        &self.concepts
    }

    /// Returns the class names for zero-shot classification, one per concept.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &'static str> {
        self.concepts.iter().map(|concept| concept.label)
    }

    /// Returns the name of every concept in a language.
    pub fn labels(&self, language: Language) -> Vec<&'static str> {
        labels(&self.concepts, language)
    }

    /// Returns every picture that `wanted` accepts, vendor by vendor in the order of the concepts.
    pub fn tiles(&self, wanted: impl Fn(Vendor, &Concept) -> bool) -> Vec<Tile> {
        let all = self.sheets.iter().flat_map(|sheet| {
            let tile = |(place, &concept)| Tile { vendor: sheet.vendor, concept, place };
            sheet.concepts.iter().enumerate().map(tile)
        });
        all.filter(|tile| wanted(tile.vendor, &self.concepts[tile.concept])).collect()
    }

    /// Returns the pictures of one cell of the results table, for a model trained on `cut`. Concepts that are on no
    /// side of the cut, those of [`Split::HeldOut`] in a validation cut, are left out.
    pub fn exam(&self, cut: Cut, concepts: Side, vendors: Side) -> Vec<Tile> {
        self.tiles(|vendor, concept| {
            let vendor_fits = match vendors {
                Side::Trained => cut.trains_on(vendor),
                Side::HeldOut => vendor == cut.judge(),
            };
            vendor_fits && cut.side(concept) == Some(concepts)
        })
    }

    /// Paints one tile, [`TILE`](super::TILE) × [`TILE`](super::TILE) pixels, as RGB on white.
    pub fn paint(&self, tile: Tile, picture: &mut Picture) {
        self.sheets[tile.vendor as usize].paint(tile.place, picture);
    }
}

/// Returns the concepts in Unicode's order, without any picture.
pub fn concepts() -> Vec<Concept> {
    clipwright_emoji::CONCEPTS.lines().skip(1).map(parse).collect()
}

/// Parses a line of `emoji.tsv`: id, hex, split, group, subgroup, family, vendors, label, tags. The id is the number
/// of the line.
fn parse(line: &'static str) -> Concept {
    let fields: Vec<&'static str> = line.split('\t').collect();
    let [_, hex, split, group, subgroup, _, _, label, tags] = fields[..] else {
        panic!("emoji.tsv has nine columns: {line}");
    };
    let split = if split == "train" { Split::Train } else { Split::HeldOut };
    let keywords = tags.split('|').filter(|tag| !tag.is_empty()).collect();
    let may_flip = may_flip(group, subgroup, label);
    Concept { hex, split, group, subgroup, label, keywords, may_flip }
}
