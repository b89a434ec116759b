//! Pictures that are near others: within an index, and from one index to another.
//!
//! **Groups around a representative.** The pictures are gone through in the caller's order. One that is near a
//! representative joins the nearest; any other becomes a representative itself. So every picture of a group is as near its
//! representative as was asked for, and representatives are not near each other. Connected components would not have that:
//! in a series of a hundred photos, each near the next, the first may show something else than the last. It also never
//! takes memory for pairs, of which a thousand black pictures have half a million.
//!
//! **Cost.** A block of pictures is compared with all representatives so far, a tile at a time, which stays in the
//! second-level cache. A tile is one matrix product of few numbers each, by which nearly all pairs are passed over
//! (`sketch`). The others are multiplied as they are stored, as a search does it, so the cosines are those of a search.

use super::data::Data;
use super::sketch::Sketch;
use super::{Index, IndexError};
use crate::best::Scored;
use crate::progress::{Progress, Watch};
use kernels::isa::Isa;
use kernels::{Epilogue, Mat, MatMut, gemm, half};
use ndarray::{Array2, Axis, concatenate};
use rayon::prelude::*;
use std::ops::Range;

/// Number of pictures that are compared at a time.
const BLOCK: usize = 256;
/// Number of pictures that a block is compared with at a time: the bounds of a tile take 1 MB.
const TILE: usize = 1024;
/// Number of bounds that are compared with the least one at a time, so that the compiler vectorises it.
const CHUNK: usize = 32;
/// Number of rows that are read at a time.
const READ: usize = 4096;
/// Number of rows of an index by which the directions of a sketch are chosen.
const SAMPLE: usize = 1024;

/// The nearest picture of those that are near enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    /// Its place in the list of rows that was given.
    pub place: usize,
    /// The cosine of the two embeddings.
    pub score: f32,
}

/// Returns for each of these rows of an index the nearest representative before it, if there is one with at least this
/// cosine. The others are representatives. Of equally near ones the first counts.
///
/// # Errors
/// Returns an error if the embeddings cannot be read, are not of unit length, or if `watch` does.
pub fn near_earlier(index: &Index, rows: &[usize], least: f32, watch: Watch) -> Result<Vec<Option<Near>>, IndexError> {
    let sketch = Sketch::new(sample(index, rows)?.view(), least);
    let side = Side::read(index, rows, &sketch)?;
    let mut first = Candidates { side: &side, heads: vec![], places: vec![] };
    let mut nearest = Vec::with_capacity(rows.len());
    let bar = Bar { bound: sketch.least, least };
    for block in blocks(rows.len()) {
        let heads = side.heads_of(block.clone());
        let mut bounds = vec![0.0; block.len() * block.len()];
        side.multiply(heads, heads, &mut bounds);
        let mut own = vec![];
        let before = first.nearest(&side, block.clone(), bar);
        for (i, (mut found, bounds)) in before.into_iter().zip(bounds.chunks_exact(block.len())).enumerate() {
            for j in own.iter().copied().filter(|&j: &usize| bounds[j] >= bar.bound) {
                found = found.max(side.scored(&side.row(block.start + i), block.start + j, bar));
            }
            if found.is_none() {
                own.push(i);
            }
            nearest.push(found.map(|Scored { place, score }| Near { place, score }));
        }
        own.iter().for_each(|&i| first.add(block.start + i));
        watch(Progress { what: "pictures", done: block.end, todo: rows.len() }).map_err(IndexError::Stopped)?;
    }
    Ok(nearest)
}

/// Returns for each of these rows of an index the nearest of these rows of another one, if there is one with at least this
/// cosine. Of equally near ones the first counts.
///
/// # Errors
/// Returns an error if the embeddings cannot be read or are not of unit length, are those of different models, or if
/// `watch` does.
pub fn near_in_other(
    (index, rows): (&Index, &[usize]),
    (other, other_rows): (&Index, &[usize]),
    least: f32,
    watch: Watch,
) -> Result<Vec<Option<Near>>, IndexError> {
    other.manifest.check_model(&other.folder, &index.manifest.model)?;
    let samples = [sample(index, rows)?, sample(other, other_rows)?];
    let both = concatenate(Axis(0), &samples.each_ref().map(|sample| sample.view())).expect("rows of one model");
    let sketch = Sketch::new(both.view(), least);
    let (side, others) = (Side::read(index, rows, &sketch)?, Side::read(other, other_rows, &sketch)?);
    let heads = others.heads_of(0..other_rows.len()).to_vec();
    let candidates = Candidates { side: &others, heads, places: (0..other_rows.len()).collect() };
    let mut nearest = Vec::with_capacity(rows.len());
    for block in blocks(rows.len()) {
        let found = candidates.nearest(&side, block.clone(), Bar { bound: sketch.least, least });
        nearest.extend(found.into_iter().map(|found| found.map(|Scored { place, score }| Near { place, score })));
        watch(Progress { what: "pictures", done: block.end, todo: rows.len() }).map_err(IndexError::Stopped)?;
    }
    Ok(nearest)
}

fn blocks(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(BLOCK).map(move |start| start..rows.min(start + BLOCK))
}

/// Reads some of these rows, spread evenly.
fn sample(index: &Index, rows: &[usize]) -> Result<Array2<f32>, IndexError> {
    let step = rows.len().div_ceil(SAMPLE).max(1);
    index.embeddings(&rows.iter().copied().step_by(step).collect::<Vec<_>>())
}

/// What a pair must reach: the bound, to be looked at, and then the cosine.
#[derive(Clone, Copy)]
struct Bar {
    bound: f32,
    least: f32,
}

/// Embeddings in memory.
struct Side {
    /// The width e.
    width: usize,
    /// The rows as they are stored.
    bytes: Vec<u8>,
    /// How many numbers of a row the bounds are made of, and these numbers, row after row.
    depth: usize,
    heads: Vec<f32>,
}

impl Side {
    fn read(index: &Index, rows: &[usize], sketch: &Sketch) -> Result<Self, IndexError> {
        let (width, depth) = (index.manifest.embed_dim, sketch.depth());
        let mut side = Side { width, bytes: vec![], depth, heads: Vec::with_capacity(rows.len() * depth) };
        side.bytes.reserve_exact(rows.len() * index.manifest.row_bytes(Data::Matrix));
        for rows in rows.chunks(READ) {
            let bytes = index.rows(rows)?;
            let x = index.widened(&bytes);
            for (&row, x) in rows.iter().zip(x.rows()) {
                index.checked(row, x.dot(&x))?;
            }
            side.heads.extend(sketch.heads(x.view()));
            side.bytes.extend(bytes);
        }
        Ok(side)
    }

    fn heads_of(&self, places: Range<usize>) -> &[f32] {
        &self.heads[places.start * self.depth..places.end * self.depth]
    }

    fn bytes_of(&self, place: usize) -> &[u8] {
        &self.bytes[2 * self.width * place..][..2 * self.width]
    }

    /// Returns a row as f32.
    fn row(&self, place: usize) -> Vec<f32> {
        let halves = self.bytes_of(place).as_chunks::<2>().0;
        halves.iter().map(|&half| ::half::f16::from_le_bytes(half).to_f32()).collect()
    }

    /// Returns the cosine of a vector and a row, if it is high enough.
    fn scored(&self, x: &[f32], place: usize, bar: Bar) -> Option<Scored> {
        let mut score = [0.0];
        half::products(self.bytes_of(place), x, &mut score);
        Some(Scored { score: score[0], place }).filter(|scored| scored.score >= bar.least)
    }

    /// Computes the bounds of all pairs of these heads, on the caller's threads. A threaded BLAS must not be called here.
    ///
    /// `a` (N,K+1), `b` (M,K+1), `bounds` (N,M)
    fn multiply(&self, a: &[f32], b: &[f32], bounds: &mut [f32]) {
        let [n, m] = [a.len() / self.depth, b.len() / self.depth];
        let (a, b) = (Mat::new(a, n, self.depth), Mat::new(b, m, self.depth).t());
        gemm::gemm_on(Isa::best(), 1.0, a, b, 0.0, MatMut::new(bounds, n, m), Epilogue::None);
    }
}

/// The pictures that others may be near.
struct Candidates<'a> {
    side: &'a Side,
    /// What the bounds are made of, and the places of the rows in `side`, ascending.
    heads: Vec<f32>,
    places: Vec<usize>,
}

impl Candidates<'_> {
    fn add(&mut self, place: usize) {
        self.heads.extend_from_slice(self.side.heads_of(place..place + 1));
        self.places.push(place);
    }

    /// Returns the nearest candidate of each row of a block, if it is near enough. The best of a pair of candidates does
    /// not depend on which comes first, so the result is the same on any number of threads.
    fn nearest(&self, of: &Side, block: Range<usize>, bar: Bar) -> Vec<Option<Scored>> {
        let heads = of.heads_of(block.clone());
        let tile = |bounds: &mut Vec<f32>, places: &[usize], candidates: &[f32]| {
            bounds.resize(block.len() * places.len(), 0.0);
            of.multiply(heads, candidates, bounds);
            let rows = block.clone().zip(bounds.chunks_exact(places.len()));
            rows.map(|(row, bounds)| self.best(of, row, bounds, places, bar)).collect::<Vec<_>>()
        };
        let tiles = self.places.par_chunks(TILE).zip(self.heads.par_chunks(TILE * of.depth));
        let found = tiles.map_init(Vec::new, |bounds, (places, candidates)| tile(bounds, places, candidates));
        let none = || vec![None; block.len()];
        found.reduce(none, |a, b| a.into_iter().zip(b).map(|(a, b)| a.max(b)).collect())
    }

    /// Returns the nearest of these candidates, whose bounds with the row are given. Nearly all are passed over, so many
    /// at a time as the compiler has lanes for.
    fn best(&self, of: &Side, row: usize, bounds: &[f32], places: &[usize], bar: Bar) -> Option<Scored> {
        let mut x: Option<Vec<f32>> = None;
        let mut best = None;
        for (bounds, places) in bounds.chunks(CHUNK).zip(places.chunks(CHUNK)) {
            if !bounds.iter().fold(false, |any, &bound| any | (bound >= bar.bound)) {
                continue;
            }
            for (_, &place) in bounds.iter().zip(places).filter(|(bound, _)| **bound >= bar.bound) {
                let x = x.get_or_insert_with(|| of.row(row));
                best = best.max(self.side.scored(x, place, bar));
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{Entry, ModelId, Store};
    use crate::layers::normalize::unit;
    use crate::random::{normals, rng};
    use rand::RngExt;
    use std::path::Path;

    /// An index of vectors, many of which are near others that come before.
    fn index(folder: &Path, n: usize, e: usize, seed: u64) -> (Index, Array2<f32>) {
        let mut x = normals((n, e), 5) + 2.0 * &normals((1, e), 6);
        let mut rng = rng(&[seed]);
        for i in 1..n {
            if rng.random_range(0..3) == 0 {
                let by = [0.0, 0.1, 0.3, 0.7][rng.random_range(0..4)];
                let near = &x.row(rng.random_range(0..i)) + &(by * &x.row(i));
                x.row_mut(i).assign(&near);
            }
        }
        let model = ModelId { path: "m".into(), quick_gelu: true, fingerprint: "0".into(), ..ModelId::default() };
        let mut store = Store::open(folder, "..", model, e).unwrap();
        let entries: Vec<Entry> =
            (0..n).map(|i| Entry { path: format!("{i}.png"), size: i as u64, modified: 0 }).collect();
        store.append(&entries, unit(x.view()).view()).unwrap();
        let index = Index::open(folder).unwrap();
        let stored = index.embeddings(&(0..n).collect::<Vec<_>>()).unwrap();
        (index, stored)
    }

    /// Checks a result against all cosines in f64, where those that are nearer to the least one than roundings may fall on
    /// either side.
    fn check(found: Option<Near>, cosines: &[(usize, f64)], least: f64) {
        let best = cosines.iter().map(|near| near.1).fold(f64::MIN, f64::max);
        match found {
            Some(near) => {
                let cosine = cosines.iter().find(|(place, _)| *place == near.place).expect("a candidate").1;
                assert!((cosine - f64::from(near.score)).abs() < 1e-6 && cosine > best - 1e-6 && cosine > least - 1e-6);
            }
            None => assert!(best < least + 1e-6, "{best} was not found"),
        }
    }

    #[test]
    fn the_nearest_are_those_of_all_pairs() {
        for (n, e, least) in [(1, 8, 0.9), (700, 512, 0.95), (2300, 128, 0.9), (600, 20, 0.8), (600, 128, 0.3)] {
            let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
            let ((index, x), (other, y)) = (index(folders[0].path(), n, e, 1), index(folders[1].path(), n / 2, e, 2));
            let cosine = |x: &Array2<f32>, i: usize, y: &Array2<f32>, j: usize| -> f64 {
                x.row(i).iter().zip(y.row(j)).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
            };
            // The order is the caller's.
            let rows: Vec<usize> = (0..n).rev().filter(|row| row % 7 != 3).collect();
            let found = near_earlier(&index, &rows, least, &|_| Ok(())).unwrap();
            let mut first: Vec<usize> = vec![];
            for (i, near) in found.iter().enumerate() {
                let cosines: Vec<_> = first.iter().map(|&j| (j, cosine(&x, rows[i], &x, rows[j]))).collect();
                check(*near, &cosines, f64::from(least));
                first.extend(near.is_none().then_some(i));
            }
            assert!(n < 100 || first.len() < rows.len(), "nothing is near");
            let others: Vec<usize> = (0..n / 2).collect();
            let across = near_in_other((&index, &rows), (&other, &others), least, &|_| Ok(())).unwrap();
            for (i, near) in across.iter().enumerate() {
                let cosines: Vec<_> = others.iter().map(|&j| (j, cosine(&x, rows[i], &y, j))).collect();
                check(*near, &cosines, f64::from(least));
            }
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            assert_eq!(pool.install(|| near_earlier(&index, &rows, least, &|_| Ok(()))).unwrap(), found);
        }
    }

    #[test]
    fn a_series_is_not_one_group() {
        let folder = tempfile::tempdir().unwrap();
        let model = ModelId { path: "m".into(), quick_gelu: true, fingerprint: "0".into(), ..ModelId::default() };
        let mut store = Store::open(folder.path(), "..", model, 2).unwrap();
        let entry = |i: usize| Entry { path: format!("{i}"), size: 0, modified: 0 };
        let turned = |i: usize| [(0.1 * i as f32).cos(), (0.1 * i as f32).sin()];
        let x = Array2::from_shape_fn((16, 2), |(i, j)| turned(i)[j]);
        store.append(&(0..16).map(entry).collect::<Vec<_>>(), x.view()).unwrap();
        let index = Index::open(folder.path()).unwrap();
        let found = near_earlier(&index, &(0..16).collect::<Vec<_>>(), 0.96, &|_| Ok(())).unwrap();
        // An angle of 0.28 is near enough, so that every third begins a group.
        let first: Vec<usize> = (0..16).filter(|&i| found[i].is_none()).collect();
        assert_eq!(first, [0, 3, 6, 9, 12, 15]);
        assert_eq!(found[1].unwrap().place, 0);
    }

    #[test]
    fn models_must_be_the_same_and_vectors_of_unit_length() {
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let (index, _) = index(folders[0].path(), 4, 8, 1);
        let model = ModelId { path: "m".into(), quick_gelu: true, fingerprint: "1".into(), ..ModelId::default() };
        drop(Store::open(folders[1].path(), "..", model, 8).unwrap());
        let other = Index::open(folders[1].path()).unwrap();
        let error = near_in_other((&index, &[0]), (&other, &[]), 0.9, &|_| Ok(())).unwrap_err();
        assert!(matches!(error, IndexError::OtherModel { .. }), "{error}");
        let path = index.path(Data::Matrix);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[2 * 8..][..2].copy_from_slice(&[0xff, 0x7e]);
        std::fs::write(&path, bytes).unwrap();
        let error = near_earlier(&index, &[0, 1, 2, 3], 0.9, &|_| Ok(())).unwrap_err().to_string();
        assert!(error.contains("row 1 is not a vector of unit length"), "{error}");
    }
}
