//! The baseline that a model must beat: a nearest neighbour on pixels and edges, without any learning.
//!
//! The features of a picture are two blocks of equal weight:
//!
//! * **colour and layout**: the picture at 16×16 RGB, minus its mean value, at unit length (768 numbers). If the mean
//!   were kept, any two pictures on white would be nearly parallel;
//! * **edges**: in each of 8×8 cells a histogram of gradient directions in 8 bins (modulo 180°), weighted by gradient
//!   length; then the square root of each entry, at unit length (512 numbers). The cosine of such roots is the Hellinger
//!   kernel of the histograms, which a few strong edges cannot dominate.
//!
//! Sources: Dalal & Triggs 2005, "Histograms of Oriented Gradients for Human Detection"; Arandjelović & Zisserman 2012,
//! "Three things everyone should know to improve object retrieval" (the square root).

use super::rank::{Rank, scan};
use super::zero_shot::TopK;
use crate::pictures::picture::luminance;
use image::RgbImage;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};

/// Side of the averaged picture in pixels.
const PIXELS: usize = 16;
const CELLS: usize = 8;
const BINS: usize = 8;
const COLOUR: usize = PIXELS * PIXELS * 3;
/// Number of features of a picture.
pub const FEATURES: usize = COLOUR + CELLS * CELLS * BINS;

/// Number of nearest known pictures that vote on the words of an unknown one.
const VOTERS: usize = 5;

/// Features of pictures with the concepts that they show.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// The features (N, [`FEATURES`]) from [`features`].
    pub features: ArrayView2<'a, f32>,
    /// The concept of each picture.
    pub concept: &'a [usize],
}

/// Returns the features (N, [`FEATURES`]) of N pictures, rows of unit length.
///
/// # Panics
/// Panics if a side of a picture is no multiple of 16.
#[track_caller]
pub fn features(pictures: &[RgbImage]) -> Array2<f32> {
    for picture in pictures {
        let (w, h) = picture.dimensions();
        assert!(w % 16 == 0 && h % 16 == 0, "a picture of {w}×{h}: sides must be multiples of 16");
    }
    let rows: Vec<f32> = pictures.par_iter().flat_map_iter(row).collect();
    Array2::from_shape_vec((pictures.len(), FEATURES), rows).expect("FEATURES numbers per picture")
}

/// Returns the accuracy of the nearest neighbour: the score of a class is the cosine of its most similar known picture.
///
/// `classes` are the concepts to choose from; the concept of every picture is among them. Equal pictures of different
/// concepts tie, and ties count by their expected value.
#[track_caller]
pub fn nearest(pictures: Labelled, known: Labelled, classes: &[usize]) -> TopK {
    let class_of = index(classes);
    let known_class: Vec<Option<usize>> = known.concept.iter().map(|c| class_of.get(c).copied()).collect();
    let ranks = scan(pictures.features, known.features, |n, cosines| {
        let mut scores = vec![f32::NEG_INFINITY; classes.len()];
        for (&class, &cosine) in known_class.iter().zip(cosines) {
            if let Some(class) = class {
                scores[class] = scores[class].max(cosine);
            }
        }
        Rank::of(&scores, &[class_of[&pictures.concept[n]]])
    });
    TopK::of(&ranks)
}

/// Returns the accuracy for concepts that no known picture shows: the words of the nearest known pictures vote for
/// class names.
///
/// A concept has a unit vector over words, each word weighted by its idf among the concepts of the known pictures:
///
/// ```text
/// idf            = ln((1 + concepts) / (1 + concepts with the word))
/// score of class = Σᵢ max(0, cosineᵢ) · ⟨vector of i's concept, vector of class⟩        i: the 5 nearest
/// ```
///
/// `words[i]` are the distinct words of concept i (name and keywords); `classes` as in [`nearest`].
#[track_caller]
pub fn vote<S: AsRef<str>>(pictures: Labelled, known: Labelled, classes: &[usize], words: &[Vec<S>]) -> TopK {
    let vectors = word_vectors(words, known.concept);
    let class_of = index(classes);
    let class_vectors: Vec<HashMap<usize, f32>> =
        classes.iter().map(|&class| vectors[class].iter().copied().collect()).collect();
    let ranks = scan(pictures.features, known.features, |n, cosines| {
        let mut ballot: HashMap<usize, f32> = HashMap::new();
        for (voter, cosine) in best(cosines, VOTERS) {
            for &(word, weight) in &vectors[known.concept[voter]] {
                *ballot.entry(word).or_default() += cosine.max(0.0) * weight;
            }
        }
        let mut ballot: Vec<_> = ballot.into_iter().collect();
        // Terms are added in the order of the words, so that equal classes get equal sums.
        ballot.sort_unstable_by_key(|&(word, _)| word);
        let score =
            |class: &HashMap<usize, f32>| ballot.iter().filter_map(|(word, v)| Some(class.get(word)? * v)).sum();
        let scores: Vec<f32> = class_vectors.iter().map(score).collect();
        Rank::of(&scores, &[class_of[&pictures.concept[n]]])
    });
    TopK::of(&ranks)
}

/// Maps each concept to its position in `classes`.
fn index(classes: &[usize]) -> HashMap<usize, usize> {
    classes.iter().enumerate().map(|(class, &concept)| (concept, class)).collect()
}

/// Returns the k largest scores with their positions, largest first and equal scores by position. NaN is left out.
fn best(scores: &[f32], k: usize) -> Vec<(usize, f32)> {
    let mut order: Vec<(usize, f32)> = scores.iter().copied().enumerate().filter(|(_, s)| !s.is_nan()).collect();
    order.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    order.truncate(k);
    order
}

/// Returns a sparse unit vector over words for each concept.
fn word_vectors<S: AsRef<str>>(words: &[Vec<S>], known_concepts: &[usize]) -> Vec<Vec<(usize, f32)>> {
    let known: HashSet<usize> = known_concepts.iter().copied().collect();
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut count: Vec<f32> = Vec::new();
    let mut vectors: Vec<Vec<(usize, f32)>> = Vec::with_capacity(words.len());
    for (concept, words) in words.iter().enumerate() {
        let mut vector = Vec::with_capacity(words.len());
        for word in words {
            let next = numbers.len();
            let number = *numbers.entry(word.as_ref()).or_insert(next);
            count.resize(numbers.len(), 0.0);
            count[number] += f32::from(u8::from(known.contains(&concept)));
            vector.push((number, 0.0));
        }
        vectors.push(vector);
    }
    for vector in &mut vectors {
        vector.iter_mut().for_each(|(word, weight)| *weight = ((1.0 + known.len() as f32) / (1.0 + count[*word])).ln());
        let norm = vector.iter().map(|(_, weight)| weight * weight).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        vector.iter_mut().for_each(|(_, weight)| *weight /= norm);
    }
    vectors
}

/// Returns the features of one picture.
fn row(picture: &RgbImage) -> Vec<f32> {
    let mut colour = colour(picture);
    let mean = colour.iter().sum::<f32>() / COLOUR as f32;
    colour.iter_mut().for_each(|v| *v -= mean);
    let mut edges = edges(picture);
    edges.iter_mut().for_each(|v| *v = v.sqrt());
    normalize(&mut colour);
    normalize(&mut edges);
    colour.extend(edges);
    normalize(&mut colour);
    colour
}

/// Scales to unit length. Zeros stay zeros: a blank picture has no edges.
fn normalize(v: &mut [f32]) {
    let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm > 0.0 {
        v.iter_mut().for_each(|x| *x /= norm);
    }
}

/// Returns PIXELS × PIXELS × RGB means over blocks, up to a common factor.
fn colour(picture: &RgbImage) -> Vec<f32> {
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    let mut sums = vec![0.0; COLOUR];
    for (x, y, pixel) in picture.enumerate_pixels() {
        let block = (y as usize * PIXELS / h) * PIXELS + x as usize * PIXELS / w;
        for (sum, &value) in sums[block * 3..][..3].iter_mut().zip(&pixel.0) {
            *sum += f32::from(value);
        }
    }
    sums
}

/// Returns CELLS × CELLS × BINS sums of gradient lengths by direction.
fn edges(picture: &RgbImage) -> Vec<f32> {
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    let grey: Vec<f32> = picture.pixels().map(|p| luminance(p.0)).collect();
    let mut histograms = vec![0.0; CELLS * CELLS * BINS];
    for y in 1..h - 1 {
        for x in 1..w - 1 {
            let at = y * w + x;
            let (dx, dy) = (grey[at + 1] - grey[at - 1], grey[at + w] - grey[at - w]);
            let half_turns = dy.atan2(dx) / std::f32::consts::PI;
            let bin = (half_turns.rem_euclid(1.0) * BINS as f32) as usize % BINS;
            let cell = (y * CELLS / h) * CELLS + x * CELLS / w;
            histograms[cell * BINS + bin] += dx.hypot(dy);
        }
    }
    histograms
}
