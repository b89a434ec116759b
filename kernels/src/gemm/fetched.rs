//! Weights that are not in memory: each task of a product fetches the rows of W that it needs and multiplies them while
//! they are in its cache.
//!
//! Whoever uses a model once would read all of its weights into memory, lay them out there and read them again, which
//! takes longer than the products. So every weight comes only as far as the second-level cache of the thread that needs
//! it, and the other threads fetch theirs meanwhile.

use super::blocking::KC;
use crate::scratch::{self, Scratch};
use std::fmt::Debug;

/// A task fetches rows of at most so many bytes at a time, if it can do with so few: they stay in L2 beside the panels
/// that are made of them.
const MAX_BYTES: usize = 512 << 10;

thread_local! {
    /// The rows of W of a task.
    static ROWS: Scratch = const { Scratch::new(MAX_BYTES / size_of::<f32>()) };
}

/// Where rows of weights W (O,I) are fetched from, such as a file.
pub trait Fetch: Debug + Sync {
    /// Fills `rows` (N,I) with the rows of W from `first` on. Any of several threads may call it at the same time.
    ///
    /// There is no way to tell a product that it failed: whoever has asked for the product finds out from the source.
    fn fetch(&self, first: usize, rows: &mut [f32]);
}

/// Weights W (O,I), or some of their rows, that are fetched when a product needs them, and kept nowhere.
#[derive(Clone, Copy, Debug)]
pub struct Fetched<'a> {
    source: &'a dyn Fetch,
    first: usize,
    outputs: usize,
    inputs: usize,
}

impl<'a> Fetched<'a> {
    /// Describes all rows of weights (`outputs`, `inputs`).
    pub fn new(source: &'a dyn Fetch, outputs: usize, inputs: usize) -> Self {
        Fetched { source, first: 0, outputs, inputs }
    }

    /// Returns the shape (K,N) of Wᵀ.
    pub(super) fn dim(&self) -> (usize, usize) {
        (self.inputs, self.outputs)
    }

    /// Cuts W into its first `n` rows and the others.
    #[track_caller]
    pub(super) fn split_at(self, n: usize) -> (Self, Self) {
        assert!(n <= self.outputs, "{n} of {} rows", self.outputs);
        let tail = Fetched { first: self.first + n, outputs: self.outputs - n, ..self };
        (Fetched { outputs: n, ..self }, tail)
    }

    /// Returns how many rows a task fetches at a time: no more than have room in the cache, but a tile's.
    pub(super) fn rows_at_once(&self, unit: usize) -> usize {
        (MAX_BYTES / (size_of::<f32>() * self.inputs.max(KC)) / unit * unit).max(unit)
    }

    /// Lets `work` have `n` rows from `first` on.
    pub(super) fn with_rows<R>(&self, first: usize, n: usize, work: impl FnOnce(&[f32]) -> R) -> R {
        assert!(first + n <= self.outputs, "rows {first} to {} of {}", first + n, self.outputs);
        scratch::with(&ROWS, n * self.inputs, |rows| {
            self.source.fetch(self.first + first, rows);
            work(rows)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::{Epilogue, Mat, MatMut, Panels, Weight, gemm_fetched_on, gemm_panels_on};
    use crate::isa::Isa;
    use crate::support::random;

    /// Weights (O,`.1`) in memory, as if they were somewhere else.
    #[derive(Debug)]
    struct Elsewhere(Vec<f32>, usize);

    impl Fetch for Elsewhere {
        fn fetch(&self, first: usize, rows: &mut [f32]) {
            rows.copy_from_slice(&self.0[first * self.1..][..rows.len()]);
        }
    }

    /// M on both sides of a tile and of what makes another product flat, K on both sides of one piece, N of whole panels
    /// or not. With the deepest K a task fetches no more rows than a tile has columns.
    #[test]
    fn weights_that_are_fetched_give_the_bits_of_those_that_are_there() {
        let shapes: &[_] = if cfg!(miri) {
            &[(1, 32, 5), (17, 64, 7), (3, 30, 4)]
        } else {
            &[(1, 32, 5), (12, 96, 770), (17, 30, 64), (50, 160, 400), (20, 75, 400), (7, 64, 9000), (1030, 64, 33)]
        };
        for &(m, n, k) in shapes {
            let (a, rows, bias) = (random(1, m * k), random(2, n * k), random(3, n));
            let mut panels = rows.clone();
            panels.resize(Panels::size(n, k), f32::NAN);
            Panels::lay_out(&mut panels, n, k);
            let elsewhere = Elsewhere(rows, k);
            for isa in Isa::available() {
                let run = |product: &dyn Fn(Mat, MatMut)| {
                    let mut c = vec![f32::NAN; m * n];
                    product(Mat::new(&a, m, k), MatMut::new(&mut c, m, n));
                    c
                };
                let panels = Panels::new(&panels, n, k);
                let expected = run(&|a, c| gemm_panels_on(isa, a, panels, c, Epilogue::Bias(&bias)));
                let found = run(&|a, c| {
                    gemm_fetched_on(isa, a, Fetched::new(&elsewhere, n, k), c, Epilogue::Bias(&bias));
                });
                assert!(expected == found, "{m}×{n}×{k} on {isa:?}");
            }
        }
    }

    #[test]
    fn weights_that_are_fetched_are_cut_between_rows() {
        let (rows, k, n) = (random(1, 70 * 3), 3, 64);
        let elsewhere = Elsewhere(rows.clone(), k);
        let (Weight::Fetched(head), Weight::Fetched(tail)) =
            Weight::Fetched(Fetched::new(&elsewhere, 70, k)).split_at(n * k)
        else {
            panic!("parts of another form")
        };
        for (part, rows) in [(head, &rows[..n * k]), (tail, &rows[n * k..])] {
            let mut c = vec![f32::NAN; rows.len()];
            let unit = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
            let n = rows.len() / k;
            gemm_fetched_on(Isa::best(), Mat::new(&unit, k, k), part, MatMut::new(&mut c, k, n), Epilogue::None);
            assert!((0..n * k).all(|i| c[i % k * n + i / k] == rows[i]));
        }
    }
}
