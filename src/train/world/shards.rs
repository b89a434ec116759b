//! The cut of a step into shards, whose number V does not depend on that of the ranks.
//!
//! A step of V shards is taken by R ranks, V/R neighbouring shards each. Floating-point addition is not associative, so
//! what makes a step the same on any number of ranks is the shape of its sums:
//!
//! ```text
//! each shard's gradient begins from zero
//! shards are added as a balanced binary tree:  ((s₀ + s₁) + (s₂ + s₃)) + …
//! ```
//!
//! With V and R powers of two, a rank's shards are one node of that tree. Its lower levels are added within a rank
//! (`Pending`), the upper ones across ranks ([`slices`](super::slices)). A run that was begun on eight machines can go
//! on, after any crash, on one, two or four with the same bits.

use kernels::memory::Floats;
use kernels::reduce::PIECE;
use rayon::prelude::*;

/// The sums of earlier shards of a rank that wait for later ones: one for each level of the tree, at most.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    sums: Vec<Floats>,
    spare: Vec<Floats>,
}

impl Pending {
    /// Takes the gradient of shard `done` of this rank's `shards`. Afterwards `gradient` is zero, ready for the next
    /// shard, or the sum of all if this was the last.
    pub fn push(&mut self, gradient: &mut Floats, done: usize, shards: usize) {
        let Pending { sums, spare } = self;
        for _ in 0..(done + 1).trailing_zeros() {
            let earlier = sums.pop().expect("a sum for each level that is complete");
            add(gradient, &earlier);
            spare.push(earlier);
        }
        if done + 1 < shards {
            let mut zeros = spare.pop().unwrap_or_else(|| Floats::zeros(gradient.len()));
            zeros.par_chunks_mut(PIECE).for_each(|piece| piece.fill(0.0));
            sums.push(std::mem::replace(gradient, zeros));
        }
    }
}

/// to += from
pub(super) fn add(to: &mut [f32], from: &[f32]) {
    let pieces = to.par_chunks_mut(PIECE).zip(from.par_chunks(PIECE));
    pieces.for_each(|(to, from)| to.iter_mut().zip(from).for_each(|(to, from)| *to += from));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_added_as_a_balanced_tree() {
        let shards = [1e8, 3.0, -1e8, 4.0, 0.25, 1e-3, 7.0, -1e7f32];
        let mut gradient = Floats::zeros(1);
        let mut pending = Pending::default();
        for _ in 0..2 {
            gradient[0] = 0.0;
            for (i, shard) in shards.into_iter().enumerate() {
                assert_eq!(gradient[0], 0.0, "a shard begins from zero");
                gradient[0] += shard;
                pending.push(&mut gradient, i, shards.len());
            }
            let [a, b, c, d, e, f, g, h] = shards;
            assert_eq!(gradient[0], ((a + b) + (c + d)) + ((e + f) + (g + h)));
        }
        assert_eq!(pending.spare.len(), 3, "a sum for each level");
    }
}
