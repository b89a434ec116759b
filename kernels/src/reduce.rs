//! Sums over rows and over everything, in a fixed order, and what is true of all numbers.

use crate::isa::{Isa, multiversion};
use crate::parallel::{self, RowsMut, for_pieces};
use rayon::prelude::*;
use std::ops::Range;

/// Sums over everything are sums over pieces of this many elements, each of which is work enough for a task.
pub const PIECE: usize = parallel::PIECE;

/// This many rows have a sum of their own before it joins the rest, which makes fewer roundings and keeps the sums in
/// registers.
pub(crate) const ROW_BLOCK: usize = 32;

/// A thread sums this many columns over all rows.
pub(crate) const COLUMN_BLOCK: usize = 128;

/// out\[j\] += Σᵢ x\[i, j\], the gradient of a bias
///
/// `x` (N,d), `out` (d)
#[track_caller]
pub fn add_column_sums(x: &[f32], out: &mut [f32]) {
    add_column_sums_on(Isa::best(), x, out);
}

/// Computes [`add_column_sums`] on a given instruction set.
#[track_caller]
pub fn add_column_sums_on(isa: Isa, x: &[f32], out: &mut [f32]) {
    let width = out.len();
    assert!(width > 0 && x.len().is_multiple_of(width), "column sums: {} elements in rows of {width}", x.len());
    let columns = if x.len() <= PIECE { width } else { COLUMN_BLOCK };
    for_pieces(width, columns, (0..width, RowsMut(out, 1)), &|(columns, out)| {
        column_sums(isa, x, width, columns, out.0)
    });
}

multiversion! {
    /// Adds the sums of some columns, blocks of rows by blocks of 32 columns.
    fn column_sums(x: &[f32], width: usize, columns: Range<usize>, out: &mut [f32]) {
        for rows in x.chunks(ROW_BLOCK * width) {
            let (blocks, tail) = out.as_chunks_mut::<32>();
            for (b, out) in blocks.iter_mut().enumerate() {
                let mut sums = [0.0f32; 32];
                for row in rows.chunks_exact(width) {
                    let row: &[f32; 32] = row[columns.start + 32 * b..].first_chunk().expect("the block fits");
                    for j in 0..32 {
                        sums[j] += row[j];
                    }
                }
                for j in 0..32 {
                    out[j] += sums[j];
                }
            }
            let start = columns.end - tail.len();
            for (j, out) in tail.iter_mut().enumerate() {
                *out += rows.iter().skip(start + j).step_by(width).sum::<f32>();
            }
        }
    }
}

/// sums\[i\] ← Σ x² over the i-th [`PIECE`], in f64
///
/// [`tree_sum`] adds them up. So whoever has some of the pieces, and the sums over all of them, gets the bits of whoever
/// has all.
///
/// `x` (N), `sums` (⌈N / 65,536⌉)
#[track_caller]
pub fn squares_of_pieces(x: &[f32], sums: &mut [f64]) {
    squares_of_pieces_on(Isa::best(), x, sums);
}

/// Computes [`squares_of_pieces`] on a given instruction set.
#[track_caller]
pub fn squares_of_pieces_on(isa: Isa, x: &[f32], sums: &mut [f64]) {
    assert_eq!(sums.len(), x.len().div_ceil(PIECE), "a sum for each piece of {} elements", x.len());
    sums.par_iter_mut().zip(x.par_chunks(PIECE)).for_each(|(sum, x)| *sum = squares(isa, x));
}

/// Adds all terms, as a balanced tree whose shape depends on their number alone.
pub fn tree_sum(terms: &[f64]) -> f64 {
    match terms {
        [] => 0.0,
        [term] => *term,
        _ => {
            let (before, behind) = terms.split_at(terms.len().div_ceil(2));
            tree_sum(before) + tree_sum(behind)
        }
    }
}

multiversion! {
    fn squares(x: &[f32]) -> f64 {
        let mut sums = [0.0f64; 16];
        let (chunks, tail) = x.as_chunks::<16>();
        for x in chunks {
            for i in 0..16 {
                sums[i] += f64::from(x[i]) * f64::from(x[i]);
            }
        }
        sums.iter().sum::<f64>() + tail.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>()
    }
}

/// Whether all numbers are finite: neither infinite nor NaN.
pub fn all_finite(x: &[f32]) -> bool {
    all_finite_on(Isa::best(), x)
}

multiversion! {
    /// Computes [`all_finite`] on a given instruction set.
    pub fn all_finite_on(x: &[f32]) -> bool {
        // Infinities and NaN are what has all bits of the exponent. The fold has no branches, so it is vectorised.
        const EXPONENT: u32 = 0x7f80_0000;
        x.iter().fold(0, |any, x| any | u32::from(x.to_bits() & EXPONENT == EXPONENT)) == 0
    }
}

/// The definitions, in f64.
#[doc(hidden)]
pub mod naive {
    pub fn add_column_sums(x: &[f32], out: &mut [f32]) {
        let width = out.len();
        for (j, out) in out.iter_mut().enumerate() {
            let sum: f64 = x.iter().skip(j).step_by(width).map(|&x| f64::from(x)).sum();
            *out = (f64::from(*out) + sum) as f32;
        }
    }

    /// Returns Σ x².
    pub fn sum_of_squares(x: &[f32]) -> f64 {
        x.iter().map(|&x| f64::from(x) * f64::from(x)).sum()
    }
}
