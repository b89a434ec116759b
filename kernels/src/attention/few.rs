//! Attention of few queries: each reads every key where it stands, with nothing packed.

use super::layout::Writes;
use super::pack::{Source, padded, with_scratch};
use super::product::{Left, Right, Size, product};
use super::softmax::{self, Running};
use super::task::{Saved, Task};
use crate::Write;
use crate::isa::multiversion;
use crate::lanes;

/// Up to this many queries, packing the keys costs more than it saves.
pub(super) const MAX_QUERIES: usize = 3;

multiversion! {
    /// scores\[j\] = scale·⟨x, row j⟩
    fn dots(x: &[f32], rows: Source<'_>, scale: f32, scores: &mut [f32]) {
        for (j, score) in scores.iter_mut().enumerate() {
            *score = scale * lanes::dot::<FMA>(x, rows.row(j, x.len()));
        }
    }
}

/// to ← Σⱼ weights\[j\]·row j, or to += that
fn weighted_sum(task: &Task, weights: &[f32], rows: Source, write: Write, to: &mut [f32]) {
    let size = Size { m: 1, n: task.head_dim, k: weights.len() };
    let weights = Left { data: weights, row: 0, col: 1 };
    product(task.isa, size, weights, Right { data: rows.data, row: rows.stride }, write, to, 0);
}

/// Computes the outputs and log-sum-exps; `row(i)` is where those of query i go.
pub(super) fn forward<'o>(task: &Task, row: impl Fn(usize) -> (&'o mut [f32], &'o mut f32)) {
    let keys = padded(task.keys);
    with_scratch([keys, keys], |[scores, mask]| {
        for i in 0..task.queries {
            let (out, lse) = row(i);
            let visible = task.visible(i, 0, task.keys);
            dots(task.isa, task.q.row(i, task.head_dim), task.k, task.scale, &mut scores[..visible]);
            let mut state = Running::EMPTY;
            softmax::fold(task.isa, scores, visible, &mut state, &mut []);
            if let Some(mask) = task.mask(i, 0, &mut mask[..visible]) {
                softmax::multiply(task.isa, mask, &mut scores[..visible]);
            }
            weighted_sum(task, &scores[..visible], task.v, Write::Set, out);
            out.iter_mut().for_each(|x| *x *= 1.0 / state.sum);
            *lse = state.max + state.sum.ln();
        }
    });
}

/// Computes the gradients; `dq_row(i)` and `dkv_row(j)` are where those of query i and of key and value j go.
pub(super) fn backward<'o>(
    task: &Task,
    saved: Saved,
    writes: Writes,
    dq_row: impl Fn(usize) -> &'o mut [f32],
    dkv_row: impl Fn(usize) -> (&'o mut [f32], &'o mut [f32]),
) {
    let (d, keys) = (task.head_dim, padded(task.keys));
    with_scratch([keys, keys, keys], |[probs, d_scores, mask]| {
        for i in 0..task.queries {
            let (q, dout) = (task.q.row(i, d), saved.dout.row(i, d));
            let visible = task.visible(i, 0, task.keys);
            dots(task.isa, q, task.k, task.scale, &mut probs[..visible]);
            dots(task.isa, dout, task.v, 1.0, &mut d_scores[..visible]);
            d_scores[visible..].fill(0.0);
            let delta = softmax::dot(task.isa, dout, saved.out.row(i, d));
            let mask = task.mask(i, 0, &mut mask[..visible]);
            if let Some(mask) = mask {
                softmax::multiply(task.isa, mask, &mut d_scores[..visible]);
            }
            softmax::backward(task.isa, probs, d_scores, visible, saved.lse[i], delta);
            if let Some(mask) = mask {
                softmax::multiply(task.isa, mask, &mut probs[..visible]);
            }
            d_scores.iter_mut().for_each(|ds| *ds *= task.scale);
            weighted_sum(task, &d_scores[..visible], task.k, writes.q, dq_row(i));
            // The first query sets all keys, those that it does not see to 0; what it sets, the others add to.
            let (write, reached) = if i == 0 { (writes.kv, task.keys) } else { (Write::Add, visible) };
            for j in 0..reached {
                let (dk, dv) = dkv_row(j);
                softmax::scaled(task.isa, d_scores[j], q, write, dk);
                softmax::scaled(task.isa, probs[j], dout, write, dv);
            }
        }
    });
}
