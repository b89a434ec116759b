//! How the sentences of a language are filled in.

use super::grammar::{Grammar, Variants};
use super::nouns::Noun;
use super::scene::{Arrangement, Group, Scene};
use crate::random::Rng;
use rand::RngExt;
use rand::seq::IndexedRandom;

/// The sentences of one language, with the names of a division.
pub(super) struct Wording<'a> {
    pub grammar: &'static Grammar,
    /// Position of the language in [`LANGUAGES`](super::LANGUAGES).
    language: usize,
    nouns: &'a [Noun],
}

impl<'a> Wording<'a> {
    pub(super) fn new(language: usize, nouns: &'a [Noun]) -> Self {
        Wording { grammar: Grammar::of(language), language, nouns }
    }

    pub(super) fn noun(&self, group: &Group) -> &'a Noun {
        &self.nouns[group.noun]
    }

    /// Fills the names of a kind into a sentence about it.
    pub(super) fn named(&self, sentence: &str, group: &Group) -> String {
        let noun = self.noun(group);
        let [thing, things] = noun.colour().map_or([""; 2], |(_, things)| things);
        let names = [
            ("{i}", noun.article),
            ("{n}", noun.labels[self.language]),
            ("{p}", noun.plural),
            ("{t}", thing),
            ("{u}", things),
        ];
        filled(sentence, &names)
    }

    /// Words a true caption. Half of them name the ground.
    pub(super) fn caption(&self, scene: &Scene, rng: &mut Rng) -> String {
        let Grammar { counted, alone, row, column, on_ground, grounds, .. } = self.grammar;
        let counted = counted.choose(rng).expect("there are ways to count");
        let group = |group: &Group| self.named(counted[group.squares.len() - 1], group);
        let groups: Vec<String> = scene.groups.iter().map(group).collect();
        let variants = match scene.arrangement {
            Arrangement::Alone => alone,
            Arrangement::Row => row[groups.len() - 2],
            Arrangement::Column => column[groups.len() - 2],
        };
        let values: Vec<_> = ["{a}", "{b}", "{c}"].into_iter().zip(groups.iter().map(String::as_str)).collect();
        let caption = filled(one_of(variants, rng), &values);
        match rng.random_bool(0.5) {
            true => filled(one_of(on_ground, rng), &[("{s}", &caption), ("{g}", grounds[scene.ground as usize])]),
            false => caption,
        }
    }
}

/// Draws one of several sentences.
pub(super) fn one_of(variants: Variants, rng: &mut Rng) -> &'static str {
    variants.choose(rng).expect("there is a sentence")
}

/// Replaces the places of a sentence by their values, which have no places themselves.
pub(super) fn filled(sentence: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(sentence.to_owned(), |text, (place, value)| text.replace(place, value))
}
