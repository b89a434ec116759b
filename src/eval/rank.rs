//! Ranks of the right answers among all candidates, computed without storing all similarities.
//!
//! Scores can tie: two equal pictures have equal embeddings, and a model that has learnt nothing gives one embedding to
//! everything. An argmax over ties rewards the candidate that happens to come first. Here a tie counts by its expected
//! value under random tie-breaking, so that a constant model scores exactly chance.

use kernels::{Epilogue, Mat, MatMut, gemm};
use ndarray::ArrayView2;
use rayon::prelude::*;

/// Number of similarities held at a time: 4 MB of f32, which stays in the last-level cache between the product and the
/// scan.
const BLOCK: usize = 1 << 20;

/// The rank of the best positive of one query. Positives are the candidates that are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// Number of candidates that score strictly higher than the best positive.
    pub above: usize,
    /// Number of candidates with exactly the best positive's score, positives included.
    pub tied: usize,
    /// Number of positives among the tied candidates. 0 means that the scores of all positives are NaN: always a miss.
    pub positives: usize,
}

impl Rank {
    /// Returns the rank that a constant model gives: all `n` candidates tie, and `positives` of them are right.
    pub(crate) fn constant(n: usize, positives: usize) -> Self {
        Rank { above: 0, tied: n, positives }
    }

    /// Returns the rank of the best of `positives` (distinct indices into `scores`). A NaN score is below every number.
    pub fn of(scores: &[f32], positives: &[usize]) -> Self {
        let best = positives.iter().map(|&p| scores[p]).fold(f32::NAN, f32::max);
        Rank {
            above: scores.iter().filter(|&&s| s > best).count(),
            tied: scores.iter().filter(|&&s| s == best).count(),
            positives: positives.iter().filter(|&&p| scores[p] == best).count(),
        }
    }

    /// Returns the probability that a positive is among the first k when ties are broken at random.
    ///
    /// `above` places are taken; the `free` others of the k are drawn from the tied candidates, some of which are
    /// right:
    ///
    /// ```text
    /// no hit = ∏ (wrong − i) / (tied − i)        over i = 0 … free − 1
    /// hit    = 1 − no hit                        free / tied if one candidate is right
    /// ```
    pub fn hit(&self, k: usize) -> f64 {
        if self.positives == 0 {
            return 0.0;
        }
        let free = k.saturating_sub(self.above).min(self.tied);
        let wrong = self.tied - self.positives;
        1.0 - (0..free).map(|i| wrong.saturating_sub(i) as f64 / (self.tied - i) as f64).product::<f64>()
    }
}

/// Returns the recall at k: the mean of [`Rank::hit`] over the queries, or 0 without queries.
pub fn recall(ranks: &[Rank], k: usize) -> f64 {
    ranks.iter().map(|r| r.hit(k)).sum::<f64>() / ranks.len().max(1) as f64
}

/// Returns the rank of every query's best positive by similarity ⟨query, candidate⟩.
///
/// queries (N,e), candidates (M,e)
///
/// `positives[n]` are the candidates that are right for query n, each named once.
#[track_caller]
pub fn ranks<P: AsRef<[usize]> + Sync>(
    queries: ArrayView2<f32>,
    candidates: ArrayView2<f32>,
    positives: &[P],
) -> Vec<Rank> {
    let (n, lists) = (queries.nrows(), positives.len());
    assert_eq!(n, lists, "queries {:?}, but {lists} lists of positives", queries.dim());
    scan(queries, candidates, |query, scores| Rank::of(scores, positives[query].as_ref()))
}

/// Calls `read(n, scores)` for every query n with its similarities to all candidates; returns the results in order.
/// The N×M similarities are computed and read a block of rows at a time.
///
/// queries (N,e), candidates (M,e), `scores` (M)
#[track_caller]
pub fn scan<T: Send>(
    queries: ArrayView2<f32>,
    candidates: ArrayView2<f32>,
    read: impl Fn(usize, &[f32]) -> T + Sync,
) -> Vec<T> {
    let (n, c, d) = (queries.nrows(), candidates.nrows(), queries.ncols());
    assert_eq!(d, candidates.ncols(), "queries {:?}, candidates {:?}", queries.dim(), candidates.dim());
    let (queries, candidates) = (queries.as_standard_layout(), candidates.as_standard_layout());
    let queries = queries.as_slice().expect("standard layout");
    let columns = Mat::new(candidates.as_slice().expect("standard layout"), c, d).t();

    let block = (BLOCK / c.max(1)).clamp(1, n.max(1));
    let mut scores = vec![0.0; block * c];
    let mut out = Vec::with_capacity(n);
    for start in (0..n).step_by(block) {
        let rows = block.min(n - start);
        let block_queries = Mat::new(&queries[start * d..][..rows * d], rows, d);
        let block_scores = MatMut::new(&mut scores[..rows * c], rows, c);
        gemm::gemm(1.0, block_queries, columns, 0.0, block_scores, Epilogue::None);
        out.par_extend((0..rows).into_par_iter().map(|row| read(start + row, &scores[row * c..][..c])));
    }
    out
}
