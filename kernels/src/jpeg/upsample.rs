//! Colour differences for every pixel, from those that are stored for every second pixel: libjpeg's "fancy" upsampling.
//!
//! Each new sample is ¾ of the nearest stored one and ¼ of the next one; at the border it is the nearest alone. Along
//! both axes that makes weights of 9/16, 3/16, 3/16 and 1/16. Halves are rounded up and down in turn, so that there is
//! no drift.
//!
//! ```text
//! y₂ₙ   = (3xₙ + xₙ₋₁ + 1) / 4
//! y₂ₙ₊₁ = (3xₙ + xₙ₊₁ + 2) / 4
//! ```

use crate::isa::{Isa, multiversion};

/// out ← twice as many samples of a row
///
/// # Panics
/// Panics if `row` is empty or `out` is not twice as long.
#[track_caller]
pub fn across(row: &[u8], out: &mut [u8]) {
    across_on(Isa::best(), row, out);
}

/// Computes [`across`] on a given instruction set.
#[track_caller]
pub fn across_on(isa: Isa, row: &[u8], out: &mut [u8]) {
    assert!(!row.is_empty() && out.len() == 2 * row.len(), "upsample: {} to {} samples", row.len(), out.len());
    widen(isa, row, out);
}

/// out ← the row between two rows, nearer to `near`; `is_below` says on which side of `near`
///
/// # Panics
/// Panics unless the rows have one length.
#[track_caller]
pub fn down(near: &[u8], far: &[u8], is_below: bool, out: &mut [u8]) {
    down_on(Isa::best(), near, far, is_below, out);
}

/// Computes [`down`] on a given instruction set.
#[track_caller]
pub fn down_on(isa: Isa, near: &[u8], far: &[u8], is_below: bool, out: &mut [u8]) {
    assert!(near.len() == far.len() && near.len() == out.len(), "upsample: rows of other lengths");
    between(isa, near, far, 1 + u16::from(is_below), out);
}

/// out ← twice as many samples of the row between two rows, nearer to `near`
///
/// `sums` is memory for a row.
///
/// # Panics
/// Panics unless the rows and `sums` have one length, which is not 0, and `out` is twice as long.
#[track_caller]
pub fn both(near: &[u8], far: &[u8], sums: &mut [u16], out: &mut [u8]) {
    both_on(Isa::best(), near, far, sums, out);
}

/// Computes [`both`] on a given instruction set.
#[track_caller]
pub fn both_on(isa: Isa, near: &[u8], far: &[u8], sums: &mut [u16], out: &mut [u8]) {
    let n = near.len();
    assert!(n > 0 && far.len() == n && sums.len() == n && out.len() == 2 * n, "upsample: rows of other lengths");
    widen_between(isa, near, far, sums, out);
}

multiversion! {
    fn widen(row: &[u8], out: &mut [u8]) {
        let wide = |value: u8| u16::from(value);
        spread(row, out, |a, b| ((3 * wide(a) + wide(b) + 1) >> 2) as u8, |a, b| ((3 * wide(a) + wide(b) + 2) >> 2) as u8);
    }
}

multiversion! {
    fn between(near: &[u8], far: &[u8], half: u16, out: &mut [u8]) {
        for (out, (&near, &far)) in out.iter_mut().zip(near.iter().zip(far)) {
            *out = ((3 * u16::from(near) + u16::from(far) + half) >> 2) as u8;
        }
    }
}

multiversion! {
    fn widen_between(near: &[u8], far: &[u8], sums: &mut [u16], out: &mut [u8]) {
        for (sum, (&near, &far)) in sums.iter_mut().zip(near.iter().zip(far)) {
            *sum = 3 * u16::from(near) + u16::from(far);
        }
        spread(sums, out, |a, b| ((3 * a + b + 8) >> 4) as u8, |a, b| ((3 * a + b + 7) >> 4) as u8);
    }
}

/// Makes two samples of each: `left` of it and its left neighbour, `right` of it and its right one. At the border, a
/// sample is its own neighbour.
#[inline(always)]
fn spread<T: Copy>(row: &[T], out: &mut [u8], left: impl Fn(T, T) -> u8, right: impl Fn(T, T) -> u8) {
    let (n, out) = (row.len(), out.as_chunks_mut::<2>().0);
    if n > 2 {
        let middle = row[..n - 2].iter().zip(&row[1..n - 1]).zip(&row[2..]);
        for (out, ((&before, &own), &after)) in out[1..n - 1].iter_mut().zip(middle) {
            *out = [left(own, before), right(own, after)];
        }
    }
    out[0] = [left(row[0], row[0]), right(row[0], row[1.min(n - 1)])];
    out[n - 1] = [left(row[n - 1], row[n.max(2) - 2]), right(row[n - 1], row[n - 1])];
}

/// The definitions.
#[doc(hidden)]
pub mod naive {
    pub fn across(row: &[u8], out: &mut [u8]) {
        for (i, out) in out.iter_mut().enumerate() {
            let (n, is_right) = (i / 2, i % 2);
            let next = if is_right == 1 { (n + 1).min(row.len() - 1) } else { n.saturating_sub(1) };
            *out = ((3 * u32::from(row[n]) + u32::from(row[next]) + 1 + is_right as u32) / 4) as u8;
        }
    }

    pub fn both(near: &[u8], far: &[u8], out: &mut [u8]) {
        for (i, out) in out.iter_mut().enumerate() {
            let (n, is_right) = (i / 2, i % 2);
            let next = if is_right == 1 { (n + 1).min(near.len() - 1) } else { n.saturating_sub(1) };
            let sum = |n: usize| 3 * u32::from(near[n]) + u32::from(far[n]);
            *out = ((3 * sum(n) + sum(next) + 8 - is_right as u32) / 16) as u8;
        }
    }
}
