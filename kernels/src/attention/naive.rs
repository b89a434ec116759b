//! The definition, one (sequence, head, query) after the other, in f64.

use super::{DQkv, Heads, HeadsMut, Layout};

/// Row i of head h.
fn row<'a>(m: Heads<'a>, layout: &Layout, i: usize, h: usize) -> &'a [f32] {
    &m.data[i * m.row_stride + h * layout.head_dim..][..layout.head_dim]
}

fn dot(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
}

/// Calls `f(head, query row, rows of the visible keys)` for each query of each head.
fn for_queries(layout: &Layout, mut f: impl FnMut(usize, usize, std::ops::Range<usize>)) {
    for (s, q) in layout.q_offsets.windows(2).enumerate() {
        let (first, end) = (layout.kv_offsets[s], layout.kv_offsets[s + 1]);
        for h in 0..layout.heads {
            for i in q[0]..q[1] {
                f(h, i, first..if layout.causal { end - (q[1] - 1 - i) } else { end });
            }
        }
    }
}

pub fn forward(layout: Layout, q: Heads, k: Heads, v: Heads, out: HeadsMut, lse: &mut [f32]) {
    let d = layout.head_dim;
    let queries = lse.len() / layout.heads;
    for_queries(&layout, |h, i, keys| {
        let score = |j: usize| dot(row(q, &layout, i, h), row(k, &layout, j, h)) / (d as f64).sqrt();
        let max = keys.clone().map(score).fold(f64::NEG_INFINITY, f64::max);
        let log_sum = max + keys.clone().map(|j| (score(j) - max).exp()).sum::<f64>().ln();
        for c in 0..d {
            let value: f64 =
                keys.clone().map(|j| (score(j) - log_sum).exp() * f64::from(row(v, &layout, j, h)[c])).sum();
            out.data[i * out.row_stride + h * d + c] = value as f32;
        }
        lse[h * queries + i] = log_sum as f32;
    });
}

pub fn backward(layout: Layout, q: Heads, k: Heads, v: Heads, out: Heads, lse: &[f32], dout: Heads, dqkv: DQkv) {
    let (d, width) = (layout.head_dim, layout.heads * layout.head_dim);
    let (queries, scale) = (lse.len() / layout.heads, 1.0 / (d as f64).sqrt());
    let keys = layout.kv_offsets.last().map_or(0, |&end| end);
    let mut dq = vec![0.0f64; queries * width];
    let (mut dk, mut dv) = (vec![0.0f64; keys * width], vec![0.0f64; keys * width]);
    for_queries(&layout, |h, i, keys| {
        let (q, dout) = (row(q, &layout, i, h), row(dout, &layout, i, h));
        let delta = dot(dout, row(out, &layout, i, h));
        for j in keys {
            let (k, v) = (row(k, &layout, j, h), row(v, &layout, j, h));
            let p = (dot(q, k) * scale - f64::from(lse[h * queries + i])).exp();
            let ds = p * (dot(dout, v) - delta) * scale;
            for c in 0..d {
                dq[i * width + h * d + c] += ds * f64::from(k[c]);
                dk[j * width + h * d + c] += ds * f64::from(q[c]);
                dv[j * width + h * d + c] += p * f64::from(dout[c]);
            }
        }
    });
    match dqkv {
        DQkv::Packed(to) => {
            copy(&dq, width, to, 3 * width, 0);
            copy(&dk, width, to, 3 * width, width);
            copy(&dv, width, to, 3 * width, 2 * width);
        }
        DQkv::Split { dq: to_q, dkv } => {
            copy(&dq, width, to_q, width, 0);
            copy(&dk, width, dkv, 2 * width, 0);
            copy(&dv, width, dkv, 2 * width, width);
        }
    }
}

fn copy(from: &[f64], width: usize, to: &mut [f32], stride: usize, offset: usize) {
    for (i, &x) in from.iter().enumerate() {
        to[i / width * stride + offset + i % width] = x as f32;
    }
}
