//! What is drawn, how often, and what processing does to the scores.

use super::toy::{Kind, Toy, run};
use clipwright::generate::process::process;
use clipwright::generate::sample::{draw, probabilities};
use clipwright::generate::{Decoder, Options, Request, Search, generate};
use clipwright::random::rng;
use ndarray::{Array2, ArrayView2};
use rand::RngExt;

/// The definition, in f64: all tokens sorted, and probabilities of 0 for those that cannot be drawn.
fn naive(scores: &[f32], temperature: f32, top_k: usize, top_p: f32) -> Vec<f64> {
    let weights: Vec<f64> = scores.iter().map(|&s| (f64::from(s) / f64::from(temperature)).exp()).collect();
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let least = sorted[top_k.min(scores.len()) - 1];
    let mut order: Vec<usize> = (0..scores.len()).filter(|&i| scores[i] >= least).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let total: f64 = order.iter().map(|&i| weights[i]).sum();
    let (mut p, mut before) = (vec![0.0; scores.len()], 0.0);
    for i in order {
        if top_p == 1.0 || before < f64::from(top_p) - 1e-12 {
            p[i] = weights[i];
        }
        before += weights[i] / total;
    }
    let total: f64 = p.iter().sum();
    p.iter().map(|p| p / total).collect()
}

#[test]
fn the_distribution_is_the_definition() {
    for case in 0..2000 {
        let mut rng = rng(&[case]);
        let kind = [Kind::Plain, Kind::Tied][case as usize % 2];
        let scores = Toy::new(kind, rng.random_range(1..300), 0, case).logits(&[3]);
        let temperature = rng.random_range(0.2..3.0);
        let top_k = rng.random_range(1..320);
        let top_p = if rng.random_bool(0.3) { 1.0 } else { rng.random_range(0.01..1.0) };
        let given = probabilities(&scores, temperature, top_k, top_p);
        assert!(given.is_sorted_by(|a, b| (-a.1, a.0) < (-b.1, b.0)), "case {case}: {given:?}");
        let mut p = vec![0.0; scores.len()];
        given.iter().for_each(|&(token, probability)| p[token as usize] = f64::from(probability));
        for (p, expected) in p.iter().zip(naive(&scores, temperature, top_k, top_p)) {
            assert!((p - expected).abs() < 1e-6, "case {case}: {p} instead of {expected}");
        }
    }
}

/// Many requests draw their first token as often as its probability says, to five standard deviations.
#[test]
fn tokens_are_drawn_as_often_as_they_are_likely() {
    const DRAWS: usize = 40_000;
    let toy = Toy::new(Kind::Plain, 30, 5, 1);
    let (temperature, top_k, top_p, seed) = (0.8, 25, 0.95, 9);
    let options = Options { search: Search::Sample { temperature, top_k, top_p, seed }, ..Options::new(5, 3) };
    let (prompts, expected) = (vec![vec![1, 2]; DRAWS], naive(&toy.logits(&[1, 2]), temperature, top_k, top_p));
    let mut counts = [0; 30];
    run(&toy, &prompts, &options).0.iter().for_each(|text| counts[text.ids[2] as usize] += 1);
    for (count, p) in counts.iter().zip(expected) {
        let (mean, deviation) = (p * DRAWS as f64, (p * (1.0 - p) * DRAWS as f64).sqrt());
        assert!((f64::from(*count) - mean).abs() <= 5.0 * deviation, "{count} draws, {mean} expected");
    }
}

/// A request draws by its number and the seed: others get others, and the same gets the same.
#[test]
fn draws_have_names() {
    let toy = Toy::new(Kind::Never, 40, 5, 1);
    let text = |number, seed| {
        let search = Search::Sample { temperature: 2.0, top_k: 50, top_p: 1.0, seed };
        let options = Options { search, ..Options::new(5, 16) };
        generate(&mut toy.clone(), &[Request { prompt: &[1], number }], &options).unwrap().remove(0).ids
    };
    assert_eq!(text(3, 0), text(3, 0));
    assert_ne!(text(3, 0), text(4, 0));
    assert_ne!(text(3, 0), text(3, 1));
}

/// A model to which all tokens are always the same.
struct Even(Array2<f32>);

impl Decoder for Even {
    fn start(&mut self, prompts: &[&[u32]]) -> ArrayView2<'_, f32> {
        self.0 = Array2::zeros((prompts.len(), 100));
        self.0.view()
    }

    fn advance(&mut self, parents: &[usize], _: &[u32]) -> ArrayView2<'_, f32> {
        self.0 = Array2::zeros((parents.len(), 100));
        self.0.view()
    }
}

/// The positions of a text have draws of their own: among 60 equal tokens out of 100, some 45 are different.
#[test]
fn positions_draw_apart() {
    let search = Search::Sample { temperature: 1.0, top_k: 50, top_p: 1.0, seed: 1 };
    let options = Options { search, min_length: 61, ..Options::new(5, 61) };
    let mut even = Even(Array2::zeros((0, 0)));
    let mut ids = generate(&mut even, &[Request { prompt: &[1], number: 0 }], &options).unwrap().remove(0).ids;
    ids.sort_unstable();
    ids.dedup();
    assert!((30..=60).contains(&ids.len()), "{ids:?}");
}

/// Scores that are no numbers lose against all that are, and a row of nothing else still gives a token.
#[test]
fn broken_scores_give_a_token() {
    const INF: f32 = f32::INFINITY;
    let first = |scores: &[f32]| draw(&probabilities(scores, 1.0, 2, 0.9), &[1]);
    assert_eq!(first(&[f32::NAN, -INF, 3.0]), 2);
    assert!(first(&[f32::NAN; 3]) < 3);
    assert!(first(&[-INF; 3]) < 3);
    assert_eq!(first(&[0.0, INF, 3.0]), 1);
}

/// Positive scores are divided and negative ones multiplied, once each, whatever stands twice in the text.
#[test]
fn the_penalty_lowers_what_was_said() {
    let options = Options { repetition_penalty: 2.0, min_length: 4, ..Options::new(4, 9) };
    let scores = |ids: &[u32]| {
        let mut scores = [3.0, -3.0, 3.0, 0.0, 5.0];
        process(&mut scores, ids, &options);
        scores
    };
    assert_eq!(scores(&[0, 1, 0]), [1.5, -6.0, 3.0, 0.0, f32::NEG_INFINITY]);
    assert_eq!(scores(&[0, 1, 0, 3]), [1.5, -6.0, 3.0, 0.0, 5.0], "long enough");
    assert_eq!(scores(&[4, 4, 4, 4]), [3.0, -3.0, 3.0, 0.0, 2.5], "the end token in a prompt");
}
