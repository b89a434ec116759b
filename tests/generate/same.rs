//! Equality with the naive searches: texts, scores and the number of rows that the decoder was asked for.

use super::naive::{self, Found};
use super::toy::{Kind, Toy, beams, prompts, random_case, run};
use clipwright::generate::{BeamStyle, Options, Search};
use rand::RngExt;

const CASES: u64 = 3000;
const KINDS: [Kind; 5] = [Kind::Plain, Kind::Tied, Kind::Sharp, Kind::Early, Kind::Never];

/// Runs many cases, in batches of equal prompt lengths, as the references need them.
fn check(
    search: impl Fn(&mut clipwright::random::Rng) -> Search + Copy,
    naive: impl Fn(&Toy, &[Vec<u32>], &Options) -> Vec<Found>,
    tolerance: f32,
) {
    for case in 0..CASES {
        let (toy, options, mut rng) = random_case(case, &KINDS, search);
        let (requests, length) = (rng.random_range(1..4), rng.random_range(1..7));
        let prompts = prompts(&vec![length; requests], toy.vocabulary, &mut rng);
        let (texts, calls) = run(&toy, &prompts, &options);
        let expected = naive(&toy, &prompts, &options);
        for (text, (ids, score, _)) in texts.iter().zip(&expected) {
            assert_eq!(text.ids, *ids, "case {case}: {:?} {options:?}, prompts {prompts:?}", toy.kind);
            assert!(
                (text.score - score).abs() <= tolerance * score.abs().max(1.0),
                "case {case}: score {} instead of {score}",
                text.score
            );
        }
        let beams = if let Search::Beams { beams, .. } = options.search { beams } else { 1 };
        let rows = |call: usize| expected.iter().filter(|(_, _, steps)| *steps > call).count();
        let rows = (0..).map(|call| if call == 0 { requests } else { beams * rows(call) });
        let rows: Vec<usize> = rows.take_while(|&rows| rows > 0).collect();
        assert_eq!(calls, rows, "case {case}: rows of each call");
    }
}

/// The score is a sum of f32, some 1e-6 of which is rounding.
#[test]
fn greedy_search_is_the_naive_one() {
    check(|_| Search::Greedy, naive::greedy, 1e-5);
}

fn number(options: &Options) -> usize {
    let Search::Beams { beams, .. } = options.search else { unreachable!("a beam search") };
    beams
}

#[test]
fn the_original_beam_search_is_the_naive_one() {
    let naive =
        |toy: &Toy, prompts: &[Vec<u32>], options: &Options| naive::original(toy, prompts, number(options), options);
    check(&beams(BeamStyle::Original), naive, 0.0);
}

#[test]
fn the_beam_search_of_transformers_is_the_naive_one() {
    let naive = |toy: &Toy, prompts: &[Vec<u32>], options: &Options| {
        naive::transformers(toy, prompts, number(options), options)
    };
    check(&beams(BeamStyle::Transformers), naive, 0.0);
}
