//! Tests of the class embeddings of the exam on the embedded emoji.

use clipwright::datasets::BadReport;
use clipwright::datasets::emoji::{Concept, Cut, Emoji, Side, Tile};
use clipwright::embed::{Batch, Embed, Pictures};
use clipwright::eval::exam::{Depth, EmojiExam};
use clipwright::pictures::{Picture, View};
use ndarray::{Array1, Array2};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

const WIDTH: usize = 512;

/// Returns a unit vector that is different for every text.
fn direction(text: &str) -> Array1<f32> {
    let entry = |i: usize| {
        let mut hasher = DefaultHasher::new();
        (text, i).hash(&mut hasher);
        if hasher.finish().is_multiple_of(2) { 1.0 } else { -1.0 }
    };
    Array1::from_iter((0..WIDTH).map(entry)) / (WIDTH as f32).sqrt()
}

/// A model that embeds a picture as the test tells it to.
struct Seer {
    emoji: Arc<Emoji>,
    cells: RefCell<VecDeque<Vec<Tile>>>,
    sees: fn(&Concept) -> Array1<f32>,
}

impl Embed for Seer {
    fn embed_dim(&self) -> usize {
        WIDTH
    }

    fn stream<S: Pictures, E>(
        &self,
        source: &S,
        mut each: impl FnMut(Batch<S::Note>) -> Result<(), E>,
    ) -> Result<BadReport, E> {
        let tiles = self.cells.borrow_mut().pop_front().expect("the cells of the exam");
        assert_eq!(tiles.len(), source.len());
        let rows = rows(tiles.iter().map(|tile| {
            let seen = (self.sees)(&self.emoji.concepts()[tile.concept]);
            let norm = seen.dot(&seen).sqrt();
            seen / norm
        }));
        let mut picture = Picture::default();
        let read = (0..tiles.len()).map(|i| (i, source.read(i, &View::default(), &mut picture).unwrap())).collect();
        let report = BadReport { seen: tiles.len() as u64, ..BadReport::default() };
        each(Batch { rows, read, bad: vec![], report: &report })?;
        Ok(report)
    }

    fn captions<S: AsRef<str>>(&self, texts: &[S]) -> Array2<f32> {
        rows(texts.iter().map(|text| direction(text.as_ref())))
    }
}

fn rows(all: impl ExactSizeIterator<Item = Array1<f32>>) -> Array2<f32> {
    let n = all.len();
    Array2::from_shape_vec((n, WIDTH), all.flatten().collect()).unwrap()
}

/// Returns zero-shot top-1 and the R@1 of picture → name, on the held-out vendor and concepts.
fn ask(sees: fn(&Concept) -> Array1<f32>) -> (f64, f64) {
    let emoji = Arc::new(Emoji::load());
    let cells = [Side::Trained, Side::HeldOut].map(|concepts| emoji.exam(Cut::Whole, concepts, Side::HeldOut));
    let seer = Seer { emoji: Arc::clone(&emoji), cells: RefCell::new(cells.into()), sees };
    let report = EmojiExam::new(emoji, Cut::Whole, Depth::Quick).report(&seer);
    let row = report.rows.iter().find(|row| row.concepts == "held-out" && !row.without_flags).unwrap();
    (row.zero_shot.unwrap().score.top1, row.retrieval.image_to_text.at1)
}

#[test]
fn a_class_is_its_name_a_sentence_around_it_and_its_keywords() {
    let (class, name) = ask(|concept| direction(concept.label));
    assert!(class > 0.95 && name > 0.95, "seen the name: {class}, {name}");
    let (class, name) = ask(|concept| direction(&format!("an emoji of {}", concept.label)));
    assert!(class > 0.95 && name < 0.05, "seen the sentence: {class}, {name}");
    let keywords =
        |concept: &Concept| concept.keywords.iter().map(|word| direction(word)).reduce(|a, b| a + b).unwrap();
    let (class, name) = ask(keywords);
    assert!(class > 0.8 && name < 0.2, "seen the keywords: {class}, {name}");
}

#[test]
fn every_concept_has_keywords() {
    for concept in Emoji::load().concepts() {
        assert!(!concept.keywords.is_empty(), "{}", concept.label);
    }
}

#[test]
fn the_parts_show_seen_concepts_apart_from_held_out_ones() {
    let emoji = Arc::new(Emoji::load());
    let [seen, held_out] =
        EmojiExam::new(Arc::clone(&emoji), Cut::Whole, Depth::Quick).parts(16).try_into().ok().unwrap();
    for (part, side, title) in [(seen, Side::Trained, "Seen concepts"), (held_out, Side::HeldOut, "Held-out concepts")]
    {
        assert!(part.title.starts_with(title) && part.title.contains("twemoji"), "{}", part.title);
        assert_eq!(part.examples.len(), 8);
        for example in part.examples {
            let concept = emoji.concepts().iter().find(|concept| concept.label == example.caption).unwrap();
            assert_eq!(Cut::Whole.side(concept), Some(side), "{}", example.caption);
        }
    }
}
