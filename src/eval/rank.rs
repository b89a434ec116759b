//! Where the right answers stand among all candidates, without ever storing the similarities.
//!
//! Scores can tie: two equal pictures have equal embeddings, and a model that has learnt nothing gives one embedding to
//! everything. An argmax over ties rewards whatever happens to come first; here a tie is worth its expected value under
//! random tie-breaking, so a constant model scores exactly chance.

use kernels::{Epilogue, Mat, MatMut, gemm};
use ndarray::ArrayView2;
use rayon::prelude::*;

/// Similarities held at a time: 4 MB of f32, which stays in the last-level cache between the product and the scan.
const BLOCK: usize = 1 << 20;

/// What one query's ranking says about its positives (the candidates that are right).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// Candidates that score strictly higher than the best positive.
    pub above: usize,
    /// Candidates with exactly the best positive's score, the positives among them included.
    pub tied: usize,
    /// Positives among the tied ones. 0 means that no positive has a score at all (every one is NaN): always a miss.
    pub positives: usize,
}

impl Rank {
    /// The rank that a constant model gives: all `n` candidates tie, `positives` of them are right.
    pub fn constant(n: usize, positives: usize) -> Self {
        Rank { above: 0, tied: n, positives }
    }

    /// The rank of the best of `positives` (distinct indices into `scores`). A NaN score stands below every number.
    pub fn of(scores: &[f32], positives: &[usize]) -> Self {
        let best = positives.iter().map(|&p| scores[p]).fold(f32::NAN, f32::max);
        Rank {
            above: scores.iter().filter(|&&s| s > best).count(),
            tied: scores.iter().filter(|&&s| s == best).count(),
            positives: positives.iter().filter(|&&p| scores[p] == best).count(),
        }
    }

    /// Probability that a positive is among the first k when ties are broken at random.
    ///
    /// `above` places are taken; the other r = k − above are drawn from the t tied candidates, p of which are right:
    ///
    /// P(hit) = 1 − C(t−p, r) / C(t, r) = 1 − ∏_{i<r} (t−p−i) / (t−i), which for p = 1 is r / t.
    pub fn hit(&self, k: usize) -> f64 {
        if self.positives == 0 {
            return 0.0;
        }
        let free = k.saturating_sub(self.above).min(self.tied);
        let wrong = self.tied - self.positives;
        1.0 - (0..free).map(|i| wrong.saturating_sub(i) as f64 / (self.tied - i) as f64).product::<f64>()
    }
}

/// Mean of [`Rank::hit`] over the queries: the recall at k. 0 without queries.
pub fn recall(ranks: &[Rank], k: usize) -> f64 {
    ranks.iter().map(|r| r.hit(k)).sum::<f64>() / ranks.len().max(1) as f64
}

/// The rank of every query's best positive by similarity ⟨query, candidate⟩.
///
/// queries (N, d), candidates (C, d); `positives[n]` are the candidates that are right for query n. The N×C similarities
/// are made and read a block of rows at a time.
#[track_caller]
pub fn ranks<P: AsRef<[usize]> + Sync>(
    queries: ArrayView2<f32>,
    candidates: ArrayView2<f32>,
    positives: &[P],
) -> Vec<Rank> {
    let (n, c) = (queries.nrows(), candidates.nrows());
    assert_eq!(n, positives.len(), "queries {:?}, but {} lists of positives", queries.dim(), positives.len());
    assert_eq!(queries.ncols(), candidates.ncols(), "queries {:?}, candidates {:?}", queries.dim(), candidates.dim());
    if c == 0 {
        return vec![Rank::constant(0, 0); n];
    }
    let (queries, candidates) = (queries.as_standard_layout(), candidates.as_standard_layout());
    let (q, d) = (queries.as_slice().expect("standard layout"), queries.ncols());
    let columns = Mat::new(candidates.as_slice().expect("standard layout"), c, d).t();

    let block = (BLOCK / c).clamp(1, n.max(1));
    let mut scores = vec![0.0; block * c];
    let mut ranks = Vec::with_capacity(n);
    for start in (0..n).step_by(block) {
        let rows = block.min(n - start);
        let scores = &mut scores[..rows * c];
        let block_queries = Mat::new(&q[start * d..][..rows * d], rows, d);
        gemm::gemm(1.0, block_queries, columns, 0.0, MatMut::new(scores, rows, c), Epilogue::None);
        ranks.par_extend(
            scores.par_chunks(c).zip(&positives[start..start + rows]).map(|(s, p)| Rank::of(s, p.as_ref())),
        );
    }
    ranks
}
