//! A world whose ranks are threads of one process, which shows without a network what several machines would do.

use super::{Element, World};
use std::any::Any;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

/// One rank. It notes what it exchanges: all ranks have to call the same functions in the same order.
#[derive(Clone)]
pub struct Threads {
    rank: usize,
    shared: Arc<Shared>,
    calls: Arc<Mutex<Vec<Call>>>,
}

/// An exchange: its name, and the bytes that the rank gave.
pub type Call = (&'static str, usize);

struct Shared {
    barrier: Barrier,
    /// What each rank gave last.
    given: Vec<Mutex<Box<dyn Any + Send>>>,
}

impl Threads {
    /// Runs `work` on every rank of a world of this size. Returns the results in the order of ranks.
    ///
    /// # Panics
    /// Panics if a rank does. Where others wait for that rank, they wait for ever.
    pub fn run<R: Send>(size: usize, work: impl Fn(Threads) -> R + Sync) -> Vec<R> {
        let given = (0..size).map(|_| Mutex::new(Box::new(()) as Box<dyn Any + Send>)).collect();
        let shared = Arc::new(Shared { barrier: Barrier::new(size), given });
        let (work, shared) = (&work, &shared);
        let world = |rank| Threads { rank, shared: Arc::clone(shared), calls: Arc::default() };
        std::thread::scope(|scope| {
            let ranks: Vec<_> = (0..size).map(|rank| scope.spawn(move || work(world(rank)))).collect();
            ranks.into_iter().map(|rank| rank.join().expect("a rank that does not panic")).collect()
        })
    }

    /// Returns what this rank has exchanged so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("noting does not panic").clone()
    }

    fn note<T>(&self, name: &'static str, given: &[T]) {
        self.calls.lock().expect("noting does not panic").push((name, size_of_val(given)));
    }

    /// Returns the numbers of all ranks.
    fn gather<T: Element>(&self, own: &[T], all: &mut Vec<T>) {
        *self.shared.given[self.rank].lock().expect("giving does not panic") = Box::new(own.to_vec());
        self.shared.barrier.wait();
        all.clear();
        for given in &self.shared.given {
            let given = given.lock().expect("giving does not panic");
            let given = given.downcast_ref::<Vec<T>>().expect("all ranks give the same kind of number");
            assert_eq!(given.len(), own.len(), "all ranks give as many");
            all.extend(given);
        }
        self.shared.barrier.wait();
    }
}

impl World for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.shared.given.len()
    }

    fn all_gather<'a, T: Element>(&self, own: &'a [T], all: &'a mut Vec<T>) -> &'a [T] {
        self.note("all_gather", own);
        self.gather(own, all);
        all
    }

    fn all_to_all<'a, T: Element>(&self, own: &'a [T], received: &'a mut Vec<T>) -> &'a [T] {
        assert!(own.len().is_multiple_of(self.size()), "a part for each rank");
        self.note("all_to_all", own);
        let part = own.len() / self.size();
        let mut all = vec![];
        self.gather(own, &mut all);
        received.clear();
        all.chunks(own.len().max(1)).for_each(|given| received.extend(&given[self.rank * part..][..part]));
        received
    }

    fn broadcast<T: Element>(&self, values: &mut [T]) {
        self.note("broadcast", values);
        let mut all = vec![];
        self.gather(values, &mut all);
        values.copy_from_slice(&all[..values.len()]);
    }

    fn barrier(&self) {
        self.note::<u8>("barrier", &[]);
        self.shared.barrier.wait();
    }

    /// Returns zero: what threads of one process wait for is not worth a clock.
    fn waited(&self) -> Duration {
        Duration::ZERO
    }
}
