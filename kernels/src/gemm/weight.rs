//! The weights of a product, in whichever form they are kept.

use super::fetched::Fetched;
use super::int8::Int8;
use super::matrix::Mat;
use super::numbers::Numbers;
use super::panels::{Panels, WIDTH};
use std::ops::Range;

/// The weights W (O,I) of a product x Wᵀ, or (O,I,kernel,kernel) of a convolution.
#[derive(Clone, Copy, Debug)]
pub enum Weight<'a> {
    /// The weights lie row by row, as in a checkpoint.
    Plain(&'a [f32]),
    /// The weights lie row by row in 16 bits. They can only be looked up.
    Half(Numbers<'a>),
    /// The weights are [laid out](Panels::lay_out_filters) for the micro-kernel, in 32 bits or 16.
    Panels(Panels<'a>),
    /// The weights are [rounded](super::int8) to eight bits. Linear layers alone can read them.
    Int8(Int8<'a>),
    /// The weights are fetched by each product that needs them. Linear layers alone can read them.
    Fetched(Fetched<'a>),
}

impl<'a> Weight<'a> {
    /// Returns the number of weights.
    pub(crate) fn len(&self) -> usize {
        match self {
            Weight::Plain(data) => data.len(),
            Weight::Half(data) => data.len(),
            Weight::Panels(panels) => panels.dim().0 * panels.dim().1,
            Weight::Int8(int8) => int8.dim().0 * int8.dim().1,
            Weight::Fetched(fetched) => fetched.dim().0 * fetched.dim().1,
        }
    }

    /// Returns the weights in the order of a checkpoint.
    ///
    /// # Panics
    /// If they are laid out in panels, which can only be multiplied with or be looked up by [`row`](Self::row), or have
    /// fewer than 32 bits.
    #[track_caller]
    pub fn rows(self) -> &'a [f32] {
        match self {
            Weight::Plain(data) => data,
            Weight::Half(data) => panic!("{} weights of 16 bits have no rows of 32 to read", data.len()),
            Weight::Panels(panels) => panic!("weights {:?} in panels have no rows to read", panels.dim()),
            Weight::Int8(int8) => panic!("weights {:?} of eight bits have no rows to read", int8.dim()),
            Weight::Fetched(fetched) => panic!("weights {:?} that are fetched have no rows to read", fetched.dim()),
        }
    }

    /// Writes row `i` of W (O,I) to `out` (I).
    #[track_caller]
    pub fn row(self, i: usize, out: &mut [f32]) {
        match self {
            Weight::Plain(data) => out.copy_from_slice(&data[i * out.len()..][..out.len()]),
            Weight::Half(data) => data.from(i * out.len()).read(out),
            Weight::Panels(panels) => panels.column(i, out),
            Weight::Int8(int8) => panic!("weights {:?} of eight bits are not looked up", int8.dim()),
            Weight::Fetched(fetched) => panic!("weights {:?} that are fetched are not looked up", fetched.dim()),
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
                    let Numbers::F32(data) = panels.panel(start, 0).data else {
                        panic!("weights {:?} of 16 bits are no matrices of f32", panels.dim())
                    };
                    (n, Mat { data, rows: inputs, cols: n, row_stride: WIDTH, col_stride: 1 }.t())
                }
                Weight::Half(data) => panic!("{} weights of 16 bits are only looked up", data.len()),
                Weight::Int8(int8) => panic!("weights {:?} of eight bits are no matrices of floats", int8.dim()),
                Weight::Fetched(fetched) => panic!("weights {:?} that are fetched are in no memory", fetched.dim()),
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
            Weight::Half(data) => {
                let (head, tail) = data.split_at(n);
                (Weight::Half(head), Weight::Half(tail))
            }
            Weight::Panels(panels) => {
                let (head, tail) = panels.split_at(n / panels.dim().0);
                (Weight::Panels(head), Weight::Panels(tail))
            }
            Weight::Int8(int8) => {
                let (head, tail) = int8.split_at(n / int8.dim().0);
                (Weight::Int8(head), Weight::Int8(tail))
            }
            Weight::Fetched(fetched) => {
                let (head, tail) = fetched.split_at(n / fetched.dim().0);
                (Weight::Fetched(head), Weight::Fetched(tail))
            }
        }
    }
}
