//! The embedded data: 1,923 Unicode emoji concepts, each drawn by up to eight vendors, with names and keywords.
//!
//! `data/emoji/NOTICE.md` names the sources and licences of drawings and names. A model trains on seven vendors and the
//! concepts of [`Split::Train`]. It is judged on the eighth vendor, Twemoji, and on the held-out concepts, neither of
//! which it ever sees. Recipes are chosen on a [`Cut`] of the training part alone.

mod captions;
mod classes;
mod flip;
mod sheet;
mod train;

pub use captions::Language;
pub use classes::questions;
pub use sheet::TILE;
pub use train::EmojiTraining;

use crate::pictures::picture::Picture;
use sheet::Sheet;

const CONCEPTS: &str = include_str!("../../../data/emoji/emoji.tsv");

/// The vendor that drew a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vendor {
    Noto,
    Fluent3d,
    FluentFlat,
    FluentHighContrast,
    EmojiTwo,
    Blob,
    FxEmoji,
    Twemoji,
}

impl Vendor {
    /// All eight vendors, in the order of the enum.
    pub const ALL: [Vendor; 8] = [
        Vendor::Noto,
        Vendor::Fluent3d,
        Vendor::FluentFlat,
        Vendor::FluentHighContrast,
        Vendor::EmojiTwo,
        Vendor::Blob,
        Vendor::FxEmoji,
        Vendor::Twemoji,
    ];
    /// The vendor that is never trained on.
    pub const HELD_OUT: Vendor = Vendor::Twemoji;

    /// Returns the vendor's name, as the data files are called.
    pub fn name(self) -> &'static str {
        match self {
            Vendor::Noto => "noto",
            Vendor::Fluent3d => "fluent3d",
            Vendor::FluentFlat => "fluentflat",
            Vendor::FluentHighContrast => "fluenthc",
            Vendor::EmojiTwo => "emojitwo",
            Vendor::Blob => "blob",
            Vendor::FxEmoji => "fxemoji",
            Vendor::Twemoji => "twemoji",
        }
    }
}

/// Whether a concept may be trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    Train,
    HeldOut,
}

/// One emoji: what its eight pictures have in common.
#[derive(Clone, Debug)]
pub struct Concept {
    /// Code points in hexadecimal, joined by hyphens.
    pub hex: &'static str,
    pub split: Split,
    /// Unicode's coarse category, such as "food-drink".
    pub group: &'static str,
    /// Unicode's fine category, such as "food-fruit".
    pub subgroup: &'static str,
    /// The English name: the concept's class in zero-shot classification. No two concepts share one.
    pub label: &'static str,
    /// English keywords.
    pub keywords: Vec<&'static str>,
    /// Whether a mirrored picture still shows this concept.
    pub may_flip: bool,
}

impl Concept {
    /// Returns whether the concept is a flag. All vendors draw a flag nearly alike, so results are also given without
    /// flags.
    pub fn is_flag(&self) -> bool {
        self.group == "flags"
    }
}

/// One picture of the set, identified by vendor and concept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    pub vendor: Vendor,
    /// Position of the concept in [`Emoji::concepts`].
    pub concept: usize,
    /// Position of the picture in the vendor's sheet.
    place: usize,
}

/// The part of the training data to train on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The whole training data, for a model that is judged on Twemoji.
    Whole,
    /// The training data without one vendor and a seeded tenth of the concepts. While a recipe is chosen, these take
    /// the place of Twemoji and of the held-out concepts.
    Validation { vendor: Vendor, seed: u64 },
}

impl Cut {
    /// Returns the vendor whose pictures judge a model trained on this cut.
    pub fn judge(self) -> Vendor {
        match self {
            Cut::Whole => Vendor::HELD_OUT,
            Cut::Validation { vendor, .. } => vendor,
        }
    }

    /// Returns the side of the cut that a concept is on, or `None` if a model of this cut may neither train nor be
    /// judged on it.
    pub fn side(self, concept: &Concept) -> Option<Side> {
        match (self, concept.split) {
            (Cut::Whole, Split::HeldOut) => Some(Side::HeldOut),
            (Cut::Validation { .. }, Split::HeldOut) => None,
            (Cut::Validation { seed, .. }, Split::Train) if is_in_tenth(concept.hex, seed) => Some(Side::HeldOut),
            (_, Split::Train) => Some(Side::Trained),
        }
    }
}

/// The side of a [`Cut`] that a concept or a vendor is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Trained,
    HeldOut,
}

/// The whole decoded set.
pub struct Emoji {
    concepts: Vec<Concept>,
    sheets: Vec<Sheet>,
}

impl Emoji {
    /// Decodes the embedded files. Pictures are kept as palette indices, 4 KiB each.
    pub fn load() -> Self {
        let concepts: Vec<Concept> = CONCEPTS.lines().skip(1).map(parse).collect();
        Self { concepts, sheets: Vendor::ALL.into_iter().map(Sheet::decode).collect() }
    }

    /// Returns the concepts in Unicode's order.
    pub fn concepts(&self) -> &[Concept] {
        &self.concepts
    }

    /// Returns the class names for zero-shot classification, one per concept.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &'static str> {
        self.concepts.iter().map(|concept| concept.label)
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
                Side::Trained => vendor != Vendor::HELD_OUT && vendor != cut.judge(),
                Side::HeldOut => vendor == cut.judge(),
            };
            vendor_fits && cut.side(concept) == Some(concepts)
        })
    }

    /// Paints one tile, [`TILE`] × [`TILE`] pixels, as RGB on white.
    pub fn paint(&self, tile: Tile, picture: &mut Picture) {
        self.sheets[tile.vendor as usize].paint(tile.place, picture);
    }
}

/// Returns whether the concept is in the seeded tenth. The choice depends on its code points alone, so that reordering
/// the file does not change it.
fn is_in_tenth(hex: &str, seed: u64) -> bool {
    crate::random::key(hex.bytes().chain(seed.to_le_bytes())).is_multiple_of(10)
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
    let may_flip = flip::may_flip(group, subgroup, label);
    Concept { hex, split, group, subgroup, label, keywords, may_flip }
}
