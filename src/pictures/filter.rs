//! The filters of resampling: how much each input pixel weighs in an output pixel.

use serde::{Deserialize, Serialize};

/// The filter that blends the pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    #[default]
    Bicubic,
    Bilinear,
}

impl Interpolation {
    /// Returns the distance from which on the filter is zero.
    fn support(self) -> f64 {
        match self {
            Interpolation::Bicubic => 2.0,
            Interpolation::Bilinear => 1.0,
        }
    }

    /// Returns f(x), the filter at distance x.
    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Interpolation::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Interpolation::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Interpolation::Bilinear if x < 1.0 => 1.0 - x,
            _ => 0.0,
        }
    }
}

/// The inputs that one output blends, with their weights.
#[derive(Clone, Debug, Default)]
pub struct Span {
    /// Position of the first input.
    pub start: usize,
    /// The weights of the inputs from `start` on, which add up to 1.
    pub weights: Vec<f64>,
}

impl Interpolation {
    /// Returns the inputs that output `i` blends when `input` values are resized to `output`.
    pub(crate) fn span(self, i: usize, input: usize, output: usize) -> Span {
        let mut span = Span::default();
        self.fill(i, input, output, &mut span);
        span
    }

    pub(super) fn fill(self, i: usize, input: usize, output: usize, span: &mut Span) {
        let scale = input as f64 / output as f64;
        let stretch = scale.max(1.0);
        let reach = self.support() * stretch;
        let centre = (i as f64 + 0.5) * scale;
        span.start = (centre - reach + 0.5).max(0.0) as usize;
        let end = ((centre + reach + 0.5) as usize).min(input);
        span.weights.clear();
        // Pillow multiplies by the reciprocal; a division would round differently.
        let weight = |j| self.weight((j as f64 - centre + 0.5) * (1.0 / stretch));
        span.weights.extend((span.start..end).map(weight));
        let total: f64 = span.weights.iter().sum();
        span.weights.iter_mut().for_each(|weight| *weight /= total);
    }
}

impl Span {
    /// Returns the position after the last input.
    pub(super) fn end(&self) -> usize {
        self.start + self.weights.len()
    }

    /// Writes the weighted sum of the span's rows, of `width` values each, to `out`.
    pub(crate) fn blend(&self, rows: &[f32], width: usize, out: &mut [f32]) {
        out.fill(0.0);
        for (row, &weight) in rows.chunks_exact(width).skip(self.start).zip(&self.weights) {
            out.iter_mut().zip(row).for_each(|(out, value)| *out += weight as f32 * value);
        }
    }
}
