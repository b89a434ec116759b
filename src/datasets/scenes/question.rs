//! Questions that a scene answers.

use super::grammar::LANGUAGES;
use super::nouns::Noun;
use super::scene::{Group, Scene};
use super::wording::{Wording, filled, one_of};
use crate::datasets::emoji::Language;
use crate::random::Rng;
use rand::seq::IndexedRandom;
use serde::Serialize;

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Asked {
    /// The kind of the drawings at a place.
    What,
    /// The place of a kind.
    Where,
    /// The number of drawings of a kind, in digits.
    Count,
    /// The colour of the ground or, in English, of a kind whose name says it.
    Colour,
}

/// A question about a scene and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub asked: Asked,
    pub language: Language,
    pub text: String,
    pub answer: String,
}

/// Returns all questions that a scene answers, each in one of these languages, positions in [`LANGUAGES`].
pub(super) fn questions(scene: &Scene, nouns: &[Noun], languages: &[usize], rng: &mut Rng) -> Vec<Question> {
    let mut all = vec![];
    for (i, group) in scene.groups.iter().enumerate() {
        for asked in [Asked::What, Asked::Where, Asked::Count, Asked::Colour] {
            let (language, wording) = draw(nouns, languages, rng);
            let pair = match asked {
                Asked::What => Some(what(&wording, scene, i, rng)),
                Asked::Where => whereabouts(&wording, scene, i, rng),
                Asked::Count => Some(count(&wording, group, rng)),
                Asked::Colour => colour(&wording, scene, group, rng),
            };
            all.extend(pair.map(|(text, answer)| Question { asked, language, text, answer }));
        }
    }
    let (language, Wording { grammar, .. }) = draw(nouns, languages, rng);
    let (text, answer) = (one_of(grammar.ground_colour, rng).into(), grammar.colours[scene.ground as usize].into());
    all.push(Question { asked: Asked::Colour, language, text, answer });
    all
}

fn draw<'a>(nouns: &'a [Noun], languages: &[usize], rng: &mut Rng) -> (Language, Wording<'a>) {
    let language = *languages.choose(rng).expect("there is a language");
    (LANGUAGES[language], Wording::new(language, nouns))
}

type Pair = (String, String);

fn what(wording: &Wording, scene: &Scene, i: usize, rng: &mut Rng) -> Pair {
    let group = &scene.groups[i];
    let question = match scene.place(i) {
        None => one_of(wording.grammar.what_alone, rng).to_owned(),
        Some(place) => {
            let neighbour = |at: usize| {
                let group = &scene.groups[at];
                wording.named(wording.grammar.neighbour[group.number()], group)
            };
            let before = i.checked_sub(1).map(neighbour);
            let after = (i + 1 < scene.groups.len()).then(|| neighbour(i + 1));
            let beside: Vec<String> = before.into_iter().chain(after).collect();
            let values: Vec<_> = ["{x}", "{y}"].into_iter().zip(beside.iter().map(String::as_str)).collect();
            filled(one_of(wording.grammar.what[place as usize], rng), &values)
        }
    };
    (question, wording.named(wording.grammar.answer[group.number()], group))
}

fn whereabouts(wording: &Wording, scene: &Scene, i: usize, rng: &mut Rng) -> Option<Pair> {
    let group = &scene.groups[i];
    let place = wording.grammar.places[scene.place(i)? as usize];
    Some((wording.named(one_of(wording.grammar.where_is[group.number()], rng), group), place.into()))
}

fn count(wording: &Wording, group: &Group, rng: &mut Rng) -> Pair {
    (wording.named(one_of(wording.grammar.how_many, rng), group), group.squares.len().to_string())
}

/// Asks for the colour of a kind, unless the scene has the same thing in another colour.
fn colour(wording: &Wording, scene: &Scene, group: &Group, rng: &mut Rng) -> Option<Pair> {
    let noun = wording.noun(group);
    let (colour, _) = noun.colour()?;
    let sentence = wording.grammar.colour_of[group.number()].choose(rng)?;
    let is_certain = !scene.groups.iter().any(|other| noun.is_recoloured(wording.noun(other)));
    is_certain.then(|| (wording.named(sentence, group), colour.into()))
}
