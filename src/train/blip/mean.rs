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

/// A loss that is a mean over the items of all ranks, and the parts of this rank's shards as they add up.
#[derive(Clone, Debug, Default)]
pub(super) struct Mean {
    /// How many items all ranks have.
    all: u64,
    shards: Vec<Sums>,
    /// The sum over the shards of all ranks, once it is known.
    total: Sums,
}

impl Mean {
    /// Begins a mean over this many items.
    pub fn begin(&mut self, all: u64, shards: usize) {
        self.all = all;
        self.shards.clear();
        self.shards.resize(shards, Sums::default());
    }

    /// Returns what one item counts.
    pub fn weight(&self) -> f32 {
        (1.0 / self.all.max(1) as f64) as f32
    }

    /// Adds what some items of a shard come to.
    pub fn add(&mut self, shard: usize, sums: Sums) {
        self.shards[shard] += sums;
    }

    /// Adds up the shards of all ranks, in their order.
    pub fn finish<W: World>(&mut self, world: &W) {
        let (own, mut memory): (Vec<f64>, _) = (self.shards.iter().flat_map(Sums::numbers).collect(), vec![]);
        self.total = Sums::default();
        for &numbers in world.all_gather(&own, &mut memory).as_chunks().0 {
            self.total += Sums::of(numbers);
        }
    }

    /// Returns how many items all ranks have.
    pub fn items(&self) -> u64 {
        self.all
    }

    /// Returns the mean.
    pub fn loss(&self) -> f64 {
        self.total.loss
    }

    /// Returns the mean for a model that finds all V tokens equally likely.
    pub fn chance(&self, vocabulary: usize) -> f64 {
        self.total.weight * (vocabulary as f64).ln()
    }

    /// Returns the share of right predictions, if there were any.
    pub fn accuracy(&self, name: &'static str) -> Option<Metric> {
        let Sums { hits, weight, .. } = self.total;
        (weight > 0.0).then(|| Metric::new(name, hits / weight))
    }
}
