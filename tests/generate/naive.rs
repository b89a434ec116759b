//! The searches as the references describe them: all rows to the end, padded, everything sorted.
//!
//! Only the logarithm of the softmax is shared with the search, because beams that differ by a rounding change places.

use super::toy::Toy;
use clipwright::generate::Options;

/// What stands behind an ended text.
const PAD: u32 = 0;

/// Text, score and steps of one request.
pub type Found = (Vec<u32>, f32, usize);

/// The penalty and the least length, for one row.
fn process(scores: &mut [f32], text: &[u32], options: &Options) {
    for (token, score) in scores.iter_mut().enumerate() {
        if text.contains(&(token as u32)) {
            let r = options.repetition_penalty;
            *score = if *score < 0.0 { *score * r } else { *score / r };
        }
    }
    if text.len() < options.min_length {
        scores[options.end as usize] = f32::NEG_INFINITY;
    }
}

/// Indices of the largest values, the largest first, the first of equals first.
fn order(values: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].partial_cmp(&values[a]).unwrap());
    order
}

pub fn greedy(toy: &Toy, prompts: &[Vec<u32>], options: &Options) -> Vec<Found> {
    let mut texts = prompts.to_vec();
    let (mut ended, mut sums, mut steps) = (vec![None; texts.len()], vec![0.0; texts.len()], vec![0; texts.len()]);
    while ended.iter().any(Option::is_none) && texts[0].len() < options.max_length {
        for (row, text) in texts.iter_mut().enumerate() {
            if ended[row].is_some() {
                text.push(PAD);
                continue;
            }
            steps[row] += 1;
            let logits = toy.logits(text);
            let mut scores = logits.clone();
            process(&mut scores, text, options);
            let token = order(&scores)[0];
            let sum: f64 = logits.iter().map(|&z| f64::from(z).exp()).sum();
            sums[row] += f64::from(logits[token]) - sum.ln();
            text.push(token as u32);
            if token as u32 == options.end {
                ended[row] = Some(text.len());
            }
        }
    }
    let found = texts.into_iter().enumerate().map(|(row, mut text)| {
        text.truncate(ended[row].unwrap_or(text.len()));
        (text, sums[row] as f32, steps[row])
    });
    found.collect()
}

/// The candidates of one request with their sums: the 2n best of n·V in order.
fn candidates(toy: &Toy, texts: &[Vec<u32>], sums: &[f32], options: &Options) -> Vec<(usize, u32, f32)> {
    let mut all = vec![];
    for (text, sum) in texts.iter().zip(sums) {
        let mut scores = toy.logits(text);
        kernels::softmax::log(&mut scores, toy.vocabulary);
        process(&mut scores, text, options);
        all.extend(scores.iter().map(|score| score + sum));
    }
    let split = |i: usize| (i / toy.vocabulary, (i % toy.vocabulary) as u32, all[i]);
    order(&all).into_iter().take(2 * texts.len()).map(split).collect()
}

fn longer(text: &[u32], token: u32) -> Vec<u32> {
    [text, &[token]].concat()
}

/// The beams of each request, and their sums.
fn start(prompts: &[Vec<u32>], beams: usize) -> (Vec<Vec<Vec<u32>>>, Vec<Vec<f32>>) {
    let sums = (0..beams).map(|i| if i == 0 { 0.0 } else { -1e9 }).collect();
    (prompts.iter().map(|prompt| vec![prompt.clone(); beams]).collect(), vec![sums; prompts.len()])
}

/// Transformers 4.15.
pub fn original(toy: &Toy, prompts: &[Vec<u32>], n: usize, options: &Options) -> Vec<Found> {
    let (mut texts, mut sums) = start(prompts, n);
    let mut hypotheses: Vec<Vec<(f64, Vec<u32>)>> = vec![vec![]; prompts.len()];
    let (mut done, mut steps) = (vec![false; prompts.len()], vec![0; prompts.len()]);
    let power = |length: usize| (length as f64).powf(f64::from(options.length_penalty));
    let worst = |list: &[(f64, Vec<u32>)]| list.iter().map(|h| h.0).fold(f64::INFINITY, f64::min);
    let add = |list: &mut Vec<(f64, Vec<u32>)>, text: &[u32], sum: f32| {
        let score = f64::from(sum) / power(text.len());
        if list.len() < n || score > worst(list) {
            list.push((score, text.to_vec()));
            if list.len() > n {
                let lowest = worst(list);
                list.remove(list.iter().position(|h| h.0 == lowest).unwrap());
            }
        }
    };
    let mut length = prompts[0].len();
    while length < options.max_length && !done.iter().all(|&done| done) {
        for row in 0..prompts.len() {
            if done[row] {
                texts[row].iter_mut().for_each(|text| text.push(PAD));
                continue;
            }
            steps[row] += 1;
            let candidates = candidates(toy, &texts[row], &sums[row], options);
            let (mut next, mut next_sums) = (vec![], vec![]);
            for (rank, &(beam, token, sum)) in candidates.iter().enumerate() {
                if token == options.end {
                    if rank < n {
                        add(&mut hypotheses[row], &texts[row][beam], sum);
                    }
                } else if next.len() < n {
                    next.push(longer(&texts[row][beam], token));
                    next_sums.push(sum);
                }
            }
            let bound = f64::from(candidates[0].2) / power(length);
            done[row] = hypotheses[row].len() >= n && (options.early_stopping || worst(&hypotheses[row]) >= bound);
            (texts[row], sums[row]) = (next, next_sums);
        }
        length += 1;
    }
    let mut found = vec![];
    for row in 0..prompts.len() {
        if !done[row] {
            texts[row].iter().zip(&sums[row]).for_each(|(text, &sum)| add(&mut hypotheses[row], text, sum));
        }
        let best = hypotheses[row].iter().fold(None, |best: Option<&(f64, Vec<u32>)>, h| match best {
            Some(best) if best.0 > h.0 => Some(best),
            _ => Some(h),
        });
        let (score, mut text) = best.unwrap().clone();
        if text.len() < options.max_length {
            text.push(options.end);
        }
        found.push((text, score as f32, steps[row]));
    }
    found
}

/// Transformers 5.
pub fn transformers(toy: &Toy, prompts: &[Vec<u32>], n: usize, options: &Options) -> Vec<Found> {
    let (mut texts, mut sums) = start(prompts, n);
    let mut stored: Vec<Vec<(f32, Vec<u32>)>> = vec![vec![]; prompts.len()];
    let (mut settled, mut steps) = (vec![false; prompts.len()], vec![0; prompts.len()]);
    let prompt = prompts[0].len();
    let power = |generated: usize| (generated as f64).powf(f64::from(options.length_penalty)) as f32;
    for length in prompt + 1..=options.max_length {
        for row in 0..prompts.len() {
            steps[row] += usize::from(!settled[row]);
            let candidates = candidates(toy, &texts[row], &sums[row], options);
            let finished = |token: u32| token == options.end || length == options.max_length;
            let (mut next, mut next_sums) = (vec![], vec![]);
            for (rank, &(beam, token, sum)) in candidates.iter().enumerate() {
                let text = longer(&texts[row][beam], token);
                if !finished(token) {
                    next.push(text);
                    next_sums.push(sum);
                } else if rank < n && !settled[row] {
                    stored[row].push((sum / power(length - prompt), text));
                }
            }
            let scores: Vec<f32> = stored[row].iter().map(|s| s.0).collect();
            stored[row] = order(&scores).into_iter().take(n).map(|i| stored[row][i].clone()).collect();
            if length < options.max_length {
                next.truncate(n);
                next_sums.truncate(n);
                let possible = next_sums[0] / power(length - prompt);
                let no_hope = stored[row].last().is_some_and(|worst| possible <= worst.0);
                settled[row] |= stored[row].len() == n && (no_hope || options.early_stopping);
                (texts[row], sums[row]) = (next, next_sums);
            }
        }
    }
    let best = stored.into_iter().zip(steps).map(|(stored, steps)| (stored[0].1.clone(), stored[0].0, steps));
    best.collect()
}
