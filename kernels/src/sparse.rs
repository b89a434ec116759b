//! Products with a sparse matrix given as lists: row i has entries at the columns `lists.of(i)`.

use crate::isa::{Isa, multiversion};
use crate::parallel::{PIECE, RowsMut, for_pieces, rows_per_piece};

/// A thread owns this many rows of the output in [`add_transposed`].
const OUTPUT_ROWS: usize = 1024;

/// Which entries are not zero.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    /// Row i has entries at the columns `indices[offsets[i]..offsets[i + 1]]`.
    pub offsets: &'a [usize],
    pub indices: &'a [u32],
}

impl<'a> Lists<'a> {
    /// The number of rows.
    fn rows(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Lists the columns where row i has entries.
    fn of(&self, i: usize) -> &'a [u32] {
        &self.indices[self.offsets[i]..self.offsets[i + 1]]
    }
}

/// y\[i\] += Σⱼ value(i, j)·x\[j\] over the entries j of row i, in their order.
///
/// `x` (M,d), `y` (N,d) with as many rows as there are lists
#[track_caller]
pub fn add(lists: Lists, value: &(impl Fn(usize, usize) -> f32 + Sync), x: &[f32], width: usize, y: &mut [f32]) {
    add_on(Isa::best(), lists, value, x, width, y);
}

/// Computes [`add`] on a given instruction set.
#[track_caller]
pub fn add_on(
    isa: Isa,
    lists: Lists,
    value: &(impl Fn(usize, usize) -> f32 + Sync),
    x: &[f32],
    width: usize,
    y: &mut [f32],
) {
    let rows = lists.rows();
    check(rows, width, y, x);
    for_pieces(rows, rows_per_piece(width), (0..rows, RowsMut(y, width)), &|(rows, y)| {
        for (i, y) in rows.zip(y.0.chunks_exact_mut(width)) {
            for &j in lists.of(i) {
                add_scaled(isa, value(i, j as usize), &x[j as usize * width..][..width], y);
            }
        }
    });
}

/// y\[j\] += Σᵢ value(i, j)·x\[i\] over the rows i that have an entry at j, in their order.
///
/// `x` (N,d) with as many rows as there are lists, `y` (M,d)
#[track_caller]
pub fn add_transposed(
    lists: Lists,
    value: &(impl Fn(usize, usize) -> f32 + Sync),
    x: &[f32],
    width: usize,
    y: &mut [f32],
) {
    add_transposed_on(Isa::best(), lists, value, x, width, y);
}

/// Computes [`add_transposed`] on a given instruction set. Each piece of the output looks through all lists for its
/// rows.
#[track_caller]
pub fn add_transposed_on(
    isa: Isa,
    lists: Lists,
    value: &(impl Fn(usize, usize) -> f32 + Sync),
    x: &[f32],
    width: usize,
    y: &mut [f32],
) {
    check(lists.rows(), width, x, y);
    let rows = y.len() / width;
    let piece = if lists.indices.len() * width <= PIECE { rows.max(1) } else { OUTPUT_ROWS };
    for_pieces(rows, piece, (0..rows, RowsMut(y, width)), &|(rows, y)| {
        for (i, x) in x.chunks_exact(width).enumerate() {
            for j in lists.of(i).iter().map(|&j| j as usize).filter(|j| rows.contains(j)) {
                add_scaled(isa, value(i, j), x, &mut y.0[(j - rows.start) * width..][..width]);
            }
        }
    });
}

#[track_caller]
fn check(rows: usize, width: usize, of_rows: &[f32], of_columns: &[f32]) {
    assert!(
        width > 0 && of_rows.len() == rows * width && of_columns.len().is_multiple_of(width),
        "sparse product of {rows} rows: {} and {} elements in rows of {width}",
        of_rows.len(),
        of_columns.len()
    );
}

multiversion! {
    /// y += factor·x, rounded twice on every instruction set.
    fn add_scaled(factor: f32, x: &[f32], y: &mut [f32]) {
        y.iter_mut().zip(x).for_each(|(y, x)| *y += factor * x);
    }
}

/// The definitions: additions in the same order, bit for bit.
pub mod naive {
    use super::Lists;

    pub fn add(lists: Lists, value: &impl Fn(usize, usize) -> f32, x: &[f32], width: usize, y: &mut [f32]) {
        for i in 0..lists.offsets.len() - 1 {
            for &j in &lists.indices[lists.offsets[i]..lists.offsets[i + 1]] {
                let value = value(i, j as usize);
                (0..width).for_each(|k| y[i * width + k] += value * x[j as usize * width + k]);
            }
        }
    }

    pub fn add_transposed(lists: Lists, value: &impl Fn(usize, usize) -> f32, x: &[f32], width: usize, y: &mut [f32]) {
        for i in 0..lists.offsets.len() - 1 {
            for &j in &lists.indices[lists.offsets[i]..lists.offsets[i + 1]] {
                let value = value(i, j as usize);
                (0..width).for_each(|k| y[j as usize * width + k] += value * x[i * width + k]);
            }
        }
    }
}
