//! A matrix of weights laid out once for the micro-kernel, so that no product need pack it again.
//!
//! With a large batch packing the weights costs next to nothing. With one picture or one caption every weight is used a
//! few times only, and turning rows of W into columns of Wᵀ takes as long as a good part of the product.

use super::blocking::Span;
use super::matrix::Mat;
use super::numbers::{Bf16, Element, F16, Numbers};
use super::pack::{Lanes, Panel, panels};
use super::patches::step;
use super::vector::{Vector, multivector};
use crate::isa::Isa;
use crate::scratch::{self, Scratch};
use rayon::prelude::*;

/// A panel has this many columns, as many as the widest micro-kernel takes. A narrower one takes a part of them, so
/// that the layout does not depend on the instruction set.
pub(super) const WIDTH: usize = 32;

thread_local! {
    /// The rows of W of which a panel is made.
    static ROWS: Scratch = const { Scratch::new(0) };
}

/// Wᵀ (K,N), for weights W (N,K), in panels of 32 columns, one behind the other, each row by row. The last panel is
/// filled up to its full width.
#[derive(Clone, Copy, Debug)]
pub struct Panels<'a> {
    data: Numbers<'a>,
    rows: usize,
    cols: usize,
    /// The distance in elements from one panel to the next.
    stride: usize,
}

impl<'a> Panels<'a> {
    /// Whether W can be laid out where it is: only if `outputs`, its rows, fill whole panels.
    pub fn fit(outputs: usize) -> bool {
        outputs.is_multiple_of(WIDTH)
    }

    /// Returns how many floats W (`outputs`, `inputs`) takes once it is laid out.
    pub fn size(outputs: usize, inputs: usize) -> usize {
        outputs.next_multiple_of(WIDTH) * inputs
    }

    /// Views Wᵀ, from what [`lay_out`](Self::lay_out) made of W (`outputs`, `inputs`).
    #[track_caller]
    pub fn new(data: &'a [f32], outputs: usize, inputs: usize) -> Self {
        Panels::of(Numbers::F32(data), outputs, inputs)
    }

    /// Views Wᵀ, from what [`lay_out`](Self::lay_out) made of W (`outputs`, `inputs`), whatever the numbers have been
    /// rounded to since.
    #[track_caller]
    pub fn of(data: Numbers<'a>, outputs: usize, inputs: usize) -> Self {
        check(data.len(), outputs, inputs);
        Panels { data, rows: inputs, cols: outputs, stride: WIDTH * inputs }
    }

    /// Views a matrix of `rows × cols` in panels, the last one filled up to its full width, `stride` elements
    /// apart.
    pub(super) fn apart(data: &'a [f32], (rows, cols): (usize, usize), stride: usize) -> Self {
        assert!((cols.div_ceil(WIDTH) - 1) * stride + WIDTH * rows <= data.len());
        Panels { data: Numbers::F32(data), rows, cols, stride }
    }

    /// Lays out W, row-major (`outputs`, `inputs`), where it is: in the first of [`size`](Self::size) floats.
    #[track_caller]
    pub fn lay_out(weights: &mut [f32], outputs: usize, inputs: usize) {
        Panels::lay_out_filters(weights, outputs, inputs, 1);
    }

    /// Lays out the weights (`outputs`, `channels`, `taps`) of a convolution where they are, K in the order of a patch.
    #[track_caller]
    pub fn lay_out_filters(weights: &mut [f32], outputs: usize, channels: usize, taps: usize) {
        let inputs = channels * taps;
        check(weights.len(), outputs, inputs);
        weights[outputs * inputs..].fill(0.0);
        // The rows of W that become a panel take its place.
        weights.par_chunks_exact_mut((WIDTH * inputs).max(1)).for_each(|panel| {
            scratch::with(&ROWS, panel.len(), |rows| {
                rows.copy_from_slice(panel);
                if taps == 1 {
                    return transpose(Isa::best(), Mat::new(rows, WIDTH, inputs), panel);
                }
                let panel = panel.as_chunks_mut::<WIDTH>().0;
                for k in 0..inputs {
                    panel[step(taps, channels, k / taps, k % taps)] = std::array::from_fn(|j| rows[j * inputs + k]);
                }
            });
        });
    }

    /// Goes through column `j`, which is a row of W.
    #[track_caller]
    pub(super) fn column(&self, j: usize, out: &mut [f32]) {
        assert!(j < self.cols && out.len() == self.rows, "row {j} of W {:?}", (self.cols, self.rows));
        let column = self.panel(j, 0).data;
        out.iter_mut().enumerate().for_each(|(k, out)| *out = column.at(k * WIDTH));
    }

    /// Cuts Wᵀ into its first `cols` columns, which fill whole panels, and the others.
    #[track_caller]
    pub(super) fn split_at(self, cols: usize) -> (Self, Self) {
        assert!(Panels::fit(cols) && cols <= self.cols, "{cols} of {} columns in panels of {WIDTH}", self.cols);
        let (head, tail) = self.data.split_at(cols / WIDTH * self.stride);
        (Panels { data: head, cols, ..self }, Panels { data: tail, cols: self.cols - cols, ..self })
    }

    /// Returns the shape (K,N) of Wᵀ.
    pub(super) fn dim(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }

    /// Returns the columns from `j` on, in rows from `k` on.
    pub(super) fn panel(&self, j: usize, k: usize) -> Panel<'a> {
        Panel { data: self.data.from(j / WIDTH * self.stride + k * WIDTH + j % WIDTH), step: WIDTH }
    }

    /// Packs columns `first..first + cols` at steps `k..k + depth` for a micro-kernel whose tiles have `unit` columns, and
    /// widens them to 32 bits.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`.
    #[inline(always)]
    pub(super) unsafe fn pack<V: Vector>(&self, (first, cols): Span, (k, depth): Span, unit: usize, dst: &mut [f32]) {
        assert!(WIDTH.is_multiple_of(unit) && unit.is_multiple_of(V::LANES) && first.is_multiple_of(unit));
        for (col, dst) in (first..first + cols).step_by(unit).zip(dst.chunks_exact_mut(unit * depth)) {
            let Panel { data, .. } = self.panel(col, k);
            assert!((depth - 1) * WIDTH + unit <= data.len());
            let (from, dst) = (data.as_ptr(), dst.as_mut_ptr());
            // SAFETY: the caller gives the instruction set; the assertion and the chunk have all steps.
            unsafe {
                match data {
                    Numbers::F32(_) => widen::<V, f32>(from.cast(), depth, unit, dst),
                    Numbers::F16(_) => widen::<V, F16>(from.cast(), depth, unit, dst),
                    Numbers::Bf16(_) => widen::<V, Bf16>(from.cast(), depth, unit, dst),
                }
            }
        }
    }

    /// Returns how many bytes a number takes.
    pub(super) fn bytes(&self) -> usize {
        self.data.bytes()
    }

    /// Returns where the share begins that neighbouring columns from `j` on have of their panel, in `depth` rows from
    /// `k` on. It is only good for prefetching, because there may be no such columns.
    pub(super) fn share(&self, j: usize, (k, depth): Span) -> *const u8 {
        let start = j / WIDTH * self.stride + k * WIDTH + j % WIDTH * depth;
        self.data.as_ptr().wrapping_add(start * self.data.bytes())
    }
}

multivector! {
    /// Makes a panel of its columns, which are rows of W.
    fn transpose<V, L>(rows: Mat, panel: &mut [f32]) {
        // SAFETY: the body has the instruction set of `V`.
        unsafe { panels::<V, L>(Lanes::rows(rows), WIDTH, WIDTH, true, rows.cols, panel) }
    }
}

/// Packs `depth` steps of a panel, of which a tile reads `unit` columns.
///
/// # Safety
/// The CPU has the instruction set of `V`, `from` has the steps in a panel's order, and `dst` has room for them.
#[inline(always)]
unsafe fn widen<V: Vector, E: Element>(from: *const E, depth: usize, unit: usize, dst: *mut f32) {
    for k in 0..depth {
        for lane in (0..unit).step_by(V::LANES) {
            // SAFETY: the caller promises a register's numbers and room for them here.
            unsafe { E::load::<V>(from.add(k * WIDTH + lane)).store(dst.add(k * unit + lane)) }
        }
    }
}

/// Panics unless these weights fill whole panels.
#[track_caller]
fn check(len: usize, outputs: usize, inputs: usize) {
    assert!(
        len == Panels::size(outputs, inputs),
        "{outputs}×{inputs} weights in panels of {WIDTH} columns: {len} elements"
    );
}

#[cfg(test)]
mod tests {
    use super::{Panels, WIDTH};
    use crate::support::random;

    #[test]
    fn weights_are_laid_out_where_they_are() {
        for (outputs, inputs) in [(64, 40), (70, 17), (5, 3), (96, 1)] {
            let rows = random(1, outputs * inputs);
            let at = |i: usize| {
                let (panel, k, j) = (i / (WIDTH * inputs), i / WIDTH % inputs, i % WIDTH);
                rows.get((panel * WIDTH + j) * inputs + k).copied().unwrap_or(0.0)
            };
            let expected: Vec<f32> = (0..Panels::size(outputs, inputs)).map(at).collect();
            let mut found = rows.clone();
            found.resize(expected.len(), f32::NAN);
            Panels::lay_out(&mut found, outputs, inputs);
            assert_eq!(found, expected, "{outputs}×{inputs}");
        }
    }
}
