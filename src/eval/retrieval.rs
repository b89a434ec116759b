//! Retrieval: find the caption of a picture, and the picture of a caption.
//!
//! **Positives.** A picture and a caption belong together when they have the same concept; a query may have several
//! positives, and it is a hit when the best of them is among the first k.
//!
//! **Equal pictures count as one.** Vendors draw some concepts with the very same picture, and no model can tell such
//! pictures apart. So byte-identical pictures are one candidate and one query, which belongs to the concepts of all of
//! them. Finding a copy under another concept is then no error, and copies do not push each other out of the first k.
//!
//! **Queries.** A query without any positive, such as a caption whose concept nobody drew, is left out, but its
//! embedding remains a candidate that others have to beat. Ties count by their expected value (see [`super::rank`]).

use super::rank::{Rank, ranks, recall};
use super::rerank::Reranked;
use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// Shares of queries, in [0, 1], with a positive among the first 1, 5 and 10 candidates; 0 without queries.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recall {
    pub at1: f64,
    pub at5: f64,
    pub at10: f64,
}

impl Recall {
    fn of(ranks: &[Rank]) -> Self {
        Recall { at1: recall(ranks, 1), at5: recall(ranks, 5), at10: recall(ranks, 10) }
    }
}

/// Recall in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retrieval {
    pub image_to_text: Recall,
    pub text_to_image: Recall,
}

/// The concepts by which pictures and captions belong together.
#[derive(Clone, Copy, Debug)]
pub struct GroundTruth<'a> {
    /// The concept of each picture.
    pub image_concept: &'a [usize],
    /// The identity of each picture: numbers that are equal for byte-identical pictures (see [`identify`]).
    pub image_identity: &'a [usize],
    /// The concept of each caption.
    pub text_concept: &'a [usize],
}

/// Numbers things by equality: equal things get equal numbers, 0, 1, 2… in order of first appearance.
pub fn identify<T: Eq + Hash>(things: impl IntoIterator<Item = T>) -> Vec<usize> {
    let mut seen = HashMap::new();
    things
        .into_iter()
        .map(|thing| {
            let next = seen.len();
            *seen.entry(thing).or_insert(next)
        })
        .collect()
}

/// Returns the first position of each of the numbers that [`identify`] gives.
pub fn first_of_each(numbers: &[usize]) -> Vec<usize> {
    let mut firsts = Vec::new();
    for (place, &number) in numbers.iter().enumerate() {
        if number == firsts.len() {
            firsts.push(place);
        }
    }
    firsts
}

/// Returns recall at 1, 5 and 10 in both directions.
///
/// `images` (N,e), `texts` (M,e), rows of unit length
#[track_caller]
pub fn retrieval(images: ArrayView2<f32>, texts: ArrayView2<f32>, truth: &GroundTruth) -> Retrieval {
    assert_eq!(images.nrows(), truth.image_concept.len(), "images {:?} and their concepts", images.dim());
    assert_eq!(texts.nrows(), truth.text_concept.len(), "texts {:?} and their concepts", texts.dim());
    let matches = Matches::new(truth);
    let pictures = images.select(Axis(0), &matches.picture);
    let image_to_text = asked(pictures.view(), texts, &matches.texts_of_picture);
    let text_to_image = asked(texts, pictures.view(), &matches.pictures_of_text);
    Retrieval { image_to_text: Recall::of(&image_to_text), text_to_image: Recall::of(&text_to_image) }
}

/// Returns recall as [`retrieval`] does, by scores of all pairs of distinct pictures and texts. Distinct pictures are in
/// the order of their first copies.
#[track_caller]
pub fn reranked(scores: &Reranked, truth: &GroundTruth) -> Retrieval {
    let matches = Matches::new(truth);
    let shape = (matches.picture.len(), truth.text_concept.len());
    assert_eq!(scores.texts_of_images.dim(), shape, "scores of distinct pictures and texts");
    let recall = |scores: &Array2<f32>, positives: &[Vec<usize>]| {
        let asked = scores.rows().into_iter().zip(positives).filter(|(_, positives)| !positives.is_empty());
        Recall::of(&asked.map(|(row, positives)| Rank::of(&row.to_vec(), positives)).collect::<Vec<_>>())
    };
    Retrieval {
        image_to_text: recall(&scores.texts_of_images, &matches.texts_of_picture),
        text_to_image: recall(&scores.images_of_texts, &matches.pictures_of_text),
    }
}

/// Returns the scores of guessing, which are those of a model that embeds everything alike.
pub fn chance(truth: &GroundTruth) -> Retrieval {
    let matches = Matches::new(truth);
    let guess = |positives: &[Vec<usize>], candidates: usize| {
        let asked = positives.iter().filter(|p| !p.is_empty());
        Recall::of(&asked.map(|p| Rank::constant(candidates, p.len())).collect::<Vec<_>>())
    };
    Retrieval {
        image_to_text: guess(&matches.texts_of_picture, matches.pictures_of_text.len()),
        text_to_image: guess(&matches.pictures_of_text, matches.texts_of_picture.len()),
    }
}

/// Returns the ranks of the queries that have a positive.
fn asked(queries: ArrayView2<f32>, candidates: ArrayView2<f32>, positives: &[Vec<usize>]) -> Vec<Rank> {
    let mut ranks = ranks(queries, candidates, positives);
    let mut has_positive = positives.iter().map(|p| !p.is_empty());
    ranks.retain(|_| has_positive.next().expect("one list per query"));
    ranks
}

/// The positives in both directions, with equal pictures merged into one.
struct Matches {
    /// The row of the first copy of each distinct picture.
    picture: Vec<usize>,
    texts_of_picture: Vec<Vec<usize>>,
    pictures_of_text: Vec<Vec<usize>>,
}

impl Matches {
    #[track_caller]
    fn new(truth: &GroundTruth) -> Self {
        let GroundTruth { image_concept, image_identity, text_concept } = *truth;
        let (n, m) = (image_concept.len(), image_identity.len());
        assert_eq!(n, m, "{n} concepts of pictures, but {m} identities of pictures");
        let mut texts_of_concept: HashMap<usize, Vec<usize>> = HashMap::new();
        for (text, &concept) in text_concept.iter().enumerate() {
            texts_of_concept.entry(concept).or_default().push(text);
        }

        let mut picture = Vec::new();
        let mut texts_of_picture: Vec<BTreeSet<usize>> = Vec::new();
        for (row, distinct) in identify(image_identity).into_iter().enumerate() {
            if distinct == picture.len() {
                picture.push(row);
                texts_of_picture.push(BTreeSet::new());
            }
            texts_of_picture[distinct].extend(texts_of_concept.get(&image_concept[row]).into_iter().flatten());
        }

        let mut pictures_of_text = vec![Vec::new(); text_concept.len()];
        for (distinct, texts) in texts_of_picture.iter().enumerate() {
            texts.iter().for_each(|&text| pictures_of_text[text].push(distinct));
        }
        let texts_of_picture = texts_of_picture.into_iter().map(|texts| texts.into_iter().collect()).collect();
        Matches { picture, texts_of_picture, pictures_of_text }
    }
}
