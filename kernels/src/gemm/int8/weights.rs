//! Weights that have been rounded to eight bits, in the order in which the micro-kernel reads them.

use super::{QUAD, nearest};
use crate::gemm::panels::WIDTH;
use crate::isa::{Isa, multiversion};
use crate::lanes::larger;
use rayon::prelude::*;

/// The largest weight.
const MAX: i32 = 127;

/// The largest sum of two weights that the micro-kernel of AVX2 adds at once, in 16 bits: 255·128 is less than 2¹⁵.
const MAX_PAIR: i32 = 128;

/// At most this many columns of A keep their 32 bits.
const MAX_OUTLIERS: usize = 16;

/// A column of A is an outlier if its largest weight is this many times as large as that of the median column.
const OUTLIER: f32 = 4.0;

/// Up to this depth the difference of two sums of 255·127 fits 32 bits.
const MAX_INPUTS: usize = 1 << 15;

/// Wᵀ (K,N) for weights W (N,K), rounded to eight bits.
///
/// A few rows of Wᵀ are outliers and keep their 32 bits; among the rounded weights they are zero.
///
/// A panel has 32 columns. In it come four steps of K for the first column, the same steps for the next one, and so on;
/// then the next four steps. The last four are filled up with zeros.
#[derive(Clone, Copy, Debug)]
pub struct Int8<'a> {
    /// tⱼ
    scales: &'a [f32],
    /// The bits of Σₖ wₖⱼ.
    sums: &'a [f32],
    panels: &'a [i8],
    /// The bits of k for each outlier, ascending; behind the last one, of K.
    outliers: &'a [f32],
    /// Bₖⱼ for the outliers k, of all columns j from the first one on, in rows `stride` apart.
    kept: &'a [f32],
    stride: usize,
    rows: usize,
}

/// Rounded weights W (N,K), row by row, as a checkpoint has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// wₖⱼ, (N,K), whose [pairs](Parts::has_narrow_pairs) are narrow.
    pub weights: Vec<i8>,
    /// tⱼ, (N)
    pub scales: Vec<f32>,
    /// The outliers k, ascending.
    pub outliers: Vec<usize>,
    /// Bₖⱼ for each outlier k, a row of N.
    pub kept: Vec<f32>,
}

impl Parts {
    /// Whether the first two weights of a row add up to −128..=128, and so do the next two, and so on.
    pub fn has_narrow_pairs(&self, inputs: usize) -> bool {
        let sum = |&[a, b]: &[i8; 2]| (i16::from(a) + i16::from(b)).abs();
        let widest = |row: &[i8]| row.as_chunks::<2>().0.iter().map(sum).fold(0, i16::max);
        self.weights.chunks(inputs.max(1)).all(|row| i32::from(widest(row)) <= MAX_PAIR)
    }
}

impl<'a> Int8<'a> {
    /// At most this many columns of A keep their 32 bits.
    pub const MAX_OUTLIERS: usize = MAX_OUTLIERS;

    /// Whether W can be rounded: only if `outputs`, its rows, fill whole panels, and the sums of `inputs` numbers fit.
    pub fn fit(outputs: usize, inputs: usize) -> bool {
        outputs.is_multiple_of(WIDTH) && inputs <= MAX_INPUTS
    }

    /// Returns how many floats of memory W (`outputs`, `inputs`) takes.
    pub fn size(outputs: usize, inputs: usize) -> usize {
        MAX_OUTLIERS + (2 + MAX_OUTLIERS) * outputs + outputs * filled(inputs) / size_of::<f32>()
    }

    /// Views Wᵀ, from what [`round`](Self::round) made of W (`outputs`, `inputs`).
    #[track_caller]
    pub fn new(data: &'a [f32], outputs: usize, inputs: usize) -> Self {
        check(data.len(), outputs, inputs);
        let (outliers, rest) = data.split_at(MAX_OUTLIERS);
        let (kept, rest) = rest.split_at(MAX_OUTLIERS * outputs);
        let (scales, rest) = rest.split_at(outputs);
        let (sums, panels) = rest.split_at(outputs);
        Int8 { scales, sums, panels: bytes(panels), outliers, kept, stride: outputs, rows: inputs }
    }

    /// Rounds W, row-major (`outputs`, `inputs`), into [`size`](Self::size) floats of memory.
    ///
    /// The outliers are found among the weights: where those have been made even with the activations, a column of A is
    /// large if its weights are.
    #[track_caller]
    pub fn round(weights: &[f32], outputs: usize, inputs: usize, to: &mut [f32]) {
        check(to.len(), outputs, inputs);
        assert_eq!(weights.len(), outputs * inputs, "{outputs}×{inputs} weights");
        to.fill(0.0);
        let found = find_outliers(weights, inputs);
        let (outliers, rest) = to.split_at_mut(MAX_OUTLIERS);
        let (kept, rest) = rest.split_at_mut(MAX_OUTLIERS * outputs);
        outliers.fill(f32::from_bits(inputs as u32));
        for ((&k, outlier), kept) in found.iter().zip(outliers).zip(kept.chunks_mut(outputs.max(1))) {
            *outlier = f32::from_bits(k as u32);
            kept.iter_mut().zip(weights.iter().skip(k).step_by(inputs)).for_each(|(kept, &w)| *kept = w);
        }
        let (scales, rest) = rest.split_at_mut(outputs);
        let (sums, panels) = rest.split_at_mut(outputs);
        let (scales, sums) = (scales.par_chunks_mut(WIDTH), sums.par_chunks_mut(WIDTH));
        let panels = panels.par_chunks_mut(WIDTH * filled(inputs) / size_of::<f32>());
        let weights = weights.par_chunks((WIDTH * inputs).max(1));
        scales.zip(sums).zip(panels.zip(weights)).for_each_init(Vec::new, |row, ((scales, sums), (panel, rows))| {
            let panel = bytes_mut(panel);
            for (j, weights) in rows.chunks_exact(inputs.max(1)).enumerate() {
                row.clear();
                row.extend_from_slice(weights);
                found.iter().for_each(|&k| row[k] = 0.0);
                scales[j] = step(Isa::best(), row);
                sums[j] = f32::from_bits(round_column(Isa::best(), row, scales[j], j, panel) as u32);
            }
        });
    }

    /// Returns the weights row by row.
    pub fn parts(&self) -> Parts {
        let (depth, cols) = self.dim();
        let weights = (0..cols).flat_map(|j| (0..depth).map(move |k| self.at(k, j))).collect();
        let (outliers, kept): (Vec<_>, Vec<_>) = self.outliers(0, cols).unzip();
        Parts { weights, scales: self.scales.to_vec(), outliers, kept: kept.concat() }
    }

    /// Lays out what [`parts`](Self::parts) returned in [`size`](Self::size) floats of memory.
    #[track_caller]
    pub fn assemble(parts: &Parts, outputs: usize, inputs: usize, to: &mut [f32]) {
        check(to.len(), outputs, inputs);
        let Parts { weights, scales, outliers, kept } = parts;
        let sizes = (weights.len(), scales.len(), kept.len());
        assert_eq!(sizes, (outputs * inputs, outputs, outliers.len() * outputs), "{outputs}×{inputs} weights");
        assert!(outliers.len() <= MAX_OUTLIERS && outliers.iter().all(|&k| k < inputs), "outliers {outliers:?}");
        assert!(parts.has_narrow_pairs(inputs), "pairs of weights beyond {MAX_PAIR}");
        to.fill(0.0);
        let (places, rest) = to.split_at_mut(MAX_OUTLIERS);
        let (room, rest) = rest.split_at_mut(MAX_OUTLIERS * outputs);
        let places_of = outliers.iter().copied().chain(std::iter::repeat(inputs));
        places.iter_mut().zip(places_of).for_each(|(place, k)| *place = f32::from_bits(k as u32));
        room[..kept.len()].copy_from_slice(kept);
        let (to_scales, rest) = rest.split_at_mut(outputs);
        let (sums, panels) = rest.split_at_mut(outputs);
        to_scales.copy_from_slice(scales);
        let panels = bytes_mut(panels).chunks_mut(WIDTH * filled(inputs));
        let rows = weights.chunks_exact(inputs.max(1)).zip(sums);
        let mut rows = rows.enumerate();
        for panel in panels {
            for (j, (row, sum)) in rows.by_ref().take(WIDTH) {
                for (quad, row) in panel.chunks_exact_mut(WIDTH * QUAD).zip(row.chunks(QUAD)) {
                    quad[j % WIDTH * QUAD..][..row.len()].copy_from_slice(row);
                }
                *sum = f32::from_bits(row.iter().map(|&w| i32::from(w)).sum::<i32>() as u32);
            }
        }
    }

    /// Cuts Wᵀ into its first `cols` columns, which fill whole panels, and the others.
    #[track_caller]
    pub(in crate::gemm) fn split_at(self, cols: usize) -> (Self, Self) {
        assert!(cols.is_multiple_of(WIDTH), "{cols} of {} columns in panels of {WIDTH}", self.scales.len());
        let (head, tail) = self.panels.split_at(cols * self.steps());
        let (scales, sums) = (self.scales.split_at(cols), self.sums.split_at(cols));
        let part = |scales, sums, panels, kept| Int8 { scales, sums, panels, kept, ..self };
        (part(scales.0, sums.0, head, self.kept), part(scales.1, sums.1, tail, &self.kept[cols..]))
    }

    /// Returns the shape (K,N) of Wᵀ.
    pub fn dim(&self) -> (usize, usize) {
        (self.rows, self.scales.len())
    }

    /// Returns K, filled up to whole fours.
    pub(super) fn steps(&self) -> usize {
        filled(self.rows)
    }

    /// Returns the weights of the columns from `j` on: four steps of K every `WIDTH` fours.
    pub(super) fn panel(&self, j: usize) -> &'a [i8] {
        self.panels.get(j / WIDTH * WIDTH * self.steps() + j % WIDTH * QUAD..).unwrap_or(&[])
    }

    /// Returns tⱼ of all columns.
    pub(super) fn scales(&self) -> &'a [f32] {
        self.scales
    }

    /// Returns the bits of Σₖ wₖⱼ of all columns.
    pub(super) fn sums(&self) -> &'a [f32] {
        self.sums
    }

    /// Returns the outliers: k, and Bₖⱼ for `cols` columns from `j` on.
    pub(super) fn outliers(&self, j: usize, cols: usize) -> impl Iterator<Item = (usize, &'a [f32])> {
        let rows = self.rows;
        let found = self.outliers.iter().map(|k| k.to_bits() as usize).take_while(move |&k| k < rows);
        let (kept, stride) = (self.kept, self.stride);
        found.enumerate().map(move |(n, k)| (k, &kept[n * stride + j..][..cols]))
    }

    /// Returns wₖⱼ, as the definition reads it.
    pub(super) fn at(&self, k: usize, j: usize) -> i8 {
        self.panel(j)[k / QUAD * WIDTH * QUAD + k % QUAD]
    }
}

/// Returns K filled up to whole fours, of which there is at least one.
fn filled(inputs: usize) -> usize {
    inputs.max(1).next_multiple_of(QUAD)
}

/// Panics unless these weights take so many floats of memory.
#[track_caller]
fn check(len: usize, outputs: usize, inputs: usize) {
    assert!(
        Int8::fit(outputs, inputs) && len == Int8::size(outputs, inputs),
        "{outputs}×{inputs} weights of eight bits in panels of {WIDTH} columns: {len} floats of memory"
    );
}

/// Finds the columns of A whose weights in W (O,K) are far above those of the median column, the largest of them if there
/// are too many, in ascending order.
fn find_outliers(weights: &[f32], inputs: usize) -> Vec<usize> {
    let mut largest = vec![0.0_f32; inputs];
    for row in weights.chunks_exact(inputs.max(1)) {
        largest.iter_mut().zip(row).for_each(|(largest, w)| *largest = largest.max(w.abs()));
    }
    let mut order: Vec<usize> = (0..inputs).collect();
    order.sort_by(|&a, &b| largest[b].total_cmp(&largest[a]));
    let median = order.get(inputs / 2).map_or(0.0, |&k| largest[k]);
    order.retain(|&k| largest[k] > OUTLIER * median);
    order.truncate(MAX_OUTLIERS);
    order.sort_unstable();
    order
}

multiversion! {
    /// Returns tⱼ, for which neither a weight of the row nor a pair of them is too large.
    fn step(row: &[f32]) -> f32 {
        let (pairs, last) = row.as_chunks::<2>();
        let (mut weight, mut pair) = (0.0, 0.0);
        for &[a, b] in pairs.iter().chain(last.first().map(|&last| [last, 0.0]).iter()) {
            weight = larger(weight, larger(a.abs(), b.abs()));
            pair = larger(pair, (a + b).abs());
        }
        larger(weight / MAX as f32, pair / MAX_PAIR as f32)
    }
}

multiversion! {
    /// Rounds a row of W into column `j` of its panel, and returns the sum of what it has become.
    fn round_column(row: &[f32], scale: f32, j: usize, panel: &mut [i8]) -> i32 {
        let inverse = if scale.is_normal() { 1.0 / scale } else { 0.0 };
        let mut sum = 0;
        for (quad, row) in panel.as_chunks_mut::<{ WIDTH * QUAD }>().0.iter_mut().zip(row.chunks(QUAD)) {
            for (to, pair) in quad[j * QUAD..].chunks_mut(2).zip(row.chunks(2)) {
                let mut before = 0;
                for (to, x) in to.iter_mut().zip(pair) {
                    // Two halves may both have been rounded away from zero.
                    let rounded = nearest(*x * inverse).clamp(-MAX, MAX).clamp(-MAX_PAIR - before, MAX_PAIR - before);
                    *to = rounded as i8;
                    (before, sum) = (rounded, sum + rounded);
                }
            }
        }
        sum
    }
}

/// Views floats as the bytes that they are made of.
fn bytes(floats: &[f32]) -> &[i8] {
    // SAFETY: a float is four bytes, each of which is a number of eight bits whatever it is.
    unsafe { std::slice::from_raw_parts(floats.as_ptr().cast(), size_of_val(floats)) }
}

/// Views floats as the bytes that they are made of, to write them.
pub(super) fn bytes_mut(floats: &mut [f32]) -> &mut [i8] {
    // SAFETY: as in `bytes`; all bits that can be written are a float.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), size_of_val(floats)) }
}
