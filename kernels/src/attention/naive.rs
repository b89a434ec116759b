//! The definition, one (sequence, head, query) after the other, in f64.

use super::layout::{DQkv, Heads, HeadsMut, Layout};
use crate::Write;
use crate::dropout;
use std::ops::Range;

/// Returns row i of head h.
fn row<'a>(m: Heads<'a>, layout: &Layout, i: usize, h: usize) -> &'a [f32] {
    &m.data[i * m.row_stride + h * layout.head_dim..][..layout.head_dim]
}

fn dot(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
}

/// Returns m of the probability of query i and key j; `first` is the first key of the sequence.
fn mask(layout: &Layout, i: usize, h: usize, first: usize, j: usize) -> f64 {
    layout.dropout.map_or(1.0, |dropout| dropout::naive::mask(dropout, i, h as u32, j - first))
}

/// Calls `f(head, query row, rows of the visible keys)` for each query of each head.
fn for_queries(layout: &Layout, mut f: impl FnMut(usize, usize, Range<usize>)) {
    for (q, kv) in layout.q.iter().zip(layout.kv) {
        for h in 0..layout.heads {
            for i in q.clone() {
                f(h, i, kv.start..if layout.causal { kv.end - (q.end - 1 - i) } else { kv.end });
            }
        }
    }
}

/// The definition of [`forward`](super::forward).
pub fn forward(layout: Layout, q: Heads, k: Heads, v: Heads, out: HeadsMut, lse: &mut [f32]) {
    let d = layout.head_dim;
    let lse_rows = lse.len() / layout.heads;
    for_queries(&layout, |h, i, keys| {
        let m = |j: usize| mask(&layout, i, h, keys.start, j);
        let score = |j: usize| dot(row(q, &layout, i, h), row(k, &layout, j, h)) / (d as f64).sqrt();
        let max = keys.clone().map(score).fold(f64::NEG_INFINITY, f64::max);
        let log_sum = max + keys.clone().map(|j| (score(j) - max).exp()).sum::<f64>().ln();
        for c in 0..d {
            let value: f64 =
                keys.clone().map(|j| m(j) * (score(j) - log_sum).exp() * f64::from(row(v, &layout, j, h)[c])).sum();
            out.data[i * out.row_stride + h * d + c] = value as f32;
        }
        lse[h * lse_rows + i] = log_sum as f32;
    });
}

/// The definition of [`backward`](super::backward).
pub fn backward(layout: Layout, q: Heads, k: Heads, v: Heads, out: Heads, lse: &[f32], dout: Heads, dqkv: DQkv) {
    let (d, width) = (layout.head_dim, layout.heads * layout.head_dim);
    let (lse_rows, scale) = (lse.len() / layout.heads, 1.0 / (d as f64).sqrt());
    let zeros = |ranges: &[Range<usize>]| vec![0.0; ranges.iter().map(|rows| rows.end).max().unwrap_or(0) * width];
    let [mut dq, mut dk, mut dv] = [zeros(layout.q), zeros(layout.kv), zeros(layout.kv)];
    for_queries(&layout, |h, i, keys| {
        let (q, dout) = (row(q, &layout, i, h), row(dout, &layout, i, h));
        let delta = dot(dout, row(out, &layout, i, h));
        for j in keys.clone() {
            let m = mask(&layout, i, h, keys.start, j);
            let (k, v) = (row(k, &layout, j, h), row(v, &layout, j, h));
            let p = (dot(q, k) * scale - f64::from(lse[h * lse_rows + i])).exp();
            let ds = p * (m * dot(dout, v) - delta) * scale;
            for c in 0..d {
                dq[i * width + h * d + c] += ds * f64::from(k[c]);
                dk[j * width + h * d + c] += ds * f64::from(q[c]);
                dv[j * width + h * d + c] += m * p * f64::from(dout[c]);
            }
        }
    });
    // Column `at` of rows of `stride` is where each row of a gradient begins.
    let write = |ranges: &[Range<usize>], from: &[f64], write, to: &mut [f32], stride: usize, at: usize| {
        for i in ranges.iter().cloned().flatten() {
            for (to, &x) in to[i * stride + at..].iter_mut().zip(&from[i * width..][..width]) {
                *to = if write == Write::Set { x as f32 } else { *to + x as f32 };
            }
        }
    };
    match dqkv {
        DQkv::Packed(to) => {
            write(layout.q, &dq, Write::Set, to, 3 * width, 0);
            write(layout.kv, &dk, Write::Set, to, 3 * width, width);
            write(layout.kv, &dv, Write::Set, to, 3 * width, 2 * width);
        }
        DQkv::Split { dq: (to_q, write_q), dkv: (to_kv, write_kv) } => {
            write(layout.q, &dq, write_q, to_q, width, 0);
            write(layout.kv, &dk, write_kv, to_kv, 2 * width, 0);
            write(layout.kv, &dv, write_kv, to_kv, 2 * width, width);
        }
    }
}
