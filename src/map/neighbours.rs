//! The nearest others of each vector, by comparing all with all.

use crate::best::Best;
use crate::layers::mat;
use crate::progress::{Progress, Stopped, Watch};
use kernels::isa::Isa;
use kernels::{Epilogue, MatMut, gemm};
use ndarray::{ArrayView2, Axis, Slice};
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Number of vectors that a thread compares at a time.
const BLOCK: usize = 128;
/// Number of vectors that they are compared with at a time: the cosines of a block take 512 KB.
const TILE: usize = 1024;

/// Another vector that is near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    pub place: usize,
    /// The cosine.
    pub score: f32,
}

/// Returns for each vector the k others with the largest cosines, the nearest first and of equal ones the first. If there
/// are fewer than k others, these are all.
///
/// `x` (N,e), rows of unit length
///
/// # Errors
/// Returns an error if `watch` does.
pub fn nearest(x: ArrayView2<f32>, k: usize, watch: Watch) -> Result<Vec<Vec<Neighbour>>, Stopped> {
    let (n, done) = (x.nrows(), AtomicUsize::new(0));
    let block = |start: usize| {
        let rows = start..n.min(start + BLOCK);
        let size = rows.len();
        let found = of_block(x, start, size, k);
        let done = done.fetch_add(size, Relaxed) + size;
        watch(Progress { what: "neighbours", done, todo: n }).map(|()| found)
    };
    let blocks: Vec<Vec<Vec<Neighbour>>> =
        (0..n.div_ceil(BLOCK)).into_par_iter().map(|i| block(i * BLOCK)).collect::<Result<_, _>>()?;
    Ok(blocks.into_iter().flatten().collect())
}

/// Finds the neighbours of rows that follow each other. A threaded BLAS must not be called here.
fn of_block(x: ArrayView2<f32>, start: usize, size: usize, k: usize) -> Vec<Vec<Neighbour>> {
    let own = x.slice_axis(Axis(0), Slice::from(start..start + size));
    // Each is nearest to itself, or as near as its copies.
    let mut best: Vec<Best> = (0..size).map(|_| Best::new(k + 1)).collect();
    let mut cosines = vec![0.0; size * TILE];
    for (tile, others) in x.axis_chunks_iter(Axis(0), TILE).enumerate() {
        let m = others.nrows();
        let out = MatMut::new(&mut cosines[..size * m], size, m);
        gemm::gemm_on(Isa::best(), 1.0, mat(own), mat(others).t(), 0.0, out, Epilogue::None);
        let rows = cosines.chunks_exact(m);
        best.iter_mut().zip(rows).for_each(|(best, cosines)| best.offer_sums(cosines, 0.0, tile * TILE));
    }
    let others = |(i, best): (usize, Best)| {
        let sorted = best.sorted().into_iter().filter(|near| near.place != start + i);
        sorted.take(k).map(|near| Neighbour { place: near.place, score: near.score }).collect()
    };
    best.into_iter().enumerate().map(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::normalize::unit;
    use crate::random::normals;

    #[test]
    fn neighbours_are_those_of_all_pairs_in_f64() {
        for (n, e, k) in [(1300, 24, 12), (5, 8, 9), (1, 4, 3)] {
            let mut x = unit(normals((n, e), 3).view());
            // Copies are near each other, and none is its own neighbour.
            for i in (10..n).step_by(3) {
                let first = x.row(i % 10).to_owned();
                x.row_mut(i).assign(&first);
            }
            let found = nearest(x.view(), k, &|_| Ok(())).unwrap();
            let wide = x.mapv(f64::from);
            for (i, found) in found.iter().enumerate() {
                let mut cosines: Vec<f64> = (0..n).filter(|&j| j != i).map(|j| wide.row(i).dot(&wide.row(j))).collect();
                cosines.sort_by(|a, b| b.total_cmp(a));
                assert_eq!(found.len(), k.min(n - 1));
                for (near, &expected) in found.iter().zip(&cosines) {
                    let cosine = wide.row(i).dot(&wide.row(near.place));
                    assert!(near.place != i && (cosine - expected).abs() < 1e-6, "{i}: {near:?}, {expected}");
                }
                let mut places: Vec<usize> = found.iter().map(|near| near.place).collect();
                places.sort_unstable();
                places.dedup();
                assert_eq!(places.len(), found.len());
            }
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            assert_eq!(pool.install(|| nearest(x.view(), k, &|_| Ok(()))).unwrap(), found);
        }
    }

    #[test]
    fn whoever_watches_can_stop_it() {
        let x = unit(normals((500, 8), 3).view());
        assert_eq!(
            nearest(x.view(), 3, &|Progress { done, .. }| if done > 200 { Err(Stopped) } else { Ok(()) }),
            Err(Stopped)
        );
    }
}
