#![doc = include_str!("blip.md")]

use super::attention::{attend, attend_backward};
use super::block::add;
use super::chain_rule::{Matrix, matrix, sum};
use super::linear::{linear, linear_backward};
use super::softmax::{lse, softmax};

/// The four linear layers of cross-attention, each with its weights and its bias.
#[derive(Clone)]
pub struct Cross {
    pub q: (Matrix, Vec<f64>),
    pub k: (Matrix, Vec<f64>),
    pub v: (Matrix, Vec<f64>),
    pub out: (Matrix, Vec<f64>),
}

/// q of the words, k and v of the picture
pub fn cross_qkv(p: &Cross, x: &Matrix, u: &Matrix) -> [Matrix; 3] {
    [linear(x, &p.q.0, &p.q.1), linear(u, &p.k.0, &p.k.1), linear(u, &p.v.0, &p.v.1)]
}

/// y = softmax(q kᵀ/√c) v W_outᵀ + b_out
pub fn cross_attention(p: &Cross, x: &Matrix, u: &Matrix) -> Matrix {
    let [q, k, v] = cross_qkv(p, x, u);
    linear(&attend([&q, &k, &v], false), &p.out.0, &p.out.1)
}

/// dx, du and the gradients of all weights and biases
pub fn cross_attention_backward(p: &Cross, x: &Matrix, u: &Matrix, dy: &Matrix) -> (Matrix, Matrix, Cross) {
    let [q, k, v] = cross_qkv(p, x, u);
    let (dmixed, out, out_bias) = linear_backward(&attend([&q, &k, &v], false), &p.out.0, dy);
    let [dq, dk, dv] = attend_backward([&q, &k, &v], false, &dmixed);
    let (dx, q, q_bias) = linear_backward(x, &p.q.0, &dq);
    let (by_k, k, k_bias) = linear_backward(u, &p.k.0, &dk);
    let (by_v, v, v_bias) = linear_backward(u, &p.v.0, &dv);
    (dx, add(&by_k, &by_v), Cross { q: (q, q_bias), k: (k, k_bias), v: (v, v_bias), out: (out, out_bias) })
}

/// loss = 1/N Σₙ (lse(row n) − Σⱼ targetₙⱼ Sₙⱼ)
pub fn target_loss(scores: &Matrix, target: &Matrix) -> f64 {
    let (rows, choices) = (scores.len(), scores[0].len());
    let wanted = |n: usize| sum(choices, |j| target[n][j] * scores[n][j]);
    sum(rows, |n| lse(choices, |k| scores[n][k]) - wanted(n)) / rows as f64
}

/// dSₙⱼ = (Pₙⱼ − targetₙⱼ) / N
pub fn target_loss_backward(scores: &Matrix, target: &Matrix) -> Matrix {
    let (rows, choices, p) = (scores.len(), scores[0].len(), softmax(scores));
    matrix(rows, choices, |n, j| (p[n][j] - target[n][j]) / rows as f64)
}

/// target = 1 for the right choice, 0 for the others
pub fn hard_target(right: &[usize], choices: usize) -> Matrix {
    matrix(right.len(), choices, |n, j| if j == right[n] { 1.0 } else { 0.0 })
}

/// target = (1 − share)·hard + share·soft
pub fn mixed_target(hard: &Matrix, soft: &Matrix, share: f64) -> Matrix {
    matrix(hard.len(), hard[0].len(), |n, j| (1.0 - share) * hard[n][j] + share * soft[n][j])
}

/// Sᵢⱼ = ⟨rowᵢ, columnⱼ⟩ / temp
pub fn similarity(rows: &Matrix, columns: &Matrix, temp: f64) -> Matrix {
    matrix(rows.len(), columns.len(), |i, j| sum(rows[i].len(), |k| rows[i][k] * columns[j][k]) / temp)
}

/// drowᵢₖ = Σⱼ dSᵢⱼ columnⱼₖ / temp, dtemp = −Σᵢⱼ dSᵢⱼ Sᵢⱼ / temp
pub fn similarity_backward(rows: &Matrix, columns: &Matrix, temp: f64, dscores: &Matrix) -> (Matrix, f64) {
    let (n, m, scores) = (rows.len(), columns.len(), similarity(rows, columns, temp));
    let drows = matrix(n, rows[0].len(), |i, k| sum(m, |j| dscores[i][j] * columns[j][k]) / temp);
    (drows, -sum(n, |i| sum(m, |j| dscores[i][j] * scores[i][j])) / temp)
}

/// The shares by which the negatives of row n are drawn: its softmax, at least 0.0001, and 0 for its own pair.
pub fn negatives(scores: &Matrix) -> Matrix {
    let p = softmax(scores);
    matrix(p.len(), p[0].len(), |n, j| if n == j { 0.0 } else { p[n][j] + 1e-4 })
}

/// The first place where the sum of the shares so far, of all shares, exceeds `chance`, a number from 0 to 1.
pub fn draw(shares: &[f64], chance: f64) -> usize {
    let reached = |j: usize| sum(j + 1, |k| shares[k]) > chance * sum(shares.len(), |k| shares[k]);
    (0..shares.len()).find(|&j| reached(j)).unwrap_or(shares.len() - 1)
}

/// Takes the likeliest next word until the text ends with `end`. `next` has ln P of each word behind a text.
pub fn greedy(next: impl Fn(&[usize]) -> Vec<f64>, end: usize) -> (Vec<usize>, f64) {
    let (mut text, mut score) = (vec![], 0.0);
    while text.last() != Some(&end) {
        let scores = next(&text);
        let best = (0..scores.len()).max_by(|&i, &j| scores[i].total_cmp(&scores[j])).expect("words");
        text.push(best);
        score += scores[best];
    }
    (text, score)
}

/// Goes on with the best `beams` texts at a time, until none of them can become better than the best that ended.
pub fn beam_search(next: impl Fn(&[usize]) -> Vec<f64>, end: usize, beams: usize) -> (Vec<usize>, f64) {
    let (mut open, mut best) = (vec![(vec![], 0.0)], (vec![], f64::NEG_INFINITY));
    while !open.is_empty() {
        let mut longer: Vec<(Vec<usize>, f64)> = vec![];
        for (text, score) in &open {
            let words = next(text).into_iter().enumerate();
            longer.extend(words.map(|(word, by)| ([&text[..], &[word]].concat(), score + by)));
        }
        longer.sort_by(|a, b| b.1.total_cmp(&a.1));
        longer.truncate(beams);
        let (ended, going): (Vec<_>, Vec<_>) = longer.into_iter().partition(|(text, _)| text.last() == Some(&end));
        best = ended.into_iter().chain([best]).max_by(|a, b| a.1.total_cmp(&b.1)).expect("the best so far");
        open = going.into_iter().filter(|(_, score)| *score > best.1).collect();
    }
    best
}
