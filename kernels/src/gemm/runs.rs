//! The parts of a patch that are contiguous in memory.

use super::blocking::{Span, pieces};
use super::patches::{MAX_TAPS, Patches, Pixel};
use super::vector::{Vector, load, put};

/// Some lanes of a patch, ordered (tap, channel), as contiguous runs of memory.
pub(super) struct Runs {
    /// One run for each row of the kernel if the patch is not flipped, else one for each tap.
    rows: [Run; MAX_TAPS],
    /// One run for each tap.
    taps: [Run; MAX_TAPS],
}

impl Runs {
    /// Finds the runs of lanes `first..first + lanes`.
    #[inline(always)]
    pub fn new(p: &Patches, (first, lanes): Span) -> Self {
        let part = |start: usize, len: usize, taps: u16, delta: isize| {
            let (from, to) = (start.max(first), (start + len).min(first + lanes));
            if from >= to {
                return Run::default();
            }
            Run { taps, delta: delta + (from - start) as isize, at: from - first, len: to - from }
        };
        let mut runs = Runs { rows: [Run::default(); MAX_TAPS], taps: [Run::default(); MAX_TAPS] };
        for tap in 0..p.taps() {
            runs.taps[tap] = part(tap * p.channels, p.channels, 1 << tap, p.delta(tap));
        }
        if p.flipped {
            runs.rows = runs.taps;
            return runs;
        }
        for row in 0..p.kernel {
            let (tap, taps) = (row * p.kernel, ((1 << p.kernel) - 1) << (row * p.kernel));
            runs.rows[row] = part(tap * p.channels, p.kernel * p.channels, taps, p.delta(tap));
        }
        // A run keeps the taps of which it has lanes.
        for row in &mut runs.rows {
            let present = runs.taps.iter().filter(|tap| tap.len > 0).fold(0, |taps, tap| taps | tap.taps);
            row.taps &= present;
        }
        runs
    }

    /// Returns the run of the tap that has all the lanes, if there is one.
    pub fn only(&self) -> Option<Run> {
        let mut present = self.taps.iter().filter(|tap| tap.len > 0);
        let first = present.next().copied();
        first.filter(|_| present.next().is_none())
    }

    /// Copies the lanes of a pixel's patch to `dst`.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, the pixel is one of the pictures `data`, and `dst` has room.
    #[inline(always)]
    pub unsafe fn copy<V: Vector>(&self, data: &[f32], pixel: Pixel, dst: *mut f32) {
        for row in &self.rows {
            if row.len == 0 {
                continue;
            }
            // SAFETY: a run is only copied if all its taps are inside; `dst` has room for every run.
            unsafe {
                if pixel.inside & row.taps == row.taps {
                    row.copy::<V>(data, pixel, dst);
                } else {
                    for tap in self.taps.iter().filter(|tap| tap.taps & row.taps != 0) {
                        if pixel.inside & tap.taps != 0 {
                            tap.copy::<V>(data, pixel, dst);
                        } else {
                            tap.clear::<V>(dst);
                        }
                    }
                }
            }
        }
    }
}

/// Neighbouring lanes of a patch that are neighbours in memory.
#[derive(Clone, Copy, Default)]
pub(super) struct Run {
    /// The taps that the lanes belong to, one bit each, as [`Pixel::inside`] has them.
    taps: u16,
    /// The distance in elements from the middle of the patch to the first lane.
    delta: isize,
    /// The place of the run's first lane among the lanes; `len` is the number of its lanes.
    at: usize,
    len: usize,
}

impl Run {
    /// Copies the lanes of a pixel's patch, as many as `dst` has, or zeros if they are outside.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, the pixel is one of the pictures `data`, and `dst` is as long as the
    /// run, in whole registers.
    #[inline(always)]
    pub unsafe fn copy_or_clear<V: Vector>(&self, data: &[f32], pixel: Pixel, dst: &mut [f32]) {
        let from = data.as_ptr().wrapping_add(pixel.middle).wrapping_offset(self.delta);
        let inside = pixel.inside & self.taps != 0;
        for lane in (0..dst.len()).step_by(V::LANES) {
            // SAFETY: a tap that is inside has all the lanes of the run.
            unsafe {
                let x = if inside { V::load(from.add(lane)) } else { V::splat(0.0) };
                x.store(dst.as_mut_ptr().add(lane));
            }
        }
    }

    /// Copies the lanes to their place in `dst`.
    ///
    /// # Safety
    /// [`Runs::copy`] may be called with these arguments, and all taps of the run are inside.
    #[inline(always)]
    unsafe fn copy<V: Vector>(&self, data: &[f32], pixel: Pixel, dst: *mut f32) {
        let from = data.as_ptr().wrapping_add(pixel.middle).wrapping_offset(self.delta);
        for (at, n) in pieces(self.len, V::LANES) {
            // SAFETY: all lanes of the run are in `data`, and `dst` has room for them.
            unsafe { put(load::<V>(from.add(at), n), dst.add(self.at + at), n) }
        }
    }

    /// Puts zeros where the lanes would go in `dst`.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, and `dst` has room for all lanes of the patch.
    #[inline(always)]
    unsafe fn clear<V: Vector>(&self, dst: *mut f32) {
        for (at, n) in pieces(self.len, V::LANES) {
            // SAFETY: `dst` has room for all lanes of the run.
            unsafe { put(V::splat(0.0), dst.add(self.at + at), n) }
        }
    }
}
