//! The processes that train one model together.
//!
//! A [`World`] only moves numbers. Additions are made here, in an order that depends on the number of ranks alone, so
//! no bit depends on the network or on which rank is first: see [`sum_over_ranks`].

use std::borrow::Cow;
use std::fmt::Debug;

/// A number that ranks exchange.
pub trait Element: Copy + Default + Debug + Send + Sync + 'static {}

impl Element for f32 {}
impl Element for f64 {}
impl Element for u32 {}
impl Element for u64 {}
impl Element for u8 {}

/// The processes, called ranks, that take every training step together. All call the same functions in the same order,
/// each from the thread that it was started on, never from a worker of a thread pool.
pub trait World {
    /// Returns which of the ranks this is, counted from 0.
    fn rank(&self) -> usize;

    /// Returns the number of ranks.
    fn size(&self) -> usize;

    /// Returns the numbers of all ranks, in the order of ranks. Every rank gives the same number of them in `own`;
    /// `all` is memory for the result.
    fn all_gather<'a, T: Element>(&self, own: &'a [T], all: &'a mut Vec<T>) -> &'a [T];

    /// Sends the r-th of `size` equal parts of `own` to rank r, and returns the parts that are meant for this rank, in
    /// the order of ranks. `received` is memory for the result.
    fn all_to_all<'a, T: Element>(&self, own: &'a [T], received: &'a mut Vec<T>) -> &'a [T];

    /// Overwrites the numbers of every rank with those of rank 0.
    fn broadcast<T: Element>(&self, values: &mut [T]);

    /// Waits until every rank has called it.
    fn barrier(&self);
}

/// The world of one process by itself, where nothing is exchanged, copied or waited for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl World for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_gather<'a, T: Element>(&self, own: &'a [T], _: &'a mut Vec<T>) -> &'a [T] {
        own
    }

    fn all_to_all<'a, T: Element>(&self, own: &'a [T], _: &'a mut Vec<T>) -> &'a [T] {
        own
    }

    fn broadcast<T: Element>(&self, _: &mut [T]) {}

    fn barrier(&self) {}
}

/// At most this many floats are exchanged at a time, 64 MB.
const CHUNK: usize = 1 << 24;

/// Replaces the values of every rank by their sum over all ranks.
///
/// Each rank receives one slice of every rank's values, adds the slices as a balanced tree, and gathers the sums. That
/// is as many bytes as any all-reduce needs, and the shape of the sum is fixed: the same bits on every rank and in
/// every run with as many ranks.
pub fn sum_over_ranks<W: World>(world: &W, values: &mut [f32]) {
    let ranks = world.size();
    if ranks == 1 {
        return;
    }
    let (mut received, mut sums) = (vec![], vec![]);
    for values in values.chunks_mut(CHUNK) {
        let slice = values.len().div_ceil(ranks);
        let mut own = Cow::Borrowed(&*values);
        if values.len() < slice * ranks {
            own.to_mut().resize(slice * ranks, 0.0);
        }
        let mut slices = world.all_to_all(&own, &mut received).to_vec();
        add_as_tree(&mut slices, slice);
        let all = &world.all_gather(&slices[..slice], &mut sums)[..values.len()];
        values.copy_from_slice(all);
    }
}

/// Replaces the first slice by the sum of all: neighbours are added, then neighbouring sums, and so on.
fn add_as_tree(slices: &mut [f32], len: usize) {
    let mut step = len;
    while step < slices.len() {
        for pair in slices.chunks_mut(2 * step).filter(|pair| pair.len() > step) {
            let (sum, other) = pair.split_at_mut(step);
            sum[..len].iter_mut().zip(other).for_each(|(sum, other)| *sum += *other);
        }
        step *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_added_first() {
        // ((a + b) + (c + d)) + e
        let mut slices = [1e8, 1.0, -1e8, 2.0, 3.0, 4.0, 3.0, -4.0, 0.5, 0.25];
        add_as_tree(&mut slices, 2);
        assert_eq!(slices[..2], [((1e8 + -1e8) + (3.0 + 3.0)) + 0.5, ((1.0 + 2.0) + (4.0 + -4.0)) + 0.25]);
        let mut one = [7.0];
        add_as_tree(&mut one, 1);
        assert_eq!(one, [7.0]);
    }
}
