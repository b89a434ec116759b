//! A bounded queue in which many workers make numbered batches and one trainer takes them in order.

use crate::batches::batch::Batch;
use crate::batches::error::LoaderError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};

/// A ring of numbered places in which finished batches wait for the trainer.
pub(super) struct Queue {
    state: Mutex<State>,
    /// Signals that a place became free, or that the queue was closed.
    room: Condvar,
    /// Signals that a batch is ready.
    ready: Condvar,
    closed: AtomicBool,
}

struct State {
    /// The next step that a worker will claim.
    claim: u64,
    /// The next step that the trainer will take.
    take: u64,
    /// The batch of step k waits in place k mod length, so at most that many steps are claimed and not yet taken.
    ring: Vec<Option<Result<Batch, LoaderError>>>,
    /// Recycled batches, whose memory the next ones use.
    spare: Vec<Batch>,
}

impl Queue {
    /// Makes a queue of `depth` places, whose first step is `start`.
    pub(crate) fn new(start: u64, depth: usize) -> Self {
        let ring = (0..depth).map(|_| None).collect();
        let state = State { claim: start, take: start, ring, spare: Vec::new() };
        Self { state: Mutex::new(state), room: Condvar::new(), ready: Condvar::new(), closed: AtomicBool::new(false) }
    }

    /// Waits for a free place; returns the next step to make and a batch to fill, or `None` once the queue is closed.
    pub(crate) fn claim(&self) -> Option<(u64, Batch)> {
        let full = |state: &mut State| state.claim - state.take >= state.ring.len() as u64 && !self.is_closed();
        let mut state = self.room.wait_while(self.lock(), full).expect("no thread panics with the queue locked");
        if self.is_closed() {
            return None;
        }
        state.claim += 1;
        Some((state.claim - 1, state.spare.pop().unwrap_or_default()))
    }

    /// Hands in a step's batch, or the error that prevented it.
    pub(crate) fn put(&self, step: u64, batch: Result<Batch, LoaderError>) {
        let mut state = self.lock();
        let depth = state.ring.len() as u64;
        state.ring[(step % depth) as usize] = Some(batch);
        drop(state);
        self.ready.notify_one();
    }

    /// Waits for the next step's batch and returns it. The first error closes the queue.
    pub(crate) fn take(&self) -> Result<Batch, LoaderError> {
        if self.is_closed() {
            return Err(LoaderError::Panic("the stream ended with an earlier error".to_owned()));
        }
        let place = |state: &State| (state.take % state.ring.len() as u64) as usize;
        let empty = |state: &mut State| state.ring[place(state)].is_none();
        let mut state = self.ready.wait_while(self.lock(), empty).expect("no thread panics with the queue locked");
        let i = place(&state);
        let batch = state.ring[i].take().expect("waited until it was there");
        state.take += 1;
        drop(state);
        match batch {
            Ok(_) => self.room.notify_one(),
            Err(_) => self.close(),
        }
        batch
    }

    /// Keeps a used batch, so that a later one reuses its memory.
    pub(crate) fn recycle(&self, batch: Batch) {
        self.lock().spare.push(batch);
    }

    /// Closes the queue and wakes the workers that wait for a place.
    pub(crate) fn close(&self) {
        // The flag is set under the lock, or else a worker could check it, miss the notification and wait for ever.
        let state = self.lock();
        self.closed.store(true, Ordering::Relaxed);
        drop(state);
        self.room.notify_all();
    }

    /// Returns whether the queue has been closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the queue locked")
    }
}
