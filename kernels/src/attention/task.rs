//! One head of one sequence that has queries: what a thread computes at a time.

use super::layout::{Heads, Layout};
use super::pack::Source;
use crate::dropout::{self, Draw};
use crate::isa::Isa;

/// One head of one sequence.
pub(super) struct Task<'a> {
    pub isa: Isa,
    /// The number of queries of the sequence.
    pub queries: usize,
    /// The number of keys that the sequence sees.
    pub keys: usize,
    pub head_dim: usize,
    pub causal: bool,
    /// The factor 1/√head_dim of the scores.
    pub scale: f32,
    pub q: Source<'a>,
    pub k: Source<'a>,
    pub v: Source<'a>,
    dropout: Option<Dropped<'a>>,
}

/// What is dropped of a head's probabilities; there is a name for each query.
#[derive(Clone, Copy)]
struct Dropped<'a> {
    draw: Draw,
    names: &'a [[u32; 2]],
    head: u32,
}

/// What the forward pass left for the backward pass of one task, and the gradient that comes in.
#[derive(Clone, Copy)]
pub(super) struct Saved<'a> {
    pub out: Source<'a>,
    pub dout: Source<'a>,
    pub lse: &'a [f32],
}

impl<'a> Task<'a> {
    /// Views head `h` of sequence `s`.
    pub fn new(isa: Isa, layout: &Layout<'a>, s: usize, h: usize, q: Heads<'a>, k: Heads<'a>, v: Heads<'a>) -> Self {
        let (queries, keys) = (&layout.q[s], &layout.kv[s]);
        let rows = |m, first| rows_of_head(layout, m, first, h);
        Task {
            isa,
            queries: queries.len(),
            keys: keys.len(),
            head_dim: layout.head_dim,
            causal: layout.causal,
            scale: 1.0 / (layout.head_dim as f32).sqrt(),
            q: rows(q, queries.start),
            k: rows(k, keys.start),
            v: rows(v, keys.start),
            dropout: layout.dropout.map(|dropout| Dropped {
                draw: dropout.draw(),
                names: &dropout.names[queries.clone()],
                head: h as u32,
            }),
        }
    }

    /// Counts the keys that query i sees, among the `keys` keys from `first_key` on.
    pub fn visible(&self, i: usize, first_key: usize, keys: usize) -> usize {
        if self.causal { (self.keys - self.queries + i + 1).saturating_sub(first_key).min(keys) } else { keys }
    }

    /// Returns m of query i for the keys from `first_key` on, or nothing if nothing is dropped.
    pub fn mask<'m>(&self, i: usize, first_key: usize, mask: &'m mut [f32]) -> Option<&'m [f32]> {
        let Dropped { draw, names, head } = self.dropout?;
        dropout::fill(self.isa, draw, names[i], head, first_key, mask);
        Some(mask)
    }
}

impl<'a> Saved<'a> {
    /// Views head `h` of sequence `s`; `lse` has `lse_rows` rows for each head.
    pub fn new(
        layout: &Layout,
        s: usize,
        h: usize,
        out: Heads<'a>,
        lse: &'a [f32],
        lse_rows: usize,
        dout: Heads<'a>,
    ) -> Self {
        let queries = &layout.q[s];
        let rows = |m| rows_of_head(layout, m, queries.start, h);
        Saved { out: rows(out), dout: rows(dout), lse: &lse[h * lse_rows..][queries.clone()] }
    }
}

/// Views the rows of head h from `first` on.
fn rows_of_head<'a>(layout: &Layout, m: Heads<'a>, first: usize, h: usize) -> Source<'a> {
    Source { data: &m.data[first * m.row_stride + h * layout.head_dim..], stride: m.row_stride }
}
