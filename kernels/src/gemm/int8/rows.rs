//! Rounding the rows of A, and packing them for the micro-kernel.

use super::weights::{Int8, bytes_mut};
use super::{QUAD, nearest};
use crate::gemm::matrix::Mat;
use crate::isa::{Isa, multiversion};
use crate::scratch::{self, Scratch};

/// The largest number that a row is rounded to.
const MAX: f32 = 255.0;

thread_local! {
    /// A row without its outliers, and what it is rounded to.
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
    /// A panel has so many steps of K of the first row, the same of the next one, and so on.
    const RUN: usize = QUAD;
    /// Takes the bits of a number of 0..=255.
    fn new(bits: i8) -> Self;
}

/// Where both operands have a sign, the middle of 0..=255 is 0. The zero point moves with it, so C stays the same.
impl Activation for i8 {
    const OFFSET: i32 = 128;

    #[inline(always)]
    fn new(bits: i8) -> i8 {
        bits ^ i8::MIN
    }
}

impl Activation for u8 {
    const OFFSET: i32 = 0;

    #[inline(always)]
    fn new(bits: i8) -> u8 {
        bits as u8
    }
}

impl Activation for i16 {
    const OFFSET: i32 = 0;

    #[inline(always)]
    fn new(bits: i8) -> i16 {
        i16::from(bits as u8)
    }
}

/// Rounds the rows of A, without the outliers of B, and packs them as a panel: a [run](Activation::RUN) of K of the first
/// row, the same of the next one, and so on; then the next run. The last one may be shorter.
///
/// `panel` (rows of A times K filled up to whole fours)
pub(super) fn pack<A: Activation>(isa: Isa, a: Mat, b: Int8, told: &mut [Row], panel: &mut [A]) {
    let (rows, steps) = (told.len(), b.steps());
    let has_outliers = b.outliers(0, 0).next().is_some();
    scratch::with_blocks(&ROW, [a.cols, steps / size_of::<f32>()], |[copy, rounded]| {
        let rounded = bytes_mut(rounded);
        rounded[a.cols..].fill(0);
        for (i, told) in told.iter_mut().enumerate() {
            let mut row = &a.data[i * a.row_stride..][..a.cols];
            if has_outliers {
                copy.copy_from_slice(row);
                b.outliers(0, 0).for_each(|(k, _)| copy[k] = 0.0);
                row = copy;
            }
            *told = range(isa, row);
            round(isa, *told, row, &mut rounded[..a.cols]);
            told.zero -= A::OFFSET;
            spread(rounded, i, rows, panel);
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
        for chunk in chunks {
            for i in 0..16 {
                let key = ascending(chunk[i].to_bits() as i32);
                min[i] = key.min(min[i]);
                max[i] = key.max(max[i]);
            }
        }
        let tail = tail.iter().map(|x| ascending(x.to_bits() as i32));
        let (min, max) = (min.into_iter().chain(tail.clone()), max.into_iter().chain(tail));
        let [min, max] = [min.min(), max.max()].map(|key| f32::from_bits(ascending(key.unwrap_or(0)) as u32));
        (min, max)
    }
}

/// Turns the bits of floats into numbers that ascend with them, and back.
#[inline(always)]
fn ascending(bits: i32) -> i32 {
    bits ^ ((bits >> 31) & i32::MAX)
}

multiversion! {
    /// Rounds a row to whole numbers of 0..=255.
    fn round(told: Row, row: &[f32], rounded: &mut [i8]) {
        let inverse = if told.scale.is_normal() { 1.0 / told.scale } else { 0.0 };
        for (to, x) in rounded.iter_mut().zip(row) {
            *to = (nearest(*x * inverse) + told.zero).clamp(0, MAX as i32) as i8;
        }
    }
}

/// Puts a rounded row into place `i` of a panel of `rows`.
fn spread<A: Activation>(row: &[i8], i: usize, rows: usize, panel: &mut [A]) {
    let put = |row: &[i8], to: &mut [A]| to.iter_mut().zip(row).for_each(|(to, &bits)| *to = A::new(bits));
    let runs = row.chunks_exact(A::RUN);
    let rest = runs.remainder();
    let (panel, last) = panel.split_at_mut((row.len() - rest.len()) * rows);
    for (row, to) in runs.zip(panel.chunks_exact_mut(A::RUN * rows)) {
        put(row, &mut to[i * A::RUN..][..A::RUN]);
    }
    put(rest, &mut last[i * rest.len()..][..rest.len()]);
}
