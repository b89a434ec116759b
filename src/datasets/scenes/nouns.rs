//! The concepts whose names are nouns that can be counted.

use super::division::Division;
use super::grammar::LANGUAGES;
use crate::datasets::emoji::{Emoji, Tile, Vendor};
use std::collections::HashMap;

/// Lines of article, singular and plural under a heading.
const NOUNS: &str = include_str!("../../../data/emoji/nouns.tsv");
/// The colours that names begin with.
const COLOURS: [&str; 10] = ["red", "pink", "orange", "yellow", "green", "blue", "purple", "brown", "black", "grey"];
/// Words that two names may share.
const LINKS: [&str; 3] = ["with", "in", "of"];

/// A kind of drawing and its names.
pub(super) struct Noun {
    /// Position of the concept in [`Emoji::concepts`].
    pub concept: usize,
    pub article: &'static str,
    /// The English names, for one and for more.
    pub singular: &'static str,
    pub plural: &'static str,
    /// The names in all [`LANGUAGES`].
    pub labels: [&'static str; LANGUAGES.len()],
    /// The drawings of the division.
    pub tiles: Vec<Tile>,
}

impl Noun {
    /// Returns the colour that the English name begins with, and the rest of the name, in the singular and the plural.
    pub(super) fn colour(&self) -> Option<(&'static str, [&'static str; 2])> {
        let (colour, rest) = self.singular.split_once(' ')?;
        let plural = self.plural.strip_prefix(colour)?.trim_start();
        COLOURS.contains(&colour).then_some((colour, [rest, plural]))
    }

    /// Returns whether both are the same thing in different colours.
    pub(super) fn is_recoloured(&self, other: &Self) -> bool {
        let things = self.colour().zip(other.colour());
        things.is_some_and(|((one, [thing, _]), (another, [other, _]))| thing == other && one != another)
    }

    /// Returns whether both can be in one scene and every sentence still be about one of them: they share no word, or
    /// differ in nothing but colour, and in no language do they have the same name.
    pub(super) fn goes_with(&self, other: &Self) -> bool {
        let is_word = |word: &&str| !LINKS.contains(word);
        let mut words = self.singular.split(' ').filter(is_word);
        let shares = words.any(|word| other.singular.split(' ').any(|own| own == word));
        let is_named_alike = self.labels.iter().zip(&other.labels).any(|(one, another)| one == another);
        !is_named_alike && (!shares || self.is_recoloured(other))
    }
}

/// Returns the nouns that a division has drawings of, in the order of the file.
///
/// The high-contrast vendor draws black on white, so its drawings do not stand for a name with a colour.
pub(super) fn nouns(emoji: &Emoji, division: Division) -> Vec<Noun> {
    let places: HashMap<&str, usize> = emoji.names().enumerate().map(|(place, name)| (name, place)).collect();
    let labels = LANGUAGES.map(|language| emoji.labels(language));
    let mut tiles: HashMap<usize, Vec<Tile>> = HashMap::new();
    for tile in emoji.tiles(|vendor, concept| division.has(vendor, concept)) {
        tiles.entry(tile.concept).or_default().push(tile);
    }
    let noun = |line: &'static str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [article, singular, plural] = fields[..] else { panic!("nouns.tsv has three columns: {line}") };
        let concept = places[singular];
        let labels = std::array::from_fn(|i| labels[i][concept]);
        let mut noun = Noun { concept, article, singular, plural, labels, tiles: vec![] };
        noun.tiles = tiles.remove(&concept).unwrap_or_default();
        if noun.colour().is_some() {
            noun.tiles.retain(|tile| tile.vendor != Vendor::FluentHighContrast);
        }
        noun
    };
    NOUNS.lines().skip(1).map(noun).filter(|noun| !noun.tiles.is_empty()).collect()
}
