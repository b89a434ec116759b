//! Table look-up and its gradient.

use crate::gemm::Weight;
use crate::isa::{Isa, multiversion};
use crate::parallel::{PIECE, Rows, RowsMut, for_pieces, rows_per_piece};

/// The table is cut into this many pieces in [`scatter_add`], or fewer if it has fewer rows.
const PIECES: usize = 64;

/// y\[i\] = table\[index\[i\]\]
///
/// `table` (V,d), `index` (N), `y` (N,d)
#[track_caller]
pub fn gather(table: &[f32], index: &[u32], width: usize, y: &mut [f32]) {
    check(table.len(), index, width, y);
    for_pieces(index.len(), rows_per_piece(width), (Rows(index, 1), RowsMut(y, width)), &|(index, y)| {
        for (y, &i) in y.0.chunks_exact_mut(width).zip(index.0) {
            y.copy_from_slice(&table[i as usize * width..][..width]);
        }
    });
}

/// y\[i\] = table\[index\[i\]\] + other\[other_index\[i\]\]
///
/// `table` (V,d), `other` (T,d), `index`, `other_index` (N), `y` (N,d)
#[track_caller]
pub fn gather_sum(
    (table, index): (Weight, &[u32]),
    (other, other_index): (&[f32], &[u32]),
    width: usize,
    y: &mut [f32],
) {
    gather_sum_on(Isa::best(), (table, index), (other, other_index), width, y);
}

/// Computes [`gather_sum`] on a given instruction set.
#[track_caller]
pub fn gather_sum_on(
    isa: Isa,
    (table, index): (Weight, &[u32]),
    (other, other_index): (&[f32], &[u32]),
    width: usize,
    y: &mut [f32],
) {
    check(table.len(), index, width, y);
    check(other.len(), other_index, width, y);
    let parts = (Rows(index, 1), Rows(other_index, 1), RowsMut(y, width));
    for_pieces(index.len(), rows_per_piece(width), parts, &|(index, other_index, y)| {
        for ((y, &i), &j) in y.0.chunks_exact_mut(width).zip(index.0).zip(other_index.0) {
            table.row(i as usize, y);
            add(isa, &other[j as usize * width..][..width], y);
        }
    });
}

/// dtable\[index\[i\]\] += dy\[i\], each table row in the order of i, so that the bits do not depend on the threads
///
/// `dy` (N,d), `index` (N), `dtable` (V,d)
#[track_caller]
pub fn scatter_add(dy: &[f32], index: &[u32], width: usize, dtable: &mut [f32]) {
    scatter_add_on(Isa::best(), dy, index, width, dtable);
}

/// Computes [`scatter_add`] on a given instruction set. Each piece of the table looks through all of `index` for its
/// rows.
#[track_caller]
pub fn scatter_add_on(isa: Isa, dy: &[f32], index: &[u32], width: usize, dtable: &mut [f32]) {
    check(dtable.len(), index, width, dy);
    let rows = dtable.len() / width;
    let piece = if dy.len() <= PIECE { rows } else { rows.div_ceil(PIECES) };
    for_pieces(rows, piece, (0..rows, RowsMut(dtable, width)), &|(rows, dtable)| {
        for (dy, &i) in dy.chunks_exact(width).zip(index) {
            if rows.contains(&(i as usize)) {
                add(isa, dy, &mut dtable.0[(i as usize - rows.start) * width..][..width]);
            }
        }
    });
}

#[track_caller]
fn check(len: usize, index: &[u32], width: usize, rows: &[f32]) {
    assert!(
        width > 0 && len.is_multiple_of(width) && rows.len() == index.len() * width,
        "embedding of width {width}: table of {len}, {} indices, rows of {} elements",
        index.len(),
        rows.len()
    );
    let table_rows = len / width;
    if let Some(i) = index.iter().find(|&&i| i as usize >= table_rows) {
        panic!("embedding: index {i} in a table of {table_rows} rows");
    }
}

multiversion! {
    fn add(x: &[f32], y: &mut [f32]) {
        y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
    }
}

/// The definitions.
#[doc(hidden)]
pub mod naive {
    pub fn gather_sum(
        (table, index): (&[f32], &[u32]),
        (other, other_index): (&[f32], &[u32]),
        width: usize,
        y: &mut [f32],
    ) {
        for (i, y) in y.iter_mut().enumerate() {
            let at = |table: &[f32], index: &[u32]| table[index[i / width] as usize * width + i % width];
            *y = at(table, index) + at(other, other_index);
        }
    }

    pub fn gather(table: &[f32], index: &[u32], width: usize, y: &mut [f32]) {
        for (i, &row) in index.iter().enumerate() {
            (0..width).for_each(|j| y[i * width + j] = table[row as usize * width + j]);
        }
    }

    pub fn scatter_add(dy: &[f32], index: &[u32], width: usize, dtable: &mut [f32]) {
        for (i, &row) in index.iter().enumerate() {
            (0..width).for_each(|j| dtable[row as usize * width + j] += dy[i * width + j]);
        }
    }
}
