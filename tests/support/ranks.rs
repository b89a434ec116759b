//! A world whose ranks are threads of this process.

use clipwright::train::world::{Element, World};
use std::any::Any;
use std::sync::{Arc, Barrier, Mutex};

/// One rank of the world.
pub struct Rank {
    rank: usize,
    shared: Arc<Shared>,
}

struct Shared {
    barrier: Barrier,
    /// The last contribution of each rank.
    given: Vec<Mutex<Box<dyn Any + Send>>>,
}

/// Runs `work` on every rank of a world of `size` ranks; returns the results in the order of ranks.
pub fn on_ranks<R: Send>(size: usize, work: impl Fn(Rank) -> R + Sync) -> Vec<R> {
    let given = (0..size).map(|_| Mutex::new(Box::new(()) as Box<dyn Any + Send>)).collect();
    let shared = Arc::new(Shared { barrier: Barrier::new(size), given });
    let (work, shared) = (&work, &shared);
    std::thread::scope(|scope| {
        let rank = |rank| scope.spawn(move || work(Rank { rank, shared: Arc::clone(shared) }));
        let ranks: Vec<_> = (0..size).map(rank).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

impl World for Rank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.shared.given.len()
    }

    fn all_gather<'a, T: Element>(&self, own: &'a [T], all: &'a mut Vec<T>) -> &'a [T] {
        *self.shared.given[self.rank].lock().unwrap() = Box::new(own.to_vec());
        self.barrier();
        all.clear();
        for given in &self.shared.given {
            let given = given.lock().unwrap();
            let given = given.downcast_ref::<Vec<T>>().expect("all ranks give the same kind of number");
            assert_eq!(given.len(), own.len(), "all ranks give as many");
            all.extend(given);
        }
        self.barrier();
        all
    }

    fn all_to_all<'a, T: Element>(&self, own: &'a [T], received: &'a mut Vec<T>) -> &'a [T] {
        assert!(own.len().is_multiple_of(self.size()), "a part for each rank");
        let part = own.len() / self.size();
        let mut all = vec![];
        let all = self.all_gather(own, &mut all);
        received.clear();
        all.chunks(own.len().max(1)).for_each(|given| received.extend(&given[self.rank * part..][..part]));
        received
    }

    fn broadcast<T: Element>(&self, values: &mut [T]) {
        let mut all = vec![];
        let first = &self.all_gather(values, &mut all)[..values.len()];
        let first = first.to_vec();
        values.copy_from_slice(&first);
    }

    fn barrier(&self) {
        self.shared.barrier.wait();
    }
}
