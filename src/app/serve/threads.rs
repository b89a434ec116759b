//! Work that takes a processor for a while, on threads that may be kept busy, and so much of it at a time.

use super::reply::Fault;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

/// The unit in which memory is reserved, in bytes.
const UNIT: usize = 1 << 12;

/// Work on so many bytes takes less time than it would take another thread to begin.
const LITTLE: usize = 1 << 13;

/// How much is done at a time.
#[derive(Clone)]
pub(super) struct Threads {
    processors: Arc<Semaphore>,
    count: usize,
}

impl Threads {
    /// Lets so many threads be busy at a time.
    pub fn new(threads: usize) -> Self {
        Threads { processors: Arc::new(Semaphore::new(threads)), count: threads }
    }

    /// Returns how many threads may be busy at a time.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Does work on so many bytes: at once if they are few, and otherwise as [`run`](Self::run) does it.
    ///
    /// # Errors
    /// Returns a fault if the work panics on another thread.
    pub async fn run_on<R: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Fault> {
        if bytes <= LITTLE { Ok(work()) } else { self.run(work).await }
    }

    /// Does work on a thread, once there is one. Work that has not begun when nobody waits for it any more is not done.
    ///
    /// # Errors
    /// Returns a fault if the work panics.
    pub async fn run<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> Result<R, Fault> {
        let permit = Arc::clone(&self.processors).acquire_owned().await.expect("it is never closed");
        let done = spawn_blocking(move || {
            let outcome = work();
            drop(permit);
            outcome
        });
        done.await.map_err(|_| Fault::internal("the server failed at this request, and goes on"))
    }
}

/// Memory of which only so much is used at a time.
#[derive(Clone)]
pub(super) struct Memory {
    units: Arc<Semaphore>,
    all: usize,
}

impl Memory {
    /// Makes so many bytes available.
    pub fn new(bytes: usize) -> Self {
        let all = (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Memory { units: Arc::new(Semaphore::new(all)), all }
    }

    /// Reserves bytes if they are free. What is larger than all of them takes all.
    pub fn try_reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = bytes.div_ceil(UNIT).min(self.all) as u32;
        Arc::clone(&self.units).try_acquire_many_owned(units).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime::Builder;

    #[test]
    fn memory_is_given_while_there_is_some() {
        let memory = Memory::new(10 * UNIT);
        let (first, second) = (memory.try_reserve(6 * UNIT).unwrap(), memory.try_reserve(3 * UNIT + 1).unwrap());
        assert!(memory.try_reserve(1).is_none());
        drop(first);
        assert!(memory.try_reserve(6 * UNIT).is_some() && memory.try_reserve(usize::MAX).is_none());
        drop(second);
        assert!(memory.try_reserve(usize::MAX).is_some());
    }

    #[test]
    fn a_panic_is_a_fault_and_frees_its_thread() {
        let (threads, runtime) = (Threads::new(1), Builder::new_current_thread().build().unwrap());
        for _ in 0..3 {
            assert!(
                runtime
                    .block_on(threads.run(|| -> u8 { panic!("as planned") }))
                    .is_err_and(|fault: Fault| fault.status == 500)
            );
        }
        assert_eq!(runtime.block_on(threads.run(|| 7)).ok(), Some(7));
    }
}
