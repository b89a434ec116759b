//! Scenes as a dataset.

use super::caption::{Caption, Captions};
use super::division::Division;
use super::grammar::LANGUAGES;
use super::nouns::{Noun, nouns};
use super::paint::paint;
use super::question::{Question, questions};
use super::scene::Scene;
use crate::datasets::dataset::{Dataset, Example};
use crate::datasets::emoji::{Emoji, Language};
use crate::datasets::error::BadExample;
use crate::digest::{Digest, digest};
use crate::pictures::picture::Picture;
use crate::random::{Rng, rng};
use rand::RngExt;
use std::sync::Arc;

/// What a random number decides.
#[derive(Clone, Copy)]
enum Decides {
    Scene,
    Caption,
    Questions,
    Wordings,
}

/// The settings of a set of scenes.
#[derive(Clone, Debug, PartialEq)]
pub struct SceneOptions {
    pub division: Division,
    pub seed: u64,
    /// The number of scenes.
    pub count: usize,
    /// Width and height of the pictures in pixels.
    pub image_size: usize,
    /// The languages of captions and questions, each equally often: some of [`LANGUAGES`].
    pub languages: Vec<Language>,
    /// The share of captions that are noise, in [0, 1].
    pub caption_noise: f32,
}

/// A set of scenes. Nothing of a scene is kept but a key: it is made anew each time.
pub struct Scenes {
    emoji: Arc<Emoji>,
    options: SceneOptions,
    nouns: Vec<Noun>,
    languages: Vec<usize>,
    keys: Vec<u64>,
}

impl Scenes {
    /// Makes a set of scenes.
    ///
    /// # Panics
    /// Panics if there is no language or one that scenes are not described in, no pixel, or a share outside of [0, 1].
    #[track_caller]
    pub fn new(emoji: Arc<Emoji>, options: SceneOptions) -> Self {
        let SceneOptions { languages, caption_noise, image_size, .. } = &options;
        assert!((0.0..=1.0).contains(caption_noise), "a share of noise of {caption_noise}");
        assert!(*image_size > 0, "a picture without pixels");
        assert!(!languages.is_empty(), "captions in no language");
        let position = |language| LANGUAGES.iter().position(|own| own == language);
        let position = |language| position(language).unwrap_or_else(|| panic!("no captions in {language:?}"));
        let languages = languages.iter().map(position).collect();
        let nouns = nouns(&emoji, options.division);
        let mut scenes = Scenes { emoji, options, nouns, languages, keys: vec![] };
        scenes.keys = (0..scenes.options.count).map(|number| scenes.scene(number).key()).collect();
        scenes
    }

    /// Returns a scene. Its number may be beyond the count.
    pub fn scene(&self, number: usize) -> Scene {
        Scene::draw(&self.nouns, &mut self.rng(number, Decides::Scene))
    }

    /// Returns the caption of a scene.
    pub fn caption(&self, number: usize) -> Caption {
        let captions = Captions { nouns: &self.nouns, languages: &self.languages, noise: self.options.caption_noise };
        let other = |rng: &mut Rng| self.scene(rng.random::<u32>() as usize);
        captions.draw(&self.scene(number), &mut self.rng(number, Decides::Caption), other)
    }

    /// Returns distinct true captions of a scene, at most `draws`: those that so many draws give, in their order.
    pub fn wordings(&self, number: usize, draws: usize) -> Vec<String> {
        let captions = Captions { nouns: &self.nouns, languages: &self.languages, noise: 0.0 };
        let (scene, rng) = (self.scene(number), &mut self.rng(number, Decides::Wordings));
        let mut distinct = vec![];
        for _ in 0..draws {
            let caption = captions.draw(&scene, rng, |_| unreachable!("a true caption needs no other scene")).text;
            if !distinct.contains(&caption) {
                distinct.push(caption);
            }
        }
        distinct
    }

    /// Returns all questions that a scene answers.
    pub fn questions(&self, number: usize) -> Vec<Question> {
        let rng = &mut self.rng(number, Decides::Questions);
        questions(&self.scene(number), &self.nouns, &self.languages, rng)
    }

    /// Paints a scene.
    pub fn paint(&self, number: usize, picture: &mut Picture) {
        paint(&self.scene(number), &self.emoji, self.options.image_size, picture);
    }

    /// Returns the concepts that the scenes are made of, as positions in [`Emoji::concepts`].
    pub fn kinds(&self) -> impl Iterator<Item = usize> {
        self.nouns.iter().map(|noun| noun.concept)
    }

    /// Returns the settings.
    pub fn options(&self) -> &SceneOptions {
        &self.options
    }

    /// Returns the emoji that scenes are made of.
    pub fn emoji(&self) -> &Arc<Emoji> {
        &self.emoji
    }

    fn rng(&self, number: usize, decides: Decides) -> Rng {
        rng(&[self.options.seed, self.options.division as u64, number as u64, decides as u64])
    }
}

impl Dataset for Scenes {
    /// Returns keys that are equal for scenes with the same kinds in the same numbers.
    fn concepts(&self) -> &[u64] {
        &self.keys
    }

    /// Returns a digest of the settings, which decide everything.
    fn list_digest(&self) -> Digest {
        digest([format!("{:?}", self.options)])
    }

    /// Reads a scene. No generator but the scene's own decides.
    fn read(&self, index: usize, _: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        self.paint(index, &mut example.picture);
        example.caption = self.caption(index).text;
        example.may_flip = false;
        Ok(())
    }
}
