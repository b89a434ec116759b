//! Captions as they stand beside pictures on the web: some are wrong, vague or foreign.

use super::grammar::LANGUAGES;
use super::nouns::Noun;
use super::scene::Scene;
use super::wording::{Wording, filled, one_of};
use crate::datasets::emoji::Language;
use crate::random::Rng;
use rand::RngExt;
use rand::seq::{IndexedRandom, IteratorRandom};
use serde::Serialize;

/// Captions that say nothing. `{k}` is a number.
const VAGUE: &[&str] = &[
    "a picture",
    "picture {k}",
    "image {k}",
    "img {k}",
    "a drawing",
    "nice",
    "untitled",
    "photo of the day",
    "click to enlarge",
    "see below",
    "free download",
    "page {k}",
];
/// The numbers in vague captions are below this.
const MAX_NUMBER: u32 = 1000;

/// What is wrong with a caption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Noise {
    /// It describes another scene, which has no kind in common with this one.
    Wrong,
    /// It describes nothing.
    Vague,
    /// It is true, but in a language that was not asked for.
    Foreign,
}

/// A caption and what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caption {
    pub text: String,
    /// The language; that of a vague caption is English.
    pub language: Language,
    /// What is wrong with it, or `None` if it is a true caption in a language that was asked for.
    pub noise: Option<Noise>,
}

/// Captions of scenes of the same nouns.
pub(super) struct Captions<'a> {
    pub nouns: &'a [Noun],
    /// Positions in [`LANGUAGES`].
    pub languages: &'a [usize],
    /// The share of captions that are noise, in [0, 1].
    pub noise: f32,
}

impl Captions<'_> {
    /// Words the caption of a scene. `other` draws another scene.
    pub(super) fn draw(&self, scene: &Scene, rng: &mut Rng, other: impl Fn(&mut Rng) -> Scene) -> Caption {
        let language = *self.languages.choose(rng).expect("there is a language");
        let foreign = (0..LANGUAGES.len()).filter(|language| !self.languages.contains(language)).choose(rng);
        let noise = rng.random_bool(f64::from(self.noise)).then(|| {
            let kinds = [Some(Noise::Wrong), Some(Noise::Vague), foreign.map(|_| Noise::Foreign)];
            kinds.into_iter().flatten().choose(rng).expect("there are kinds of noise")
        });
        let (language, text) = match (noise, foreign) {
            (None, _) | (Some(Noise::Foreign), None) => (language, self.describe(scene, language, rng)),
            (Some(Noise::Foreign), Some(foreign)) => (foreign, self.describe(scene, foreign, rng)),
            (Some(Noise::Wrong), _) => {
                let wrong = std::iter::repeat_with(|| other(rng)).find(|other| !shows_alike(scene, other));
                (language, self.describe(&wrong.expect("an endless stream"), language, rng))
            }
            (Some(Noise::Vague), _) => {
                let number = rng.random_range(0..MAX_NUMBER).to_string();
                (0, filled(one_of(VAGUE, rng), &[("{k}", &number)]))
            }
        };
        Caption { text, language: LANGUAGES[language], noise }
    }

    fn describe(&self, scene: &Scene, language: usize, rng: &mut Rng) -> String {
        Wording::new(language, self.nouns).caption(scene, rng)
    }
}

/// Returns whether two scenes have a kind in common.
fn shows_alike(one: &Scene, other: &Scene) -> bool {
    one.groups.iter().any(|group| other.groups.iter().any(|own| own.noun == group.noun))
}
