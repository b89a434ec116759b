//! Softmax attention per (sequence, head) over packed rows of unequal lengths.
//!
//! out = softmax(q·kᵀ/√head_dim)·v (Vaswani et al. 2017, eq. 1). The scores of a block of queries and a block of keys
//! live in the cache and nowhere else: the forward pass keeps a running softmax per query (Milakov & Gimelshein 2018),
//! the backward pass makes the probabilities again from the saved log-sum-exp (Dao et al. 2022, algorithm 4).
//!
//! * `block`: many queries: little matrix products between packed blocks;
//! * `few`: so few that packing the keys would cost more than it saves, such as a pooled row;
//! * `naive`: the definition.

mod block;
mod few;
pub mod naive;
mod pack;
mod places;
mod product;
mod softmax;

use crate::isa::Isa;
use crate::parallel::for_pieces;
use pack::Source;
use places::Places;

/// Queries, or keys, or values: row i of head h is `data[i·row_stride + h·head_dim ..][..head_dim]`.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'a> {
    pub data: &'a [f32],
    pub row_stride: usize,
}

/// The same, writable.
#[derive(Debug)]
pub struct HeadsMut<'a> {
    pub data: &'a mut [f32],
    pub row_stride: usize,
}

/// Which rows form a sequence, and how they see each other.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    /// Sequence s has the query rows `q_offsets[s]..q_offsets[s + 1]` …
    pub q_offsets: &'a [usize],
    /// … and the key and value rows `kv_offsets[s]..kv_offsets[s + 1]`. Never fewer keys than queries when causal, and
    /// never queries without any key. Both offsets start at 0.
    pub kv_offsets: &'a [usize],
    pub heads: usize,
    pub head_dim: usize,
    /// Query i of n sees the first `keys − n + i + 1` keys: queries stand at the end of their sequence. So a lone
    /// query for the last row sees all, and equal offsets give the usual lower triangle.
    pub causal: bool,
}

/// Where the gradients of q, k and v go, all rows dense.
#[derive(Debug)]
pub enum DQkv<'a> {
    /// One (rows, 3·heads·head_dim) buffer, columns q | k | v: queries and keys are the same rows.
    Packed(&'a mut [f32]),
    /// dq (query rows, heads·head_dim) and dkv (key rows, 2·heads·head_dim), columns k | v.
    Split { dq: &'a mut [f32], dkv: &'a mut [f32] },
}

/// out = softmax(q·kᵀ/√head_dim)·v; lse (heads, query rows) is the log-sum-exp of each row of scaled scores, from which
/// `backward` recomputes the probabilities.
#[track_caller]
pub fn forward(layout: Layout, q: Heads, k: Heads, v: Heads, out: HeadsMut, lse: &mut [f32]) {
    forward_on(Isa::best(), layout, q, k, v, out, lse);
}

/// [`forward`] on a given instruction set.
#[track_caller]
pub fn forward_on(isa: Isa, layout: Layout, q: Heads, k: Heads, v: Heads, out: HeadsMut, lse: &mut [f32]) {
    let (queries, keys) = layout.check();
    layout.check_rows("q", q, queries);
    layout.check_rows("k", k, keys);
    layout.check_rows("v", v, keys);
    layout.check_rows("out", Heads { data: out.data, row_stride: out.row_stride }, queries);
    layout.check_lse(lse, queries);
    let out = Places::new(out.data, out.row_stride, layout.head_dim);
    let lse = Places::new(lse, 1, 1);
    let splits = layout.query_splits();
    layout.for_tasks(splits, &|s, h, split| {
        let task = layout.task(isa, s, h, q, k, v);
        // SAFETY: each (sequence, head, split) is one task, and touches the out and lse of its own queries only.
        let rows = |i: usize| unsafe {
            (out.row(task.first_query + i, h), &mut lse.row(h * queries + task.first_query + i, 0)[0])
        };
        if task.queries < few::LIMIT {
            if split == 0 {
                few::forward(&task, rows);
            }
        } else {
            block::forward(&task, layout.part(task.queries, split, splits), rows);
        }
    });
}

/// With P = exp(scores − lse), δ = Σ dout·out per row, dS = P∘(dout·vᵀ − δ)/√head_dim:
/// dq = dS·k, dk = dSᵀ·q, dv = Pᵀ·dout. All three are overwritten.
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
    let (queries, keys) = layout.check();
    for (name, rows, n) in
        [("q", q, queries), ("k", k, keys), ("v", v, keys), ("out", out, queries), ("dout", dout, queries)]
    {
        layout.check_rows(name, rows, n);
    }
    layout.check_lse(lse, queries);
    let [dq, dk, dv] = layout.gradients(dqkv, queries, keys);
    layout.for_tasks(1, &|s, h, _| {
        let task = layout.task(isa, s, h, q, k, v);
        let (first_query, first_key) = (task.first_query, layout.kv_offsets[s]);
        let saved = Saved {
            out: layout.source(out, first_query, h),
            dout: layout.source(dout, first_query, h),
            lse: &lse[h * queries + first_query..][..task.queries],
        };
        // SAFETY: each (sequence, head) is one task, and touches the gradients of its own queries and keys only.
        let dq = |i: usize| unsafe { dq.row(first_query + i, h) };
        // SAFETY: as above; dk and dv are different columns.
        let dkv = |j: usize| unsafe { (dk.row(first_key + j, h), dv.row(first_key + j, h)) };
        if (1..few::LIMIT).contains(&task.queries) {
            few::backward(&task, saved, dq, dkv);
        } else {
            block::backward(&task, saved, dq, dkv);
        }
    });
}

/// One head of one sequence.
struct Task<'a> {
    isa: Isa,
    /// The sequence's first query row in the batch.
    first_query: usize,
    queries: usize,
    keys: usize,
    head_dim: usize,
    causal: bool,
    /// 1/√head_dim
    scale: f32,
    q: Source<'a>,
    k: Source<'a>,
    v: Source<'a>,
}

impl Task<'_> {
    /// How many of the `keys` keys from `first_key` on query i sees.
    fn visible(&self, i: usize, first_key: usize, keys: usize) -> usize {
        if self.causal { (self.keys - self.queries + i + 1).saturating_sub(first_key).min(keys) } else { keys }
    }
}

/// What the forward pass left for the backward pass, and the gradient that comes in: the rows of one task.
#[derive(Clone, Copy)]
struct Saved<'a> {
    out: Source<'a>,
    dout: Source<'a>,
    lse: &'a [f32],
}

/// Fewer tasks than this, and a task is a part of a sequence's queries.
const FEW_TASKS: usize = 32;

/// Queries of such a part: whole blocks, so that the bits are the same.
const PART: usize = 2 * block::QUERIES;

/// Multiplications that are not worth a second thread.
const SMALL: usize = 1 << 18;

impl<'a> Layout<'a> {
    fn sequences(&self) -> usize {
        self.q_offsets.len() - 1
    }

    /// Panics unless the offsets make sense; the numbers of query and key rows.
    #[track_caller]
    fn check(&self) -> (usize, usize) {
        let (q, kv) = (self.q_offsets, self.kv_offsets);
        assert!(q.len() == kv.len() && !q.is_empty(), "attention: {} query and {} key offsets", q.len(), kv.len());
        assert!(self.heads > 0 && self.head_dim > 0, "attention: {} heads of {}", self.heads, self.head_dim);
        assert!(q[0] == 0 && kv[0] == 0, "attention: offsets start at {} and {}", q[0], kv[0]);
        for (s, (q, kv)) in q.windows(2).zip(kv.windows(2)).enumerate() {
            let fits = q[0] <= q[1] && kv[0] <= kv[1] && {
                let (queries, keys) = (q[1] - q[0], kv[1] - kv[0]);
                queries == 0 || (keys > 0 && (!self.causal || queries <= keys))
            };
            assert!(
                fits,
                "attention: sequence {s} has query rows {}..{} and key rows {}..{}",
                q[0], q[1], kv[0], kv[1]
            );
        }
        (q[q.len() - 1], kv[kv.len() - 1])
    }

    #[track_caller]
    fn check_rows(&self, name: &str, m: Heads, rows: usize) {
        let fits = rows == 0
            || self.heads.checked_mul(self.head_dim).is_some_and(|width| {
                let end = (rows - 1).checked_mul(m.row_stride).and_then(|start| start.checked_add(width));
                m.row_stride >= width && end.is_some_and(|end| end <= m.data.len())
            });
        assert!(
            fits,
            "attention: {name} has {} elements at stride {} for {rows} rows of {} heads of {}",
            m.data.len(),
            m.row_stride,
            self.heads,
            self.head_dim
        );
    }

    #[track_caller]
    fn check_lse(&self, lse: &[f32], queries: usize) {
        assert_eq!(lse.len(), self.heads * queries, "attention: lse of {} heads, {queries} query rows", self.heads);
    }

    /// dq, dk and dv.
    #[track_caller]
    fn gradients<'b>(&self, to: DQkv<'b>, queries: usize, keys: usize) -> [Places<'b>; 3] {
        let (width, d) = (self.heads * self.head_dim, self.head_dim);
        match to {
            DQkv::Packed(all) => {
                assert!(self.q_offsets == self.kv_offsets, "attention: packed gradients need equal offsets");
                assert_eq!(all.len(), queries * 3 * width, "attention: {queries} rows of 3·{width} gradients");
                let q = Places::new(all, 3 * width, d);
                [q, q.at(width), q.at(2 * width)]
            }
            DQkv::Split { dq, dkv } => {
                assert_eq!(dq.len(), queries * width, "attention: dq of {queries} rows of {width}");
                assert_eq!(dkv.len(), keys * 2 * width, "attention: dkv of {keys} rows of 2·{width}");
                let k = Places::new(dkv, 2 * width, d);
                [Places::new(dq, width, d), k, k.at(width)]
            }
        }
    }

    /// The rows of head h from `row` on.
    fn source<'b>(&self, m: Heads<'b>, row: usize, h: usize) -> Source<'b> {
        let start = row * m.row_stride + h * self.head_dim;
        Source { data: m.data.get(start..).unwrap_or_default(), stride: m.row_stride }
    }

    fn task<'b>(&self, isa: Isa, s: usize, h: usize, q: Heads<'b>, k: Heads<'b>, v: Heads<'b>) -> Task<'b> {
        let (first_query, first_key) = (self.q_offsets[s], self.kv_offsets[s]);
        Task {
            isa,
            first_query,
            queries: self.q_offsets[s + 1] - first_query,
            keys: self.kv_offsets[s + 1] - first_key,
            head_dim: self.head_dim,
            causal: self.causal,
            scale: 1.0 / (self.head_dim as f32).sqrt(),
            q: self.source(q, first_query, h),
            k: self.source(k, first_key, h),
            v: self.source(v, first_key, h),
        }
    }

    /// Into how many parts the queries of each sequence are cut.
    fn query_splits(&self) -> usize {
        let longest = self.q_offsets.windows(2).map(|q| q[1] - q[0]).max().unwrap_or(0);
        if self.sequences() * self.heads < FEW_TASKS { longest.div_ceil(PART).max(1) } else { 1 }
    }

    /// The queries of part `split` of `splits`.
    fn part(&self, queries: usize, split: usize, splits: usize) -> std::ops::Range<usize> {
        if splits == 1 { 0..queries } else { (split * PART).min(queries)..((split + 1) * PART).min(queries) }
    }

    /// Calls `f(sequence, head, split)` for all, on as many threads as there are unless that is not worth it.
    fn for_tasks(&self, splits: usize, f: &(impl Fn(usize, usize, usize) + Sync)) {
        let tasks = self.sequences() * self.heads * splits;
        let sequences = self.q_offsets.windows(2).zip(self.kv_offsets.windows(2));
        let scores: usize = sequences.map(|(q, kv)| (q[1] - q[0]) * (kv[1] - kv[0])).sum();
        let piece = if scores * self.heads * self.head_dim < SMALL { tasks } else { 1 };
        for_pieces(tasks, piece, 0..tasks, &|tasks| {
            tasks.for_each(|t| f(t / splits / self.heads, t / splits % self.heads, t % splits))
        });
    }
}
