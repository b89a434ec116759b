//! Softmax attention per (sequence, head) over packed rows of unequal lengths.
//!
//! out = softmax(q·kᵀ/√head_dim)·v (Vaswani et al. 2017, eq. 1). The scores of a block of queries and a block of keys
//! live in the cache and nowhere else: the forward pass keeps a running softmax per query (Milakov & Gimelshein 2018),
//! the backward pass makes the probabilities again from the saved log-sum-exp (Dao et al. 2022, appendix B).
//!
//! (Vaswani et al. 2017, eq. 1.) The scores of a block of queries and a block of keys live in the cache and nowhere
//! else: the forward pass keeps a running softmax per query (Milakov & Gimelshein 2018), the backward pass makes the
//! probabilities again from the saved log-sum-exp (Dao et al. 2022, algorithm 4).
//!
//! Where probabilities are dropped, the mask m of [`dropout`](crate::dropout) is put before them. The softmax is that
//! of all keys, and the sum Σ P∘dP of a row is ⟨dout, out⟩ as ever.
//!
//! ```text
//! out = (m∘P)·v
//! dv  = (m∘P)ᵀ·dout
//! dP  = m∘(dout·vᵀ)
//! ```
//!
//! | file | what it is for |
//! |---|---|
//! | `layout` | which rows form a sequence, where numbers lie, and the checks |
//! | `task` | one head of one sequence |
//! | `block` | many queries: little matrix products between packed blocks |
//! | `few` | so few queries that packing the keys would cost more than it saves, such as a pooled row |
//! | `product`, `softmax` | the steps of a block |
//! | `pack`, `places` | rows read into blocks; rows that several threads write |
//! | `naive` | the definition |

mod block;
mod few;
mod layout;
pub mod naive;
mod pack;
mod places;
mod product;
mod softmax;
mod task;

pub use layout::{DQkv, Heads, HeadsMut, Layout};

use crate::Write;
use crate::isa::Isa;
use crate::parallel::for_pieces;
use layout::Gradients;
use places::Places;
use std::ops::Range;
use task::{Saved, Task};

/// out = softmax(q·kᵀ/√c)·v
///
/// The log-sum-exp of each row of scaled scores is kept. From it [`backward`] computes the probabilities again.
///
/// `lse` (heads, query rows). Rows of `out` and `lse` outside every range of queries keep what they hold.
///
/// # Panics
/// If the ranges make no sense (see [`Layout`]) or a slice is too short for them.
#[track_caller]
pub fn forward(layout: Layout, q: Heads, k: Heads, v: Heads, out: HeadsMut, lse: &mut [f32]) {
    forward_on(Isa::best(), layout, q, k, v, out, lse);
}

/// [`forward`] on a given instruction set.
#[track_caller]
pub fn forward_on(isa: Isa, layout: Layout, q: Heads, k: Heads, v: Heads, out: HeadsMut, lse: &mut [f32]) {
    layout.check();
    for (name, m, ranges) in [("q", q, layout.q), ("k", k, layout.kv), ("v", v, layout.kv)] {
        layout.check_rows(name, m, ranges);
    }
    layout.check_rows("out", Heads { data: out.data, row_stride: out.row_stride }, layout.q);
    let lse_rows = layout.lse_rows(lse);
    let out = Places::new(out.data, out.row_stride, layout.head_dim);
    let lse = Places::new(lse, 1, 1);
    let parts = query_parts(&layout);
    for_tasks(&layout, parts, &|s, h, part| {
        let task = Task::new(isa, &layout, s, h, q, k, v);
        let first = layout.q[s].start;
        // SAFETY: `check` found that no query row belongs to two sequences. So each (sequence, head, part) is one task
        // and takes the out and lse of its own queries only, one after the other.
        let row = |i: usize| unsafe { (out.row(first + i, h), &mut lse.row(h * lse_rows + first + i, 0)[0]) };
        if task.queries > few::MAX_QUERIES {
            let start = (part * PART_QUERIES).min(task.queries);
            let end = if parts == 1 { task.queries } else { (start + PART_QUERIES).min(task.queries) };
            block::forward(&task, start..end, row);
        } else if part == 0 {
            few::forward(&task, row);
        }
    });
}

/// Computes the gradients of q, k and v.
///
/// ```text
/// P  = exp(S − lse)
/// dS = P∘(dout·vᵀ − ⟨dout, out⟩ of the row)
/// dq = dS·k/√c
/// dk = dSᵀ·q/√c
/// dv = Pᵀ·dout
/// ```
///
/// Each gradient is set or added to as [`DQkv`] says.
///
/// # Panics
/// If [`forward`] would, or if two sequences share a key row.
#[track_caller]
pub fn backward(layout: Layout, q: Heads, k: Heads, v: Heads, out: Heads, lse: &[f32], dout: Heads, dqkv: DQkv) {
    backward_on(Isa::best(), layout, q, k, v, out, lse, dout, dqkv);
}

/// [`backward`] on a given instruction set.
#[track_caller]
pub fn backward_on(
    isa: Isa,
    layout: Layout,
    q: Heads,
    k: Heads,
    v: Heads,
    out: Heads,
    lse: &[f32],
    dout: Heads,
    dqkv: DQkv,
) {
    layout.check();
    for (name, m, ranges) in
        [("q", q, layout.q), ("k", k, layout.kv), ("v", v, layout.kv), ("out", out, layout.q), ("dout", dout, layout.q)]
    {
        layout.check_rows(name, m, ranges);
    }
    let lse_rows = layout.lse_rows(lse);
    let Gradients { dq, dk, dv, writes } = layout.gradients(dqkv);
    // SAFETY (of the calls of `row` in this function): `check` and `gradients` found that no query row and no key row
    // belongs to two sequences, and dq, dk and dv are different columns or buffers. So each (sequence, head) takes the
    // gradients of its own rows only, one after the other.
    if writes.kv == Write::Set {
        for (_, keys) in layout.q.iter().zip(layout.kv).filter(|(q, _)| q.is_empty()) {
            for (h, j) in (0..layout.heads).flat_map(|h| keys.clone().map(move |j| (h, j))) {
                unsafe { (dk.row(j, h).fill(0.0), dv.row(j, h).fill(0.0)) };
            }
        }
    }
    for_tasks(&layout, 1, &|s, h, _| {
        let task = Task::new(isa, &layout, s, h, q, k, v);
        let saved = Saved::new(&layout, s, h, out, lse, lse_rows, dout);
        let (first_query, first_key) = (layout.q[s].start, layout.kv[s].start);
        let dq = |i: usize| unsafe { dq.row(first_query + i, h) };
        let dkv = |j: usize| unsafe { (dk.row(first_key + j, h), dv.row(first_key + j, h)) };
        if task.queries > few::MAX_QUERIES {
            block::backward(&task, saved, writes, dq, dkv);
        } else {
            few::backward(&task, saved, writes, dq, dkv);
        }
    });
}

/// If there are fewer tasks than this, the queries of each sequence are cut into parts, one task each.
const MIN_WHOLE_TASKS: usize = 32;

/// Such a part has this many queries: whole blocks, so that the bits do not depend on the cut.
const PART_QUERIES: usize = 2 * block::QUERIES;

/// Fewer multiplications than this are not worth a second thread.
const MIN_PARALLEL: usize = 1 << 18;

/// Returns how many parts the queries of each sequence are cut into.
fn query_parts(layout: &Layout) -> usize {
    let longest = layout.q.iter().map(Range::len).max().unwrap_or(0);
    if layout.sequences() * layout.heads < MIN_WHOLE_TASKS { longest.div_ceil(PART_QUERIES).max(1) } else { 1 }
}

/// Calls `f(sequence, head, part)` for all that have queries, on as many threads as there are unless that is not worth
/// it.
fn for_tasks(layout: &Layout, parts: usize, f: &(impl Fn(usize, usize, usize) + Sync)) {
    let tasks = layout.sequences() * layout.heads * parts;
    let scores: usize = layout.q.iter().zip(layout.kv).map(|(q, kv)| q.len() * kv.len()).sum();
    let piece = if scores * layout.width() < MIN_PARALLEL { tasks } else { 1 };
    for_pieces(tasks, piece, 0..tasks, &|tasks| {
        tasks.map(|t| (t / parts / layout.heads, t / parts % layout.heads, t % parts)).for_each(|(s, h, part)| {
            if !layout.q[s].is_empty() {
                f(s, h, part);
            }
        });
    });
}
