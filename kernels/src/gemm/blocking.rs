//! The sizes that several files share, and how a range is cut into pieces.

/// A tile takes this many steps of K. A panel of B (KC × 32 × 4 bytes = 48 KB) passes through L1 once per row of tiles;
/// more steps would mean fewer rounds of loading and storing C.
pub(super) const KC: usize = 384;

/// Up to this many rows a product is *flat* whatever its operands: all of A at KC steps (1024 × KC × 4 bytes = 1.6 MB)
/// comes from the last cache once per strip of B.
pub(super) const MAX_FLAT_ROWS: usize = 1024;

/// A product of fewer multiply-adds takes some ten microseconds, and waking other threads would cost as much.
pub(super) const MIN_PARALLEL_WORK: usize = 1 << 19;

/// Fetching one weight from memory takes about as long as this many multiply-adds.
pub(super) const FETCH_COST: usize = 8;

/// A product is cut into about this many tasks per thread, so that all threads are busy to the end.
pub(super) const TASKS_PER_THREAD: usize = 4;

/// The start of a stretch, and its length.
pub(super) type Span = (usize, usize);

/// Returns the length of the fewest steps of at most `max` that cover `n` evenly, rounded up to a multiple of `unit`.
pub(super) fn even(n: usize, max: usize, unit: usize) -> usize {
    n.div_ceil(n.div_ceil(max).max(1)).next_multiple_of(unit).max(unit)
}

/// Cuts `0..n` into pieces, all `step` long but the last. There is one empty piece if `n` is 0.
pub(super) fn pieces(n: usize, step: usize) -> impl Iterator<Item = Span> {
    (0..n.max(1)).step_by(step).map(move |start| (start, step.min(n - start)))
}
