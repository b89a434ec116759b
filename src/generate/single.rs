//! One text a request: greedy search and sampling.

use super::options::{Options, Search};
use super::scores::{best, log_softmax, penalize, probabilities};
use super::{Decoder, Generated, Request};
use crate::random::rng;
use rand::RngExt;

/// Writes one text for each request, token by token.
pub(super) fn search(decoder: &mut impl Decoder, requests: &[Request], options: &Options) -> Vec<Generated> {
    let mut texts: Vec<Generated> =
        requests.iter().map(|request| Generated { ids: request.prompt.to_vec(), score: 0.0 }).collect();
    let prompts: Vec<&[u32]> = requests.iter().map(|request| request.prompt).collect();
    // The request of each of the decoder's rows.
    let mut open: Vec<usize> = (0..requests.len()).collect();
    let (mut scores, mut log_probabilities) = (vec![], vec![]);
    let mut logits = decoder.start(&prompts);
    loop {
        let (mut parents, mut tokens, mut still_open) = (vec![], vec![], vec![]);
        for (row, (&request, logits)) in open.iter().zip(logits.rows()).enumerate() {
            let text = &mut texts[request];
            scores.clear();
            scores.extend(logits);
            log_softmax(&scores, &mut log_probabilities);
            penalize(&mut scores, &text.ids, options);
            let token = choose(&mut scores, requests[request].key, text.ids.len(), options.search);
            text.ids.push(token);
            text.score += log_probabilities[token as usize];
            if token != options.end && text.ids.len() < options.max_length {
                parents.push(row);
                tokens.push(token);
                still_open.push(request);
            }
        }
        if still_open.is_empty() {
            return texts;
        }
        open = still_open;
        logits = decoder.advance(&parents, &tokens);
    }
}

/// Returns the next token: the best one, or one that is drawn. The draw depends on the seed, the request's key and the
/// token's position alone.
fn choose(scores: &mut [f32], key: u64, position: usize, search: Search) -> u32 {
    let Search::Sample { temperature, top_k, top_p, seed } = search else { return best(scores) as u32 };
    probabilities(scores, temperature, top_k, top_p);
    let uniform: f32 = rng(&[seed, key, position as u64]).random();
    let mut rest = uniform;
    for (token, &probability) in scores.iter().enumerate() {
        if rest < probability {
            return token as u32;
        }
        rest -= probability;
    }
    // Rounding left a little of 1 over.
    scores.iter().rposition(|&probability| probability > 0.0).unwrap_or(0) as u32
}
