//! Gathering the patches of a convolution into packed panels.
//!
//! SAFETY (whole file): the caller has the instruction set of `V`, as `vector.rs` says. Pointers to taps are made by
//! `wrapping_add`, as taps beyond the border lead out of the picture; only taps that are inside are read.

use super::blocking::{KC, Span, pieces};
use super::pack::Group;
use super::patches::{MAX_TAPS, Patches, Pixel, blocks};
use super::runs::Runs;
use super::vector::{MAX_LANES, Vector, load, put, transpose};

/// A tap beyond the border reads these.
static ZEROS: [f32; KC] = [0.0; KC];

/// A patch of fewer channels than a register has lanes fits into this many floats.
const ROW: usize = MAX_TAPS * MAX_LANES;

impl Patches<'_> {
    /// Packs patches `first..first + lanes` at steps `k..k + depth` into panels of `unit` of them; the last panel is as
    /// narrow as what is left.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`.
    #[inline(always)]
    pub(super) unsafe fn as_lanes<V: Vector, const L: usize>(
        &self,
        (first, lanes): Span,
        (k, depth): Span,
        unit: usize,
        dst: &mut [f32],
    ) {
        let narrow = self.channels < MAX_LANES;
        assert!(unit <= L && k + depth <= self.size() && dst.len() == lanes * depth);
        assert!(!narrow || depth == self.size());
        let mut patches = [0.0; MAX_LANES * ROW];
        let runs = Runs::new(self, (0, if narrow { depth } else { 0 }));
        let mut next = self.pixels(first, lanes);
        for (p, width) in pieces(lanes, unit) {
            let mut pixels = [Pixel::default(); MAX_LANES];
            pixels.iter_mut().take(width).for_each(|pixel| *pixel = next.next());
            let panel = &mut dst[p * depth..][..width * depth];
            // SAFETY: the pixels are within the pictures; narrow channels come with all the steps.
            unsafe {
                if narrow {
                    self.narrow_panel::<V, L>(&pixels, &runs, &mut patches, width, panel);
                } else {
                    self.panel::<V, L>(&pixels, (k, depth), width, panel);
                }
            }
        }
    }

    /// Packs one panel of `width` patches: squares of pixels by channels, tap by tap.
    #[inline(always)]
    unsafe fn panel<V: Vector, const L: usize>(
        &self,
        pixels: &[Pixel; MAX_LANES],
        (k, depth): Span,
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

    /// Packs one panel of `width` patches of so few channels that a register of one tap's would be mostly empty: each
    /// patch is first written as a row.
    #[inline(always)]
    unsafe fn narrow_panel<V: Vector, const L: usize>(
        &self,
        pixels: &[Pixel; MAX_LANES],
        runs: &Runs,
        patches: &mut [f32; MAX_LANES * ROW],
        width: usize,
        panel: &mut [f32],
    ) {
        let depth = self.size();
        // SAFETY: rows have room for a register at every tap; the panel has `depth` steps of `width` lanes.
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
                width,
                depth,
                whole: whole.min(depth),
            }
            .pack::<V, L>();
        }
    }

    /// Packs places `first..first + lanes` of the patches (ordered tap, channel), for patches `k..k + depth`, into
    /// panels of `unit` places, zero behind the last.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`.
    #[inline(always)]
    pub(super) unsafe fn as_steps<V: Vector>(
        &self,
        (first, lanes): Span,
        (k, depth): Span,
        unit: usize,
        dst: &mut [f32],
    ) {
        assert!(first + lanes <= self.size() && unit.is_multiple_of(V::LANES));
        assert!(dst.len() == lanes.next_multiple_of(unit) * depth);
        for (lane, width) in pieces(lanes, unit) {
            let runs = Runs::new(self, (first + lane, width));
            let mut pixels = self.pixels(k, depth);
            let steps = dst[lane * depth..][..unit * depth].chunks_exact_mut(unit);
            // SAFETY: a step has room for the `width` lanes of the runs, and is whole registers.
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
