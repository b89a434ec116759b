//! Exact search for the nearest rows, by reading a byte for each number and then the rows that may be among the nearest.
//!
//! Of every row the codes say between which numbers its score lies. The k-th largest of all lower numbers is `least`: k
//! rows have scores as high as this. A row whose upper number is below it has k rows before it, and is left. What remains
//! is multiplied as it is stored, so the result is that of reading all rows, to the bit; only far fewer bytes are read.

use super::data::Data;
use super::{Index, IndexError, IndexFileError, Selection};
use crate::best::{Best, Scored};
use kernels::codes::Query;
use kernels::half;
use rayon::prelude::*;
use std::ops::Range;

/// Number of rows that a thread reads at a time, of those that remain.
const AT_A_TIME: usize = 64;

/// A row that may be among the nearest.
#[derive(Clone, Copy, Debug)]
struct Likely {
    row: usize,
    /// Between which numbers its score is.
    lower: f32,
    upper: f32,
}

/// The state that a thread keeps from block to block.
struct Worker {
    /// The k largest of the lower numbers.
    lower: Best,
    likely: Vec<Likely>,
    bytes: Vec<u8>,
    bounds: [Vec<f32>; 2],
}

impl Index {
    /// Returns what [`nearest`](Index::nearest) does.
    pub(super) fn nearest_by_codes(
        &self,
        among: &Selection,
        query: &[f32],
        k: usize,
    ) -> Result<Vec<Scored>, IndexError> {
        if k == 0 {
            return Ok(vec![]);
        }
        let coded = Query::new(query);
        let start = || Worker { lower: Best::new(k), likely: vec![], bytes: vec![], bounds: Default::default() };
        let (lower, mut likely) = self
            .blocks(Data::Codes)
            .try_fold(start, |mut worker, rows| self.bound(rows, among, &coded, &mut worker).map(|()| worker))
            .map(|worker| worker.map(|worker: Worker| (worker.lower, worker.likely)))
            .try_reduce(|| (Best::new(k), vec![]), |a, b| Ok((a.0.join(b.0), [a.1, b.1].concat())))?;
        let least = lower.least();
        likely.retain(|likely| !is_behind(likely.upper, least));
        likely.par_sort_unstable_by_key(|likely| likely.row);
        self.nearest_of(&likely, query, k)
    }

    /// Offers the selected rows of one block to the worker's lower numbers, and keeps those that may be among the nearest
    /// as far as the worker knows.
    fn bound(
        &self,
        rows: Range<usize>,
        among: &Selection,
        query: &Query,
        worker: &mut Worker,
    ) -> Result<(), IndexError> {
        let excluded = among.excluded_of(&rows);
        if excluded.len() == rows.len() {
            return Ok(());
        }
        let Worker { lower: best, likely, bytes, bounds } = worker;
        let [lower, upper] = bounds;
        let width = self.manifest.row_bytes(Data::Codes);
        bytes.resize(rows.len() * width, 0);
        lower.resize(rows.len(), 0.0);
        upper.resize(rows.len(), 0.0);
        self.read(Data::Codes, bytes, (rows.start * width) as u64)?;
        query.bounds(bytes, lower, upper);
        let mut least = best.least();
        for (row, (&lower, &upper)) in rows.zip(lower.iter().zip(&*upper)) {
            if is_behind(upper, least) || excluded.binary_search(&row).is_ok() {
                continue;
            }
            // Damaged codes may have a NaN, which says nothing, as −∞ does.
            best.offer(Scored { score: lower.max(f32::NEG_INFINITY), place: row });
            least = best.least();
            likely.push(Likely { row, lower, upper });
        }
        Ok(())
    }

    /// Returns the k nearest of some rows, which ascend, by reading them. A score beyond what the codes say proves that
    /// they are not of these rows.
    fn nearest_of(&self, likely: &[Likely], query: &[f32], k: usize) -> Result<Vec<Scored>, IndexError> {
        let scan = |mut best: Best, likely: &[Likely]| {
            let rows: Vec<usize> = likely.iter().map(|likely| likely.row).collect();
            let mut scores = vec![0.0; rows.len()];
            half::products(&self.rows(&rows)?, query, &mut scores);
            for (&Likely { row, lower, upper }, &score) in likely.iter().zip(&scores) {
                if score < lower || score > upper {
                    return Err(IndexError::broken(self.path(Data::Codes))(IndexFileError::OtherCodes { row }));
                }
                best.offer(self.checked(row, score)?);
            }
            Ok(best)
        };
        let parts = likely.par_chunks(AT_A_TIME).try_fold(|| Best::new(k), scan);
        parts.try_reduce(|| Best::new(k), |a, b| Ok(a.join(b))).map(Best::sorted)
    }
}

/// Returns whether a row has too low a score. A NaN is no reason to leave it.
fn is_behind(upper: f32, least: f32) -> bool {
    upper < least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{Entry, Filter, Manifest, ModelId, Store};
    use crate::layers::normalize;
    use crate::random::normals;
    use ndarray::{Array2, Axis, Slice};
    use proptest::prelude::*;
    use std::path::Path;

    fn store(folder: &Path, x: &Array2<f32>) -> Store {
        let model = ModelId { path: "m".into(), quick_gelu: true, fingerprint: "0".into(), ..ModelId::default() };
        let mut store = Store::open(folder, "..", model, x.ncols()).unwrap();
        let entry = |row: usize| Entry { path: format!("{}/{row}", row % 3), size: row as u64, modified: 0 };
        // In uneven pieces, as updates write them.
        for (piece, first) in [(0..7, 0), (7..8, 7), (8..x.nrows(), 8)] {
            let rows = piece.start.min(x.nrows())..piece.end.min(x.nrows());
            let entries: Vec<Entry> = rows.clone().map(|row| entry(first + row - piece.start)).collect();
            store.append(&entries, x.slice_axis(Axis(0), Slice::from(rows))).unwrap();
        }
        store
    }

    /// Rows of which many are equal, nearly equal, zero, or of one large number.
    fn rows(n: usize, e: usize, seed: u64, kind: usize) -> Array2<f32> {
        let mut x = normalize::unit(normals((n, e), seed).view());
        for i in 0..n {
            match (kind, i % 5) {
                (1, 0..=2) | (2, _) => {
                    let first = x.row(0).to_owned();
                    x.row_mut(i).assign(&first);
                }
                (3, 0..=2) => {
                    // Differences of a rounding of f16 or less.
                    let near = &x.row(0) + &(1e-3 * &x.row(i));
                    x.row_mut(i).assign(&near);
                }
                (4, 1) => x.row_mut(i).fill(0.0),
                (4, 2) => x.row_mut(i).iter_mut().enumerate().for_each(|(j, x)| *x = if j == 0 { 1.0 } else { 1e-4 }),
                (5, _) => x.row_mut(i)[e - 1] = 0.9,
                _ => {}
            }
        }
        if kind == 5 { normalize::unit(x.view()) } else { x }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_nearest_are_those_of_all_rows(
            n in 1usize..1500,
            e in prop::sample::select(&[3usize, 64, 100, 512][..]),
            seed in 0u64..1000,
            kind in 0usize..6,
            k in prop::sample::select(&[1usize, 2, 10, 100, 2000][..]),
            own: bool,
            dropped in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            filtered: bool,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let x = rows(n, e, seed, kind);
            let mut store = store(folder.path(), &x);
            store.drop_rows(dropped.iter().map(|row| row.index(n))).unwrap();
            let query = if own { x.row(0).to_vec() } else { normalize::unit(normals((1, e), seed + 1).view()).row(0).to_vec() };
            let index = Index::open(folder.path()).unwrap();
            let filter = Filter { not_paths: if filtered { vec!["1".parse().unwrap()] } else { vec![] }, ..Filter::default() };
            let among = index.select(&filter).unwrap();
            let k = k.min(among.count());
            let [plain, by_codes] = [index.nearest(&among, &query, k), index.nearest_by_codes(&among, &query, k)];
            let bits = |best: Result<Vec<Scored>, IndexError>| -> Vec<(u32, usize)> {
                best.unwrap().into_iter().map(|near| (near.score.to_bits(), near.place)).collect()
            };
            let (plain, by_codes) = (bits(plain), bits(by_codes));
            prop_assert_eq!(plain.len(), k);
            prop_assert_eq!(&plain, &by_codes);
            let hits = index.search(&among, &query, k).unwrap();
            let found: Vec<usize> = hits.iter().map(|hit| hit.entry.size as usize).collect();
            prop_assert_eq!(found, plain.iter().map(|near| near.1).collect::<Vec<_>>());
        }
    }

    #[test]
    fn few_rows_remain_and_damaged_codes_leave_none_out() {
        let folder = tempfile::tempdir().unwrap();
        let x = rows(4000, 512, 1, 0);
        drop(store(folder.path(), &x));
        let query = x.row(77).to_vec();
        let index = Index::open(folder.path()).unwrap();
        let plain = index.nearest(&index.all(), &query, 10).unwrap();
        let coded = Query::new(&query);
        let mut worker = Worker { lower: Best::new(10), likely: vec![], bytes: vec![], bounds: Default::default() };
        index.bound(0..4000, &index.all(), &coded, &mut worker).unwrap();
        let least = worker.lower.least();
        let remain = worker.likely.iter().filter(|likely| !is_behind(likely.upper, least)).count();
        assert!((10..60).contains(&remain), "{remain} rows remain");

        // A scale that is no number says nothing about its row.
        let path = index.path(Data::Codes);
        let mut bytes = std::fs::read(&path).unwrap();
        let width = index.manifest.row_bytes(Data::Codes);
        bytes[77 * width + 512..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(index.nearest_by_codes(&index.all(), &query, 10).unwrap(), plain);
    }

    /// Codes and places of lines that are missing, short or wrong are made again by the next update.
    #[test]
    fn derived_files_are_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let x = rows(300, 64, 4, 0);
        drop(store(folder.path(), &x));
        let query = x.row(7).to_vec();
        let found = |index: &Index| index.search(&index.all(), &query, 3).unwrap();
        let expected = found(&Index::open(folder.path()).unwrap());
        let [codes, lines] = [Data::Codes, Data::Lines].map(|data| Index::open(folder.path()).unwrap().path(data));
        let damages: [&dyn Fn(); 4] = [
            &|| std::fs::remove_file(&codes).unwrap(),
            &|| std::fs::write(&codes, b"short").unwrap(),
            &|| std::fs::remove_file(&lines).unwrap(),
            &|| std::fs::write(&lines, vec![7; std::fs::metadata(&lines).unwrap().len() as usize]).unwrap(),
        ];
        for damage in damages {
            damage();
            let model = Index::open(folder.path()).map(|index| index.manifest.model.clone());
            let model = model.unwrap_or_else(|error| {
                assert!(error.is_of_derived_file(), "{error}");
                Manifest::read(folder.path()).unwrap().model
            });
            drop(Store::open(folder.path(), "..", model, 64).unwrap());
            assert_eq!(found(&Index::open(folder.path()).unwrap()), expected);
        }
    }

    /// Codes of other rows, of the right length, are found out by the scores of the rows that they name.
    #[test]
    fn codes_of_other_rows_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let x = rows(2000, 64, 3, 0);
        drop(store(folder.path(), &x));
        let index = Index::open(folder.path()).unwrap();
        let path = index.path(Data::Codes);
        let mut bytes = std::fs::read(&path).unwrap();
        let half = bytes.len() / 2;
        bytes.rotate_left(half);
        std::fs::write(&path, bytes).unwrap();
        let error = index.nearest_by_codes(&index.all(), &x.row(5).to_vec(), 3).unwrap_err().to_string();
        assert!(error.contains("codes-0.i8") && error.contains("another row"), "{error}");
    }
}
