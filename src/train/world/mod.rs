//! The processes that train one model together.
//!
//! | file | what it knows |
//! |---|---|
//! | `alone` | one process by itself |
//! | [`threads`] | ranks that are threads of one process |
//! | `mpi` | ranks that are processes, on one machine or many (feature `mpi`) |
//! | [`shards`] | how a step is cut, so that no bit depends on the number of ranks |
//! | [`slices`] | which parameters each rank moves, and the sums over all ranks |
//!
//! A [`World`] only moves numbers. Every addition is made here, in an order that depends on the number of
//! [`shards`] and not on the number of ranks, so no bit depends on the network either.

mod alone;
#[cfg(feature = "mpi")]
mod mpi;
pub mod shards;
pub mod slices;
pub mod threads;

pub use alone::Alone;
#[cfg(feature = "mpi")]
pub use mpi::Mpi;
pub use threads::Threads;

use std::fmt::Debug;
use std::time::Duration;

#[cfg(feature = "mpi")]
use ferrompi::MpiDatatype as Movable;

/// A number that a world can move: any, where there is no MPI.
#[cfg(not(feature = "mpi"))]
trait Movable {}

#[cfg(not(feature = "mpi"))]
impl<T> Movable for T {}

/// A number that ranks exchange.
#[cfg_attr(not(feature = "mpi"), expect(private_bounds, reason = "what can be moved is what is listed below"))]
pub trait Element: Movable + Copy + Default + Debug + Send + Sync + 'static {}

impl Element for f32 {}
impl Element for f64 {}
impl Element for u32 {}
impl Element for u64 {}
impl Element for u8 {}

/// The processes, called ranks, that take every training step together. All call the same functions in the same order,
/// each from the thread that it was started on, never from a worker of a thread pool.
pub trait World: Clone {
    /// Returns which of the ranks this is, counted from 0.
    fn rank(&self) -> usize;

    /// Returns the number of ranks.
    fn size(&self) -> usize;

    /// Returns the numbers of all ranks, in the order of ranks. Every rank gives the same number of them in `own`.
    /// Several ranks find the result in `all`; one by itself gets `own` back.
    fn all_gather<'a, T: Element>(&self, own: &'a [T], all: &'a mut Vec<T>) -> &'a [T];

    /// Sends the r-th of `size` equal parts of `own` to rank r, and returns the parts that are meant for this rank, in
    /// the order of ranks. Several ranks find the result in `received`; one by itself gets `own` back.
    fn all_to_all<'a, T: Element>(&self, own: &'a [T], received: &'a mut Vec<T>) -> &'a [T];

    /// Overwrites the numbers of every rank with those of rank 0.
    fn broadcast<T: Element>(&self, values: &mut [T]);

    /// Waits until every rank has called it.
    fn barrier(&self);

    /// Returns how long this rank has been in exchanges so far, most of which is waiting for the slowest one.
    fn waited(&self) -> Duration;
}
