//! Means over a batch, of which every rank has a part.

use crate::loss::cross_entropy::Sums;
use crate::train::metric::Metric;
use crate::train::world::World;

/// Adds up what the ranks count. Returns the sums over the ranks before this one, and over all.
pub(super) fn count<W: World, const K: usize>(world: &W, own: [u64; K]) -> [[u64; K]; 2] {
    let mut memory = vec![];
    let of_all = world.all_gather(&own, &mut memory);
    let sum = |ranks: usize| std::array::from_fn(|k| of_all[..ranks * K].iter().skip(k).step_by(K).sum());
    [sum(world.rank()), sum(world.size())]
}

/// A loss that is a mean over all ranks' items, and this rank's part of it as it adds up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mean {
    /// How many items this rank has, and all ranks.
    pub own: u64,
    pub all: u64,
    sums: Sums,
}

impl Mean {
    /// Begins a mean over this many items.
    pub fn new(own: u64, all: u64) -> Self {
        Mean { own, all, sums: Sums::default() }
    }

    /// Returns what one item counts.
    pub fn weight(&self) -> f32 {
        (1.0 / self.all.max(1) as f64) as f32
    }

    /// Adds what some items come to.
    pub fn add(&mut self, sums: Sums) {
        self.sums += sums;
    }

    /// Returns the mean over this rank's own items.
    pub fn loss(&self) -> f64 {
        self.sums.loss * self.factor()
    }

    /// Returns the mean for a model that finds all V tokens equally likely.
    pub fn chance(&self, vocabulary: usize) -> f64 {
        self.sums.weight * self.factor() * (vocabulary as f64).ln()
    }

    /// Returns the share of right predictions, if there were any.
    pub fn accuracy(&self, name: &'static str) -> Option<Metric> {
        let Sums { hits, weight, .. } = self.sums;
        (weight > 0.0).then(|| Metric::new(name, hits / weight))
    }

    fn factor(&self) -> f64 {
        self.all as f64 / self.own.max(1) as f64
    }
}
