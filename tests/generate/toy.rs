//! Models that need no weights: the logits are a hash of the whole text.

use clipwright::generate::{BeamStyle, Decoder, Options, Request, Search, Text, generate};
use clipwright::random::{Rng, rng};
use ndarray::{Array2, ArrayView2};
use rand::RngExt;

/// What the logits are like.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// All different.
    Plain,
    /// Few different values, so that tokens and whole beams tie.
    Tied,
    /// Few tokens are certain, and the others are as unlikely as each other: sums tie at different lengths, too.
    Sharp,
    /// The end token is likely.
    Early,
    /// The end token is hopeless.
    Never,
    /// Some are NaN or infinite.
    Broken,
}

/// A model, with the sequences that its rows stand for and the number of rows of each call.
#[derive(Clone, Debug)]
pub struct Toy {
    pub kind: Kind,
    pub vocabulary: usize,
    pub end: u32,
    pub seed: u64,
    pub calls: Vec<usize>,
    texts: Vec<Vec<u32>>,
    logits: Array2<f32>,
}

impl Toy {
    pub fn new(kind: Kind, vocabulary: usize, end: u32, seed: u64) -> Self {
        Toy { kind, vocabulary, end, seed, calls: vec![], texts: vec![], logits: Array2::zeros((0, 0)) }
    }

    /// The logits behind a text.
    pub fn logits(&self, text: &[u32]) -> Vec<f32> {
        let name: Vec<u64> = text.iter().map(|&id| u64::from(id)).chain([self.seed]).collect();
        let mut rng = rng(&name);
        let mut logits: Vec<f32> = (0..self.vocabulary).map(|_| self.logit(&mut rng)).collect();
        logits[self.end as usize] += match self.kind {
            Kind::Early => 3.0,
            Kind::Never => -60.0,
            _ => 0.0,
        };
        logits
    }

    fn logit(&self, rng: &mut Rng) -> f32 {
        match self.kind {
            Kind::Tied => rng.random_range(-2..2) as f32,
            Kind::Sharp => {
                if rng.random_bool(0.05) {
                    100.0
                } else {
                    0.0
                }
            }
            Kind::Broken if rng.random_bool(0.05) => f32::NAN,
            Kind::Broken if rng.random_bool(0.1) => f32::NEG_INFINITY,
            Kind::Broken if rng.random_bool(0.01) => f32::INFINITY,
            _ => 6.0 * rng.random::<f32>() - 3.0,
        }
    }

    fn answer(&mut self, texts: Vec<Vec<u32>>) -> ArrayView2<'_, f32> {
        let logits: Vec<f32> = texts.iter().flat_map(|text| self.logits(text)).collect();
        self.calls.push(texts.len());
        self.logits = Array2::from_shape_vec((texts.len(), self.vocabulary), logits).unwrap();
        self.texts = texts;
        self.logits.view()
    }
}

impl Decoder for Toy {
    fn start(&mut self, prompts: &[&[u32]]) -> ArrayView2<'_, f32> {
        self.answer(prompts.iter().map(|prompt| prompt.to_vec()).collect())
    }

    fn advance(&mut self, parents: &[usize], tokens: &[u32]) -> ArrayView2<'_, f32> {
        assert!(parents.len() == tokens.len() && !parents.is_empty());
        let texts = parents.iter().zip(tokens).map(|(&parent, &token)| [&self.texts[parent][..], &[token]].concat());
        self.answer(texts.collect())
    }
}

/// Returns what a fresh copy of the model finds, and the numbers of rows that it was asked for.
pub fn run(toy: &Toy, prompts: &[Vec<u32>], options: &Options) -> (Vec<Text>, Vec<usize>) {
    let number = |(i, prompt)| Request { prompt, number: i as u64 };
    let requests: Vec<Request> = prompts.iter().map(Vec::as_slice).enumerate().map(number).collect();
    let mut toy = toy.clone();
    let texts = generate(&mut toy, &requests, options).unwrap();
    (texts, toy.calls)
}

/// A random model and random options of this search, which leaves room for prompts of up to 6 tokens.
pub fn random_case(case: u64, kinds: &[Kind], search: impl Fn(&mut Rng) -> Search) -> (Toy, Options, Rng) {
    let mut rng = rng(&[case, 77]);
    let sizes = if rng.random_bool(0.1) { 2..6 } else { 20..50 };
    let vocabulary = rng.random_range(sizes);
    let end = rng.random_range(0..vocabulary as u32);
    let toy = Toy::new(kinds[case as usize % kinds.len()], vocabulary, end, case);
    let max_length = rng.random_range(7..16);
    let options = Options {
        end,
        min_length: if rng.random_bool(0.5) { 0 } else { rng.random_range(0..=max_length) },
        max_length,
        repetition_penalty: if rng.random_bool(0.5) { 1.0 } else { rng.random_range(0.5..2.0) },
        length_penalty: match rng.random_range(0..4) {
            0 => 0.0,
            1 => rng.random_range(-1.0..3.0),
            _ => 1.0,
        },
        early_stopping: rng.random_bool(0.3),
        search: search(&mut rng),
    };
    (toy, options, rng)
}

/// Prompts of these lengths.
pub fn prompts(lengths: &[usize], vocabulary: usize, rng: &mut Rng) -> Vec<Vec<u32>> {
    lengths.iter().map(|&n| (0..n).map(|_| rng.random_range(0..vocabulary as u32)).collect()).collect()
}

pub fn beams(style: BeamStyle) -> impl Fn(&mut Rng) -> Search {
    move |rng| Search::Beams { beams: rng.random_range(1..6), style }
}

pub fn sample(rng: &mut Rng) -> Search {
    Search::Sample {
        temperature: rng.random_range(0.3..2.0),
        top_k: rng.random_range(1..60),
        top_p: if rng.random_bool(0.3) { 1.0 } else { rng.random_range(0.05..1.0) },
        seed: rng.random(),
    }
}
