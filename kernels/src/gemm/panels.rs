//! A matrix of weights laid out once for the micro-kernel, so that no product need pack it again.
//!
//! With a large batch packing the weights costs next to nothing. With one picture or one caption every weight is used a
//! few times only, and turning rows of W into columns of Wᵀ takes as long as a good part of the product.

use super::blocking::Span;
use super::int8::Int8;
use super::matrix::Mat;
use super::pack::Panel;
use super::patches::step;
use rayon::prelude::*;
use std::ops::Range;

/// A panel has this many columns, as many as the widest micro-kernel takes. A narrower one takes a part of them, so
/// that the layout does not depend on the instruction set.
pub(super) const WIDTH: usize = 32;

/// The weights W (O,I) of a product x Wᵀ, or (O,I,kernel,kernel) of a convolution.
#[derive(Clone, Copy, Debug)]
pub enum Weight<'a> {
    /// The weights lie row by row, as in a checkpoint.
    Plain(&'a [f32]),
    /// The weights are [laid out](Panels::lay_out_filters) for the micro-kernel.
    Panels(Panels<'a>),
    /// The weights are [rounded](super::int8) to eight bits. Linear layers alone can read them.
    Int8(Int8<'a>),
}

impl<'a> Weight<'a> {
    /// Returns the number of weights.
    pub(crate) fn len(&self) -> usize {
        match self {
            Weight::Plain(data) => data.len(),
            Weight::Panels(panels) => panels.rows * panels.cols,
            Weight::Int8(int8) => int8.dim().0 * int8.dim().1,
        }
    }

    /// Returns the weights in the order of a checkpoint.
    ///
    /// # Panics
    /// If they are laid out in panels: those can only be multiplied with, or be looked up by [`row`](Self::row).
    #[track_caller]
    pub fn rows(self) -> &'a [f32] {
        match self {
            Weight::Plain(data) => data,
            Weight::Panels(panels) => panic!("weights {:?} in panels have no rows to read", (panels.cols, panels.rows)),
            Weight::Int8(int8) => panic!("weights {:?} of eight bits have no rows to read", int8.dim()),
        }
    }

    /// Writes row `i` of W (O,I) to `out` (I).
    #[track_caller]
    pub fn row(self, i: usize, out: &mut [f32]) {
        match self {
            Weight::Plain(data) => out.copy_from_slice(&data[i * out.len()..][..out.len()]),
            Weight::Panels(panels) => panels.column(i, out),
            Weight::Int8(int8) => panic!("weights {:?} of eight bits are not looked up", int8.dim()),
        }
    }

    /// Views some rows of W (O, `inputs`) as matrices with the rows that each has: all in one, or those of a panel each.
    /// They may stand in any product, on either side.
    #[track_caller]
    pub fn matrices(self, rows: Range<usize>, inputs: usize) -> impl Iterator<Item = (Range<usize>, Mat<'a>)> {
        assert!(rows.end * inputs <= self.len(), "rows {rows:?} of {} weights of {inputs} inputs", self.len());
        let mut first = rows.start;
        std::iter::from_fn(move || {
            let (start, n) = (first, rows.end.checked_sub(first).filter(|&n| n > 0)?);
            let (n, view) = match self {
                Weight::Plain(data) => (n, Mat::new(&data[start * inputs..][..n * inputs], n, inputs)),
                Weight::Panels(panels) => {
                    let n = n.min(WIDTH - start % WIDTH);
                    let data = panels.panel(start, 0).data;
                    (n, Mat { data, rows: inputs, cols: n, row_stride: WIDTH, col_stride: 1 }.t())
                }
                Weight::Int8(int8) => panic!("weights {:?} of eight bits are no matrices of floats", int8.dim()),
            };
            first += n;
            Some((start..first, view))
        })
    }

    /// Cuts W (O,I) into its first `n` numbers, which are whole rows, and the others.
    ///
    /// # Panics
    /// If a panel would have to be cut.
    #[track_caller]
    pub fn split_at(self, n: usize) -> (Self, Self) {
        match self {
            Weight::Plain(data) => {
                let (head, tail) = data.split_at(n);
                (Weight::Plain(head), Weight::Plain(tail))
            }
            Weight::Panels(panels) => {
                let (head, tail) = panels.split_at(n / panels.rows);
                (Weight::Panels(head), Weight::Panels(tail))
            }
            Weight::Int8(int8) => {
                let (head, tail) = int8.split_at(n / int8.dim().0);
                (Weight::Int8(head), Weight::Int8(tail))
            }
        }
    }
}

/// Wᵀ (K,N), for weights W (N,K), in panels of 32 columns, one behind the other, each row by row. The last panel is
/// filled up to its full width.
#[derive(Clone, Copy, Debug)]
pub struct Panels<'a> {
    data: &'a [f32],
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
        check(data.len(), outputs, inputs);
        Panels { data, rows: inputs, cols: outputs, stride: WIDTH * inputs }
    }

    /// Views a matrix of `rows × cols` in panels, the last one filled up to its full width, `stride` elements
    /// apart.
    pub(super) fn apart(data: &'a [f32], (rows, cols): (usize, usize), stride: usize) -> Self {
        assert!((cols.div_ceil(WIDTH) - 1) * stride + WIDTH * rows <= data.len());
        Panels { data, rows, cols, stride }
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
        weights.par_chunks_exact_mut((WIDTH * inputs).max(1)).for_each_init(Vec::new, |rows, panel| {
            rows.clear();
            rows.extend_from_slice(panel);
            let panel = panel.as_chunks_mut::<WIDTH>().0;
            for k in 0..inputs {
                panel[step(taps, channels, k / taps, k % taps)] = std::array::from_fn(|j| rows[j * inputs + k]);
            }
        });
    }

    /// Goes through column `j`, which is a row of W.
    #[track_caller]
    fn column(&self, j: usize, out: &mut [f32]) {
        assert!(j < self.cols && out.len() == self.rows, "row {j} of W {:?}", (self.cols, self.rows));
        let column = self.panel(j, 0).data.iter().step_by(WIDTH);
        out.iter_mut().zip(column).for_each(|(out, &x)| *out = x);
    }

    /// Cuts Wᵀ into its first `cols` columns, which fill whole panels, and the others.
    #[track_caller]
    fn split_at(self, cols: usize) -> (Self, Self) {
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
        Panel { data: &self.data[j / WIDTH * self.stride + k * WIDTH + j % WIDTH..], step: WIDTH }
    }

    /// Returns where the share begins that neighbouring columns from `j` on have of their panel, in `depth` rows from
    /// `k` on. It is only good for prefetching, because there may be no such columns.
    pub(super) fn share(&self, j: usize, (k, depth): Span) -> *const f32 {
        self.data.as_ptr().wrapping_add(j / WIDTH * self.stride + k * WIDTH + j % WIDTH * depth)
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
