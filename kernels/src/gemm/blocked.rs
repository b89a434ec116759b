//! The loop nest around the micro-kernel: which part of A, B and C is in which cache when.
//!
//! C is cut into blocks, one task each. The operand that many tasks read is packed once, by all threads, before they
//! start, or if it is small, by each thread for itself; the other one each task packs alone, a piece at a time, into a
//! buffer that stays in its own cache:
//!
//! * *tall*, many rows (a batch of pictures): B is shared; a task packs its rows of A.
//! * *flat*, fewer rows, or rows that lie side by side (A = dYᵀ, for the gradient of weights): A is shared; a task packs
//!   its columns of B. With few rows each column has one task, so that the large matrix of weights is read once and its
//!   packed copy never leaves the cache. If B is row-major, packing takes no time of its own: the first row of tiles
//!   reads B where it is, and stores what it has loaded for the others.
//!
//! Either way some panels of B make a strip, and a panel of A meets all of them before the next one does.

use super::block::Block;
use super::epilogue::Finish;
use super::kernel::{Ahead, Kernel, Tile};
use super::pack::Kept;
use super::source::{Panel, Source};
use super::{Product, skinny};
use crate::isa::Isa;
use crate::memory::Floats;
use crate::parallel::{in_pool, in_shares};
use rayon::prelude::*;
use std::array::from_fn;
use std::cell::RefCell;

/// Steps of K per tile. A panel of B (KC × 32 × 4 bytes = 48 KB) passes through L1 once per row of tiles; more steps
/// mean fewer rounds of loading and storing C.
pub(super) const KC: usize = 384;

/// Rows of a tall task: its piece of A (MC × KC × 4 bytes = 86 KB) stays in L2 while B passes by. Twice as many would
/// halve B's way from the last cache, which costs nothing yet, and leave threads waiting for the last task longer.
const MC: usize = 56;

/// Columns of a tall task: A is packed once per so many, and the block of C (MC × NC × 4 bytes = 172 KB) should find
/// room in L2 as well.
const NC: usize = 768;

/// Up to so many rows a product is flat whatever its operands: all of A at KC steps (FLAT × KC × 4 bytes = 1.6 MB) comes
/// from the last cache once per strip.
pub(super) const FLAT: usize = 1024;

/// Rows that make packing a column of B worth its while: a flat task has no fewer where it has a choice.
const LEAST: usize = 224;

/// Columns of a strip of B, which stays in L2 (STRIP × KC × 4 bytes = 197 KB) while panels of A pass by. Rows of B are
/// then packed in long runs, which neither hang on one set of the cache nor change pages at every step.
pub(super) const STRIP: usize = 128;

/// Columns of the narrowest micro-kernel's tiles.
const NARROWEST: usize = 8;

/// Elements of B packed at a time: 16 MB, within the last cache of a desktop CPU. Whatever is larger is cut along K and
/// N.
const SHARED_B: usize = 4 << 20;

/// The same of A, 4 MB: all of it passes through L2 once per strip, that is more often.
const SHARED_A: usize = 1 << 20;

thread_local! {
    static SHARED_KEPT: RefCell<Vec<Floats>> = const { RefCell::new(Vec::new()) };
    static OWN_KEPT: RefCell<Vec<Floats>> = const { RefCell::new(Vec::new()) };
}

/// The shared operand, in the thread that asked for the product, or, if it is small, in each that works on it.
static SHARED: Kept = Kept { size: SHARED_B, kept: &SHARED_KEPT };

/// A task's own piece of the other one.
static OWN: Kept = Kept { size: STRIP * KC, kept: &OWN_KEPT };

/// Columns of B packed at a time.
const WIDE: usize = 8192;

/// Up to so many lanes of the shared operand each thread packs them for itself: to wait until another has done it would
/// take as long.
const APART: usize = 128;

/// Steps of K that B is asked for ahead where it is read as it lies: longer than the last cache takes to answer.
const AHEAD: usize = 32;

/// Panels of the shared operand that are packed together.
const GROUP: usize = 8;

/// Below this many multiply-adds a product takes some ten microseconds: waking other threads costs as much.
pub(super) const PARALLEL: usize = 1 << 19;

/// A weight costs its way from memory, as long as so many multiply-adds.
pub(super) const MEMORY: usize = 8;

/// The fewest steps of at most `max` that cover `n`, evenly, each a multiple of `unit`.
pub(super) fn even(n: usize, max: usize, unit: usize) -> usize {
    n.div_ceil(n.div_ceil(max).max(1)).next_multiple_of(unit).max(unit)
}

/// The pieces `(start, length)` of `0..n`, all `step` long but the last. One empty piece if `n` is 0.
pub(super) fn pieces(n: usize, step: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n.max(1)).step_by(step).map(move |start| (start, step.min(n - start)))
}

pub(super) fn run(p: &Product) {
    if skinny::fits(p) {
        return skinny::run(p);
    }
    let k = p.a.cols;
    multiply(&Job {
        isa: p.isa,
        alpha: p.alpha,
        a: Source::rows(p.a),
        b: Source::columns(p.b),
        k,
        // Only K decides how K is cut, so that a sum has the same bits however C is cut.
        kc: even(k, KC, 1),
        flat: p.c.rows <= FLAT || p.a.row_stride == 1,
        parallel: true,
        beta: p.beta,
        c: p.c,
        finish: p.finish,
    });
}

/// α·A·B + β·C, whatever A and B are gathered from.
pub(super) struct Job<'a> {
    pub isa: Isa,
    pub alpha: f32,
    pub a: Source<'a>,
    pub b: Source<'a>,
    pub k: usize,
    /// Steps of K per tile, where the operands may be cut.
    pub kc: usize,
    /// Whether A is the shared operand.
    pub flat: bool,
    /// Whether more than one thread may work on it.
    pub parallel: bool,
    pub beta: f32,
    pub c: Block<'a>,
    pub finish: Finish<'a>,
}

pub(super) fn multiply(p: &Job) {
    if p.parallel && p.c.rows.max(MEMORY) * p.c.cols * p.k >= PARALLEL {
        in_pool(|| slabs(p, true));
    } else {
        slabs(p, false);
    }
}

fn slabs(p: &Job, parallel: bool) {
    let (m, n, kernel) = (p.c.rows, p.c.cols, Kernel::of(p.isa));
    let rows = if p.flat { even(m, SHARED_A / p.kc, kernel.mr) } else { m };
    let cols = if p.flat { n } else { n.min(WIDE) };
    let most = if p.flat { SHARED_A / rows } else { SHARED_B / cols };
    let depth = (most / p.kc).clamp(1, p.k.div_ceil(p.kc).max(1)) * p.kc;
    for (row, rows) in pieces(m, rows) {
        for (col, cols) in pieces(n, cols) {
            for (k, depth) in pieces(p.k, depth) {
                Slab { p, kernel, parallel, row, rows, col, cols, k, depth }.run();
            }
        }
    }
}

/// The part of the product whose shared operand is packed at one time: some rows, some columns and a stretch of K.
struct Slab<'a> {
    p: &'a Job<'a>,
    kernel: &'static Kernel,
    parallel: bool,
    row: usize,
    rows: usize,
    col: usize,
    cols: usize,
    k: usize,
    depth: usize,
}

/// How C is cut into blocks: their size, how many stand side by side, and how many there are.
struct Tasks {
    mc: usize,
    nc: usize,
    across: usize,
    count: usize,
}

/// Which operand.
#[derive(Clone, Copy)]
enum Side {
    A,
    B,
}

impl Slab<'_> {
    fn run(&self) {
        let (side, lanes) = match self.p {
            Job { flat: true, .. } => (Side::A, self.rows),
            Job { b, .. } if b.is_packed() => (Side::B, 0),
            _ => (Side::B, self.cols),
        };
        if lanes <= APART {
            self.run_apart(side, lanes);
        } else {
            self.run_shared(side, lanes);
        }
    }

    /// Every thread that has a task packs for itself.
    fn run_apart(&self, side: Side, lanes: usize) {
        let tasks = self.tasks();
        in_shares(self.parallel, tasks.count, |mine| {
            let mut mine = mine.peekable();
            if mine.peek().is_none() {
                return;
            }
            SHARED.with(self.panel_lanes(side, lanes) * self.depth, |packed| {
                if lanes > 0 {
                    self.pack(side, (0, lanes), (0, self.depth), packed);
                }
                mine.for_each(|t| self.task(&tasks, t, packed));
            });
        });
    }

    /// All threads pack together, then multiply.
    fn run_shared(&self, side: Side, lanes: usize) {
        let (tasks, unit) = (self.tasks(), GROUP * self.unit(side));
        SHARED.with(self.panel_lanes(side, lanes) * self.depth, |shared| {
            let pack = |(g, dst): (usize, &mut [f32])| {
                self.pack(side, (g * unit, unit.min(lanes - g * unit)), (0, self.depth), dst);
            };
            let group = (unit * self.depth).max(1);
            if self.parallel {
                shared.par_chunks_mut(group).enumerate().for_each(pack);
            } else {
                shared.chunks_mut(group).enumerate().for_each(pack);
            }
            in_shares(self.parallel, tasks.count, |mine| mine.for_each(|t| self.task(&tasks, t, shared)));
        });
    }

    /// Lanes of a full panel.
    fn unit(&self, side: Side) -> usize {
        match side {
            Side::A => self.kernel.mr,
            Side::B => self.kernel.nr,
        }
    }

    /// Lanes that panels for `lanes` of them have room for: the last panel of A is as narrow as its tiles, all of B's
    /// are as wide as the micro-kernel reads.
    fn panel_lanes(&self, side: Side, lanes: usize) -> usize {
        match side {
            Side::A => lanes,
            Side::B => lanes.next_multiple_of(self.kernel.nr),
        }
    }

    /// Packs `lanes` rows of A (columns of B) from the slab's `first` on, at `depth` steps from the slab's `k` on.
    fn pack(&self, side: Side, (first, lanes): (usize, usize), (k, depth): (usize, usize), dst: &mut [f32]) {
        if depth == 0 {
            return;
        }
        let (src, first) = match side {
            Side::A => (&self.p.a, self.row + first),
            Side::B => (&self.p.b, self.col + first),
        };
        let pad = matches!(side, Side::B);
        let dst = &mut dst[..self.panel_lanes(side, lanes) * depth];
        // SAFETY: the kernel came from an `Isa`, which proves the instruction set.
        unsafe { (self.kernel.pack)(src, (first, lanes), (self.k + k, depth), self.unit(side), pad, dst) }
    }

    /// One task per block of C.
    fn tasks(&self) -> Tasks {
        let (mc, nc) = self.task_size();
        let across = self.cols.div_ceil(nc);
        Tasks { mc, nc, across, count: self.rows.div_ceil(mc) * across }
    }

    fn task(&self, &Tasks { mc, nc, across, .. }: &Tasks, t: usize, shared: &[f32]) {
        let (i, j) = (t / across * mc, t % across * nc);
        self.block(shared, (i, mc.min(self.rows - i)), (j, nc.min(self.cols - j)));
    }

    /// Rows and columns of a task, a few tasks per thread so that all are busy to the end.
    fn task_size(&self) -> (usize, usize) {
        let wanted = if self.parallel { 4 * rayon::current_num_threads() } else { 1 };
        if self.p.flat { self.flat_task(wanted) } else { self.tall_task(wanted) }
    }

    fn tall_task(&self, wanted: usize) -> (usize, usize) {
        let (mr, nr) = (self.kernel.mr, self.kernel.nr);
        let (mut mc, mut nc) = (even(self.rows, MC, mr), even(self.cols, NC, nr));
        while self.rows.div_ceil(mc) * self.cols.div_ceil(nc) < wanted && (mc > 4 * mr || nc > 4 * nr) {
            if mc > 4 * mr {
                mc = (mc / 2).next_multiple_of(mr);
            } else {
                nc = (nc / 2).next_multiple_of(nr);
            }
        }
        (mc, nc)
    }

    /// At most a strip of columns, and rows cut as often as each part is worth packing the same columns of B: then a
    /// thread has whole rows of C. With a piece of every row it would load and ask ahead for lines that another one
    /// writes.
    fn flat_task(&self, wanted: usize) -> (usize, usize) {
        let (mr, nr) = (self.kernel.mr, self.kernel.nr);
        let most_down = (self.rows / LEAST).max(1);
        // With few rows a strip is half as wide, so that nobody waits for the last one long.
        let strip = if self.rows <= APART { STRIP / 2 } else { STRIP };
        let nc = even(self.cols, (most_down * self.cols / wanted).clamp(nr, strip), nr);
        let down = wanted.div_ceil(self.cols.div_ceil(nc)).min(most_down);
        (even(self.rows, self.rows.div_ceil(down), mr), nc)
    }

    /// One block of C: all of the slab's K, a piece at a time, while the block of C stays in cache.
    fn block(&self, shared: &[f32], (i, rows): (usize, usize), (j, cols): (usize, usize)) {
        let c = self.p.c.part(self.row + i, rows, self.col + j, cols);
        let own = self.p.kc * if self.p.flat { STRIP } else { rows };
        if self.k == 0 && ![0.0, 1.0].contains(&self.p.beta) {
            // SAFETY: this task alone has this block.
            unsafe { c.scale(self.p.beta) }
        }
        OWN.with(own, |own| {
            for (k, depth) in pieces(self.depth, self.p.kc) {
                if !self.p.flat {
                    self.tall_piece(shared, own, c, (i, j), (k, depth));
                } else if self.p.b.is_packed() {
                    self.laid_out_piece(&shared[i * self.depth..], c, j, (k, depth));
                } else {
                    self.flat_piece(&shared[i * self.depth..], own, c, j, (k, depth));
                }
            }
        });
        if self.k + self.depth == self.p.k {
            // SAFETY: this task alone has this block.
            unsafe { self.p.finish.apply(self.p.isa, c, self.row + i, self.col + j) }
        }
    }

    /// A packed here; every strip of B then meets all of it.
    fn tall_piece(&self, shared: &[f32], own: &mut [f32], c: Block, (i, j): (usize, usize), k: (usize, usize)) {
        let nr = self.kernel.nr;
        self.pack(Side::A, (i, c.rows), k, own);
        for (strip, width) in pieces(c.cols, STRIP) {
            let packed = |col: usize| &shared[col * self.depth + k.0 * nr..][..k.1 * nr];
            let panel = |col: usize| {
                let col = j + strip + col;
                let panel = self.as_it_lies(col, k).filter(|_| self.p.b.is_packed());
                panel.unwrap_or_else(|| Panel { data: packed(col), step: nr })
            };
            let next = |col: usize| {
                let col = j + strip + col;
                self.share(col + STRIP, k).unwrap_or_else(|| packed(col).as_ptr().wrapping_add(self.depth * STRIP))
            };
            self.tiles((own, k.1, 0), panel, next, c.part(0, c.rows, strip, width), k);
        }
    }

    /// A strip of laid-out weights, which all of A meets where they are.
    fn laid_out_piece(&self, shared: &[f32], c: Block, j: usize, k: (usize, usize)) {
        let panel = |col: usize| self.as_it_lies(j + col, k).expect("laid-out weights");
        // The next piece of the same columns, or the first of the next ones.
        let (strip, first) = if k.0 + k.1 < self.depth { (0, k.0 + k.1) } else { (c.cols, 0) };
        let next = |col: usize| self.share(j + strip + col, (first, k.1)).expect("laid-out weights");
        self.tiles((shared, self.depth, k.0), panel, next, c, k);
    }

    /// A strip of B is packed here, by the first row of tiles where that can read it as it lies; all of A meets it.
    fn flat_piece(&self, shared: &[f32], own: &mut [f32], c: Block, j: usize, k: (usize, usize)) {
        let nr = self.kernel.nr;
        let done = match self.as_it_lies(j, k).filter(|_| c.cols.is_multiple_of(nr) && k.1 > 0) {
            Some(strip) => self.first_tiles(shared, strip, own, c, k),
            None => {
                self.pack(Side::B, (j, c.cols), k, own);
                0
            }
        };
        if done < c.rows {
            let panel = |col: usize| Panel { data: &own[col * k.1..][..k.1 * nr], step: nr };
            // There is nothing to ask for ahead; what has been packed does no harm.
            let next = |col: usize| panel(col).data.as_ptr();
            let a = (&shared[done * self.depth..], self.depth, k.0);
            self.tiles(a, panel, next, c.part(done, c.rows - done, 0, c.cols), k);
        }
    }

    /// The first row of tiles, which reads a strip of B as it lies, and packs it for the others. Returns its height.
    fn first_tiles(&self, shared: &[f32], b: Panel, own: &mut [f32], c: Block, (k, depth): (usize, usize)) -> usize {
        let nr = self.kernel.nr;
        let rows = c.rows.min(self.kernel.mr);
        let a = &shared[k * rows..][..rows * depth];
        for (j, cols) in pieces(c.cols, nr) {
            let b = Panel { data: &b.data[j..], ..b };
            let ahead = Ahead { start: b.data.as_ptr().wrapping_add(AHEAD * b.step), step: b.step };
            let packed = Some(&mut own[j * depth..][..nr * depth]).filter(|_| rows < c.rows);
            self.tile(a, b, c.part(0, rows, j, cols), k, ahead, packed);
        }
        rows
    }

    /// The columns of B from the slab's `j` on, at steps from the slab's `k` on, if the micro-kernel can read them where
    /// they are.
    fn as_it_lies(&self, j: usize, (k, _): (usize, usize)) -> Option<Panel<'_>> {
        self.p.b.panel(self.col + j, self.k + k)
    }

    /// See [`Source::share`].
    fn share(&self, j: usize, (k, depth): (usize, usize)) -> Option<*const f32> {
        self.p.b.share(self.col + j, (self.k + k, depth))
    }

    /// The tiles of a strip, row by row. A was packed at `a_depth` steps, of which those from `a_k` on are meant. Each row
    /// of tiles asks for its part of what comes next.
    fn tiles<'b>(
        &self,
        (a, a_depth, a_k): (&[f32], usize, usize),
        panel: impl Fn(usize) -> Panel<'b>,
        next: impl Fn(usize) -> *const f32,
        c: Block,
        (k, depth): (usize, usize),
    ) {
        let (mr, nr) = (self.kernel.mr, self.kernel.nr);
        let step = nr / c.rows.div_ceil(mr);
        let strip: [_; STRIP / NARROWEST] = from_fn(|i| (i * nr < c.cols).then(|| (panel(i * nr), next(i * nr))));
        for (row, (i, rows)) in pieces(c.rows, mr).enumerate() {
            let a = &a[i * a_depth + a_k * rows..][..rows * depth];
            for ((j, cols), &(panel, next)) in pieces(c.cols, nr).zip(strip.iter().flatten()) {
                let ahead = Ahead { start: next.wrapping_add(row * depth * step), step };
                self.tile(a, panel, c.part(i, rows, j, cols), k, ahead, None);
            }
        }
    }

    /// C ← α·A·B (+ C) for a panel of A and one of B, of which a packed copy is made if asked for.
    fn tile(&self, a: &[f32], b: Panel, c: Block, k: usize, ahead: Ahead, packed: Option<&mut [f32]>) {
        let (depth, nr) = (a.len() / c.rows, self.kernel.nr);
        assert!(depth == 0 || (depth - 1) * b.step + nr <= b.data.len());
        assert!(packed.as_ref().is_none_or(|packed| packed.len() == depth * nr));
        let make = self.kernel.tiles[c.rows - 1][usize::from(packed.is_some())];
        let tile = Tile {
            depth,
            a: a.as_ptr(),
            a_step: c.rows,
            b: b.data.as_ptr(),
            b_step: b.step,
            packed: packed.map_or(std::ptr::null_mut(), |packed| packed.as_mut_ptr()),
            c: c.ptr,
            c_stride: c.row_stride,
            cols: c.cols,
            alpha: self.p.alpha,
            add: self.k + k > 0 || self.p.beta != 0.0,
            ahead,
        };
        // SAFETY: the kernel came from an `Isa`, which proves the instruction set; `a` and `b` are whole panels, and no
        // other task has this part of C.
        unsafe { make(&tile) }
    }
}
