//! A convolution as a matrix product: the patches of a channels-last picture and the filters that they meet, gathered
//! straight into packed panels. No matrix of patches ever exists.
//!
//! A patch is the pixels under the kernel, one *tap* (ky, kx) each, seen from one pixel of the output; taps beyond the
//! border are zeros. Where patches are lanes, K runs over blocks of channels, and in a block over taps, then channels:
//! the pixels that neighbouring taps share are still in L1, and a block's weights of one filter lie side by side in the
//! checkpoint's (O,I,kernel,kernel).

use super::blocking::{KC, Span, pieces};
use super::matrix::Mat;
use super::vector::MAX_LANES;

/// A kernel has at most this many taps.
pub(super) const MAX_TAPS: usize = 9;

/// Returns the number of channels of a block: whole cache lines, as many as make at most [`KC`] steps.
fn block(taps: usize) -> usize {
    KC / taps / MAX_LANES * MAX_LANES
}

/// Returns how many steps of K must not be cut: a block of channels at all taps.
pub(super) fn steps(taps: usize, channels: usize) -> usize {
    taps * block(taps).min(channels)
}

/// Goes through the blocks that steps `k..k + depth` of K consist of, as (first channel, channels, place among the
/// steps).
pub(super) fn blocks(taps: usize, channels: usize, (k, depth): Span) -> impl Iterator<Item = (usize, usize, usize)> {
    debug_assert!(k.is_multiple_of(steps(taps, channels)));
    let first = k / taps;
    pieces(depth / taps, block(taps)).map(move |(c, n)| (first + c, n, c * taps))
}

/// Returns the step of K at which a patch has `channel` at `tap`.
pub(super) fn step(taps: usize, channels: usize, channel: usize, tap: usize) -> usize {
    if taps == 1 {
        return channel;
    }
    let first = channel / block(taps) * block(taps);
    first * taps + tap * block(taps).min(channels - first) + channel - first
}

/// The patches of channels-last pictures, one for every pixel of the output.
#[derive(Clone, Copy)]
pub(crate) struct Patches<'a> {
    pub(super) data: &'a [f32],
    height: usize,
    width: usize,
    pub(super) channels: usize,
    pub(super) kernel: usize,
    stride: usize,
    /// Whether tap (ky, kx) reads the pixel that tap (k − 1 − ky, k − 1 − kx) reads without flipping.
    pub(super) flipped: bool,
    /// How many patches are left out in front.
    first: usize,
}

/// A pixel of the output.
#[derive(Clone, Copy, Default)]
pub(super) struct Pixel {
    /// The place of the pixel in the middle of its patch.
    pub middle: usize,
    /// Bit t says whether tap t is within the picture.
    pub inside: u16,
}

impl<'a> Patches<'a> {
    /// Views the patches of `kernel × kernel` pixels that a convolution with this stride sees.
    #[track_caller]
    pub fn new(
        data: &'a [f32],
        (height, width, channels): (usize, usize, usize),
        kernel: usize,
        stride: usize,
        flipped: bool,
    ) -> Self {
        assert!(matches!(kernel, 1 | 3) && stride > 0, "convolution: kernel {kernel}, stride {stride}");
        assert!(
            data.len().is_multiple_of((height * width * channels).max(1)),
            "convolution: {height}×{width} pictures of {channels} channels in {} elements",
            data.len()
        );
        Patches { data, height, width, channels, kernel, stride, flipped, first: 0 }
    }

    /// Leaves out the first `n` patches.
    pub fn from(self, n: usize) -> Self {
        Patches { first: self.first + n, ..self }
    }

    /// Returns the number of a patch's taps.
    pub fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Returns the number of patches.
    pub fn len(&self) -> usize {
        let all = self.data.len() / (self.height * self.width * self.channels).max(1);
        all * self.height.div_ceil(self.stride) * self.width.div_ceil(self.stride) - self.first
    }

    /// Returns the patches as a matrix, if each patch is one pixel and each pixel is a patch.
    pub fn rows(&self) -> Option<Mat<'a>> {
        let plain = self.kernel == 1 && self.stride == 1;
        plain.then(|| Mat::new(&self.data[self.first * self.channels..], self.len(), self.channels))
    }

    /// Returns how many numbers a patch has.
    pub fn size(&self) -> usize {
        self.taps() * self.channels
    }

    /// Starts a walk over the pixels of patches `first..first + n`.
    pub(super) fn pixels(&self, first: usize, n: usize) -> Pixels<'_> {
        assert!(first + n <= self.len());
        let (rows, cols) = (self.height.div_ceil(self.stride), self.width.div_ceil(self.stride));
        let pixel = self.first + first;
        let (picture, y, x) = (pixel / (rows * cols), pixel / cols % rows * self.stride, pixel % cols * self.stride);
        let row = (picture * self.height + y) * self.width * self.channels;
        Pixels { patches: self, y, x, row, inside: self.rows_inside(y) }
    }

    /// Returns the taps that are not above or below the picture for a pixel of row `y`, one bit each.
    #[inline(always)]
    fn rows_inside(&self, y: usize) -> u16 {
        let (before, behind) = (u16::from(y > 0), u16::from(y + 1 < self.height));
        let (first, last) = if self.flipped { (behind, before) } else { (before, behind) };
        if self.kernel == 1 { 1 } else { (first * 0b111) | 0b111_000 | (last * 0b111_000_000) }
    }

    /// Returns the taps that are not to the left or to the right of the picture for a pixel of column `x`, one bit
    /// each.
    #[inline(always)]
    fn columns_inside(&self, x: usize) -> u16 {
        let (before, behind) = (u16::from(x > 0), u16::from(x + 1 < self.width));
        let (first, last) = if self.flipped { (behind, before) } else { (before, behind) };
        if self.kernel == 1 { 1 } else { (first * 0b1_001_001) | 0b10_010_010 | (last * 0b100_100_100) }
    }

    /// Returns the distance in elements from the middle of a patch to a tap.
    #[inline(always)]
    pub(super) fn delta(&self, tap: usize) -> isize {
        let middle = (self.kernel / 2) as isize;
        let (y, x) = ((tap / self.kernel) as isize - middle, (tap % self.kernel) as isize - middle);
        let delta = (y * self.width as isize + x) * self.channels as isize;
        if self.flipped { -delta } else { delta }
    }
}

/// A walk over the pixels of the output, in order.
pub(super) struct Pixels<'a> {
    patches: &'a Patches<'a>,
    /// The row of the next pixel's middle in the picture; `x` is the column.
    y: usize,
    x: usize,
    /// The place where row `y` begins.
    row: usize,
    /// The taps that row `y` allows.
    inside: u16,
}

impl Pixels<'_> {
    /// Returns the next pixel. Behind the last pixel of all it is one that must not be read.
    #[inline(always)]
    pub fn next(&mut self) -> Pixel {
        let p = self.patches;
        let middle = self.row + self.x * p.channels;
        let pixel = Pixel { middle, inside: self.inside & p.columns_inside(self.x) };
        self.x += p.stride;
        if self.x >= p.width {
            let line = p.width * p.channels;
            let next = if self.y + p.stride < p.height { self.y + p.stride } else { p.height };
            self.row += (next - self.y) * line;
            self.y = if next < p.height { next } else { 0 };
            self.x = 0;
            self.inside = p.rows_inside(self.y);
        }
        pixel
    }
}
