//! A convolution of 3 × 3 pixels at stride 1 with a quarter of the multiplications (Winograd 1980, *Arithmetic
//! Complexity of Computations*; Lavin and Gray 2016, *Fast Algorithms for Convolutional Neural Networks*, section
//! 4.3).
//!
//! In one dimension, four outputs y of a filter g with three taps see six inputs d. A product of two polynomials of
//! five coefficients or fewer is known from its values at five points and at infinity, and so is its transpose, the
//! filter, with the points 0, 1, −1, 2, −2:
//!
//! ```text
//! y = Aᵀ((G g) ∘ (Bᵀ d))
//!
//!      ⎡4  0 −5  0 1 0⎤        ⎡  6   0  0⎤
//!      ⎢0 −4 −4  1 1 0⎥      1 ⎢ −4  −4 −4⎥        ⎡1 1  1 1  1 0⎤
//! Bᵀ = ⎢0  4 −4 −1 1 0⎥  G = ──⎢ −4   4 −4⎥   Aᵀ = ⎢0 1 −1 2 −2 0⎥
//!      ⎢0 −2 −1  2 1 0⎥      24⎢  1   2  4⎥        ⎢0 1  1 4  4 0⎥
//!      ⎢0  2 −1 −2 1 0⎥        ⎢  1  −2  4⎥        ⎣0 1 −1 8 −8 1⎦
//!      ⎣0  4  0 −5 0 1⎦        ⎣  0   0 24⎦
//! ```
//!
//! That takes six multiplications instead of twelve. In two dimensions it takes 36 instead of 144 for a
//! *tile* of 4 × 4 outputs:
//!
//! ```text
//! Y = Aᵀ((G g Gᵀ) ∘ (Bᵀ d B)) A
//! ```
//!
//! Over many channels each of the 36 is a matrix product, tiles (tiles,I) by filters (I,O), and the transforms, which
//! are additions for the most part, are needed once a channel and not once a pair of channels.

mod tiling;
mod transforms;

pub(crate) use tiling::Tiling;

use super::block::Block;
use super::blocked::multiply;
use super::blocking::{KC, MIN_PARALLEL_WORK, even};
use super::epilogue::Epilogue;
use super::filters::Filters;
use super::finish::{Finish, Output};
use super::matrix::{Mat, MatMut};
use super::panels::{Panels, WIDTH};
use super::patches::MAX_TAPS;
use super::slab::Job;
use super::source::Source;
use crate::isa::Isa;
use crate::parallel::in_shares;
use crate::scratch::{self, Scratch};
use rayon::prelude::*;
use tiling::{OUT, POINTS, Tile};
use transforms::{transform_filters, transform_inputs, transform_outputs};

/// A task's transformed tiles and their products have about this many elements: 1 MB, which L2 can hold.
const TASK_SIZE: usize = 1 << 18;

/// A task has at least this many tiles, so that reading the filters pays off.
const MIN_TILES: usize = 28;

thread_local! {
    /// The transformed filters, in the thread that asked for the convolution.
    static FILTERS: Scratch = const { Scratch::new(0) };

    /// A task's transformed tiles and their products.
    static OWN: Scratch = const { Scratch::new(TASK_SIZE) };
}

/// y ← epilogue(x ∗ filters), with the kernel flipped if `flipped`; the lanes of `filters` are the channels of y
#[track_caller]
pub(crate) fn winograd(
    isa: Isa,
    tiling: Tiling,
    x: &[f32],
    filters: Filters,
    flipped: bool,
    y: MatMut,
    epilogue: Epilogue,
) {
    let (inputs, outputs) = (filters.channels(), filters.lanes());
    assert_eq!((filters.taps(), x.len()), (MAX_TAPS, tiling.pixels() * inputs), "convolution: taps, elements of x");
    assert_eq!((y.rows, y.cols), (tiling.pixels(), outputs), "convolution: y");
    let Some(Output { c: y, finish }) = Output::new(y, epilogue) else { return };
    scratch::with(&FILTERS, POINTS * inputs * outputs.next_multiple_of(WIDTH), |panels| {
        let panel = POINTS * inputs * WIDTH;
        panels.par_chunks_mut(panel.max(1)).enumerate().for_each(|(p, panel)| {
            transform_filters(isa, &filters, p * WIDTH, flipped, panel);
        });
        Convolution { isa, tiling, x, inputs, outputs, panels, y, finish }.run();
    });
}

/// A convolution whose filters have been transformed.
struct Convolution<'a> {
    isa: Isa,
    tiling: Tiling,
    x: &'a [f32],
    inputs: usize,
    outputs: usize,
    /// The transformed filters, ordered (panel, point, input, output within the panel).
    panels: &'a [f32],
    y: Block<'a>,
    finish: Finish<'a>,
}

impl Convolution<'_> {
    /// Computes all tiles.
    fn run(&self) {
        let tiles = self.tiling.tiles();
        let fit = TASK_SIZE / (POINTS * (self.inputs + self.outputs));
        let even_share = tiles.div_ceil(4 * rayon::current_num_threads());
        let step = even(tiles, even_share.min(fit).max(MIN_TILES), 1);
        let parallel = POINTS * tiles * self.inputs * self.outputs >= MIN_PARALLEL_WORK;
        in_shares(parallel, tiles.div_ceil(step), |mine| {
            mine.for_each(|t| self.task(t * step, step.min(tiles - t * step)));
        });
    }

    /// Computes tiles `first..first + tiles`.
    fn task(&self, first: usize, tiles: usize) {
        let (a_size, c_size) = (tiles * self.inputs, tiles * self.outputs);
        scratch::with(&OWN, POINTS * (a_size + c_size), |own| {
            let (a, c) = own.split_at_mut(POINTS * a_size);
            for (i, t) in (first..first + tiles).enumerate() {
                let (tile, a) = (self.tiling.tile(t), &mut a[i * self.inputs..]);
                transform_inputs(self.isa, &self.tiling, self.x, self.inputs, &tile, a_size, a);
            }
            for point in 0..POINTS {
                let a = Mat::new(&a[point * a_size..][..a_size], tiles, self.inputs);
                self.product(point, a, MatMut::new(&mut c[point * c_size..][..c_size], tiles, self.outputs));
            }
            for (i, t) in (first..first + tiles).enumerate() {
                let tile = self.tiling.tile(t);
                // SAFETY: no other task has this tile of y.
                unsafe {
                    transform_outputs(self.isa, &self.tiling, self.y, &tile, c_size, &c[i * self.outputs..]);
                    self.finish(&tile);
                }
            }
        });
    }

    /// Multiplies all tiles with the filters at one point.
    fn product(&self, point: usize, a: Mat, c: MatMut) {
        let panel = self.inputs * WIDTH;
        multiply(&Job {
            isa: self.isa,
            alpha: 1.0,
            a: Source::rows(a),
            b: Source::Panels(Panels::apart(
                &self.panels[point * panel..],
                (self.inputs, self.outputs),
                POINTS * panel,
            )),
            k: self.inputs,
            kc: even(self.inputs, KC, 1),
            flat: true,
            parallel: false,
            beta: 0.0,
            c: Block::new(c),
            finish: &Finish::new(Epilogue::None),
        });
    }

    /// Finishes one tile of y, row by row.
    ///
    /// # Safety
    /// No other thread touches this tile of y.
    unsafe fn finish(&self, tile: &Tile) {
        let cols = OUT.min(self.tiling.width - tile.col);
        for row in tile.row..(tile.row + OUT).min(self.tiling.height) {
            let first = self.tiling.pixel(tile, row, tile.col);
            // SAFETY: this part of y belongs to the tile, which the caller has to itself.
            unsafe { self.finish.apply(self.isa, self.y.part(first, cols, 0, self.outputs), first, 0) }
        }
    }
}
