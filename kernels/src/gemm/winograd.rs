//! A convolution of 3 × 3 pixels at stride 1 with a quarter of the multiplications (Winograd 1980, *Arithmetic Complexity
//! of Computations*; Lavin and Gray 2016, *Fast Algorithms for Convolutional Neural Networks*, section 4.3).
//!
//! In one dimension, four outputs y of a filter g with three taps see six inputs d. A product of two polynomials of five
//! coefficients or fewer is known from its values at five points and at infinity, and so is its transpose, the filter:
//! y = Aᵀ((G g) ∘ (Bᵀ d)), with the points 0, 1, −1, 2, −2 and
//!
//! ```text
//!      ⎡4  0 −5  0 1 0⎤        ⎡  6   0  0⎤
//!      ⎢0 −4 −4  1 1 0⎥      1 ⎢ −4  −4 −4⎥        ⎡1 1  1 1  1 0⎤
//! Bᵀ = ⎢0  4 −4 −1 1 0⎥  G = ──⎢ −4   4 −4⎥   Aᵀ = ⎢0 1 −1 2 −2 0⎥
//!      ⎢0 −2 −1  2 1 0⎥      24⎢  1   2  4⎥        ⎢0 1  1 4  4 0⎥
//!      ⎢0  2 −1 −2 1 0⎥        ⎢  1  −2  4⎥        ⎣0 1 −1 8 −8 1⎦
//!      ⎣0  4  0 −5 0 1⎦        ⎣  0   0 24⎦
//! ```
//!
//! Six multiplications instead of twelve. In two dimensions Y = Aᵀ((G g Gᵀ) ∘ (Bᵀ d B)) A: 36 instead of 144 for a *tile* of
//! 4 × 4 outputs. Over many channels each of the 36 is a matrix product, tiles (T, I) by filters (I, O), and the
//! transforms, which are additions for the most part, are needed once a channel and not once a pair of channels.

use super::block::Block;
use super::blocked::{Job, KC, MEMORY, PARALLEL, even, multiply, pieces};
use super::epilogue::Finish;
use super::filters::Filters;
use super::pack::{Kept, load, put};
use super::panels::{Panels, WIDTH};
use super::patches::TAPS;
use super::source::Source;
use super::vector::{Portable, Vector};
use super::{Epilogue, Mat, MatMut, check_output};
use crate::isa::Isa;
use crate::memory::Floats;
use crate::parallel::in_shares;
use rayon::prelude::*;
use std::cell::RefCell;

/// Outputs along the edge of a tile.
const OUT: usize = 4;

/// Inputs along its edge: one more on every side.
const IN: usize = OUT + 2;

/// Multiplications of a tile, each at a pair of points.
const POINTS: usize = IN * IN;

thread_local! {
    static FILTERS_KEPT: RefCell<Vec<Floats>> = const { RefCell::new(Vec::new()) };
    static OWN_KEPT: RefCell<Vec<Floats>> = const { RefCell::new(Vec::new()) };
}

/// The transformed filters, in the thread that asked for the convolution.
static FILTERS: Kept = Kept { size: 0, kept: &FILTERS_KEPT };

/// A task's transformed tiles and their products.
static OWN: Kept = Kept { size: OWN_SIZE, kept: &OWN_KEPT };

/// Elements of a task, 1 MB: what L2 can hold.
const OWN_SIZE: usize = 1 << 18;

/// Fewest tiles of a task, so that the filters are not read for too little.
const FEWEST: usize = 28;

/// A transformed weight costs its way to memory and back, as long as so many multiply-adds.
const FILTER: usize = 192;

/// Channels-last pictures (N, H, W, I), cut into tiles by their outputs.
#[derive(Clone, Copy)]
pub(crate) struct Tiling {
    pub pictures: usize,
    pub height: usize,
    pub width: usize,
}

/// A tile of a picture.
struct Tile {
    picture: usize,
    /// Of its first output.
    row: usize,
    col: usize,
}

impl Tiling {
    fn down(&self) -> usize {
        self.height.div_ceil(OUT)
    }

    fn across(&self) -> usize {
        self.width.div_ceil(OUT)
    }

    fn tiles(&self) -> usize {
        self.pictures * self.down() * self.across()
    }

    fn pixels(&self) -> usize {
        self.pictures * self.height * self.width
    }

    fn tile(&self, t: usize) -> Tile {
        let (down, across) = (self.down(), self.across());
        Tile { picture: t / (down * across), row: t / across % down * OUT, col: t % across * OUT }
    }

    /// Whether this way is faster than [`filter`](super::filter), by the numbers that are multiplied or pass through the
    /// caches: each transformed number costs as much as some multiplications.
    pub fn pays(&self, inputs: usize, outputs: usize) -> bool {
        let (tiles, pairs) = (self.tiles(), inputs * outputs);
        let transformed = FILTER * pairs + MEMORY * tiles * (inputs + outputs);
        POINTS * (tiles * pairs + transformed) < TAPS * self.pixels() * pairs
    }
}

/// y ← epilogue(x ∗ filters), or with the kernel flipped; the lanes of `filters` are the channels of y.
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
    assert_eq!((filters.taps(), x.len()), (TAPS, tiling.pixels() * inputs), "convolution: taps, elements of x");
    assert_eq!((y.rows, y.cols), (tiling.pixels(), outputs), "convolution: y");
    check_output(&y, &epilogue);
    if y.rows == 0 || y.cols == 0 {
        return;
    }
    let transforms = Transforms::of(isa);
    FILTERS.with(POINTS * inputs * outputs.next_multiple_of(WIDTH), |panels| {
        let panel = POINTS * inputs * WIDTH;
        panels.par_chunks_mut(panel.max(1)).enumerate().for_each(|(p, panel)| {
            // SAFETY: the transforms came from an `Isa`, which proves the instruction set.
            unsafe { (transforms.filters)(&filters, p * WIDTH, flipped, panel) }
        });
        let (y, finish) = (Block::new(y), Finish::new(epilogue));
        Convolution { isa, transforms, tiling, x, inputs, outputs, panels, y, finish }.run();
    });
}

struct Convolution<'a> {
    isa: Isa,
    transforms: &'static Transforms,
    tiling: Tiling,
    x: &'a [f32],
    inputs: usize,
    outputs: usize,
    /// Panel, point, input, output within the panel.
    panels: &'a [f32],
    y: Block<'a>,
    finish: Finish<'a>,
}

impl Convolution<'_> {
    fn run(&self) {
        let tiles = self.tiling.tiles();
        let fit = OWN_SIZE / (POINTS * (self.inputs + self.outputs));
        let even_share = tiles.div_ceil(4 * rayon::current_num_threads());
        let step = even(tiles, even_share.min(fit).max(FEWEST), 1);
        let parallel = POINTS * tiles * self.inputs * self.outputs >= PARALLEL;
        in_shares(parallel, tiles.div_ceil(step), |mine| {
            mine.for_each(|t| self.task(t * step, step.min(tiles - t * step)));
        });
    }

    /// Tiles `first..first + tiles`.
    fn task(&self, first: usize, tiles: usize) {
        let (a_size, c_size) = (tiles * self.inputs, tiles * self.outputs);
        OWN.with(POINTS * (a_size + c_size), |own| {
            let (a, c) = own.split_at_mut(POINTS * a_size);
            for (i, t) in (first..first + tiles).enumerate() {
                // SAFETY: the transforms came from an `Isa`, which proves the instruction set.
                unsafe { (self.transforms.inputs)(self, &self.tiling.tile(t), a_size, &mut a[i * self.inputs..]) }
            }
            for point in 0..POINTS {
                let a = Mat::new(&a[point * a_size..][..a_size], tiles, self.inputs);
                self.product(point, a, MatMut::new(&mut c[point * c_size..][..c_size], tiles, self.outputs));
            }
            for (i, t) in (first..first + tiles).enumerate() {
                let tile = self.tiling.tile(t);
                // SAFETY: as above, and no other task has this tile of y.
                unsafe {
                    (self.transforms.outputs)(self, &tile, c_size, &c[i * self.outputs..]);
                    self.finish(&tile);
                }
            }
        });
    }

    /// The product of all tiles with the filters at one point.
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
            finish: Finish::None,
        });
    }

    /// Place of a pixel among the rows of x and y.
    #[inline(always)]
    fn pixel(&self, tile: &Tile, row: usize, col: usize) -> usize {
        (tile.picture * self.tiling.height + row) * self.tiling.width + col
    }

    /// # Safety
    /// No other thread touches this tile of y.
    unsafe fn finish(&self, tile: &Tile) {
        let cols = OUT.min(self.tiling.width - tile.col);
        for row in tile.row..(tile.row + OUT).min(self.tiling.height) {
            let first = self.pixel(tile, row, tile.col);
            // SAFETY: passed on to the caller.
            unsafe { self.finish.apply(self.isa, self.y.part(first, cols, 0, self.outputs), first, 0) }
        }
    }
}

/// The three transforms for one instruction set.
///
/// # Safety
/// Of every one: the CPU has the instruction set.
struct Transforms {
    filters: unsafe fn(&Filters, usize, bool, &mut [f32]),
    inputs: unsafe fn(&Convolution, &Tile, usize, &mut [f32]),
    outputs: unsafe fn(&Convolution, &Tile, usize, &[f32]),
}

macro_rules! transforms {
    ($name:ident, $vector:ty, $lanes:literal $(, $features:literal)?) => {
        mod $name {
            use super::*;

            pub static TRANSFORMS: Transforms = Transforms { filters, inputs, outputs };

            $(#[target_feature(enable = $features)])?
            unsafe fn filters(filters: &Filters, first: usize, flipped: bool, panel: &mut [f32]) {
                // SAFETY: passed on to the caller.
                unsafe { transform_filters::<$vector, $lanes>(filters, first, flipped, panel) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn inputs(conv: &Convolution, tile: &Tile, stride: usize, a: &mut [f32]) {
                // SAFETY: passed on to the caller.
                unsafe { transform_inputs::<$vector>(conv, tile, stride, a) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn outputs(conv: &Convolution, tile: &Tile, stride: usize, c: &[f32]) {
                // SAFETY: passed on to the caller.
                unsafe { transform_outputs::<$vector>(conv, tile, stride, c) }
            }
        }
    };
}

transforms!(portable, Portable, 4);
#[cfg(target_arch = "x86_64")]
transforms!(avx2, std::arch::x86_64::__m256, 8, "avx2,fma");
#[cfg(target_arch = "x86_64")]
transforms!(avx512, std::arch::x86_64::__m512, 16, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");

impl Transforms {
    fn of(isa: Isa) -> &'static Transforms {
        match isa {
            Isa::Portable => &portable::TRANSFORMS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => &avx2::TRANSFORMS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => &avx512::TRANSFORMS,
            #[cfg(not(target_arch = "x86_64"))]
            _ => unreachable!("no token is ever made here"),
        }
    }
}

/// G g Gᵀ of the filters of one panel, the outputs from `first` on; zero behind the last.
#[inline(always)]
unsafe fn transform_filters<V: Vector, const L: usize>(
    filters: &Filters,
    first: usize,
    flipped: bool,
    panel: &mut [f32],
) {
    let inputs = filters.channels();
    assert_eq!(panel.len(), POINTS * inputs * WIDTH);
    for input in 0..inputs {
        for lane in (0..WIDTH).step_by(L) {
            let mut taps: [[f32; L]; TAPS] = filters.at_taps(first + lane, input);
            if flipped {
                taps.reverse();
            }
            // SAFETY: the caller gives the instruction set; an array has a register's lanes, and the panel is as long as
            // asserted.
            unsafe {
                let mut rows = [[V::splat(0.0); IN]; 3];
                for (y, row) in rows.iter_mut().enumerate() {
                    *row = filter_values(std::array::from_fn(|x| V::load(taps[3 * y + x].as_ptr())));
                }
                for (x, column) in transposed(rows).into_iter().enumerate() {
                    for (y, value) in filter_values(column).into_iter().enumerate() {
                        let at = ((IN * y + x) * inputs + input) * WIDTH + lane;
                        value.store(panel.as_mut_ptr().add(at));
                    }
                }
            }
        }
    }
}

/// Bᵀ d B of one tile: its value at point p for input i goes to `a[p·stride + i]`.
#[inline(always)]
unsafe fn transform_inputs<V: Vector>(conv: &Convolution, tile: &Tile, stride: usize, a: &mut [f32]) {
    let inputs = conv.inputs;
    assert!((POINTS - 1) * stride + inputs <= a.len());
    for (channel, n) in pieces(inputs, V::LANES) {
        // SAFETY: the caller gives the instruction set; pixels within the picture are in x, with all their channels.
        unsafe {
            let mut values = [[V::splat(0.0); IN]; IN];
            for (y, row) in values.iter_mut().enumerate() {
                let Some(in_y) = (tile.row + y).checked_sub(1).filter(|&y| y < conv.tiling.height) else { continue };
                let mut d = [V::splat(0.0); IN];
                for (x, d) in d.iter_mut().enumerate() {
                    let Some(in_x) = (tile.col + x).checked_sub(1).filter(|&x| x < conv.tiling.width) else { continue };
                    *d = load(conv.x.as_ptr().add(conv.pixel(tile, in_y, in_x) * inputs + channel), n);
                }
                *row = input_values(d);
            }
            for (x, column) in transposed(values).into_iter().enumerate() {
                for (y, value) in input_values(column).into_iter().enumerate() {
                    put(value, a.as_mut_ptr().add((IN * y + x) * stride + channel), n);
                }
            }
        }
    }
}

/// y ← Aᵀ m A of one tile, m at point p for output o being `c[p·stride + o]`.
///
/// # Safety
/// Beside the instruction set: no other thread touches this tile of y.
#[inline(always)]
unsafe fn transform_outputs<V: Vector>(conv: &Convolution, tile: &Tile, stride: usize, c: &[f32]) {
    let outputs = conv.outputs;
    assert!((POINTS - 1) * stride + outputs <= c.len());
    let (rows, cols) = (OUT.min(conv.tiling.height - tile.row), OUT.min(conv.tiling.width - tile.col));
    for (channel, n) in pieces(outputs, V::LANES) {
        // SAFETY: the caller gives the instruction set and this tile of y, which lies within the picture.
        unsafe {
            let mut sums = [[V::splat(0.0); IN]; OUT];
            for x in 0..IN {
                let column =
                    outputs_of(std::array::from_fn(|y| load(c.as_ptr().add((IN * y + x) * stride + channel), n)));
                for (row, sum) in sums.iter_mut().zip(column) {
                    row[x] = sum;
                }
            }
            for (y, sums) in sums.into_iter().enumerate().take(rows) {
                for (x, value) in outputs_of(sums).into_iter().enumerate().take(cols) {
                    let pixel = conv.pixel(tile, tile.row + y, tile.col + x);
                    put(value, conv.y.ptr.add(pixel * conv.y.row_stride + channel), n);
                }
            }
        }
    }
}

#[inline(always)]
fn transposed<T: Copy, const R: usize, const C: usize>(rows: [[T; C]; R]) -> [[T; R]; C] {
    std::array::from_fn(|c| std::array::from_fn(|r| rows[r][c]))
}

/// c·x + y
#[inline(always)]
unsafe fn fma<V: Vector>(c: f32, x: V, y: V) -> V {
    // SAFETY: passed on to the caller.
    unsafe { V::splat(c).mul_add(x, y) }
}

/// G g
#[inline(always)]
unsafe fn filter_values<V: Vector>([g0, g1, g2]: [V; 3]) -> [V; IN] {
    // SAFETY: passed on to the caller.
    unsafe {
        let zero = V::splat(0.0);
        let (even, odd) = (fma(-1.0 / 6.0, g0.add(g2), zero), fma(-1.0 / 6.0, g1, zero));
        let (even2, odd2) = (fma(1.0 / 24.0, g0, fma(1.0 / 6.0, g2, zero)), fma(1.0 / 12.0, g1, zero));
        [fma(0.25, g0, zero), even.add(odd), fma(-1.0, odd, even), even2.add(odd2), fma(-1.0, odd2, even2), g2]
    }
}

/// Bᵀ d
#[inline(always)]
unsafe fn input_values<V: Vector>([d0, d1, d2, d3, d4, d5]: [V; IN]) -> [V; IN] {
    // SAFETY: passed on to the caller.
    unsafe {
        let (even, odd) = (fma(-4.0, d2, d4), fma(-4.0, d1, d3));
        let (even2, odd2) = (fma(-1.0, d2, d4), fma(-1.0, d1, d3));
        [
            fma(4.0, d0, fma(-5.0, d2, d4)),
            even.add(odd),
            fma(-1.0, odd, even),
            fma(2.0, odd2, even2),
            fma(-2.0, odd2, even2),
            fma(4.0, d1, fma(-5.0, d3, d5)),
        ]
    }
}

/// Aᵀ m
#[inline(always)]
unsafe fn outputs_of<V: Vector>([m0, m1, m2, m3, m4, m5]: [V; IN]) -> [V; OUT] {
    // SAFETY: passed on to the caller.
    unsafe {
        let (even, odd) = (m1.add(m2), fma(-1.0, m2, m1));
        let (even2, odd2) = (m3.add(m4), fma(-1.0, m4, m3));
        [m0.add(even).add(even2), fma(2.0, odd2, odd), fma(4.0, even2, even), fma(8.0, odd2, odd).add(m5)]
    }
}
