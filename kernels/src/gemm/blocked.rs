//! The loop nest around the micro-kernel: which part of A, B and C is in which cache when.

use super::Mat;
use super::block::Block;
use super::epilogue::Finish;
use super::kernel::{Kernel, Tile};
use super::pack::{LINE, Lanes, with_buffer};
use crate::isa::Isa;
use rayon::prelude::*;

/// Innermost loop: steps of K per tile. A panel of B (KC × 32 × 4 bytes) is read by one tile after the other and should
/// stay in or near L1; more steps mean fewer rounds of loading and storing C.
const KC: usize = 384;

/// Rows of A that a task keeps in L2 (MC × KC × 4 bytes = 172 KB), and columns of C next to it.
const MC: usize = 112;
const NC: usize = 384;

/// Packed elements of A, and of B, at a time: 16 MB each, within the last cache of a desktop CPU. Any product is cut
/// along K, N and M so that its operands fit.
const PACKED: usize = 4 << 20;

/// Below this many multiply-adds a product takes some ten microseconds: waking other threads costs as much.
const PARALLEL: usize = 1 << 19;

/// Columns of B packed at a time; with [`KC`] they fill [`PACKED`] at most.
const MAX_COLS: usize = 8192;

/// α·A·B + β·C with both operands packed.
pub(super) struct Product<'a> {
    pub isa: Isa,
    pub alpha: f32,
    pub a: Mat<'a>,
    pub b: Mat<'a>,
    pub beta: f32,
    pub c: Block<'a>,
    pub finish: Finish<'a>,
}

/// The part of the product whose operands are packed at one time.
struct Slab {
    row: usize,
    rows: usize,
    col: usize,
    cols: usize,
    k: usize,
    depth: usize,
}

/// Steps of K per block: the fewest blocks of at most [`KC`], evenly. Only K decides, so that a sum has the same bits
/// however C is cut.
fn k_block(k: usize) -> usize {
    k.div_ceil(k.div_ceil(KC).max(1)).max(1)
}

/// The pieces `(start, length)` of `0..n`, all `step` long but the last. One empty piece if `n` is 0.
fn pieces(n: usize, step: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n.max(1)).step_by(step).map(move |start| (start, step.min(n - start)))
}

pub(super) fn run(p: &Product) {
    let kernel = Kernel::of(p.isa);
    let (m, n, k) = (p.a.rows, p.b.cols, p.a.cols);
    let kc = k_block(k);
    let cols = n.min(MAX_COLS);
    let depth = (PACKED / cols / kc).clamp(1, k.div_ceil(kc).max(1)) * kc;
    let rows = (PACKED / depth).next_multiple_of(kernel.mr);
    let a_len = (rows.min(m) * depth).next_multiple_of(LINE);
    let b_len = cols.next_multiple_of(kernel.nr) * depth;
    with_buffer(a_len + b_len, |buffer| {
        let (a, b) = buffer.split_at_mut(a_len);
        for (col, cols) in pieces(n, cols) {
            for (k, depth) in pieces(k, depth) {
                for (row, rows) in pieces(m, rows) {
                    let slab = Slab { row, rows, col, cols, k, depth };
                    slab.pack(kernel, p, a, b);
                    slab.multiply(kernel, p, a, b, kc);
                }
            }
        }
    })
}

impl Slab {
    fn parallel(&self) -> bool {
        self.rows * self.cols * self.depth >= PARALLEL
    }

    /// Packs the slab's rows of A into `a`, and, when they are new, its columns of B into `b`.
    fn pack(&self, kernel: &Kernel, p: &Product, a: &mut [f32], b: &mut [f32]) {
        let (mr, nr, depth) = (kernel.mr, kernel.nr, self.depth);
        if depth == 0 {
            return;
        }
        let pack_a = |(i, dst): (usize, &mut [f32])| {
            let width = mr.min(self.rows - i * mr);
            let src = Lanes::rows(p.a).from(self.row + i * mr, self.k);
            // SAFETY: the kernel came from an `Isa`, which proves the instruction set.
            unsafe { (kernel.pack)(src, width, width, depth, dst) }
        };
        let pack_b = |(j, dst): (usize, &mut [f32])| {
            let width = nr.min(self.cols - j * nr);
            let src = Lanes::columns(p.b).from(self.col + j * nr, self.k);
            // SAFETY: the same.
            unsafe { (kernel.pack)(src, width, nr, depth, dst) }
        };
        let a = &mut a[..self.rows * depth];
        let b = &mut b[..if self.row == 0 { self.cols.next_multiple_of(nr) * depth } else { 0 }];
        if self.parallel() {
            rayon::join(
                || a.par_chunks_mut(mr * depth).enumerate().for_each(pack_a),
                || b.par_chunks_mut(nr * depth).enumerate().for_each(pack_b),
            );
        } else {
            a.chunks_mut(mr * depth).enumerate().for_each(pack_a);
            b.chunks_mut(nr * depth).enumerate().for_each(pack_b);
        }
    }

    /// Multiplies the packed operands, one task per block of C.
    fn multiply(&self, kernel: &Kernel, p: &Product, a: &[f32], b: &[f32], kc: usize) {
        let (mc, nc) = self.task_size(kernel);
        let across = self.cols.div_ceil(nc);
        let task = |t: usize| {
            let (i, j) = (t / across * mc, t % across * nc);
            self.block(kernel, p, a, b, kc, (i, mc.min(self.rows - i)), (j, nc.min(self.cols - j)));
        };
        let tasks = self.rows.div_ceil(mc) * across;
        if self.parallel() {
            (0..tasks).into_par_iter().with_max_len(1).for_each(task);
        } else {
            (0..tasks).for_each(task);
        }
    }

    /// Rows and columns of a task: at most [`MC`] × [`NC`], smaller while there are too few tasks to keep all threads
    /// busy to the end.
    fn task_size(&self, kernel: &Kernel) -> (usize, usize) {
        let wanted = 8 * rayon::current_num_threads();
        let even = |n: usize, max: usize, unit: usize| n.div_ceil(n.div_ceil(max)).next_multiple_of(unit);
        let (mut mc, mut nc) = (even(self.rows, MC, kernel.mr), even(self.cols, NC, kernel.nr));
        while self.rows.div_ceil(mc) * self.cols.div_ceil(nc) < wanted {
            if nc > 2 * kernel.nr {
                nc = (nc / 2).next_multiple_of(kernel.nr);
            } else if mc > 2 * kernel.mr {
                mc = (mc / 2).next_multiple_of(kernel.mr);
            } else {
                break;
            }
        }
        (mc, nc)
    }

    /// One block of C: all of the slab's K, a block at a time, while the block of C stays in L2.
    #[allow(clippy::too_many_arguments)]
    fn block(
        &self,
        kernel: &Kernel,
        p: &Product,
        a: &[f32],
        b: &[f32],
        kc: usize,
        (i, rows): (usize, usize),
        (j, cols): (usize, usize),
    ) {
        let c = p.c.part(self.row + i, rows, self.col + j, cols);
        for (k, depth) in pieces(self.depth, kc) {
            let beta = if self.k + k == 0 { p.beta } else { 1.0 };
            for (j1, cols) in pieces(cols, kernel.nr) {
                let b = &b[(j + j1) * self.depth + k * kernel.nr..][..depth * kernel.nr];
                for (i1, rows) in pieces(rows, kernel.mr) {
                    let a = &a[(i + i1) * self.depth + k * rows..][..depth * rows];
                    let c = c.part(i1, rows, j1, cols);
                    let tile = Tile {
                        depth,
                        a: a.as_ptr(),
                        a_step: rows,
                        b: b.as_ptr(),
                        b_step: kernel.nr,
                        c: c.ptr,
                        c_stride: c.row_stride,
                        cols,
                        alpha: p.alpha,
                        beta,
                    };
                    // SAFETY: the kernel came from an `Isa`, which proves the instruction set; `a` and `b` are slices of
                    // whole panels, `part` checked that the tile lies in C, and no other task has this part of C.
                    unsafe { kernel.tiles[rows - 1](&tile) }
                }
            }
        }
        if self.k + self.depth == p.a.cols {
            // SAFETY: this task alone has this block.
            unsafe { p.finish.apply(p.isa, c, self.row + i, self.col + j) }
        }
    }
}
