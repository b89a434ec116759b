//! Requests that cannot be answered are refused, with the numbers that are wrong.

use super::toy::{Kind, Toy};
use clipwright::generate::{BeamStyle, Options, Request, Search, generate};

const PLAIN: Search = Search::Sample { temperature: 1.0, top_k: 50, top_p: 0.9, seed: 0 };

fn refusal(change: impl Fn(&mut Options), prompts: &[&[u32]]) -> String {
    let mut options = Options::new(5, 8);
    change(&mut options);
    let requests: Vec<Request> = prompts.iter().map(|&prompt| Request { prompt, number: 0 }).collect();
    let mut toy = Toy::new(Kind::Plain, 20, 5, 0);
    generate(&mut toy, &requests, &options)
        .map_or_else(|error| error.to_string(), |texts| format!("{} texts", texts.len()))
}

#[test]
fn what_cannot_be_is_refused() {
    let beams = |beams| Search::Beams { beams, style: BeamStyle::Original };
    let sample = |temperature, top_k, top_p| Search::Sample { temperature, top_k, top_p, seed: 0 };
    let search = |search: Search| refusal(|options| options.search = search.clone(), &[&[1]]);
    let said = [
        (search(beams(0)), "a search has 1 to 1024 beams, not 0"),
        (search(beams(usize::MAX)), "beams, not 18446744073709551615"),
        (search(sample(1.0, 0, 0.9)), "top-k is 0"),
        (search(sample(1.0, 1, 0.0)), "top-p is 0"),
        (search(sample(1.0, 1, 1.1)), "top-p is 1.1"),
        (search(sample(1.0, 1, f32::NAN)), "top-p is NaN"),
        (search(sample(0.0, 1, 1.0)), "the temperature is 0"),
        (search(sample(f32::INFINITY, 1, 1.0)), "the temperature is inf"),
        (refusal(|options| options.repetition_penalty = -1.0, &[&[1]]), "the repetition penalty is -1"),
        (refusal(|options| options.length_penalty = f32::NAN, &[&[1]]), "the length penalty is NaN"),
        (refusal(|options| options.min_length = 9, &[&[1]]), "a least length of 9 tokens is above the greatest, 8"),
        (refusal(|_| (), &[&[1], &[]]), "the prompt of request 1 has no tokens"),
        (
            refusal(|_| (), &[&[1], &[1; 8]]),
            "the prompt of request 1 has 8 tokens, so that nothing can follow it within 8",
        ),
        (refusal(|options| options.end = 20, &[&[1]]), "the end token is 20, but the model knows 20 tokens"),
        (refusal(|_| (), &[]), "0 texts"),
        (search(PLAIN), "1 texts"),
        (search(sample(1.0, usize::MAX, 1.0)), "1 texts"),
        (search(beams(1024)), "1 texts"),
    ];
    for (said, expected) in said {
        assert!(said.contains(expected), "{said:?} does not say {expected:?}");
    }
}
