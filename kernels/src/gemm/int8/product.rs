//! The way through the tiles of C: all rows of A are rounded, then blocks of C are made, a task each.

use super::QUAD;
#[cfg(target_arch = "x86_64")]
use super::amx;
use super::isa::Integers;
use super::kernel::{self, Kernel, Tile};
use super::rows::{self, Activation, Row};
use super::weights::Int8;
use crate::gemm::block::Block;
use crate::gemm::blocking::{FETCH_COST, MIN_PARALLEL_WORK, Span, TASKS_PER_THREAD, even, pieces};
use crate::gemm::epilogue::Epilogue;
use crate::gemm::finish::Output;
use crate::gemm::matrix::{Mat, MatMut};
use crate::gemm::panels::WIDTH;
use crate::isa::{Isa, multiversion};
use crate::parallel::{in_pool, in_shares};
use crate::scratch::{self, Scratch};
use rayon::prelude::*;

/// At most this many activations are rounded at a time: 4 MB or 8 MB, within the last cache of a desktop CPU.
const MAX_PACKED: usize = 4 << 20;

/// The most rows of a task: with K = 3072 they take 344 KB of L2 while all panels of the task's columns pass by.
const ROWS: usize = 112;

/// The most columns of a task: its sums (ROWS × COLS × 4 bytes = 115 KB) stay in L2 until they become C.
const COLS: usize = 256;

/// A tile takes at most this many steps of K. A panel of B (STEPS × 32 = 32 KB) stays in L1 or close to it while all rows
/// of the task pass by.
const STEPS: usize = 1024;

thread_local! {
    /// The rounded rows of A, and what each row was rounded by.
    static PACKED: Scratch = const { Scratch::new(0) };
    /// The sums of a block.
    static BLOCK: Scratch = const { Scratch::new(ROWS * COLS) };
}

/// C ← epilogue(A·B)
///
/// A (M,K), B (K,N) of eight bits, C (M,N)
///
/// The rows of A are contiguous, and are rounded to eight bits as the [module](super) says.
#[track_caller]
pub fn gemm_int8(a: Mat, b: Int8, c: MatMut, epilogue: Epilogue) {
    gemm_int8_on(Integers::best(), a, b, c, epilogue);
}

/// Computes [`gemm_int8`] with given instructions.
#[track_caller]
pub fn gemm_int8_on(integers: Integers, a: Mat, b: Int8, c: MatMut, epilogue: Epilogue) {
    assert_eq!((a.cols, c.cols), b.dim(), "gemm shapes: columns and rows of A and B, columns of B and C");
    assert_eq!(a.col_stride, 1, "gemm A: contiguous rows");
    a.check("A", (c.rows, a.cols));
    let Some(out) = Output::new(c, epilogue) else { return };
    match integers {
        Integers::Portable => multiply(&kernel::portable::KERNEL, a, b, &out),
        #[cfg(target_arch = "x86_64")]
        Integers::Avx2(_) => multiply(&kernel::avx2::KERNEL, a, b, &out),
        #[cfg(target_arch = "x86_64")]
        Integers::AvxVnni(_) => multiply(&kernel::avx_vnni::KERNEL, a, b, &out),
        #[cfg(target_arch = "x86_64")]
        Integers::Avx512Vnni(_) => multiply(&kernel::avx512_vnni::KERNEL, a, b, &out),
        #[cfg(target_arch = "x86_64")]
        Integers::Amx(_) => multiply(&amx::KERNEL, a, b, &out),
        #[cfg(target_arch = "aarch64")]
        Integers::NeonDot(_) => multiply(&kernel::neon_dot::KERNEL, a, b, &out),
        #[allow(unreachable_patterns, reason = "the patterns of the other targets are not compiled")]
        _ => unreachable!("no token is ever made here"),
    }
}

/// Computes the product, on all threads if that is worth it.
fn multiply<A: Activation>(kernel: &Kernel<A>, a: Mat, b: Int8, out: &Output) {
    if out.c.rows.max(FETCH_COST) * out.c.cols * a.cols >= MIN_PARALLEL_WORK {
        in_pool(|| slabs(kernel, a, b, out, true));
    } else {
        slabs(kernel, a, b, out, false);
    }
}

/// Computes the product, as many rows at a time as may be rounded at a time.
fn slabs<A: Activation>(kernel: &Kernel<A>, a: Mat, b: Int8, out: &Output, parallel: bool) {
    let (unit, steps) = (kernel.tiles.len(), b.steps());
    let most = even(out.c.rows, (MAX_PACKED / steps).max(unit), unit);
    for (first, rows) in pieces(out.c.rows, most) {
        let sizes =
            [(rows * steps * size_of::<A>()).div_ceil(size_of::<f32>()), rows * size_of::<Row>() / size_of::<f32>()];
        scratch::with_blocks(&PACKED, sizes, |[packed, told]| {
            // SAFETY: activations and rows are plain numbers, for which any bits will do; the memory begins at a cache
            // line and is as long as asked for.
            let (packed, told) = unsafe { (cast_mut::<A>(packed, rows * steps), cast_mut::<Row>(told, rows)) };
            let a = a.rows_from(first, rows);
            round(kernel, a, b, told, packed, parallel);
            let slab = Slab { kernel, a, packed, told, first, b, out };
            slab.run(parallel);
        });
    }
}

/// Views scratch memory as `len` plain numbers of another type.
///
/// # Safety
/// Any bits are a T, whose alignment is at most a cache line's; the memory is large enough.
unsafe fn cast_mut<T>(floats: &mut [f32], len: usize) -> &mut [T] {
    assert!(len * size_of::<T>() <= size_of_val(floats));
    // SAFETY: the caller and the assertion say so.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), len) }
}

/// Rounds all rows of A and packs them, a panel for each row of tiles.
fn round<A: Activation>(kernel: &Kernel<A>, a: Mat, b: Int8, told: &mut [Row], packed: &mut [A], parallel: bool) {
    let unit = kernel.tiles.len();
    let pack = |(i, (told, panel)): (usize, (&mut [Row], &mut [A]))| {
        rows::pack(Isa::best(), a.rows_from(i * unit, told.len()), b, told, panel);
    };
    let panel = unit * b.steps();
    if parallel {
        told.par_chunks_mut(unit).zip(packed.par_chunks_mut(panel)).enumerate().for_each(pack);
    } else {
        told.chunks_mut(unit).zip(packed.chunks_mut(panel)).enumerate().for_each(pack);
    }
}

/// Rounded rows of A, from row `first` of C on, and all of B.
struct Slab<'a, A: 'static> {
    kernel: &'a Kernel<A>,
    a: Mat<'a>,
    packed: &'a [A],
    told: &'a [Row],
    first: usize,
    b: Int8<'a>,
    out: &'a Output<'a>,
}

impl<A: Activation> Slab<'_, A> {
    /// Makes all blocks of C.
    fn run(&self, parallel: bool) {
        let (m, n, unit) = (self.told.len(), self.out.c.cols, self.kernel.tiles.len());
        let wanted = if parallel { TASKS_PER_THREAD * rayon::current_num_threads() } else { 1 };
        let rows = even(m, ROWS / unit * unit, unit);
        let down = m.div_ceil(rows);
        let cols = even(n, (n / wanted.div_ceil(down)).clamp(WIDTH, COLS), WIDTH);
        // Tasks that follow one another share their columns, whose weights are still in L2; only the rows are read anew,
        // which are fewer bytes. 1600×3072 numbers with K = 768 took AMX 0.87 times as long so, and VNNI and AVX2 the same.
        let task = |t: usize| {
            let (i, j) = (t % down * rows, t / down * cols);
            self.block((i, rows.min(m - i)), (j, cols.min(n - j)));
        };
        in_shares(parallel, down * n.div_ceil(cols), |mine| mine.for_each(task));
    }

    /// Makes a block of C: all rows of tiles meet a tile's columns before the next ones.
    fn block(&self, (i, rows): Span, (j, cols): Span) {
        let unit = self.kernel.tiles.len();
        debug_assert!(rows <= ROWS && cols <= COLS);
        // Where no other tile meets it, a panel passes by once and as a whole.
        let steps = if rows > unit { even(self.b.steps(), STEPS, A::RUN) } else { self.b.steps() };
        scratch::with(&BLOCK, rows * cols, |sums| {
            let block = Block::new(MatMut::new(sums, rows, cols));
            for stretch in pieces(self.b.steps(), steps) {
                for (col, width) in pieces(cols, self.kernel.cols) {
                    for (row, height) in pieces(rows, unit) {
                        self.tile(i + row, j + col, stretch, block.part(row, height, col, width));
                    }
                }
            }
            for (row, sums) in sums.chunks_exact(cols).enumerate() {
                let c = self.out.c.part(self.first + i + row, 1, j, cols);
                // SAFETY: this task alone has this block.
                unsafe {
                    let (scales, weight_sums) = (&self.b.scales()[j..][..cols], &self.b.sums()[j..][..cols]);
                    scale(Isa::best(), sums, self.told[i + row], scales, weight_sums, c.row(0));
                    for (k, kept) in self.b.outliers(j, cols) {
                        add(Isa::best(), c.row(0), self.a.data[(i + row) * self.a.row_stride + k], kept);
                    }
                    self.out.finish.apply(Isa::best(), c, self.first + i + row, j);
                }
            }
        });
    }

    /// Leaves in a tile the bits of its sums over a stretch of K, or adds them to those that are there.
    fn tile(&self, i: usize, j: usize, (k, depth): Span, c: Block) {
        let a = &self.packed[i * self.b.steps() + k * c.rows..][..depth * c.rows];
        let w = &self.b.panel(j)[k * WIDTH..];
        assert!(c.cols == self.kernel.cols && j % WIDTH + c.cols <= WIDTH);
        debug_assert!(k.is_multiple_of(A::RUN));
        assert!(depth == 0 || (depth - QUAD) * WIDTH + c.cols * QUAD <= w.len());
        let quads = depth / QUAD;
        let tile = Tile { quads, a: a.as_ptr(), w: w.as_ptr(), sums: c.ptr.cast(), stride: c.row_stride, add: k > 0 };
        // SAFETY: the kernel came from an `Integers`, which proves the instructions; `a` has the activations of
        // each row in every run and `w` four weights of each column at every four steps; this task alone has this block.
        unsafe { self.kernel.tiles[c.rows - 1](&tile) }
    }
}

multiversion! {
    /// Turns the bits of sums into sᵢ·tⱼ·(Σₖ aᵢₖ·wₖⱼ − zᵢ·Σₖ wₖⱼ).
    fn scale(sums: &[f32], row: Row, scales: &[f32], weight_sums: &[f32], c: &mut [f32]) {
        for ((c, dot), (scale, sum)) in c.iter_mut().zip(sums).zip(scales.iter().zip(weight_sums)) {
            let dot = dot.to_bits() as i32 - row.zero * sum.to_bits() as i32;
            *c = dot as f32 * (row.scale * scale);
        }
    }
}

multiversion! {
    /// c ← c + a·kept
    ///
    /// Nothing is fused, for the same bits on every instruction set.
    fn add(c: &mut [f32], a: f32, kept: &[f32]) {
        for (c, kept) in c.iter_mut().zip(kept) {
            *c += a * kept;
        }
    }
}
