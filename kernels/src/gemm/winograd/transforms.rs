//! The three transforms of a tile, in registers.
//!
//! SAFETY (whole file): what is generic over [`Vector`] may only run with the instruction set of `V`, as `vector.rs`
//! says; the bodies of [`multivector!`] have it.

use super::tiling::{IN, OUT, POINTS, Tile, Tiling};
use crate::gemm::block::Block;
use crate::gemm::blocking::pieces;
use crate::gemm::filters::Filters;
use crate::gemm::panels::WIDTH;
use crate::gemm::patches::MAX_TAPS;
use crate::gemm::vector::{Vector, load, multivector, put};

multivector! {
    /// Writes G g Gᵀ of the filters of one panel, the outputs from `first` on; zero behind the last.
    pub(super) fn transform_filters<V, L>(filters: &Filters, first: usize, flipped: bool, panel: &mut [f32]) {
        let inputs = filters.channels();
        assert_eq!(panel.len(), POINTS * inputs * WIDTH);
        for input in 0..inputs {
            for lane in (0..WIDTH).step_by(L) {
                let mut taps: [[f32; L]; MAX_TAPS] = filters.at_taps(first + lane, input);
                if flipped {
                    taps.reverse();
                }
                // SAFETY: an array has a register's lanes, and the panel is as long as asserted.
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
}

multivector! {
    /// Writes Bᵀ d B of one tile of x, which has `inputs` channels: the value at point j for input i goes to
    /// `a[p·stride + i]`.
    pub(super) fn transform_inputs<V, L>(
        tiling: &Tiling,
        x: &[f32],
        inputs: usize,
        tile: &Tile,
        stride: usize,
        a: &mut [f32],
    ) {
        assert!(x.len() == tiling.pixels() * inputs && (POINTS - 1) * stride + inputs <= a.len());
        for (channel, n) in pieces(inputs, L) {
            // SAFETY: pixels within the picture are in x, with all their channels.
            unsafe {
                let mut values = [[V::splat(0.0); IN]; IN];
                for (y, row) in values.iter_mut().enumerate() {
                    let Some(in_y) = (tile.row + y).checked_sub(1).filter(|&y| y < tiling.height) else { continue };
                    let mut d = [V::splat(0.0); IN];
                    for (in_x, d) in d.iter_mut().enumerate() {
                        let Some(in_x) = (tile.col + in_x).checked_sub(1).filter(|&x| x < tiling.width) else { continue };
                        *d = load(x.as_ptr().add(tiling.pixel(tile, in_y, in_x) * inputs + channel), n);
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
}

multivector! {
    /// Y ← Aᵀ c A of one tile, whose c at point i for output o is `c[i·stride + o]`.
    ///
    /// # Safety
    /// No other thread touches this tile of y.
    pub(super) unsafe fn transform_outputs<V, L>(tiling: &Tiling, y: Block<'_>, tile: &Tile, stride: usize, c: &[f32]) {
        let outputs = y.cols;
        assert!(y.rows == tiling.pixels() && (POINTS - 1) * stride + outputs <= c.len());
        let (rows, cols) = (OUT.min(tiling.height - tile.row), OUT.min(tiling.width - tile.col));
        for (channel, n) in pieces(outputs, L) {
            // SAFETY: the tile of y, which the caller has to itself, lies within the picture.
            unsafe {
                let mut sums = [[V::splat(0.0); IN]; OUT];
                for x in 0..IN {
                    let column =
                        outputs_of(std::array::from_fn(|y| load(c.as_ptr().add((IN * y + x) * stride + channel), n)));
                    for (row, sum) in sums.iter_mut().zip(column) {
                        row[x] = sum;
                    }
                }
                for (row, sums) in sums.into_iter().enumerate().take(rows) {
                    for (col, value) in outputs_of(sums).into_iter().enumerate().take(cols) {
                        let pixel = tiling.pixel(tile, tile.row + row, tile.col + col);
                        put(value, y.ptr.add(pixel * y.row_stride + channel), n);
                    }
                }
            }
        }
    }
}

/// Transposes a small array.
#[inline(always)]
fn transposed<T: Copy, const R: usize, const C: usize>(rows: [[T; C]; R]) -> [[T; R]; C] {
    std::array::from_fn(|c| std::array::from_fn(|r| rows[r][c]))
}

/// Returns c·x + y.
#[inline(always)]
unsafe fn fma<V: Vector>(c: f32, x: V, y: V) -> V {
    // SAFETY: the instruction set is there (whole file), and only registers are touched.
    unsafe { V::splat(c).mul_add(x, y) }
}

/// Returns G g, the transform of a filter in one dimension.
#[inline(always)]
unsafe fn filter_values<V: Vector>([g0, g1, g2]: [V; 3]) -> [V; IN] {
    // SAFETY: the instruction set is there (whole file), and only registers are touched.
    unsafe {
        let zero = V::splat(0.0);
        let (even, odd) = (fma(-1.0 / 6.0, g0.add(g2), zero), fma(-1.0 / 6.0, g1, zero));
        let (even2, odd2) = (fma(1.0 / 24.0, g0, fma(1.0 / 6.0, g2, zero)), fma(1.0 / 12.0, g1, zero));
        [fma(0.25, g0, zero), even.add(odd), fma(-1.0, odd, even), even2.add(odd2), fma(-1.0, odd2, even2), g2]
    }
}

/// Returns Bᵀ d, the transform of the inputs in one dimension.
#[inline(always)]
unsafe fn input_values<V: Vector>([d0, d1, d2, d3, d4, d5]: [V; IN]) -> [V; IN] {
    // SAFETY: the instruction set is there (whole file), and only registers are touched.
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

/// Returns Aᵀ c, the transform back to the outputs in one dimension.
#[inline(always)]
unsafe fn outputs_of<V: Vector>([m0, m1, m2, m3, m4, m5]: [V; IN]) -> [V; OUT] {
    // SAFETY: the instruction set is there (whole file), and only registers are touched.
    unsafe {
        let (even, odd) = (m1.add(m2), fma(-1.0, m2, m1));
        let (even2, odd2) = (m3.add(m4), fma(-1.0, m4, m3));
        [m0.add(even).add(even2), fma(2.0, odd2, odd), fma(4.0, even2, even), fma(8.0, odd2, odd).add(m5)]
    }
}
