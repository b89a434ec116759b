//! Few queries: every key is read once per query, where it stands.

use super::pack::Source;
use super::pack::padded;
use super::pack::with_scratch;
use super::product::{Left, Right, Size, product};
use super::softmax::{self, Running};
use super::{Saved, Task};
use crate::Write;
use crate::isa::multiversion;

/// Fewer queries than this do not repay the packing.
pub(super) const LIMIT: usize = 4;

multiversion! {
    /// scores\[j\] = scale·⟨x, row j⟩
    fn dots(x: &[f32], rows: Source<'_>, scale: f32, scores: &mut [f32]) {
        for (j, score) in scores.iter_mut().enumerate() {
            *score = scale * crate::lanes::dot::<FMA>(x, rows.row(j, x.len()));
        }
    }
}

/// to = Σⱼ weights\[j\]·row j
fn weighted_sum(task: &Task, weights: &[f32], rows: Source, to: &mut [f32]) {
    let size = Size { m: 1, n: task.head_dim, k: weights.len() };
    let weights = Left { data: weights, row: 0, col: 1 };
    product(task.isa, size, weights, Right { data: rows.data, row: rows.stride }, Write::Set, to, 0);
}

/// The outputs and log-sum-exps; `row(i)` is where those of query i go.
pub(super) fn forward<'o>(task: &Task, row: impl Fn(usize) -> (&'o mut [f32], &'o mut f32)) {
    with_scratch([padded(task.keys)], |[scores]| {
        for i in 0..task.queries {
            let (out, lse) = row(i);
            let visible = task.visible(i, 0, task.keys);
            dots(task.isa, task.q.row(i, task.head_dim), task.k, task.scale, &mut scores[..visible]);
            let mut state = Running::EMPTY;
            softmax::fold(task.isa, scores, visible, &mut state, &mut []);
            weighted_sum(task, &scores[..visible], task.v, out);
            out.iter_mut().for_each(|x| *x *= 1.0 / state.sum);
            *lse = state.max + state.sum.ln();
        }
    });
}

/// The gradients; `dq(i)` and `dkv(j)` are where those of query i and of key and value j go.
pub(super) fn backward<'o>(
    task: &Task,
    saved: Saved,
    dq_row: impl Fn(usize) -> &'o mut [f32],
    dkv_row: impl Fn(usize) -> (&'o mut [f32], &'o mut [f32]),
) {
    let (d, keys) = (task.head_dim, padded(task.keys));
    with_scratch([keys, keys], |[probs, d_scores]| {
        for i in 0..task.queries {
            let (q, dout) = (task.q.row(i, d), saved.dout.row(i, d));
            let visible = task.visible(i, 0, task.keys);
            dots(task.isa, q, task.k, task.scale, &mut probs[..visible]);
            dots(task.isa, dout, task.v, 1.0, &mut d_scores[..visible]);
            d_scores[visible..].fill(0.0);
            let delta = softmax::dot(task.isa, dout, saved.out.row(i, d));
            softmax::backward(task.isa, probs, d_scores, visible, saved.lse[i], delta);
            d_scores.iter_mut().for_each(|ds| *ds *= task.scale);
            weighted_sum(task, &d_scores[..visible], task.k, dq_row(i));
            for j in 0..task.keys {
                let (dk, dv) = dkv_row(j);
                let write = if i == 0 { Write::Set } else { Write::Add };
                softmax::scaled(task.isa, d_scores[j], q, write, dk);
                softmax::scaled(task.isa, probs[j], dout, write, dv);
            }
        }
    });
}
