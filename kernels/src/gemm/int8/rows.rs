//! Rounding the rows of A, and packing them for the micro-kernel.

use super::weights::Int8;
use super::{QUAD, nearest};
use crate::gemm::matrix::Mat;
use crate::isa::{Isa, multiversion};
use crate::scratch::{self, Scratch};

/// The largest number that a row is rounded to.
const MAX: f32 = 255.0;

thread_local! {
    /// A rounded row.
    static ROW: Scratch = const { Scratch::new(0) };
}

/// sᵢ and zᵢ of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub scale: f32,
    pub zero: i32,
}

/// What the micro-kernel multiplies weights with: a number of 0..=255, less an offset.
pub(super) trait Activation: Copy + Send + Sync {
    const OFFSET: i32;
    /// Takes a number of 0..=255.
    fn new(x: u32) -> Self;
}

/// Where both operands have a sign, the middle of 0..=255 is 0. The zero point moves with it, so C stays the same.
impl Activation for i8 {
    const OFFSET: i32 = 128;

    #[inline(always)]
    fn new(x: u32) -> i8 {
        (x as i32 - Self::OFFSET) as i8
    }
}

impl Activation for u8 {
    const OFFSET: i32 = 0;

    #[inline(always)]
    fn new(x: u32) -> u8 {
        x as u8
    }
}

impl Activation for i16 {
    const OFFSET: i32 = 0;

    #[inline(always)]
    fn new(x: u32) -> i16 {
        x as i16
    }
}

/// Rounds the rows of A, without the outliers of B, and packs them as a panel: four steps of K of the first row, the same
/// of the next one, and so on.
///
/// `panel` (rows of A times K filled up to whole fours)
pub(super) fn pack<A: Activation>(isa: Isa, a: Mat, b: Int8, told: &mut [Row], panel: &mut [A]) {
    let (rows, steps) = (told.len(), b.steps());
    scratch::with(&ROW, steps, |row| {
        row[a.cols..].fill(0.0);
        for (i, told) in told.iter_mut().enumerate() {
            let whole = &mut row[..a.cols];
            whole.copy_from_slice(&a.data[i * a.row_stride..][..a.cols]);
            b.outliers(0, 0).for_each(|(k, _)| whole[k] = 0.0);
            *told = range(isa, whole);
            round(isa, *told, whole);
            told.zero -= A::OFFSET;
            spread(row, i, rows, panel);
        }
    });
}

/// Finds sᵢ and zᵢ of a row. With a NaN or an infinity in it, sᵢ is one too, and with sᵢ the row of C.
pub(super) fn range(isa: Isa, row: &[f32]) -> Row {
    let (min, max) = extremes(isa, row);
    let scale = (max - min) / MAX;
    Row { scale, zero: if scale.is_normal() { nearest(-min / scale) } else { 0 } }
}

multiversion! {
    /// Returns the least and the largest of 0 and the numbers of a row. They are compared as whole numbers that ascend
    /// with the floats whose bits they are; a NaN is then beyond infinity and is found.
    fn extremes(row: &[f32]) -> (f32, f32) {
        let (mut min, mut max) = ([0; 16], [0; 16]);
        let (chunks, tail) = row.as_chunks::<16>();
        let mut last = [0.0; 16];
        last[..tail.len()].copy_from_slice(tail);
        for chunk in chunks.iter().chain([&last]) {
            for i in 0..16 {
                let key = ascending(chunk[i].to_bits() as i32);
                min[i] = key.min(min[i]);
                max[i] = key.max(max[i]);
            }
        }
        let [min, max] = [min.into_iter().min(), max.into_iter().max()].map(|key| key.unwrap_or(0));
        (f32::from_bits(ascending(min) as u32), f32::from_bits(ascending(max) as u32))
    }
}

/// Turns the bits of floats into numbers that ascend with them, and back.
#[inline(always)]
fn ascending(bits: i32) -> i32 {
    bits ^ ((bits >> 31) & i32::MAX)
}

multiversion! {
    /// Rounds a row to whole numbers of 0..=255, whose bits take the place of its numbers.
    fn round(told: Row, row: &mut [f32]) {
        let inverse = if told.scale.is_normal() { 1.0 / told.scale } else { 0.0 };
        for x in row {
            let rounded = nearest(*x * inverse) + told.zero;
            *x = f32::from_bits(rounded.clamp(0, MAX as i32) as u32);
        }
    }
}

/// Puts a rounded row into place `i` of a panel of `rows`.
fn spread<A: Activation>(row: &[f32], i: usize, rows: usize, panel: &mut [A]) {
    let (row, panel) = (row.as_chunks::<QUAD>().0, panel.as_chunks_mut::<QUAD>().0);
    for (row, to) in row.iter().zip(panel.iter_mut().skip(i).step_by(rows)) {
        *to = row.map(|x| A::new(x.to_bits()));
    }
}
