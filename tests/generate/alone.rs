//! Each request gets in a batch, whatever the lengths of its prompts, what it gets alone.

use super::toy::{Kind, beams, prompts, random_case, run, sample};
use clipwright::generate::{BeamStyle, Request, Search, generate};
use clipwright::random::Rng;
use rand::RngExt;

const KINDS: [Kind; 5] = [Kind::Plain, Kind::Tied, Kind::Early, Kind::Never, Kind::Broken];

fn any(rng: &mut Rng) -> Search {
    match rng.random_range(0..4) {
        0 => Search::Greedy,
        1 => sample(rng),
        2 => beams(BeamStyle::Original)(rng),
        _ => beams(BeamStyle::Transformers)(rng),
    }
}

/// Prompts of unequal lengths, broken logits too: nothing panics, no text is longer than it may be, the end token is
/// the last or nowhere behind the prompt, and neither the batch nor the number of threads matters.
#[test]
fn company_does_not_matter() {
    let pools = [1, 3].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    for case in 0..2000 {
        let (toy, options, mut rng) = random_case(case, &KINDS, any);
        let lengths: Vec<usize> = (0..rng.random_range(1..6)).map(|_| rng.random_range(1..7)).collect();
        let prompts = prompts(&lengths, toy.vocabulary, &mut rng);
        let together = pools[0].install(|| run(&toy, &prompts, &options).0);
        assert_eq!(format!("{together:?}"), format!("{:?}", pools[1].install(|| run(&toy, &prompts, &options).0)));
        for (i, (prompt, text)) in prompts.iter().zip(&together).enumerate() {
            let alone = generate(&mut toy.clone(), &[Request { prompt, number: i as u64 }], &options).unwrap();
            assert_eq!(format!("{:?}", alone[0]), format!("{text:?}"), "case {case}: {options:?}");

            let (ids, behind) = (&text.ids, &text.ids[prompt.len()..]);
            assert!(ids.starts_with(prompt) && !behind.is_empty() && ids.len() <= options.max_length, "case {case}");
            let end = behind.iter().position(|&id| id == options.end);
            let stopped = end.map_or(options.max_length, |end| prompt.len() + end + 1);
            assert_eq!(ids.len(), stopped, "case {case}: {text:?}");
            if !matches!(toy.kind, Kind::Broken) && toy.vocabulary > 5 {
                assert!(end.is_none() || ids.len() > options.min_length, "case {case}: {text:?}");
                assert!(text.score.is_finite(), "case {case}: {text:?}");
            }
        }
    }
}

/// A model that never ends gives texts of the greatest length, and so does a least length equal to it.
#[test]
fn texts_reach_the_greatest_length() {
    for case in 0..200 {
        let (mut toy, mut options, mut rng) = random_case(case, &[Kind::Never, Kind::Early], any);
        if matches!(toy.kind, Kind::Early) {
            options.min_length = options.max_length;
        }
        options.repetition_penalty = 1.0;
        if toy.vocabulary < 20 {
            toy.vocabulary = 20;
        }
        let prompts = prompts(&[1, 4], toy.vocabulary, &mut rng);
        for text in run(&toy, &prompts, &options).0 {
            assert_eq!(text.ids.len(), options.max_length, "case {case}: {options:?}");
        }
    }
}
