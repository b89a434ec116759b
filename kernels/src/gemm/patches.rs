//! A convolution as a matrix product: the patches of a channels-last picture and the filters that they meet, gathered
//! straight into packed panels. No matrix of patches ever exists.
//!
//! A patch is the pixels under the kernel, one *tap* (ky, kx) each, seen from one pixel of the output; taps beyond the
//! border are zeros. Where patches are lanes, K runs over blocks of channels, and in a block over taps, then channels:
//! the pixels that neighbouring taps share are still in L1, and a block's weights of one filter lie side by side in the
//! checkpoint's (O, I, k, k).

use super::Mat;
use super::blocked::{KC, pieces};
use super::pack::{Group, load, put, transpose};
use super::runs::Runs;
use super::vector::Vector;

/// Most taps of a kernel.
pub(super) const TAPS: usize = 9;

/// Most lanes of a register.
const REGISTER: usize = 16;

/// What a tap beyond the border reads.
static ZEROS: [f32; KC] = [0.0; KC];

/// Channels of a block: whole cache lines, so many that a block is at most [`KC`] steps.
fn block(taps: usize) -> usize {
    KC / taps / REGISTER * REGISTER
}

/// Steps of K that are not to be cut: a block of channels at all taps.
pub(super) fn steps(taps: usize, channels: usize) -> usize {
    taps * block(taps).min(channels)
}

/// The blocks that steps `k..k + depth` of K consist of: first channel, channels, place among the steps.
pub(super) fn blocks(
    taps: usize,
    channels: usize,
    (k, depth): (usize, usize),
) -> impl Iterator<Item = (usize, usize, usize)> {
    debug_assert!(k.is_multiple_of(steps(taps, channels)));
    let first = k / taps;
    pieces(depth / taps, block(taps)).map(move |(c, n)| (first + c, n, c * taps))
}

/// The step of K at which a patch has `channel` at `tap`.
pub(super) fn step(taps: usize, channels: usize, channel: usize, tap: usize) -> usize {
    if taps == 1 {
        return channel;
    }
    let first = channel / block(taps) * block(taps);
    first * taps + tap * block(taps).min(channels - first) + channel - first
}

/// The patches of channels-last pictures (N, H, W, C), one for every pixel of the output (N, H′, W′).
#[derive(Clone, Copy)]
pub(crate) struct Patches<'a> {
    data: &'a [f32],
    height: usize,
    width: usize,
    pub(super) channels: usize,
    pub(super) kernel: usize,
    stride: usize,
    /// Whether tap (ky, kx) looks where (k − 1 − ky, k − 1 − kx) would.
    pub(super) flipped: bool,
    /// Patches left out in front.
    first: usize,
}

/// A pixel of the output.
#[derive(Clone, Copy, Default)]
pub(super) struct Pixel {
    /// Place of the pixel in the middle of its patch.
    pub middle: usize,
    /// Bit t says whether tap t is within the picture.
    pub inside: u16,
}

impl<'a> Patches<'a> {
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

    /// Without the first `n` patches.
    pub fn from(self, n: usize) -> Self {
        Patches { first: self.first + n, ..self }
    }

    pub fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        let all = self.data.len() / (self.height * self.width * self.channels).max(1);
        all * self.height.div_ceil(self.stride) * self.width.div_ceil(self.stride) - self.first
    }

    /// As a matrix, if the patches are the pixels.
    pub fn rows(&self) -> Option<Mat<'a>> {
        let plain = self.kernel == 1 && self.stride == 1;
        plain.then(|| Mat::new(&self.data[self.first * self.channels..], self.len(), self.channels))
    }

    /// Numbers in a patch.
    pub fn size(&self) -> usize {
        self.taps() * self.channels
    }

    /// The pixels of patches `first..first + n`.
    fn pixels(&self, first: usize, n: usize) -> Pixels<'_> {
        assert!(first + n <= self.len());
        let (rows, cols) = (self.height.div_ceil(self.stride), self.width.div_ceil(self.stride));
        let pixel = self.first + first;
        let (picture, y, x) = (pixel / (rows * cols), pixel / cols % rows * self.stride, pixel % cols * self.stride);
        let row = (picture * self.height + y) * self.width * self.channels;
        Pixels { patches: self, y, x, row, inside: self.rows_inside(y) }
    }

    /// The taps that are not above or below the picture for a pixel of row `y`.
    #[inline(always)]
    fn rows_inside(&self, y: usize) -> u16 {
        let (before, behind) = (u16::from(y > 0), u16::from(y + 1 < self.height));
        let (first, last) = if self.flipped { (behind, before) } else { (before, behind) };
        if self.kernel == 1 { 1 } else { (first * 0b111) | 0b111_000 | (last * 0b111_000_000) }
    }

    /// The taps that are not to the left or to the right of the picture for a pixel of column `x`.
    #[inline(always)]
    fn columns_inside(&self, x: usize) -> u16 {
        let (before, behind) = (u16::from(x > 0), u16::from(x + 1 < self.width));
        let (first, last) = if self.flipped { (behind, before) } else { (before, behind) };
        if self.kernel == 1 { 1 } else { (first * 0b1_001_001) | 0b10_010_010 | (last * 0b100_100_100) }
    }

    /// From the middle of a patch to a tap.
    #[inline(always)]
    pub(super) fn delta(&self, tap: usize) -> isize {
        let middle = (self.kernel / 2) as isize;
        let (y, x) = ((tap / self.kernel) as isize - middle, (tap % self.kernel) as isize - middle);
        let delta = (y * self.width as isize + x) * self.channels as isize;
        if self.flipped { -delta } else { delta }
    }

    /// Packs patches `first..first + lanes` at steps `k..k + depth` into panels of `unit` of them; the last panel is as
    /// narrow as what is left.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`.
    #[inline(always)]
    pub(super) unsafe fn as_lanes<V: Vector, const L: usize>(
        &self,
        (first, lanes): (usize, usize),
        (k, depth): (usize, usize),
        unit: usize,
        dst: &mut [f32],
    ) {
        assert!(unit <= L && k + depth <= self.size() && dst.len() == lanes * depth);
        let narrow = self.channels < REGISTER;
        let mut patches = [0.0; REGISTER * TAPS * REGISTER];
        let runs = Runs::new(self, (0, if narrow { depth } else { 0 }));
        let mut next = self.pixels(first, lanes);
        for (p, width) in pieces(lanes, unit) {
            let mut pixels = [Pixel::default(); REGISTER];
            pixels.iter_mut().take(width).for_each(|pixel| *pixel = next.next());
            let panel = &mut dst[p * depth..][..width * depth];
            // SAFETY: the caller gives the instruction set, and the pixels are within the pictures.
            unsafe {
                if narrow {
                    self.narrow_panel::<V, L>(&pixels, &runs, &mut patches, width, panel);
                } else {
                    self.panel::<V, L>(&pixels, (k, depth), width, panel);
                }
            }
        }
    }

    /// One panel of `width` patches: squares of pixels by channels, tap by tap.
    #[inline(always)]
    unsafe fn panel<V: Vector, const L: usize>(
        &self,
        pixels: &[Pixel; REGISTER],
        (k, depth): (usize, usize),
        width: usize,
        panel: &mut [f32],
    ) {
        // What a whole register spills over is overwritten by the next step, but for the last ones.
        let whole = panel.len() as isize - L as isize;
        for (channel, channels, at) in blocks(self.taps(), self.channels, (k, depth)) {
            for tap in 0..self.taps() {
                let delta = self.delta(tap) + channel as isize;
                let mut from = [ZEROS.as_ptr(); L];
                for (from, pixel) in from.iter_mut().zip(pixels) {
                    let place = self.data.as_ptr().wrapping_add(pixel.middle).wrapping_offset(delta);
                    *from = if pixel.inside >> tap & 1 == 1 { place } else { *from };
                }
                for (c, n) in pieces(channels, L) {
                    let first = (at + tap * channels + c) * width;
                    // SAFETY: a tap that is inside has all the channels, and there are as many zeros; steps up to
                    // `whole` have room for a register, the others for `width` lanes.
                    unsafe {
                        // Loops of a constant length: the square stays in registers.
                        let mut rows = [V::splat(0.0); L];
                        for (row, from) in rows.iter_mut().zip(&from) {
                            *row = load(from.wrapping_add(c), n);
                        }
                        let columns = transpose(rows);
                        let to = panel.as_mut_ptr().wrapping_add(first);
                        if n == L && (first + (L - 1) * width) as isize <= whole {
                            for (i, column) in columns.into_iter().enumerate() {
                                column.store(to.add(i * width));
                            }
                        } else {
                            for (i, column) in columns.into_iter().enumerate().take(n) {
                                put(column, to.add(i * width), width);
                            }
                        }
                    }
                }
            }
        }
    }

    /// One panel of `width` patches of so few channels that a register of one tap's would be mostly empty: each patch is
    /// first written as a row.
    #[inline(always)]
    unsafe fn narrow_panel<V: Vector, const L: usize>(
        &self,
        pixels: &[Pixel; REGISTER],
        runs: &Runs,
        patches: &mut [f32; REGISTER * TAPS * REGISTER],
        width: usize,
        panel: &mut [f32],
    ) {
        const ROW: usize = TAPS * REGISTER;
        let depth = self.size();
        // SAFETY: rows have room for TAPS times REGISTER lanes; the panel has `depth` steps of `width` lanes.
        unsafe {
            for (row, &pixel) in patches.chunks_exact_mut(ROW).zip(pixels).take(width) {
                runs.copy::<V>(self.data, pixel, row.as_mut_ptr());
            }
            let whole = (width * depth + width).saturating_sub(L) / width;
            let dst = panel.as_mut_ptr();
            let src = patches.as_ptr();
            Group {
                src,
                lanes: width,
                lane_stride: ROW,
                depth_stride: 1,
                dst,
                step: width,
                depth,
                whole: whole.min(depth),
            }
            .pack::<V, L>();
        }
    }

    /// Packs places `first..first + lanes` of the patches (ordered tap, channel), for patches `k..k + depth`, into panels
    /// of `unit` places, zero behind the last.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`.
    #[inline(always)]
    pub(super) unsafe fn as_steps<V: Vector>(
        &self,
        (first, lanes): (usize, usize),
        (k, depth): (usize, usize),
        unit: usize,
        dst: &mut [f32],
    ) {
        assert!(first + lanes <= self.size() && dst.len() == lanes.next_multiple_of(unit) * depth);
        for (lane, width) in pieces(lanes, unit) {
            let runs = Runs::new(self, (first + lane, width));
            let mut pixels = self.pixels(k, depth);
            let steps = dst[lane * depth..][..unit * depth].chunks_exact_mut(unit);
            // SAFETY: the caller gives the instruction set; a step has room for the `width` lanes of the runs.
            unsafe {
                match runs.only().filter(|_| width == unit) {
                    Some(run) => {
                        for step in steps {
                            run.copy_or_clear::<V>(self.data, pixels.next(), step);
                        }
                    }
                    None => {
                        for step in steps {
                            runs.copy::<V>(self.data, pixels.next(), step.as_mut_ptr());
                            step[width..].fill(0.0);
                        }
                    }
                }
            }
        }
    }
}

/// A walk over the pixels of the output, in order.
struct Pixels<'a> {
    patches: &'a Patches<'a>,
    /// In the picture that patches are cut from.
    y: usize,
    x: usize,
    /// Where row `y` begins.
    row: usize,
    /// The taps that row `y` allows.
    inside: u16,
}

impl Pixels<'_> {
    #[inline(always)]
    fn next(&mut self) -> Pixel {
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
