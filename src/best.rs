//! The k best of a stream of scores, without sorting it.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Scores that are compared with the worst kept one at a time, so that the compiler vectorises it.
const CHUNK: usize = 32;

/// A place in a stream, with its score. The better one is the greater: the one with the higher score or, if equal, the
/// earlier one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scored {
    pub(crate) score: f32,
    pub(crate) place: usize,
}

impl Eq for Scored {}

impl Ord for Scored {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.place.cmp(&self.place))
    }
}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The k best so far, as a heap with the worst of them on top.
pub(crate) struct Best {
    k: usize,
    heap: BinaryHeap<Reverse<Scored>>,
}

impl Best {
    pub(crate) fn new(k: usize) -> Self {
        Best { k, heap: BinaryHeap::new() }
    }

    pub(crate) fn offer(&mut self, scored: Scored) {
        if self.heap.len() < self.k {
            self.heap.push(Reverse(scored));
        } else if let Some(mut worst) = self.heap.peek_mut()
            && worst.0 < scored
        {
            worst.0 = scored;
        }
    }

    /// Offers xᵢ + `add` for the places `first`, `first` + 1, …, all of which are behind those offered before. NaN counts
    /// as −∞.
    ///
    /// Nearly all of a long row is below the worst kept score, and is passed over 32 at a time.
    pub(crate) fn offer_sums(&mut self, x: &[f32], add: f32, first: usize) {
        for (chunk, x) in x.chunks(CHUNK).enumerate() {
            let worst = self.least();
            if self.heap.len() >= self.k && !x.iter().fold(false, |any, x| any | (x + add > worst)) {
                continue;
            }
            for (i, x) in x.iter().enumerate() {
                self.offer(Scored { score: (x + add).max(f32::NEG_INFINITY), place: first + CHUNK * chunk + i });
            }
        }
    }

    /// Returns the score that another must reach to be kept, −∞ as long as all are.
    pub(crate) fn least(&self) -> f32 {
        let worst = self.heap.peek().filter(|_| self.heap.len() >= self.k);
        worst.map_or(f32::NEG_INFINITY, |worst| worst.0.score)
    }

    pub(crate) fn join(mut self, other: Self) -> Self {
        other.heap.into_iter().for_each(|scored| self.offer(scored.0));
        self
    }

    /// Returns the kept ones, the best first.
    pub(crate) fn sorted(self) -> Vec<Scored> {
        self.heap.into_sorted_vec().into_iter().map(|scored| scored.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Best, Scored};
    use crate::random::rng;
    use rand::RngExt;

    /// A stable sort gives the same, with many ties, with −∞ and with NaN.
    #[test]
    fn the_best_are_those_of_a_stable_sort() {
        for case in 0..300 {
            let mut rng = rng(&[case]);
            let (n, k) = (rng.random_range(1..400), rng.random_range(0..40));
            let levels = rng.random_range(1..50);
            let x: Vec<f32> = (0..n)
                .map(|_| match rng.random_range(0..40) {
                    0 => f32::NAN,
                    1 => f32::NEG_INFINITY,
                    _ => rng.random_range(0..levels) as f32 - 20.0,
                })
                .collect();
            let cut = rng.random_range(0..=n);
            let mut best = Best::new(k);
            best.offer_sums(&x[..cut], 0.5, 0);
            best.offer_sums(&x[cut..], -0.5, cut);

            let sum = |place: usize| x[place] + if place < cut { 0.5 } else { -0.5 };
            let scored =
                |place| Scored { score: Some(sum(place)).filter(|s| !s.is_nan()).unwrap_or(f32::NEG_INFINITY), place };
            let mut expected: Vec<Scored> = (0..n).map(scored).collect();
            expected.sort_by(|a, b| b.score.total_cmp(&a.score));
            expected.truncate(k);
            assert_eq!(best.sorted(), expected, "case {case}");
        }
    }
}
