//! Table look-up and its gradient.

use crate::isa::{Isa, multiversion};
use crate::parallel::{PIECE, Rows, RowsMut, for_pieces, rows_per_piece};

/// Rows of the table that one thread owns in [`scatter_add`].
const TABLE_ROWS: usize = 1024;

/// y\[i\] = table\[index\[i\]\]; rows of `width`.
#[track_caller]
pub fn gather(table: &[f32], index: &[u32], width: usize, y: &mut [f32]) {
    check(table, index, width, y);
    for_pieces(index.len(), rows_per_piece(width), (Rows(index, 1), RowsMut(y, width)), &|(index, y)| {
        for (y, &i) in y.0.chunks_exact_mut(width).zip(index.0) {
            y.copy_from_slice(&table[i as usize * width..][..width]);
        }
    });
}

/// y\[i\] = table\[index\[i\]\] + other\[other_index\[i\]\]; rows of `width`.
#[track_caller]
pub fn gather_sum(
    (table, index): (&[f32], &[u32]),
    (other, other_index): (&[f32], &[u32]),
    width: usize,
    y: &mut [f32],
) {
    gather_sum_on(Isa::best(), (table, index), (other, other_index), width, y);
}

/// [`gather_sum`] on a given instruction set.
#[track_caller]
pub fn gather_sum_on(
    isa: Isa,
    (table, index): (&[f32], &[u32]),
    (other, other_index): (&[f32], &[u32]),
    width: usize,
    y: &mut [f32],
) {
    check(table, index, width, y);
    check(other, other_index, width, y);
    let parts = (Rows(index, 1), Rows(other_index, 1), RowsMut(y, width));
    for_pieces(index.len(), rows_per_piece(width), parts, &|(index, other_index, y)| {
        for ((y, &i), &j) in y.0.chunks_exact_mut(width).zip(index.0).zip(other_index.0) {
            sum(isa, &table[i as usize * width..][..width], &other[j as usize * width..][..width], y);
        }
    });
}

/// dtable\[index\[i\]\] += dy\[i\], each table row in the order of i, so that the bits do not depend on the threads.
#[track_caller]
pub fn scatter_add(dy: &[f32], index: &[u32], width: usize, dtable: &mut [f32]) {
    scatter_add_on(Isa::best(), dy, index, width, dtable);
}

/// [`scatter_add`] on a given instruction set. Each piece of the table looks through all of `index` for its rows.
#[track_caller]
pub fn scatter_add_on(isa: Isa, dy: &[f32], index: &[u32], width: usize, dtable: &mut [f32]) {
    check(dtable, index, width, dy);
    let rows = dtable.len() / width;
    let piece = if dy.len() <= PIECE { rows } else { TABLE_ROWS };
    for_pieces(rows, piece, (0..rows, RowsMut(dtable, width)), &|(rows, dtable)| {
        for (dy, &i) in dy.chunks_exact(width).zip(index) {
            if rows.contains(&(i as usize)) {
                add(isa, dy, &mut dtable.0[(i as usize - rows.start) * width..][..width]);
            }
        }
    });
}

#[track_caller]
fn check(table: &[f32], index: &[u32], width: usize, rows: &[f32]) {
    assert!(
        width > 0 && table.len().is_multiple_of(width) && rows.len() == index.len() * width,
        "embedding of width {width}: table of {}, {} indices, rows of {} elements",
        table.len(),
        index.len(),
        rows.len()
    );
    let table_rows = table.len() / width;
    if let Some(i) = index.iter().find(|&&i| i as usize >= table_rows) {
        panic!("embedding: index {i} in a table of {table_rows} rows");
    }
}

multiversion! {
    fn add(x: &[f32], y: &mut [f32]) {
        y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
    }
}

multiversion! {
    fn sum(a: &[f32], b: &[f32], y: &mut [f32]) {
        y.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (a, b))| *y = a + b);
    }
}

/// The definitions.
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
