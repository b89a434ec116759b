//! How a task goes through its tiles: a block of C, strip by strip of B and panel by panel of A.
//!
//! Some panels of B make a strip, and a panel of A meets all of them before the next one does.

use super::block::Block;
use super::blocking::{KC, MAX_FLAT_ROWS, Span, even, pieces};
use super::finish::Finish;
use super::kernel::{Kernel, MIN_NR};
use super::matrix::Mat;
use super::numbers::Numbers;
use super::pack::Panel;
use super::product::Product;
use super::source::{Source, pack};
use super::tile::{Ahead, Tile};
use crate::isa::Isa;
use crate::scratch::{self, Scratch};
use std::array::from_fn;

/// A strip of B has this many columns. It stays in L2 (STRIP × KC × 4 bytes = 197 KB) while panels of A pass by. Rows
/// of B are then packed in long runs, which neither crowd one set of the cache nor change pages at every step.
pub(super) const STRIP: usize = 128;

/// Where B is read as it lies, it is prefetched this many steps of K ahead: longer than the last cache takes to answer.
const PREFETCH_STEPS: usize = 32;

thread_local! {
    /// The packed piece that a task has of the operand that is not shared.
    static OWN: Scratch = const { Scratch::new(STRIP * KC) };
}

/// The product α·A·B + β·C, whatever A and B are gathered from.
pub(super) struct Job<'a> {
    pub isa: Isa,
    pub alpha: f32,
    pub a: Source<'a>,
    pub b: Source<'a>,
    pub k: usize,
    /// A tile takes this many steps of K, where the operands may be cut. It depends on K alone, so that a sum has the
    /// same bits however C is cut.
    pub kc: usize,
    /// Whether A is the shared operand.
    pub flat: bool,
    /// Whether more than one thread may work on the product.
    pub parallel: bool,
    pub beta: f32,
    pub c: Block<'a>,
    pub finish: &'a Finish<'a>,
}

impl<'a> Job<'a> {
    /// Describes the product of two matrices.
    pub fn of(p: &'a Product) -> Self {
        Job {
            isa: p.isa,
            alpha: p.alpha,
            a: Source::rows(p.a),
            b: Source::columns(p.b),
            k: p.a.cols,
            kc: even(p.a.cols, KC, 1),
            flat: p.out.c.rows <= MAX_FLAT_ROWS || p.a.row_stride == 1,
            parallel: true,
            beta: p.beta,
            c: p.out.c,
            finish: &p.out.finish,
        }
    }
}

/// The part of the product whose shared operand is packed at one time: some rows, some columns and a stretch of K.
pub(super) struct Slab<'a> {
    pub p: &'a Job<'a>,
    pub kernel: &'static Kernel,
    /// The first row of C, and how many rows; likewise the columns and the steps of K.
    pub row: usize,
    pub rows: usize,
    pub col: usize,
    pub cols: usize,
    pub k: usize,
    pub depth: usize,
}

/// An operand of the product.
#[derive(Clone, Copy)]
pub(super) enum Side {
    A,
    B,
}

impl Slab<'_> {
    /// Returns how many lanes a full panel has.
    pub fn unit(&self, side: Side) -> usize {
        match side {
            Side::A => self.kernel.mr,
            Side::B => self.kernel.nr,
        }
    }

    /// Returns how many lanes the panels for `lanes` of them have room for. The last panel of A is as narrow as its
    /// tiles; all panels of B are as wide as the micro-kernel reads.
    pub fn panel_lanes(&self, side: Side, lanes: usize) -> usize {
        match side {
            Side::A => lanes,
            Side::B => lanes.next_multiple_of(self.kernel.nr),
        }
    }

    /// Packs `lanes` rows of A (columns of B) from the slab's `first` on, at `depth` steps from the slab's `k` on.
    pub fn pack(&self, side: Side, (first, lanes): Span, (k, depth): Span, dst: &mut [f32]) {
        if depth == 0 {
            return;
        }
        let (src, first) = match side {
            Side::A => (&self.p.a, self.row + first),
            Side::B => (&self.p.b, self.col + first),
        };
        let pad = matches!(side, Side::B);
        let dst = &mut dst[..self.panel_lanes(side, lanes) * depth];
        pack(self.p.isa, src, (first, lanes), (self.k + k, depth), self.unit(side), pad, dst);
    }

    /// Computes one block of C: all of the slab's K, a piece at a time, while the block of C stays in cache.
    ///
    /// # Safety
    /// No other thread touches this block of C, nor the same block of what the epilogue saves.
    pub unsafe fn block(&self, shared: &[f32], (i, rows): Span, (j, cols): Span) {
        let c = self.p.c.part(self.row + i, rows, self.col + j, cols);
        let own = self.p.kc * if self.p.flat { STRIP } else { rows };
        if self.k == 0 && ![0.0, 1.0].contains(&self.p.beta) {
            // SAFETY: the caller has this block to itself.
            unsafe { c.scale(self.p.beta) }
        }
        let all_pieces = |own: &mut [f32], fetched: &[f32]| {
            for (k, depth) in pieces(self.depth, self.p.kc) {
                if !self.p.flat {
                    self.tall_piece(shared, own, c, (i, j), (k, depth));
                } else if self.p.b.is_packed() || self.p.b.is_laid_out() && rows <= self.kernel.mr {
                    self.laid_out_piece(&shared[i * self.depth..], c, j, (k, depth));
                } else {
                    self.flat_piece(&shared[i * self.depth..], own, fetched, c, j, (k, depth));
                }
            }
        };
        scratch::with(&OWN, own, |own| match self.p.b {
            Source::Fetched(w) => w.with_rows(self.col + j, cols, |rows| all_pieces(own, rows)),
            _ => all_pieces(own, &[]),
        });
        if self.k + self.depth == self.p.k {
            // SAFETY: the caller has this block to itself.
            unsafe { self.p.finish.apply(self.p.isa, c, self.row + i, self.col + j) }
        }
    }

    /// Packs a piece of A, which every strip of B then meets.
    fn tall_piece(&self, shared: &[f32], own: &mut [f32], c: Block, (i, j): (usize, usize), k: Span) {
        let nr = self.kernel.nr;
        self.pack(Side::A, (i, c.rows), k, own);
        for (strip, width) in pieces(c.cols, STRIP) {
            let packed = |col: usize| &shared[col * self.depth + k.0 * nr..][..k.1 * nr];
            let panel = |col: usize| {
                let col = j + strip + col;
                let panel = self.as_it_lies(col, k).filter(|_| self.p.b.is_packed());
                panel.unwrap_or_else(|| Panel { data: Numbers::F32(packed(col)), step: nr })
            };
            let next = |col: usize| {
                let col = j + strip + col;
                let share = self.share(col + STRIP, k).filter(|_| self.p.b.is_packed());
                share.unwrap_or_else(|| {
                    Numbers::F32(packed(col)).as_ptr().wrapping_add(self.depth * STRIP * size_of::<f32>())
                })
            };
            self.tiles((own, k.1, 0), panel, next, c.part(0, c.rows, strip, width), k);
        }
    }

    /// Multiplies all of A with a strip of laid-out weights, where they are.
    fn laid_out_piece(&self, shared: &[f32], c: Block, j: usize, k: Span) {
        let panel = |col: usize| self.as_it_lies(j + col, k).expect("laid-out weights");
        let next = |col: usize| self.next_share(j, col, c.cols, k).expect("laid-out weights");
        self.tiles((shared, self.depth, k.0), panel, next, c, k);
    }

    /// Returns the [share](Source::share) of column `col` of a strip of `width` columns from the slab's `j` on: of the
    /// next piece of these columns, or of the first one of the next columns.
    fn next_share(&self, j: usize, col: usize, width: usize, (k, depth): Span) -> Option<*const u8> {
        let (strip, first) = if k + depth < self.depth { (0, k + depth) } else { (width, 0) };
        self.share(j + strip + col, (first, depth))
    }

    /// Packs a strip of B, by the first row of tiles where that can read it as it lies; all of A meets it. Weights of 16
    /// bits are widened so, once. `fetched` are the rows of Wᵀ = B that the strip is, if they are fetched.
    fn flat_piece(&self, shared: &[f32], own: &mut [f32], fetched: &[f32], c: Block, j: usize, k: Span) {
        let nr = self.kernel.nr;
        let done = match self.as_it_lies(j, k).filter(|_| c.cols.is_multiple_of(nr) && k.1 > 0) {
            Some(_) => self.first_tiles(shared, j, own, c, k),
            None if fetched.is_empty() => {
                self.pack(Side::B, (j, c.cols), k, own);
                0
            }
            None => {
                let (rows, own) = (Mat::new(fetched, c.cols, self.p.k), &mut own[..c.cols.next_multiple_of(nr) * k.1]);
                pack(self.p.isa, &Source::rows(rows), (0, c.cols), (self.k + k.0, k.1), nr, true, own);
                0
            }
        };
        if done < c.rows {
            let panel = |col: usize| Panel { data: Numbers::F32(&own[col * k.1..][..k.1 * nr]), step: nr };
            // Prefetching what has been packed does no harm where there is nothing else.
            let next = |col: usize| self.next_share(j, col, c.cols, k).unwrap_or_else(|| panel(col).data.as_ptr());
            let a = (&shared[done * self.depth..], self.depth, k.0);
            self.tiles(a, panel, next, c.part(done, c.rows - done, 0, c.cols), k);
        }
    }

    /// Makes the first row of tiles, which reads a strip of B as it lies, and packs it for the others. Returns its
    /// height.
    fn first_tiles(&self, shared: &[f32], strip: usize, own: &mut [f32], c: Block, k: Span) -> usize {
        let nr = self.kernel.nr;
        let rows = c.rows.min(self.kernel.mr);
        let a = &shared[k.0 * rows..][..rows * k.1];
        for (j, cols) in pieces(c.cols, nr) {
            let b = self.as_it_lies(strip + j, k).expect("columns side by side");
            let step = b.step * b.data.bytes();
            let ahead = Ahead { start: b.data.as_ptr().wrapping_add(PREFETCH_STEPS * step), step };
            let packed = Some(&mut own[j * k.1..][..nr * k.1]).filter(|_| rows < c.rows);
            self.tile(a, b, c.part(0, rows, j, cols), k.0, ahead, packed);
        }
        rows
    }

    /// Returns the columns of B from the slab's `j` on, at steps from the slab's `k` on, if the micro-kernel can read
    /// them where they are.
    fn as_it_lies(&self, j: usize, (k, _): Span) -> Option<Panel<'_>> {
        self.p.b.panel(self.col + j, self.k + k)
    }

    /// Returns the [share](Source::share) of columns from the slab's `j` on, at steps from the slab's `k` on.
    fn share(&self, j: usize, (k, depth): Span) -> Option<*const u8> {
        self.p.b.share(self.col + j, (self.k + k, depth))
    }

    /// Makes the tiles of a strip, row by row. A was packed at `a_depth` steps, of which those from `a_k` on are used.
    /// Each row of tiles prefetches its part of the next strip.
    fn tiles<'b>(
        &self,
        (a, a_depth, a_k): (&[f32], usize, usize),
        panel: impl Fn(usize) -> Panel<'b>,
        next: impl Fn(usize) -> *const u8,
        c: Block,
        (k, depth): Span,
    ) {
        let (mr, nr) = (self.kernel.mr, self.kernel.nr);
        // What is read next lies as B does, or is packed in 32 bits.
        let bytes = if self.p.flat { self.p.b.bytes() } else { size_of::<f32>() };
        let step = nr * bytes / c.rows.div_ceil(mr);
        let strip: [_; STRIP / MIN_NR] = from_fn(|i| (i * nr < c.cols).then(|| (panel(i * nr), next(i * nr))));
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
        let make = self.kernel.tiles[c.rows - 1][b.data.of_type()][usize::from(packed.is_some())];
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
        // SAFETY: the kernel came from an `Isa`, which proves the instruction set; `a` has `depth` steps of `c.rows`
        // elements, the assertions say the same of `b` and `packed`; no other task has this part of C, as `block` asks.
        unsafe { make(&tile) }
    }
}
