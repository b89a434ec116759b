//! Exact search for the nearest rows, by reading all of them.

use super::data::Data;
use super::{Entry, Index, IndexError, IndexFileError, Selection};
use crate::best::{Best, Scored};
use kernels::half;
use rayon::prelude::*;
use std::ops::Range;

/// Number of bytes of a file that a thread reads at a time. They stay in the second-level cache until they are
/// multiplied.
pub(super) const BLOCK: usize = 1 << 18;
/// Largest accepted cosine: that of two unit vectors, with room for the rounding of one of them to f16.
const MAX_COSINE: f32 = 1.01;
/// Whoever asks for more than one row of so many gains nothing from codes, since too many rows are read besides.
const CODES_RATIO: usize = 32;

/// A picture that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The cosine of its embedding and the query's.
    pub score: f32,
    /// The row that the picture has in this generation of the index.
    pub row: usize,
    pub entry: Entry,
}

impl Index {
    /// Returns the k pictures of a selection whose embeddings have the largest cosines with the query, or all if there
    /// are fewer than k. The largest cosine comes first, and of equal ones the picture that was indexed first.
    ///
    /// `query` (e), of unit length
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or holds anything else than unit vectors and entries. Rows that are not
    /// near enough to be read are not checked.
    ///
    /// # Panics
    /// Panics if the query does not have e numbers.
    #[track_caller]
    pub fn search(&self, among: &Selection, query: &[f32], k: usize) -> Result<Vec<Hit>, IndexError> {
        let (len, e) = (query.len(), self.manifest.embed_dim);
        assert_eq!(len, e, "a query of {len}, an index of width {e}");
        let k = k.min(among.count);
        let best = if self.manifest.has_codes() && k * CODES_RATIO <= among.count {
            self.nearest_by_codes(among, query, k)?
        } else {
            self.nearest(among, query, k)?
        };
        let entries = self.entries_at(best.iter().map(|near| near.place))?;
        Ok(best.iter().zip(entries).map(|(near, entry)| Hit { score: near.score, row: near.place, entry }).collect())
    }

    /// Scans blocks of rows on all threads. The order of rows is total, so the first k do not depend on how the blocks
    /// are shared among threads.
    pub(super) fn nearest(&self, among: &Selection, query: &[f32], k: usize) -> Result<Vec<Scored>, IndexError> {
        let start = || Worker { best: Best::new(k), bytes: vec![], scores: vec![] };
        let best = self
            .blocks(Data::Matrix)
            .try_fold(start, |mut worker, rows| self.scan(rows, among, query, &mut worker).map(|()| worker))
            .map(|worker| worker.map(|worker: Worker| worker.best))
            .try_reduce(|| Best::new(k), |a, b| Ok(a.join(b)))?;
        Ok(best.sorted())
    }

    /// Returns the rows of a file, so many at a time as a thread reads.
    pub(super) fn blocks(&self, data: Data) -> impl IndexedParallelIterator<Item = Range<usize>> {
        let (all, rows) = (self.manifest.rows, (BLOCK / self.manifest.row_bytes(data)).max(1));
        (0..all.div_ceil(rows)).into_par_iter().map(move |block| block * rows..all.min((block + 1) * rows))
    }

    /// Offers the selected rows of one block to the worker's best.
    fn scan(
        &self,
        rows: Range<usize>,
        among: &Selection,
        query: &[f32],
        worker: &mut Worker,
    ) -> Result<(), IndexError> {
        let excluded = among.excluded_of(&rows);
        if excluded.len() == rows.len() {
            return Ok(());
        }
        let Worker { best, bytes, scores } = worker;
        let width = self.manifest.row_bytes(Data::Matrix);
        bytes.resize(rows.len() * width, 0);
        scores.resize(rows.len(), 0.0);
        self.read(Data::Matrix, bytes, (rows.start * width) as u64)?;
        half::products(bytes, query, scores);
        let mut excluded = excluded.iter().peekable();
        for (row, &score) in rows.zip(&*scores) {
            if excluded.next_if_eq(&&row).is_none() {
                best.offer(self.checked(row, score)?);
            }
        }
        Ok(())
    }

    /// Returns the score of a row, if it is the cosine of unit vectors.
    pub(super) fn checked(&self, row: usize, score: f32) -> Result<Scored, IndexError> {
        // NaN is outside of the range as well.
        if !(-MAX_COSINE..=MAX_COSINE).contains(&score) {
            let error = IndexFileError::NotAUnit { row, product: score };
            return Err(IndexError::broken(self.path(Data::Matrix))(error));
        }
        Ok(Scored { score, place: row })
    }
}

/// The state that a thread keeps from block to block.
struct Worker {
    best: Best,
    bytes: Vec<u8>,
    scores: Vec<f32>,
}
