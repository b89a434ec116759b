//! Attention of many queries: blocks of queries meet blocks of keys, each step one little matrix product.

use super::layout::Writes;
use super::pack::{pack_rows, pack_transposed, padded, with_scratch};
use super::product::{Left, Right, Size, product};
use super::softmax::{self, Running};
use super::task::{Saved, Task};
use crate::Write;
use crate::dropout;
use std::ops::Range;

/// A block has this many queries: eight register tiles. Their scores against a block of keys take 24 KB, so that they
/// are still in the first-level cache when the softmax and the second product read them.
pub(super) const QUERIES: usize = 48;

/// A causal block has fewer queries, because all of them compute what the last one sees.
const CAUSAL_QUERIES: usize = 24;

/// A block has this many keys: at 64 numbers each, 32 KB of keys and as much of values. All keys of ViT-B/32 (50) and
/// of a caption (77) are in one block, which leaves no running maximum to correct.
const KEYS: usize = 128;
const _: () = assert!(KEYS.is_multiple_of(dropout::GROUP));

impl Task<'_> {
    /// Cuts the keys into blocks.
    fn key_blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        blocks(0..self.keys, KEYS)
    }

    /// Cuts `queries` into blocks and passes over those that see none of the keys from `first_key` on.
    fn query_blocks(&self, queries: Range<usize>, first_key: usize) -> impl Iterator<Item = Range<usize>> + use<'_> {
        let size = if self.causal { CAUSAL_QUERIES } else { QUERIES };
        blocks(queries, size).filter(move |block| self.visible(block.end - 1, first_key, 1) > 0)
    }
}

/// Cuts a range into blocks of `size`.
fn blocks(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(size).map(move |start| start..(start + size).min(range.end))
}

/// Computes the outputs and log-sum-exps of some of the queries; `row(i)` is where those of query i go.
pub(super) fn forward<'o>(task: &Task, queries: Range<usize>, row: impl Fn(usize) -> (&'o mut [f32], &'o mut f32)) {
    let (d, width) = (task.head_dim, padded(task.head_dim));
    let (rows, keys) = (queries.len(), padded(task.keys.min(KEYS)));
    let sizes = [rows * width, rows * width, 2 * rows, keys * d, keys * width, QUERIES * keys, keys];
    with_scratch(sizes, |[q, out, running, keys_t, values, scores, mask]| {
        pack_rows(task.isa, task.q.skip(queries.start), rows, d, task.scale, q);
        let (max, sum) = running.split_at_mut(rows);
        max.fill(Running::EMPTY.max);
        sum.fill(Running::EMPTY.sum);
        for keys in task.key_blocks() {
            pack_transposed(task.isa, task.k.skip(keys.start), keys.len(), d, keys_t);
            pack_rows(task.isa, task.v.skip(keys.start), keys.len(), d, 1.0, values);
            for block in task.query_blocks(queries.clone(), keys.start) {
                let local = block.start - queries.start..block.end - queries.start;
                let (q, out) = (&q[local.start * width..], &mut out[local.start * width..]);
                let visible = task.visible(block.end - 1, keys.start, keys.len());
                let (m, n) = (block.len(), padded(visible));
                let keys_t = Right { data: keys_t, row: padded(keys.len()) };
                product(
                    task.isa,
                    Size { m, n, k: d },
                    Left { data: q, row: width, col: 1 },
                    keys_t,
                    Write::Set,
                    scores,
                    n,
                );
                for (r, i) in block.enumerate() {
                    let mut state = Running { max: max[local.start + r], sum: sum[local.start + r] };
                    let visible = task.visible(i, keys.start, keys.len());
                    let probs = &mut scores[r * n..][..n];
                    softmax::fold(task.isa, probs, visible, &mut state, &mut out[r * width..][..width]);
                    if let Some(mask) = task.mask(i, keys.start, &mut mask[..n]) {
                        softmax::multiply(task.isa, mask, probs);
                    }
                    (max[local.start + r], sum[local.start + r]) = (state.max, state.sum);
                }
                let probs = Left { data: scores, row: n, col: 1 };
                let write = if keys.start == 0 { Write::Set } else { Write::Add };
                let values = Right { data: values, row: width };
                product(task.isa, Size { m, n: width, k: visible }, probs, values, write, out, width);
            }
        }
        for (r, i) in queries.enumerate() {
            let (to, lse) = row(i);
            let scale = 1.0 / sum[r];
            softmax::scaled(task.isa, scale, &out[r * width..][..d], Write::Set, to);
            *lse = max[r] + sum[r].ln();
        }
    });
}

/// Computes the gradients of a whole sequence; `dq_row(i)` and `dkv_row(j)` are where those of query i and of key and
/// value j go.
pub(super) fn backward<'o>(
    task: &Task,
    saved: Saved,
    writes: Writes,
    dq_row: impl Fn(usize) -> &'o mut [f32],
    dkv_row: impl Fn(usize) -> (&'o mut [f32], &'o mut [f32]),
) {
    let (d, width, rows) = (task.head_dim, padded(task.head_dim), task.queries);
    let keys = padded(task.keys.min(KEYS));
    let [per_query, per_key, block] = [rows * width, keys * width, QUERIES * keys];
    let sizes =
        [per_query, per_query, per_query, rows, keys * d, keys * d, per_key, per_key, per_key, block, block, keys];
    with_scratch(sizes, |[q, dout, dq, delta, keys_t, values_t, keys_rows, dk, dv, probs, d_scores, mask]| {
        // q carries the factor 1/√c, so the scores and dk = dSᵀ·q need none; dq gets its own at the end.
        pack_rows(task.isa, task.q, rows, d, task.scale, q);
        pack_rows(task.isa, saved.dout, rows, d, 1.0, dout);
        for (i, delta) in delta.iter_mut().enumerate() {
            *delta = softmax::dot(task.isa, saved.dout.row(i, d), saved.out.row(i, d));
        }
        dq.fill(0.0);
        for keys in task.key_blocks() {
            let (k, v, stride) = (task.k.skip(keys.start), task.v.skip(keys.start), padded(keys.len()));
            pack_transposed(task.isa, k, keys.len(), d, keys_t);
            pack_transposed(task.isa, v, keys.len(), d, values_t);
            pack_rows(task.isa, k, keys.len(), d, 1.0, keys_rows);
            dk.fill(0.0);
            dv.fill(0.0);
            for block in task.query_blocks(0..rows, keys.start) {
                let at = block.start * width;
                let visible = task.visible(block.end - 1, keys.start, keys.len());
                let (m, n) = (block.len(), padded(visible));
                let run = |size, a, b: &[f32], b_row, write, c: &mut [f32], c_row| {
                    product(task.isa, size, a, Right { data: b, row: b_row }, write, c, c_row)
                };
                let left = |data| Left { data, row: width, col: 1 };
                // In the forward pass: scores = q·kᵀ, out = (m∘P)·v. So P is made again, and dP = m∘(dout·vᵀ).
                run(Size { m, n, k: d }, left(&q[at..]), keys_t, stride, Write::Set, probs, n);
                run(Size { m, n, k: d }, left(&dout[at..]), values_t, stride, Write::Set, d_scores, n);
                for (r, i) in block.enumerate() {
                    let (p, ds) = (&mut probs[r * n..][..n], &mut d_scores[r * n..][..n]);
                    let mask = task.mask(i, keys.start, &mut mask[..n]);
                    if let Some(mask) = mask {
                        softmax::multiply(task.isa, mask, ds);
                    }
                    softmax::backward(task.isa, p, ds, task.visible(i, keys.start, keys.len()), saved.lse[i], delta[i]);
                    if let Some(mask) = mask {
                        softmax::multiply(task.isa, mask, p);
                    }
                }
                // out = (m∘P)·v: dv += (m∘P)ᵀ·dout;  scores = q·kᵀ: dk += dSᵀ·q, dq += dS·k
                let by_key = Size { m: visible, n: width, k: m };
                let transposed = |data| Left { data, row: 1, col: n };
                run(by_key, transposed(probs), &dout[at..], width, Write::Add, dv, width);
                run(by_key, transposed(d_scores), &q[at..], width, Write::Add, dk, width);
                let by_query = Size { m, n: width, k: visible };
                run(
                    by_query,
                    Left { data: d_scores, row: n, col: 1 },
                    keys_rows,
                    width,
                    Write::Add,
                    &mut dq[at..],
                    width,
                );
            }
            for (r, j) in keys.enumerate() {
                let (to_k, to_v) = dkv_row(j);
                softmax::scaled(task.isa, 1.0, &dk[r * width..][..d], writes.kv, to_k);
                softmax::scaled(task.isa, 1.0, &dv[r * width..][..d], writes.kv, to_v);
            }
        }
        for i in 0..rows {
            softmax::scaled(task.isa, task.scale, &dq[i * width..][..d], writes.q, dq_row(i));
        }
    });
}
