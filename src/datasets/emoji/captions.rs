//! Random captions of an emoji: most often its name or keywords, else its name with its category or in a sentence.

use super::concept::Concept;
use crate::random::Rng;
use rand::RngExt;
use rand::seq::{IndexedRandom, IteratorRandom};
use serde::{Deserialize, Serialize};

/// Sentences around a name, which replaces `{}`.
const TEMPLATES: [&str; 8] = [
    "an emoji of {}",
    "a picture of {}",
    "a {} icon",
    "the {} emoji",
    "a drawing of {}",
    "a cartoon of {}",
    "a small image of {}",
    "{} symbol",
];
/// Largest number of keywords in a caption.
const MAX_KEYWORDS: usize = 4;

/// A language of the embedded names and keywords.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Language {
    #[serde(rename = "en")]
    English,
    #[serde(rename = "de")]
    German,
    #[serde(rename = "es")]
    Spanish,
    #[serde(rename = "fr")]
    French,
    #[serde(rename = "it")]
    Italian,
    #[serde(rename = "ja")]
    Japanese,
    #[serde(rename = "ko")]
    Korean,
    #[serde(rename = "pt")]
    Portuguese,
    #[serde(rename = "ru")]
    Russian,
    #[serde(rename = "zh")]
    Chinese,
    #[serde(rename = "zh-hant")]
    TraditionalChinese,
}

impl Language {
    /// All languages.
    pub const ALL: [Language; 11] = [
        Language::English,
        Language::German,
        Language::Spanish,
        Language::French,
        Language::Italian,
        Language::Japanese,
        Language::Korean,
        Language::Portuguese,
        Language::Russian,
        Language::Chinese,
        Language::TraditionalChinese,
    ];

    /// Returns the language's code, such as the "de" of `labels.de.tsv`.
    pub fn code(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::German => "de",
            Language::Spanish => "es",
            Language::French => "fr",
            Language::Italian => "it",
            Language::Japanese => "ja",
            Language::Korean => "ko",
            Language::Portuguese => "pt",
            Language::Russian => "ru",
            Language::Chinese => "zh",
            Language::TraditionalChinese => "zh-hant",
        }
    }

    /// Returns the language of a code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
    }

    /// Returns the language's file: lines of id, label and keywords. That of English is empty, since the table of
    /// concepts has the English words.
    fn file(self) -> &'static str {
        match self {
            Language::English => "",
            other => clipwright_emoji::labels(other.code()),
        }
    }
}

/// The words of one concept in one language.
pub(super) struct Words {
    label: &'static str,
    keywords: Vec<&'static str>,
    /// The category in words. It is `None` in other languages than English, in which sentences are not used either.
    subgroup: Option<String>,
}

/// Returns the words of every concept in each of `languages` that has any, or its English words if none of them has.
pub(super) fn words(concepts: &[Concept], languages: &[Language]) -> Vec<Vec<Words>> {
    let mut all: Vec<Vec<Words>> = concepts.iter().map(|_| Vec::new()).collect();
    for language in languages {
        if *language == Language::English {
            all.iter_mut().zip(concepts).for_each(|(words, concept)| words.push(english(concept)));
        }
        for (id, label, keywords) in lines(*language) {
            let keywords = keywords.split('|').filter(|word| !word.is_empty()).collect();
            all[id].push(Words { label, keywords, subgroup: None });
        }
    }
    for (words, concept) in all.iter_mut().zip(concepts).filter(|(words, _)| words.is_empty()) {
        words.push(english(concept));
    }
    all
}

/// Returns the name of every concept in a language.
pub(super) fn labels(concepts: &[Concept], language: Language) -> Vec<&'static str> {
    let mut labels: Vec<_> = concepts.iter().map(|concept| concept.label).collect();
    lines(language).for_each(|(id, label, _)| labels[id] = label);
    labels
}

/// Returns concept, label and keywords of every line of a language's file.
fn lines(language: Language) -> impl Iterator<Item = (usize, &'static str, &'static str)> {
    language.file().lines().map(|line| {
        let mut fields = line.split('\t');
        let id = fields.next().and_then(|id| id.parse().ok()).expect("a line begins with its concept");
        (id, fields.next().expect("a label follows"), fields.next().unwrap_or_default())
    })
}

fn english(concept: &Concept) -> Words {
    let subgroup = Some(concept.subgroup.replace('-', " "));
    Words { label: concept.label, keywords: concept.keywords.clone(), subgroup }
}

impl Words {
    /// Writes one random caption. Most often it is the bare name, with which a model is evaluated, or a few keywords,
    /// which a concept shares with other concepts, held-out ones among them.
    pub(crate) fn draw(&self, rng: &mut Rng, caption: &mut String) {
        caption.clear();
        let kind = rng.random_range(0..20);
        match (&self.subgroup, kind) {
            (Some(subgroup), 7..9) => caption.extend([self.label, ", ", subgroup]),
            (Some(_), 9..12) => {
                let template = TEMPLATES.choose(rng).expect("there are templates");
                let (before, after) = template.split_once("{}").expect("a template has a place for the name");
                caption.extend([before, self.label, after]);
            }
            (_, 12..) if !self.keywords.is_empty() => self.draw_keywords(rng, caption),
            _ => caption.push_str(self.label),
        }
    }

    fn draw_keywords(&self, rng: &mut Rng, caption: &mut String) {
        let count = rng.random_range(1..=MAX_KEYWORDS.min(self.keywords.len()));
        let mut places = [0; MAX_KEYWORDS];
        (0..self.keywords.len()).sample_fill(rng, &mut places[..count]);
        for (i, &place) in places[..count].iter().enumerate() {
            caption.push_str(if i == 0 { "" } else { ", " });
            caption.push_str(self.keywords[place]);
        }
    }
}
