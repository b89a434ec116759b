//! Pillow's resampling to the last bit: separable, antialiased, in 8-bit fixed point.
//!
//! Output pixel i is a weighted mean of the input around its own centre:
//!
//! ```text
//! yᵢ        = Σⱼ weightᵢⱼ xⱼ
//! weightᵢⱼ  ∝ f((j + ½ − centreᵢ) / max(ratio, 1))        they add up to 1
//! centreᵢ   = (i + ½)·ratio                               ratio = input / output
//! ```
//!
//! Dividing by max(ratio, 1) widens the filter f when the picture shrinks, so that every input pixel contributes
//! (antialiasing). f is the triangle (bilinear) or Keys' cubic with a = −½ (bicubic). Each of the two passes rounds to
//! 8 bits, so their order changes the last bit. The horizontal pass comes first, unless the vertical one drops more
//! than twice as many rows as the horizontal one drops columns (Pillow 13).
//!
//! Source: Pillow's `Resample.c` and `Geometry.c`; the order is known from its behaviour.

use crate::pictures::deep;
pub use crate::pictures::filter::{Interpolation, Span};
use crate::pictures::picture::{Channels, Picture};
pub use crate::pictures::region::Region;
use kernels::resample;
use std::ops::Range;

/// Resizes pictures and reuses its memory from one to the next.
#[derive(Default)]
pub struct Resizer {
    columns: Taps,
    rows: Taps,
    /// The input with its colours multiplied by its opacity.
    premultiplied: Picture,
    /// The result of the first pass.
    middle: Vec<u8>,
}

impl Resizer {
    /// Resizes the `from` region of a picture to `size` (width, height) and writes the `window` of the result to `to`.
    /// Nothing outside of the window is computed.
    ///
    /// Colours are blended in proportion to their opacity; a palette picture is not blended at all.
    ///
    /// # Panics
    /// Panics if `from` does not fit the picture or `window` the size, if a side of `from` or `window` is zero, or if a
    /// pixel is needed that was left out of the picture.
    #[track_caller]
    pub fn resize(
        &mut self,
        picture: &Picture,
        from: Region,
        size: (usize, usize),
        window: Region,
        filter: Interpolation,
        to: &mut Picture,
    ) {
        let whole = picture.size();
        assert!(from.x + from.width <= whole.0 && from.y + from.height <= whole.1, "{from:?} is outside");
        assert!(window.x + window.width <= size.0 && window.y + window.height <= size.1, "{window:?} outside {size:?}");
        assert!(
            from.width.min(from.height).min(window.width).min(window.height) > 0,
            "{from:?} to {window:?}: nothing to resize"
        );
        to.reshape(window.width, window.height, picture.mode);
        let [columns, rows] = axes(from, size, window, picture.corner());
        let moves = columns.is_identity() && rows.is_identity();
        match picture.mode {
            Channels::Palette | Channels::PaletteAlpha => nearest(picture, &columns, &rows, to),
            _ if moves => nearest(picture, &columns, &rows, to),
            Channels::Grey => self.blend::<1>(picture, &columns, &rows, filter, to),
            Channels::Grey16 => {
                deep::blend(picture, &columns.spans(filter), &rows.spans(filter), rows.goes_first(&columns), to);
            }
            // Keyed pictures are not weighted by their opacity, which nothing reads after the resize.
            Channels::GreyKeyed => self.blend::<2>(picture, &columns, &rows, filter, to),
            Channels::Rgb | Channels::YCbCr => self.blend::<3>(picture, &columns, &rows, filter, to),
            Channels::RgbKeyed | Channels::Cmyk => self.blend::<4>(picture, &columns, &rows, filter, to),
            Channels::GreyAlpha => self.blend_transparent::<2>(picture, &columns, &rows, filter, to),
            Channels::Rgba => self.blend_transparent::<4>(picture, &columns, &rows, filter, to),
        }
    }

    fn blend_transparent<const C: usize>(
        &mut self,
        picture: &Picture,
        columns: &Axis,
        rows: &Axis,
        filter: Interpolation,
        to: &mut Picture,
    ) {
        let mut opaque = std::mem::take(&mut self.premultiplied);
        opaque.reshape(picture.width, picture.height, picture.mode);
        opaque.cut = picture.cut;
        let (from, into) = (picture.samples.as_chunks::<C>().0, opaque.samples.as_chunks_mut::<C>().0);
        from.iter().zip(into).for_each(|(pixel, product)| *product = premultiply(*pixel));
        self.blend::<C>(&opaque, columns, rows, filter, to);
        self.premultiplied = opaque;
        to.samples.as_chunks_mut::<C>().0.iter_mut().for_each(|pixel| *pixel = unpremultiply(*pixel));
    }

    fn blend<const C: usize>(
        &mut self,
        picture: &Picture,
        columns: &Axis,
        rows: &Axis,
        filter: Interpolation,
        to: &mut Picture,
    ) {
        self.columns.set(columns, filter, (C, resample::SUMS));
        self.rows.set(rows, filter, (1, 1));
        // No other part of the input has a weight.
        let (x, y) = (self.columns.seen.start, self.rows.seen.start);
        assert!(self.columns.seen.end <= picture.width && self.rows.seen.end <= picture.height, "a pixel was left out");
        let input = View {
            samples: &picture.samples[(y * picture.width + x) * C..],
            stride: picture.width * C,
            width: self.columns.seen.len() * C,
            height: self.rows.seen.len(),
        };
        if rows.goes_first(columns) {
            self.middle.resize(to.height * input.width, 0);
            self.rows.down(input, &mut self.middle);
            self.columns.across::<C>(View::packed(&self.middle, input.width), &mut to.samples);
        } else {
            self.middle.resize(input.height * to.width * C, 0);
            self.columns.across::<C>(input, &mut self.middle);
            self.rows.down(View::packed(&self.middle, to.width * C), &mut to.samples);
        }
    }
}

/// Rows of samples within longer rows.
#[derive(Clone, Copy)]
struct View<'a> {
    samples: &'a [u8],
    /// Number of samples from the start of one row to the start of the next.
    stride: usize,
    /// Number of samples in a row.
    width: usize,
    height: usize,
}

impl<'a> View<'a> {
    fn packed(samples: &'a [u8], width: usize) -> Self {
        Self { samples, stride: width, width, height: samples.len() / width }
    }

    fn row(self, y: usize) -> &'a [u8] {
        &self.samples[y * self.stride..][..self.width]
    }
}

/// A resize along one axis.
struct Axis {
    /// Positions of the input pixels.
    input: Range<usize>,
    /// Number of output pixels.
    output: usize,
    /// Positions of the output pixels to compute.
    window: Range<usize>,
    /// Position of the first input pixel that is there.
    first: usize,
}

/// Returns the axes of a resize: columns and rows.
fn axes(from: Region, size: (usize, usize), window: Region, first: (usize, usize)) -> [Axis; 2] {
    [
        Axis {
            input: from.x..from.x + from.width,
            output: size.0,
            window: window.x..window.x + window.width,
            first: first.0,
        },
        Axis {
            input: from.y..from.y + from.height,
            output: size.1,
            window: window.y..window.y + window.height,
            first: first.1,
        },
    ]
}

/// Returns the pixels that a resize of a whole picture looks at: those that the `window` of the result blends, when
/// pictures of size `input` are resized to size `output`.
pub(super) fn seen(input: (usize, usize), output: (usize, usize), window: Region, filter: Interpolation) -> Region {
    let [columns, rows] = axes(Region::whole(input), output, window, (0, 0)).map(|axis| axis.seen(filter));
    Region { x: columns.start, y: rows.start, width: columns.len(), height: rows.len() }
}

impl Axis {
    fn is_identity(&self) -> bool {
        self.input.len() == self.output
    }

    /// Returns where a pixel of the input is among those that are there.
    #[track_caller]
    fn place(&self, position: usize) -> usize {
        (self.input.start + position).checked_sub(self.first).expect("a pixel that was not left out")
    }

    /// Returns the input pixels that an output pixel blends, as positions in the input.
    fn span(&self, i: usize, filter: Interpolation) -> Span {
        match self.is_identity() {
            true => Span { start: i, weights: vec![1.0] },
            false => filter.span(i, self.input.len(), self.output),
        }
    }

    /// Returns the input pixels that the output pixels of the window blend, as positions among those that are there.
    fn spans(&self, filter: Interpolation) -> Vec<Span> {
        let spans = self.window.clone().map(|i| self.span(i, filter));
        spans.map(|span| Span { start: self.place(span.start), ..span }).collect()
    }

    /// Returns the input pixels that any output pixel of the window blends.
    fn seen(&self, filter: Interpolation) -> Range<usize> {
        // Starts and ends of the spans never decrease.
        self.span(self.window.start, filter).start..self.span(self.window.end - 1, filter).end()
    }

    /// Returns whether the vertical pass comes first: it does where it drops more than twice as many rows as the
    /// horizontal pass drops columns.
    fn goes_first(&self, columns: &Axis) -> bool {
        let dropped = |axis: &Axis| axis.input.len() as i64 - axis.output as i64;
        dropped(self) > 0 && dropped(self) > 2 * dropped(columns)
    }
}

/// For each output pixel, the input pixels that it blends and their weights.
#[derive(Default)]
struct Taps {
    /// The input pixels that any output blends.
    seen: Range<usize>,
    /// For each output pixel, its input pixels, counted from `seen.start`.
    spans: Vec<Range<usize>>,
    /// Fixed-point weights of all spans, one after the other, each as often as a pixel has samples along the axis.
    weights: Vec<i32>,
    span: Span,
}

impl Taps {
    /// Each weight is there as often as `samples` says, and those of a span are padded to this multiple.
    fn set(&mut self, axis: &Axis, filter: Interpolation, (samples, multiple): (usize, usize)) {
        self.spans.clear();
        self.weights.clear();
        for i in axis.window.clone() {
            self.push(i, axis, filter, samples);
            self.weights.resize(self.weights.len().next_multiple_of(multiple), 0);
        }
        // Starts and ends of the spans never decrease.
        let start = self.spans.first().map_or(0, |span| span.start);
        let end = self.spans.last().map_or(0, |span| span.end);
        self.spans.iter_mut().for_each(|span| *span = span.start - start..span.end - start);
        self.seen = axis.place(start)..axis.place(end);
    }

    fn push(&mut self, i: usize, axis: &Axis, filter: Interpolation, samples: usize) {
        if axis.is_identity() {
            self.weights.extend(std::iter::repeat_n(1 << resample::BITS, samples));
            return self.spans.push(i..i + 1);
        }
        filter.fill(i, axis.input.len(), axis.output, &mut self.span);
        let weights = self.span.weights.iter().map(|&weight| fixed_point(weight));
        self.weights.extend(weights.flat_map(|weight| std::iter::repeat_n(weight, samples)));
        self.spans.push(self.span.start..self.span.start + self.span.weights.len());
    }

    /// Runs the horizontal pass, which writes one output row per input row.
    fn across<const C: usize>(&self, input: View, out: &mut [u8]) {
        for (y, out) in out.chunks_exact_mut(self.spans.len() * C).enumerate() {
            resample::across(C, input.row(y), &self.spans, &self.weights, out);
        }
    }

    /// Runs the vertical pass, which writes rows as wide as the input's.
    fn down(&self, input: View, out: &mut [u8]) {
        let mut weights = self.weights.as_slice();
        for (out, span) in out.chunks_exact_mut(input.width).zip(&self.spans) {
            let (now, later) = weights.split_at(span.len());
            weights = later;
            resample::down(&input.samples[span.start * input.stride..], input.stride, now, out);
        }
    }
}

/// Converts a weight to fixed point; halves are rounded away from zero.
fn fixed_point(weight: f64) -> i32 {
    let scaled = weight * f64::from(1u32 << resample::BITS);
    (scaled + 0.5f64.copysign(weight)) as i32
}

/// Resizes without blending: every output pixel takes the input pixel under its centre.
fn nearest(picture: &Picture, columns: &Axis, rows: &Axis, to: &mut Picture) {
    let channels = picture.mode.channels();
    let columns: Vec<usize> = centres(columns).collect();
    for (y, out) in centres(rows).zip(to.samples.chunks_exact_mut(to.width * channels)) {
        let row = &picture.samples[y * picture.width * channels..][..picture.width * channels];
        for (&x, pixel) in columns.iter().zip(out.chunks_exact_mut(channels)) {
            pixel.copy_from_slice(&row[x * channels..][..channels]);
        }
    }
}

/// Returns the input pixel under each output pixel's centre. Like Pillow, it adds the scale step by step, so that the
/// rounding errors are the same.
fn centres(axis: &Axis) -> impl Iterator<Item = usize> {
    let scale = axis.input.len() as f64 / axis.output as f64;
    let (start, last) = (axis.input.start as f64, axis.input.end - 1);
    let walk = std::iter::successors(Some(start + scale * 0.5), move |x| Some(x + scale));
    let first = axis.first;
    walk.skip(axis.window.start).take(axis.window.len()).map(move |x| (x as usize).min(last) - first)
}

/// Multiplies the colours by opacity / 255, rounded without a division.
fn premultiply<const C: usize>(pixel: [u8; C]) -> [u8; C] {
    let alpha = u32::from(pixel[C - 1]);
    let mut product = pixel.map(|colour| {
        let scaled = u32::from(colour) * alpha + 128;
        (((scaled >> 8) + scaled) >> 8) as u8
    });
    product[C - 1] = pixel[C - 1];
    product
}

/// Divides the colours by opacity / 255. The colour of a fully transparent pixel is lost.
pub(super) fn unpremultiply<const C: usize>(pixel: [u8; C]) -> [u8; C] {
    let alpha = u32::from(pixel[C - 1]);
    if alpha == 0 || alpha == 255 {
        return pixel;
    }
    let mut colours = pixel.map(|product| (255 * u32::from(product) / alpha).min(255) as u8);
    colours[C - 1] = pixel[C - 1];
    colours
}
