//! Which rows form a sequence, where their numbers lie, and the checks that all of it fits.

use super::places::Places;
use crate::Write;
use crate::dropout::{Dropout, Unit};
use std::ops::Range;

/// Queries, or keys, or values: row i of head h is `data[i·row_stride + h·head_dim ..][..head_dim]`.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'a> {
    pub data: &'a [f32],
    /// The distance in floats from one row to the next.
    pub row_stride: usize,
}

/// [`Heads`] to write.
#[derive(Debug)]
pub struct HeadsMut<'a> {
    pub data: &'a mut [f32],
    /// The distance in floats from one row to the next.
    pub row_stride: usize,
}

/// Which rows form a sequence, and how they see each other.
///
/// A sequence needs a key if it has a query, and a key for each query if it is causal. Ranges may lie in any order and
/// leave gaps; a row in none of them is neither read nor written, and costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    /// Sequence i asks with the query rows `q[i]`. No row asks for two sequences.
    pub q: &'a [Range<usize>],
    /// Sequence i sees the key and value rows `kv[i]`. Several sequences may see the same rows in a forward pass, such
    /// as beams that look at one picture. A backward pass needs a range of its own for each: all texts that look at one
    /// picture are one run of queries.
    pub kv: &'a [Range<usize>],
    /// The number of heads.
    pub heads: usize,
    /// How many floats a head has in each row.
    pub head_dim: usize,
    /// Query i of n sees the first `keys − n + i + 1` keys: queries stand at the end of their sequence. So a lone
    /// query for the last row sees all, and equal ranges give the usual lower triangle.
    pub causal: bool,
    /// Which probabilities are dropped, with a name for each row of queries; a key is named by its place in its sequence.
    pub dropout: Option<Dropout<'a>>,
}

/// Where the gradients of q, k and v go, and whether they are set or added. Rows outside every range keep what they
/// hold, which may be stale, so a caller that multiplies a whole buffer, such as the keys of a cache with room, has to
/// clear those rows first.
#[derive(Debug)]
pub enum DQkv<'a> {
    /// One buffer (N,3d), columns q | k | v, which is set: queries and keys are the same rows.
    Packed(&'a mut [f32]),
    /// `dq` (N,d), `dkv` (M,2d), columns k | v
    ///
    /// Each has its [`Write`]. A key that no query sees has the gradient 0.
    Split { dq: (&'a mut [f32], Write), dkv: (&'a mut [f32], Write) },
}

/// Whether dq, and dk with dv, replace what their rows hold or add to it.
#[derive(Clone, Copy)]
pub(super) struct Writes {
    pub q: Write,
    pub kv: Write,
}

/// Where [`DQkv`] puts the rows of each gradient.
pub(super) struct Gradients<'a> {
    pub dq: Places<'a>,
    pub dk: Places<'a>,
    pub dv: Places<'a>,
    pub writes: Writes,
}

impl Layout<'_> {
    /// Returns the number of sequences.
    pub(super) fn sequences(&self) -> usize {
        self.q.len()
    }

    /// Returns the number of floats that all heads of a row have.
    pub(super) fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Panics unless every sequence is possible and no query row belongs to two.
    #[track_caller]
    pub(super) fn check(&self) {
        assert_eq!(self.q.len(), self.kv.len(), "attention: as many ranges of queries as of keys");
        assert!(self.heads > 0 && self.head_dim > 0, "attention: {} heads of {}", self.heads, self.head_dim);
        for (s, (q, kv)) in self.q.iter().zip(self.kv).enumerate() {
            let fits = q.is_empty() || !kv.is_empty() && (!self.causal || q.len() <= kv.len());
            assert!(fits, "attention: sequence {s} has query rows {q:?} and key rows {kv:?}");
        }
        assert!(disjoint(self.q), "attention: two sequences share a query row");
        if let Some(Dropout { names, unit, .. }) = self.dropout {
            let rows = end(self.q);
            assert!(rows <= names.len(), "attention: dropout of {} rows for {rows}", names.len());
            assert_eq!(unit, Unit::Value, "attention: dropout");
        }
    }

    /// Panics unless each key row belongs to one sequence at most.
    #[track_caller]
    pub(super) fn check_disjoint_keys(&self) {
        assert!(disjoint(self.kv), "attention: two sequences share a key row, and their gradients would meet there");
    }

    /// Panics unless `m` holds all rows of `ranges`.
    #[track_caller]
    pub(super) fn check_rows(&self, name: &str, m: Heads, ranges: &[Range<usize>]) {
        let rows = end(ranges);
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

    /// Returns the number of rows that `lse` has for each head; panics unless these are enough.
    #[track_caller]
    pub(super) fn lse_rows(&self, lse: &[f32]) -> usize {
        let (rows, queries) = (lse.len() / self.heads, end(self.q));
        let fits = lse.len().is_multiple_of(self.heads) && queries <= rows;
        assert!(fits, "attention: lse of {} elements for {} heads of {queries} rows", lse.len(), self.heads);
        rows
    }

    /// Panics unless the gradients have whole rows, enough of them, and no two sequences write one row.
    #[track_caller]
    pub(super) fn gradients<'a>(&self, to: DQkv<'a>) -> Gradients<'a> {
        let (width, d) = (self.width(), self.head_dim);
        let check = |name: &str, len: usize, width: usize, ranges: &[Range<usize>]| {
            let fits = len.is_multiple_of(width) && end(ranges) <= len / width;
            assert!(fits, "attention: {name} has {len} elements for {} rows of {width}", end(ranges));
        };
        self.check_disjoint_keys();
        match to {
            DQkv::Packed(all) => {
                assert!(self.q == self.kv, "attention: packed gradients need keys that are the queries' rows");
                check("dqkv", all.len(), 3 * width, self.q);
                let dq = Places::new(all, 3 * width, d);
                let writes = Writes { q: Write::Set, kv: Write::Set };
                Gradients { dq, dk: dq.at(width), dv: dq.at(2 * width), writes }
            }
            DQkv::Split { dq: (dq, q), dkv: (dkv, kv) } => {
                check("dq", dq.len(), width, self.q);
                check("dkv", dkv.len(), 2 * width, self.kv);
                let dk = Places::new(dkv, 2 * width, d);
                Gradients { dq: Places::new(dq, width, d), dk, dv: dk.at(width), writes: Writes { q, kv } }
            }
        }
    }
}

/// Returns the least number of rows of a buffer that holds all of `ranges`.
fn end(ranges: &[Range<usize>]) -> usize {
    ranges.iter().filter(|range| !range.is_empty()).map(|range| range.end).max().unwrap_or(0)
}

/// Whether no row lies in two ranges. Only ranges in disorder are copied to be sorted.
fn disjoint(ranges: &[Range<usize>]) -> bool {
    let ascend = |ranges: &[Range<usize>]| {
        let mut rows = ranges.iter().filter(|range| !range.is_empty());
        rows.try_fold(0, |end, range| (end <= range.start).then_some(range.end)).is_some()
    };
    ascend(ranges) || {
        let mut sorted = ranges.to_vec();
        sorted.sort_unstable_by_key(|range| range.start);
        ascend(&sorted)
    }
}
