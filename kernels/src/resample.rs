//! Weighted sums of samples of 8 bits, which are the two passes of a resize: along rows and down columns.
//!
//! ```text
//! yₙ = (Σₗ wₗ xₗ + ½) rounded down, between 0 and 255
//! ```
//!
//! Weights have [`BITS`] bits after the point. Sums of whole numbers do not depend on their order, so every instruction
//! set gives the same samples.

use crate::isa::{Isa, multiversion};
use std::ops::Range;

/// Number of bits after the point of a weight: of 32 bits, the sample takes 8 and the overshoot of a filter 2.
pub const BITS: u32 = 32 - 8 - 2;
const HALF: i32 = 1 << (BITS - 1);

/// Number of sums that run side by side along a row: a multiple of all numbers of channels.
pub const SUMS: usize = 24;
/// Number of steps of [`SUMS`] samples a span from which on these are worth it.
const FEW: usize = 4;
/// Number of columns whose sums are held in registers.
const COLUMNS: usize = 64;

/// out ← for each span of pixels of a row, their weighted sum, channel by channel
///
/// `weights` holds the weights of all spans, one after the other: one for each sample, so those of the channels of a
/// pixel are equal, and then zeros up to a multiple of [`SUMS`].
///
/// # Panics
/// Panics unless a pixel has 1 to 4 channels, and the spans fit the row, the weights and `out`.
#[track_caller]
pub fn across(channels: usize, row: &[u8], spans: &[Range<usize>], weights: &[i32], out: &mut [u8]) {
    across_on(Isa::best(), channels, row, spans, weights, out);
}

/// Computes [`across`] on a given instruction set.
#[track_caller]
pub fn across_on(isa: Isa, channels: usize, row: &[u8], spans: &[Range<usize>], weights: &[i32], out: &mut [u8]) {
    let samples: usize = spans.iter().map(|span| (span.len() * channels).next_multiple_of(SUMS)).sum();
    assert!(
        (1..=4).contains(&channels) && weights.len() == samples && out.len() == spans.len() * channels,
        "resample: {} spans of {channels} channels, {} weights, {} sums",
        spans.len(),
        weights.len(),
        out.len()
    );
    along(isa, channels, row, spans, weights, out);
}

/// out ← the weighted sum of rows, which lie `stride` samples apart
///
/// # Panics
/// Panics if there are no rows of this length for all weights.
#[track_caller]
pub fn down(rows: &[u8], stride: usize, weights: &[i32], out: &mut [u8]) {
    down_on(Isa::best(), rows, stride, weights, out);
}

/// Computes [`down`] on a given instruction set.
#[track_caller]
pub fn down_on(isa: Isa, rows: &[u8], stride: usize, weights: &[i32], out: &mut [u8]) {
    let last = weights.len().saturating_sub(1) * stride;
    assert!(rows.len() >= last + out.len(), "resample: {} rows in {} samples", weights.len(), rows.len());
    below(isa, rows, stride, weights, out);
}

multiversion! {
    fn along(channels: usize, row: &[u8], spans: &[Range<usize>], weights: &[i32], out: &mut [u8]) {
        let is_short = weights.len() < FEW * SUMS * spans.len();
        match (channels, is_short) {
            (1, true) => short::<1>(row, spans, weights, out),
            (2, true) => short::<2>(row, spans, weights, out),
            (3, true) => short::<3>(row, spans, weights, out),
            (_, true) => short::<4>(row, spans, weights, out),
            (1, _) => long::<1>(row, spans, weights, out),
            (2, _) => long::<2>(row, spans, weights, out),
            (3, _) => long::<3>(row, spans, weights, out),
            _ => long::<4>(row, spans, weights, out),
        }
    }
}

/// Adds up pixel by pixel.
#[inline(always)]
fn short<const C: usize>(row: &[u8], spans: &[Range<usize>], weights: &[i32], out: &mut [u8]) {
    let (row, mut weights) = (row.as_chunks::<C>().0, weights);
    for (pixel, span) in out.as_chunks_mut::<C>().0.iter_mut().zip(spans) {
        let (now, later) = weights.split_at((span.len() * C).next_multiple_of(SUMS));
        weights = later;
        let mut totals = [HALF; C];
        for (samples, weights) in row[span.clone()].iter().zip(now.as_chunks::<C>().0) {
            (0..C).for_each(|channel| totals[channel] += i32::from(samples[channel]) * weights[channel]);
        }
        *pixel = totals.map(to_byte);
    }
}

/// Adds up [`SUMS`] samples at a time, and the channels at the end.
#[inline(always)]
fn long<const C: usize>(row: &[u8], spans: &[Range<usize>], weights: &[i32], out: &mut [u8]) {
    let mut weights = weights.as_chunks::<SUMS>().0;
    for (pixel, span) in out.as_chunks_mut::<C>().0.iter_mut().zip(spans) {
        let (now, later) = weights.split_at((span.len() * C).div_ceil(SUMS));
        weights = later;
        let (chunks, last) = row[span.start * C..span.end * C].as_chunks();
        let mut sums = [0; SUMS];
        chunks.iter().zip(now).for_each(|(samples, weights)| add(&mut sums, samples, weights));
        if let Some(weights) = now.get(chunks.len()) {
            // Behind the span the weights are 0, so it does not matter what is there.
            match row[span.end * C - last.len()..].first_chunk() {
                Some(samples) => add(&mut sums, samples, weights),
                None => last.iter().zip(weights).enumerate().for_each(|(i, (&x, w))| sums[i] += i32::from(x) * w),
            }
        }
        let mut totals = [HALF; C];
        for sums in sums.as_chunks::<C>().0 {
            (0..C).for_each(|channel| totals[channel] += sums[channel]);
        }
        *pixel = totals.map(to_byte);
    }
}

#[inline(always)]
fn add(sums: &mut [i32; SUMS], samples: &[u8; SUMS], weights: &[i32; SUMS]) {
    (0..SUMS).for_each(|i| sums[i] += i32::from(samples[i]) * weights[i]);
}

multiversion! {
    fn below(rows: &[u8], stride: usize, weights: &[i32], out: &mut [u8]) {
        let (blocks, last) = out.as_chunks_mut::<COLUMNS>();
        let start = blocks.len() * COLUMNS;
        for (i, out) in blocks.iter_mut().enumerate() {
            let mut sums = [HALF; COLUMNS];
            for (y, weight) in weights.iter().enumerate() {
                let row: &[u8; COLUMNS] = rows[y * stride + i * COLUMNS..].first_chunk().expect("checked");
                for lane in 0..COLUMNS {
                    sums[lane] += i32::from(row[lane]) * weight;
                }
            }
            *out = sums.map(to_byte);
        }
        for (x, out) in last.iter_mut().enumerate() {
            let terms = weights.iter().enumerate();
            *out = to_byte(terms.fold(HALF, |sum, (y, weight)| sum + i32::from(rows[y * stride + start + x]) * weight));
        }
    }
}

#[inline(always)]
fn to_byte(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// The definitions.
#[doc(hidden)]
pub mod naive {
    use super::{BITS, HALF};
    use std::ops::Range;

    fn to_byte(sum: i64) -> u8 {
        ((sum + i64::from(HALF)) >> BITS).clamp(0, 255) as u8
    }

    pub fn across(channels: usize, row: &[u8], spans: &[Range<usize>], weights: &[i32], out: &mut [u8]) {
        let mut first = 0;
        for (n, span) in spans.iter().enumerate() {
            for c in 0..channels {
                let term = |l: usize| {
                    i64::from(row[(span.start + l) * channels + c]) * i64::from(weights[first + l * channels + c])
                };
                out[n * channels + c] = to_byte((0..span.len()).map(term).sum());
            }
            first += (span.len() * channels).next_multiple_of(super::SUMS);
        }
    }

    pub fn down(rows: &[u8], stride: usize, weights: &[i32], out: &mut [u8]) {
        for (x, out) in out.iter_mut().enumerate() {
            let terms = weights.iter().enumerate();
            *out = to_byte(terms.map(|(y, w)| i64::from(rows[y * stride + x]) * i64::from(*w)).sum());
        }
    }
}
