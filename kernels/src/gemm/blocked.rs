//! How a product is cut into tasks: which part of A, B and C is in which cache when.
//!
//! C is cut into blocks, one task each. The operand that many tasks read is packed before they start, once and by all
//! threads, or by each thread for itself if it is small. Each task packs the other operand alone, a piece at a time,
//! into a buffer that stays in its own cache:
//!
//! * *tall*, many rows (a batch of pictures): B is shared; a task packs its rows of A.
//! * *flat*, fewer rows, or rows that lie side by side (A = dYᵀ, for the gradient of weights): A is shared; a task
//!   packs its columns of B. With few rows each column has one task, so that the large matrix of weights is read once
//!   and its packed copy never leaves the cache. If B is row-major, packing takes no time of its own: the first row of
//!   tiles reads B where it is, and stores what it has loaded for the others.
//!
//! How a task then goes through its tiles is in `slab.rs`.

use super::blocking::{FETCH_COST, MIN_PARALLEL_WORK, TASKS_PER_THREAD, even, pieces};
use super::kernel::Kernel;
use super::slab::{Job, STRIP, Side, Slab};
use super::source::Source;
use crate::parallel::{in_pool, in_shares};
use crate::scratch::{self, Scratch};
use rayon::prelude::*;

/// The most rows of a tall task: its piece of A (MC × KC × 4 bytes = 86 KB) stays in L2 while B passes by. With twice
/// as many, B would come from the last cache half as often, which gains nothing yet, and threads would wait longer for
/// the last task.
const MC: usize = 56;

/// The most columns of a tall task: A is packed once for this many. The block of C (MC × NC × 4 bytes = 688 KB) may be
/// larger than L2, since each tile of it comes and goes once in KC steps.
const NC: usize = 3072;

/// The fewest rows of a flat task, where there is a choice: with fewer, packing a column of B takes longer than using
/// it.
const MIN_FLAT_TASK_ROWS: usize = 224;

/// At most this many elements of B are packed at a time: 16 MB, within the last cache of a desktop CPU. A larger B is
/// cut along K and N.
const MAX_SHARED_B: usize = 4 << 20;

/// At most this many elements of A are packed at a time: 4 MB, fewer than of B, as all of them pass through L2 once per
/// strip.
const MAX_SHARED_A: usize = 1 << 20;

/// At most this many columns of B are packed at a time.
const MAX_SHARED_COLS: usize = 8192;

/// A shared operand of at most this many lanes is packed by each thread for itself, because waiting until another
/// thread has packed it would take as long.
const MAX_OWN_LANES: usize = 128;

/// This many panels of the shared operand are packed together.
const PANELS_AT_ONCE: usize = 8;

thread_local! {
    /// The packed shared operand, in the thread that asked for the product, or in each thread that works on it if it is
    /// small.
    static SHARED: Scratch = const { Scratch::new(MAX_SHARED_B) };
}

/// Computes the product, on all threads if that is allowed and worth it.
pub(super) fn multiply(p: &Job) {
    if p.parallel && p.c.rows.max(FETCH_COST) * p.c.cols * p.k >= MIN_PARALLEL_WORK {
        in_pool(|| slabs(p, true));
    } else {
        slabs(p, false);
    }
}

/// Computes the product, a slab after the other.
fn slabs(p: &Job, parallel: bool) {
    let (m, n) = (p.c.rows, p.c.cols);
    let kernel = if p.a.is_matrix() { Kernel::for_rows(p.isa, m) } else { Kernel::of(p.isa) };
    let rows = if p.flat { even(m, MAX_SHARED_A / p.kc, kernel.mr) } else { m };
    let cols = if p.flat { n } else { n.min(MAX_SHARED_COLS) };
    let max_depth = match p.b {
        // Rows of W are fetched whole, once.
        Source::Fetched(_) => p.k,
        _ if p.flat => MAX_SHARED_A / rows,
        _ => MAX_SHARED_B / cols,
    };
    let depth = (max_depth / p.kc).clamp(1, p.k.div_ceil(p.kc).max(1)) * p.kc;
    for (row, rows) in pieces(m, rows) {
        for (col, cols) in pieces(n, cols) {
            for (k, depth) in pieces(p.k, depth) {
                Tasks::new(Slab { p, kernel, row, rows, col, cols, k, depth }, parallel).run();
            }
        }
    }
}

/// The tasks of a slab: one per block of C.
struct Tasks<'a> {
    slab: Slab<'a>,
    parallel: bool,
    /// The rows of a block; `nc` are its columns.
    mc: usize,
    nc: usize,
    /// How many blocks stand side by side; `count` is how many there are.
    across: usize,
    count: usize,
}

impl<'a> Tasks<'a> {
    /// Cuts a slab into tasks.
    fn new(slab: Slab<'a>, parallel: bool) -> Self {
        let wanted = if parallel { TASKS_PER_THREAD * rayon::current_num_threads() } else { 1 };
        let (mc, nc) = if slab.p.flat { flat_task(&slab, wanted) } else { tall_task(&slab, wanted) };
        let across = slab.cols.div_ceil(nc);
        let count = slab.rows.div_ceil(mc) * across;
        Tasks { slab, parallel, mc, nc, across, count }
    }

    /// Packs the shared operand and computes all blocks.
    fn run(&self) {
        let (side, lanes) = match self.slab.p {
            Job { flat: true, .. } => (Side::A, self.slab.rows),
            Job { b, .. } if b.is_packed() => (Side::B, 0),
            _ => (Side::B, self.slab.cols),
        };
        if lanes <= MAX_OWN_LANES {
            self.run_apart(side, lanes);
        } else {
            self.run_shared(side, lanes);
        }
    }

    /// Lets every thread that has a task pack for itself.
    fn run_apart(&self, side: Side, lanes: usize) {
        let slab = &self.slab;
        in_shares(self.parallel, self.count, |mine| {
            let mut mine = mine.peekable();
            if mine.peek().is_none() {
                return;
            }
            scratch::with(&SHARED, slab.panel_lanes(side, lanes) * slab.depth, |packed| {
                if lanes > 0 {
                    slab.pack(side, (0, lanes), (0, slab.depth), packed);
                }
                mine.for_each(|t| self.task(t, packed));
            });
        });
    }

    /// Lets all threads pack together, then multiply.
    fn run_shared(&self, side: Side, lanes: usize) {
        let slab = &self.slab;
        // Panels that are laid out share neither lines nor pages.
        let panels = if matches!(side, Side::B) && slab.p.b.is_laid_out() { 1 } else { PANELS_AT_ONCE };
        let unit = panels * slab.unit(side);
        scratch::with(&SHARED, slab.panel_lanes(side, lanes) * slab.depth, |shared| {
            let pack = |(g, dst): (usize, &mut [f32])| {
                slab.pack(side, (g * unit, unit.min(lanes - g * unit)), (0, slab.depth), dst);
            };
            let group = (unit * slab.depth).max(1);
            if self.parallel {
                shared.par_chunks_mut(group).enumerate().for_each(pack);
            } else {
                shared.chunks_mut(group).enumerate().for_each(pack);
            }
            in_shares(self.parallel, self.count, |mine| mine.for_each(|t| self.task(t, shared)));
        });
    }

    /// Computes block `t`.
    fn task(&self, t: usize, shared: &[f32]) {
        let (i, j) = (t / self.across * self.mc, t % self.across * self.nc);
        let (rows, cols) = (self.mc.min(self.slab.rows - i), self.nc.min(self.slab.cols - j));
        // SAFETY: different `t` have blocks that do not overlap, and each `t` is handed out once.
        unsafe { self.slab.block(shared, (i, rows), (j, cols)) }
    }
}

/// Returns the rows and columns of a tall task: full size, or halved until there are as many tasks as wanted.
fn tall_task(slab: &Slab, wanted: usize) -> (usize, usize) {
    let (mr, nr) = (slab.kernel.mr, slab.kernel.nr);
    let (mut mc, mut nc) = (even(slab.rows, MC, mr), even(slab.cols, NC, nr));
    while slab.rows.div_ceil(mc) * slab.cols.div_ceil(nc) < wanted && (mc > 4 * mr || nc > 4 * nr) {
        if mc > 4 * mr {
            mc = (mc / 2).next_multiple_of(mr);
        } else {
            nc = (nc / 2).next_multiple_of(nr);
        }
    }
    (mc, nc)
}

/// Returns the rows and columns of a flat task: at most a strip of columns, and rows cut as often as each part is worth
/// packing the same columns of B. A thread then has whole rows of C; with a piece of every row it would load and
/// prefetch lines that another thread writes.
fn flat_task(slab: &Slab, wanted: usize) -> (usize, usize) {
    let (mr, nr) = (slab.kernel.mr, slab.kernel.nr);
    let max_down = (slab.rows / MIN_FLAT_TASK_ROWS).max(1);
    // With few rows a strip is half as wide, so that no thread waits long for the last one.
    let mut strip = if slab.rows <= MAX_OWN_LANES { STRIP / 2 } else { STRIP };
    if let Source::Fetched(w) = slab.p.b {
        strip = strip.min(w.rows_at_once(nr));
    }
    let nc = even(slab.cols, (max_down * slab.cols / wanted).clamp(nr, strip), nr);
    let down = wanted.div_ceil(slab.cols.div_ceil(nc)).min(max_down);
    (even(slab.rows, slab.rows.div_ceil(down), mr), nc)
}
