//! Scratch memory that every thread keeps from call to call, so that no kernel allocates in its steady state.
//!
//! ```text
//! thread_local! {
//!     /// The packed keys and values.
//!     static PACKED: Scratch = const { Scratch::new(0) };
//! }
//! scratch::with(&PACKED, len, |buffer| …);
//! scratch::with_blocks(&PACKED, [keys, values], |[keys, values]| …);
//! ```

use crate::memory::{Floats, LINE};
use std::cell::RefCell;
use std::thread::LocalKey;

/// The buffers of one purpose that a thread has free at the moment.
pub(crate) struct Scratch {
    min_len: usize,
    free: RefCell<Vec<Floats>>,
}

impl Scratch {
    /// Every buffer has room for `min_len` floats from the start, so that none is replaced by a larger one however the
    /// shapes vary. Pages that nobody touches are never backed by memory.
    pub const fn new(min_len: usize) -> Self {
        Scratch { min_len, free: RefCell::new(Vec::new()) }
    }
}

/// Calls `work` with `len` floats of unspecified content, which begin at a cache line.
///
/// Calls nest: a buffer is taken out while it is in use. A thread that waits in `work` for others may be handed another
/// piece of work by rayon, which then takes the next buffer. Buffers come back in the reverse order, so each level of
/// nesting finds the one that it had before.
pub(crate) fn with<R>(scratch: &'static LocalKey<Scratch>, len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let (kept, len_kept) = scratch.with(|s| (s.free.borrow_mut().pop(), len.max(s.min_len)));
    let mut buffer = kept.filter(|b| b.len() >= len_kept).unwrap_or_else(|| Floats::zeros(len_kept));
    let result = work(&mut buffer[..len]);
    scratch.with(|s| s.free.borrow_mut().push(buffer));
    result
}

/// Calls `work` with one block for each of `sizes`: [`with`], cut at cache lines.
pub(crate) fn with_blocks<const N: usize, R>(
    scratch: &'static LocalKey<Scratch>,
    sizes: [usize; N],
    work: impl FnOnce([&mut [f32]; N]) -> R,
) -> R {
    let room = |size: usize| size.next_multiple_of(LINE);
    with(scratch, sizes.iter().map(|&size| room(size)).sum(), |buffer| {
        let mut rest = buffer;
        work(sizes.map(|size| {
            let (block, tail) = std::mem::take(&mut rest).split_at_mut(room(size));
            rest = tail;
            &mut block[..size]
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static TESTED: Scratch = const { Scratch::new(100) };
    }

    #[test]
    fn every_level_of_nesting_finds_its_buffer_again() {
        let mut seen = Vec::new();
        for round in 0..2 {
            with(&TESTED, 10, |outer| {
                outer.fill(1.0);
                with(&TESTED, 1000, |inner| {
                    inner.fill(2.0);
                    assert_eq!((outer.len(), inner.len()), (10, 1000));
                    seen.push((outer.as_ptr(), inner.as_ptr()));
                });
                assert!(outer.iter().all(|&x| x == 1.0), "round {round}");
            });
        }
        assert_eq!(seen[0], seen[1]);
    }

    #[test]
    fn blocks_are_apart_and_begin_at_cache_lines() {
        with_blocks(&TESTED, [3, 0, 16, 170], |blocks| {
            for (i, block) in blocks.into_iter().enumerate() {
                assert_eq!((block.len(), block.as_ptr().addr() % 64), ([3, 0, 16, 170][i], 0));
                block.fill(i as f32);
            }
        });
        with(&TESTED, 16 + 16 + 170, |all| assert_eq!([all[2], all[16], all[32], all[201]], [0.0, 2.0, 3.0, 3.0]));
    }
}
