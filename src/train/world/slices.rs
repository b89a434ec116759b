//! The slices of the parameters that ranks own: sums over ranks, and parameters that come back together.
//!
//! Each rank keeps the moments of its slices alone and moves nothing else (ZeRO, Rajbhandari et al. 2020, section 5.1):
//!
//! ```text
//! sum      all_to_all    every rank receives the slices that it owns of all gradients, and adds them as a tree
//! AdamW                  every rank moves what it owns
//! gather   all_gather    every rank receives the parameters that the others have moved
//! ```
//!
//! That is as many bytes as one all-reduce of the gradients takes, and a rank's moments are 1/R of all.
//!
//! The block is walked in chunks of 64 MB, and of each chunk every rank owns one slice: so no exchange is larger, and a
//! rank's slices lie all over the block. A slice is whole [pieces](PIECE), whose squares are added up apart, so the norm
//! of all gradients has the same bits on any number of ranks.

use super::World;
use super::shards::add;
use kernels::reduce::{PIECE, squares_of_pieces, tree_sum};
use std::borrow::Cow;
use std::ops::Range;

/// The number of pieces of a chunk, and so the largest number of ranks.
pub const CHUNK_PIECES: usize = 256;
/// At most this many floats are exchanged at a time, 64 MB.
const CHUNK: usize = CHUNK_PIECES * PIECE;

/// How a block of floats is shared out among ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slices {
    len: usize,
    ranks: usize,
}

/// A part of the block that is exchanged at once, and the length of each rank's slice of it. The last slices may be
/// shorter or empty.
struct Chunk {
    range: Range<usize>,
    slice: usize,
}

impl Chunk {
    /// Returns the part of the block that a rank owns.
    fn of(&self, rank: usize) -> Range<usize> {
        let start = (self.range.start + rank * self.slice).min(self.range.end);
        start..(start + self.slice).min(self.range.end)
    }
}

/// The memory of exchanges, which is reused.
#[derive(Debug, Default)]
pub struct Exchange {
    received: Vec<f32>,
    /// The squares of the own pieces, of all ranks' as they came, and of all pieces in their order.
    squares: [Vec<f64>; 3],
}

impl Slices {
    /// Shares `len` floats out among so many ranks, at most [`CHUNK_PIECES`].
    pub fn new(len: usize, ranks: usize) -> Self {
        Slices { len, ranks }
    }

    fn chunks(self) -> impl Iterator<Item = Chunk> {
        (0..self.len).step_by(CHUNK).map(move |start| {
            let range = start..self.len.min(start + CHUNK);
            Chunk { slice: range.len().div_ceil(PIECE).div_ceil(self.ranks) * PIECE, range }
        })
    }

    /// Lists the ranges that a rank owns.
    pub fn of(self, rank: usize) -> impl Iterator<Item = Range<usize>> {
        self.chunks().map(move |chunk| chunk.of(rank)).filter(|range| !range.is_empty())
    }

    /// Replaces what this rank owns of the values by the sum over all ranks. What others own is left as it is.
    pub fn sum<W: World>(self, world: &W, values: &mut [f32], exchange: &mut Exchange) {
        if self.ranks == 1 {
            return;
        }
        for chunk in self.chunks() {
            let own = chunk.of(world.rank());
            let mut given = Cow::Borrowed(&values[chunk.range.clone()]);
            if given.len() < chunk.slice * self.ranks {
                given.to_mut().resize(chunk.slice * self.ranks, 0.0);
            }
            world.all_to_all(&given, &mut exchange.received);
            add_as_tree(&mut exchange.received, chunk.slice);
            let len = own.len();
            values[own].copy_from_slice(&exchange.received[..len]);
        }
    }

    /// Returns the sum of the squares of all values, of which every rank has those that it owns.
    pub fn sum_of_squares<W: World>(self, world: &W, values: &[f32], exchange: &mut Exchange) -> f64 {
        let pieces = |rank| self.of(rank).flat_map(|range| range.start / PIECE..range.end.div_ceil(PIECE));
        let [own, all, sums] = &mut exchange.squares;
        // The first rank has as many pieces as any other.
        own.resize(pieces(0).count(), 0.0);
        let mut done = 0;
        for range in self.of(world.rank()) {
            let pieces = range.len().div_ceil(PIECE);
            squares_of_pieces(&values[range], &mut own[done..done + pieces]);
            done += pieces;
        }
        sums.resize(self.len.div_ceil(PIECE), 0.0);
        for (rank, given) in world.all_gather(own, all).chunks(own.len().max(1)).enumerate() {
            pieces(rank).zip(given).for_each(|(piece, sum)| sums[piece] = *sum);
        }
        tree_sum(sums)
    }

    /// Replaces what the others own of the values by what they have there.
    pub fn gather<W: World>(self, world: &W, values: &mut [f32], exchange: &mut Exchange) {
        if self.ranks == 1 {
            return;
        }
        for chunk in self.chunks() {
            let mut given = Cow::Borrowed(&values[chunk.of(world.rank())]);
            if given.len() < chunk.slice {
                given.to_mut().resize(chunk.slice, 0.0);
            }
            world.all_gather(&given, &mut exchange.received);
            let len = chunk.range.len();
            values[chunk.range].copy_from_slice(&exchange.received[..len]);
        }
    }
}

/// Replaces the first slice by the sum of all: neighbours are added, then neighbouring sums, and so on.
fn add_as_tree(slices: &mut [f32], len: usize) {
    let mut step = len;
    while step < slices.len() {
        for pair in slices.chunks_mut(2 * step).filter(|pair| pair.len() > step) {
            let (sum, other) = pair.split_at_mut(step);
            add(&mut sum[..len], &other[..len]);
        }
        step *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Threads;
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

    /// A block of a chunk and five pieces and a bit cannot be divided evenly among four ranks.
    #[test]
    fn every_float_has_one_owner() {
        for len in [0, 1, PIECE, 3 * PIECE + 5, CHUNK + 5 * PIECE + 7] {
            for ranks in [1, 2, 4, 256] {
                let mut owned: Vec<_> = (0..ranks).flat_map(|rank| Slices::new(len, ranks).of(rank)).collect();
                owned.sort_by_key(|range| range.start);
                assert!(owned.iter().all(|range| range.start.is_multiple_of(PIECE)), "whole pieces");
                let end = owned.iter().fold(0, |end, range| if range.start == end { range.end } else { usize::MAX });
                assert_eq!(end, len, "{len} floats, {ranks} ranks");
            }
        }
    }

    #[test]
    fn squares_are_added_alike_on_any_number_of_ranks() {
        let values: Vec<f32> = (0..7 * PIECE + 11).map(|i| (i % 977) as f32 * 0.37 - 100.0).collect();
        let sum = |ranks| {
            Threads::run(ranks, |world| {
                Slices::new(values.len(), ranks).sum_of_squares(&world, &values, &mut Exchange::default())
            })
        };
        let one = sum(1)[0];
        assert!([2, 4, 8].into_iter().flat_map(sum).all(|sum| sum == one));
    }

    #[test]
    fn sums_over_ranks_come_together_again() {
        let len = 3 * PIECE + 5;
        let sums = Threads::run(4, |world| {
            let mut values: Vec<f32> = (0..len).map(|i| (i % 1000 + 10_000 * world.rank()) as f32).collect();
            let (slices, mut exchange) = (Slices::new(len, 4), Exchange::default());
            slices.sum(&world, &mut values, &mut exchange);
            slices.gather(&world, &mut values, &mut exchange);
            values
        });
        let expected: Vec<f32> = (0..len).map(|i| (4 * (i % 1000) + 60_000) as f32).collect();
        assert!(sums.iter().all(|values| *values == expected));
    }
}
