//! The micro-kernel for few rows: dot products of rows of A with columns of B, both contiguous along K.

use super::vector::{MAX_LANES, Vector, prefetch};

/// One step of the micro-kernel reads this many columns of B; the prefetcher can follow as many streams.
pub(super) const WIDTH: usize = 4;

/// The most rows of A that one step of any micro-kernel takes.
pub(super) const MAX_ROWS: usize = 6;

/// The dot products of each row of A with each column of B.
pub(super) type Dots = [[f32; WIDTH]; MAX_ROWS];

/// out\[i, j\] ← Σₖ a\[i, k\]·b\[j, k\]: each lane sums its share of K, then the lanes are added.
///
/// # Safety
/// The CPU has the instruction set of `V`; the `R` rows of A, `a_stride` apart, and the columns of B have `depth`
/// elements; the columns of B lie in one slice, the second one not before the first.
#[inline(always)]
pub(super) unsafe fn dots<V: Vector, const R: usize>(
    depth: usize,
    a: *const f32,
    a_stride: usize,
    b: [*const f32; WIDTH],
    out: &mut Dots,
) {
    // SAFETY: all loads stay below `depth`.
    unsafe {
        let mut acc = [[V::splat(0.0); WIDTH]; R];
        let whole = depth - depth % V::LANES;
        // The next columns lie behind these and are prefetched while these are used.
        let next = WIDTH * b[1].offset_from_unsigned(b[0]);
        for k in (0..whole).step_by(V::LANES) {
            let mut columns = [V::splat(0.0); WIDTH];
            for (column, b) in columns.iter_mut().zip(&b) {
                prefetch(b.wrapping_add(next + k));
                *column = V::load(b.add(k));
            }
            for (r, sums) in acc.iter_mut().enumerate() {
                let a = V::load(a.add(r * a_stride + k));
                for (sum, &b) in sums.iter_mut().zip(&columns) {
                    *sum = a.mul_add(b, *sum);
                }
            }
        }
        if whole < depth {
            for (r, sums) in acc.iter_mut().enumerate() {
                let a = V::load_first(a.add(r * a_stride + whole), depth - whole);
                for (sum, b) in sums.iter_mut().zip(&b) {
                    *sum = a.mul_add(V::load_first(b.add(whole), depth - whole), *sum);
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(&acc) {
            *out = lane_sums(*sums);
        }
    }
}

/// Sums the lanes of each register. Zipping two registers and adding the halves leaves both in one, with half as many
/// partial sums each.
#[inline(always)]
unsafe fn lane_sums<V: Vector>(x: [V; 4]) -> [f32; 4] {
    // SAFETY: this is only called where the instruction set of `V` is, and the array has room for any register.
    unsafe {
        let ((a, c), (b, d)) = (x[0].zip(x[2]), x[1].zip(x[3]));
        let (low, high) = a.add(c).zip(b.add(d));
        let mut lanes = [0.0; MAX_LANES];
        low.add(high).store(lanes.as_mut_ptr());
        let mut sums = [0.0; 4];
        for group in lanes[..V::LANES].chunks_exact(4) {
            for (sum, lane) in sums.iter_mut().zip(group) {
                *sum += lane;
            }
        }
        sums
    }
}
