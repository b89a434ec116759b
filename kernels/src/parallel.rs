//! Handing work to threads, in pieces that do not depend on their number.

use rayon::{join, prelude::*};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Runs `work` on a thread of the pool.
///
/// A thread outside hands each parallel step to the pool and sleeps until it is done, and the pool's threads fall
/// asleep between steps: some fifty microseconds each. From inside, a step costs a few.
pub fn in_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

/// At most this many threads share a step of a model; more would find too little work in it.
const MAX_THREADS: usize = 256;

/// Gives each thread a share of `0..tasks`, in order, and when that is done, what is left of the others' shares. Gives
/// this thread all of them unless `parallel`.
///
/// Each call of `work` prepares once what all its tasks need; a thread that comes too late finds no tasks.
pub(crate) fn in_shares(parallel: bool, tasks: usize, work: impl Fn(&mut dyn Iterator<Item = usize>) + Sync) {
    if !parallel {
        return work(&mut (0..tasks));
    }
    let threads = rayon::current_num_threads().min(tasks).min(MAX_THREADS);
    let start = |share: usize| share * tasks / threads.max(1);
    let mut next = [const { AtomicUsize::new(0) }; MAX_THREADS];
    next.iter_mut().take(threads).enumerate().for_each(|(share, next)| *next.get_mut() = start(share));
    let claim = |share: usize| Some(next[share].fetch_add(1, Relaxed)).filter(|&task| task < start(share + 1));
    let done = AtomicUsize::new(0);
    (0..threads).into_par_iter().with_max_len(1).for_each(|own| {
        let from_own = (own..threads).chain(0..own);
        let mut mine = 0;
        work(&mut from_own.flat_map(|share| std::iter::from_fn(move || claim(share))).inspect(|_| mine += 1));
        done.fetch_add(mine, Relaxed);
        wait_awake(|| done.load(Relaxed) >= tasks);
    });
}

/// A thread that has nothing left to do stays awake for so many pauses, some fifty microseconds: as long as falling
/// asleep and being woken takes.
const MAX_PAUSES: usize = 1000;

/// Waits a moment until `done`. The pool's threads would fall asleep at once, a few microseconds before they are needed
/// for the next step.
fn wait_awake(done: impl Fn() -> bool) {
    (0..MAX_PAUSES).take_while(|_| !done()).for_each(|_| std::hint::spin_loop());
}

/// The most floats that a piece of a streaming kernel touches: about ten microseconds of work, so that handing it to
/// another thread costs little beside it, and small inputs stay on the caller's thread.
pub(crate) const PIECE: usize = 1 << 16;

/// Returns how many rows of `width` make one [`PIECE`].
pub(crate) fn rows_per_piece(width: usize) -> usize {
    PIECE.div_ceil(width.max(1))
}

/// Something made of rows that can be cut in two between them.
pub(crate) trait Split: Send + Sized {
    /// Cuts into the rows before `row` and the rest.
    fn split(self, row: usize) -> (Self, Self);
}

/// A matrix to read: the data and the width of a row.
pub(crate) struct Rows<'a, T = f32>(pub &'a [T], pub usize);

/// A matrix to write.
pub(crate) struct RowsMut<'a, T = f32>(pub &'a mut [T], pub usize);

impl<T: Sync> Split for Rows<'_, T> {
    fn split(self, row: usize) -> (Self, Self) {
        let (a, b) = self.0.split_at(row * self.1);
        (Rows(a, self.1), Rows(b, self.1))
    }
}

impl<T: Send> Split for RowsMut<'_, T> {
    fn split(self, row: usize) -> (Self, Self) {
        let (a, b) = self.0.split_at_mut(row * self.1);
        (RowsMut(a, self.1), RowsMut(b, self.1))
    }
}

impl Split for Range<usize> {
    fn split(self, row: usize) -> (Self, Self) {
        let mid = self.start + row;
        (self.start..mid, mid..self.end)
    }
}

impl<P: Split> Split for Option<P> {
    fn split(self, row: usize) -> (Self, Self) {
        self.map(|rows| rows.split(row)).unzip()
    }
}

impl<A: Split, B: Split> Split for (A, B) {
    fn split(self, row: usize) -> (Self, Self) {
        let ((a, x), (b, y)) = (self.0.split(row), self.1.split(row));
        ((a, b), (x, y))
    }
}

impl<A: Split, B: Split, C: Split> Split for (A, B, C) {
    fn split(self, row: usize) -> (Self, Self) {
        let ((a, x), (b, y), (c, z)) = (self.0.split(row), self.1.split(row), self.2.split(row));
        ((a, b, c), (x, y, z))
    }
}

impl<A: Split, B: Split, C: Split, D: Split> Split for (A, B, C, D) {
    fn split(self, row: usize) -> (Self, Self) {
        let ((a, w), (b, x)) = (self.0.split(row), self.1.split(row));
        let ((c, y), (d, z)) = (self.2.split(row), self.3.split(row));
        ((a, b, c, d), (w, x, y, z))
    }
}

/// Calls `f` on pieces of at most `piece` of the `rows` rows, on as many threads as there are.
pub(crate) fn for_pieces<P: Split>(rows: usize, piece: usize, parts: P, f: &(impl Fn(P) + Sync)) {
    if rows <= piece {
        return f(parts);
    }
    let mid = middle(rows, piece);
    let (a, b) = parts.split(mid);
    join(|| for_pieces(mid, piece, a, f), || for_pieces(rows - mid, piece, b, f));
}

/// Returns half of the rows, rounded to whole pieces.
fn middle(rows: usize, piece: usize) -> usize {
    rows.div_ceil(piece).div_ceil(2) * piece
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::ThreadPoolBuilder;

    #[test]
    fn every_task_is_done_once_by_a_thread_of_the_pool() {
        for threads in [1, 2, 5] {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for tasks in [0, 1, 3, 100] {
                let done: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                let one = |task: usize| {
                    assert!(rayon::current_thread_index().is_some());
                    done[task].fetch_add(1, Relaxed);
                };
                pool.install(|| in_shares(true, tasks, |mine| mine.for_each(one)));
                pool.install(|| in_pool(|| in_shares(false, tasks, |mine| mine.for_each(one))));
                assert!(done.iter().all(|n| n.load(Relaxed) == 2), "{threads} threads, {tasks} tasks: {done:?}");
            }
        }
    }

    #[test]
    fn an_idle_thread_finishes_the_share_of_a_busy_one() {
        let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let done = AtomicUsize::new(0);
        pool.install(|| {
            in_shares(true, 10, |mine| {
                for task in mine {
                    // The first share's first task lasts until all the others are done.
                    while task == 0 && done.load(Relaxed) < 9 {
                        std::thread::yield_now();
                    }
                    done.fetch_add(1, Relaxed);
                }
            });
        });
        assert_eq!(done.into_inner(), 10);
    }
}
