//! The concepts whose names are nouns that can be counted.

use super::cutout::WHITE;
use super::division::Division;
use super::grammar::LANGUAGES;
use super::ground::Ground;
use crate::datasets::emoji::{Emoji, Tile, Vendor};
use crate::pictures::picture::Picture;
use std::collections::{HashMap, HashSet};

/// The colours that names begin with.
const COLOURS: [&str; 10] = ["red", "pink", "orange", "yellow", "green", "blue", "purple", "brown", "black", "grey"];
/// Words that two names may share.
const LINKS: [&str; 3] = ["with", "in", "of"];

/// Squared distance below which a colour is hard to tell from a ground.
const MIN_CONTRAST: u32 = 60 * 60;
/// Share of a drawing that may be hard to tell from its ground.
const MAX_HIDDEN: f32 = 0.4;
/// Largest number of grounds that a drawing is kept from, so that any three drawings have one in common.
const MAX_AVOIDED: usize = 2;

/// What is added to a noun's rank. The larger it is, the less the most frequent nouns stand out.
const ZIPF_OFFSET: f32 = 10.0;

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
    /// How often it is drawn, in proportion to the others.
    pub frequency: f32,
    /// The drawings of the division, each with the grounds that it stands out from.
    pub tiles: Vec<(Tile, Vec<Ground>)>,
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

/// Returns the nouns of a division in the order of the file. Those of [`Division::Val`] and [`Division::Test`] are the
/// ones that [`Division::Train`] has: some vendors alone draw a few more.
///
/// Where a model is judged, all nouns are equally frequent. Where it is trained they follow Zipf's law, as words do: the
/// noun of rank r = 0, 1, … has a frequency of 1/(10 + r). If each of 327 nouns is as rare as the others, a small model
/// learns for a long time how captions are worded and not what they name. Frequent nouns are named early, and what the
/// image encoder learns for them serves the rare ones. The ranks are those of the file, which begins with creatures and
/// hearts: hearts differ in colour alone, so that they are named first of all.
pub(super) fn nouns(emoji: &Emoji, division: Division) -> Vec<Noun> {
    let mut nouns = drawn(emoji, division);
    if division == Division::Train {
        for (rank, noun) in nouns.iter_mut().enumerate() {
            noun.frequency = 1.0 / (ZIPF_OFFSET + rank as f32);
        }
    }
    if matches!(division, Division::Val | Division::Test) {
        let trained: HashSet<usize> = drawn(emoji, Division::Train).iter().map(|noun| noun.concept).collect();
        nouns.retain(|noun| trained.contains(&noun.concept));
    }
    nouns
}

/// Returns the nouns that a division has drawings of.
///
/// The high-contrast vendor draws black on white, so its drawings do not stand for a name with a colour.
fn drawn(emoji: &Emoji, division: Division) -> Vec<Noun> {
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
        let mut noun = Noun { concept, article, singular, plural, labels, frequency: 1.0, tiles: vec![] };
        let is_coloured = noun.colour().is_some();
        let fits = |tile: &Tile| !(is_coloured && tile.vendor == Vendor::FluentHighContrast);
        let tiles = tiles.remove(&concept).unwrap_or_default().into_iter().filter(fits);
        noun.tiles = tiles.map(|tile| (tile, grounds(emoji, tile))).collect();
        noun
    };
    clipwright_emoji::NOUNS.lines().skip(1).map(noun).filter(|noun| !noun.tiles.is_empty()).collect()
}

/// Returns the grounds that a drawing stands out from.
fn grounds(emoji: &Emoji, tile: Tile) -> Vec<Ground> {
    let mut picture = Picture::default();
    emoji.paint(tile, &mut picture);
    let pixels: Vec<[u8; 3]> = picture.samples.as_chunks().0.to_vec();
    let drawn = || pixels.iter().filter(|pixel| pixel.iter().any(|&value| value < WHITE));
    let distance = |a: [u8; 3], b: [u8; 3]| a.iter().zip(b).map(|(&a, b)| u32::from(a.abs_diff(b)).pow(2)).sum::<u32>();
    let hidden = |ground: Ground| {
        let hidden = drawn().filter(|&&pixel| distance(pixel, ground.rgb()) < MIN_CONTRAST).count();
        hidden as f32 / drawn().count() as f32
    };
    let mut grounds = Ground::ALL.map(|ground| (hidden(ground), ground));
    grounds.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let avoided = grounds.iter().take(MAX_AVOIDED).take_while(|(hidden, _)| *hidden > MAX_HIDDEN).count();
    grounds[avoided..].iter().map(|&(_, ground)| ground).collect()
}
