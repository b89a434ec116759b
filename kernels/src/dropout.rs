//! Dropout whose mask is drawn where it is needed and stored nowhere.
//!
//! ```text
//! y  = m ∘ x        m = 0 with the probability `rate`, else 1/(1 − rate)
//! dx = m ∘ dy
//! ```
//!
//! The mean of y is x. (Srivastava et al. 2014, section 4, in the form that scales in training.)
//!
//! The numbers are those of Philox4x32-10 (Salmon et al. 2011): a counter of four words and a key of two
//! become four random words, without a state. The counter names a value: block of columns, position, sequence, head. So
//! a value is dropped or kept whichever thread asks, whatever stands beside it, and however often. Each word makes two
//! decisions, so the rate is rounded to a multiple of 2⁻¹⁶:
//!
//! ```text
//! column j: word (j/16 mod 8)/2 of counter (16·(j/128) + j mod 16, position, sequence, head),
//!           its lower half where j/16 is even; dropped if that half < 2¹⁶·rate
//! ```

use crate::isa::{Isa, multiversion};
use crate::parallel::{Rows, RowsMut, for_pieces, rows_per_piece};

/// This many columns are decided together: the words of one register of counters.
pub(crate) const GROUP: usize = 8 * COUNTERS;

/// The counters of a group.
const COUNTERS: usize = 16;

/// Philox4x32 has this many rounds.
const ROUNDS: usize = 10;

/// What is kept or dropped as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Each value for itself.
    Value,
    /// All values of a sequence, as stochastic depth does (Huang et al. 2016, section 3). The decision is that of its
    /// value of column and position 0.
    Sequence,
}

/// What is dropped of some rows.
#[derive(Clone, Copy, Debug)]
pub struct Dropout<'a> {
    /// The probability p.
    pub rate: f32,
    /// The stream that is drawn from. Each use in a training step has its own.
    pub key: u64,
    /// The names of the rows: sequence and position in it.
    pub names: &'a [[u32; 2]],
    pub unit: Unit,
}

/// What decides, beside the name of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    /// A half of a word below this number drops.
    threshold: u32,
    /// What is kept is multiplied by 1/(1 − rate).
    scale: f32,
    key: [u32; 2],
}

impl Dropout<'_> {
    /// # Panics
    /// If the rate does not leave a share of 2⁻¹⁶ or more.
    #[track_caller]
    pub(crate) fn draw(&self) -> Draw {
        let threshold = (self.rate * 65536.0).round();
        assert!((0.0..65536.0).contains(&threshold), "dropout: a rate of {}, not from 0 to 1 − 2⁻¹⁶", self.rate);
        let key = [self.key as u32, (self.key >> 32) as u32];
        Draw { threshold: threshold as u32, scale: 65536.0 / (65536.0 - threshold), key }
    }
}

/// x ← m ∘ x
///
/// `x` (N,d)
#[track_caller]
pub fn apply(dropout: Dropout, width: usize, x: &mut [f32]) {
    apply_on(Isa::best(), dropout, width, x);
}

/// Computes [`apply`] on a given instruction set.
#[track_caller]
pub fn apply_on(isa: Isa, dropout: Dropout, width: usize, x: &mut [f32]) {
    let draw = check(dropout, width, x.len());
    let parts = (Rows(dropout.names, 1), RowsMut(x, width));
    for_pieces(dropout.names.len(), rows_per_piece(width), parts, &|(names, x)| {
        multiply(isa, draw, dropout.unit, names.0, width, x.0);
    });
}

/// y ← residual + m ∘ y
///
/// `residual`, `y` (N,d)
#[track_caller]
pub fn add_residual(dropout: Dropout, width: usize, residual: &[f32], y: &mut [f32]) {
    add_residual_on(Isa::best(), dropout, width, residual, y);
}

/// Computes [`add_residual`] on a given instruction set.
#[track_caller]
pub fn add_residual_on(isa: Isa, dropout: Dropout, width: usize, residual: &[f32], y: &mut [f32]) {
    let draw = check(dropout, width, y.len());
    assert_eq!(residual.len(), y.len(), "dropout: residual {}, y {}", residual.len(), y.len());
    let parts = (Rows(dropout.names, 1), Rows(residual, width), RowsMut(y, width));
    for_pieces(dropout.names.len(), rows_per_piece(width), parts, &|(names, residual, y)| {
        multiply_add(isa, draw, dropout.unit, names.0, width, residual.0, y.0);
    });
}

#[track_caller]
fn check(dropout: Dropout, width: usize, len: usize) -> Draw {
    assert_eq!(dropout.names.len() * width, len, "dropout: {} names of rows of {width}", dropout.names.len());
    dropout.draw()
}

multiversion! {
    fn multiply(draw: Draw, unit: Unit, names: &[[u32; 2]], width: usize, x: &mut [f32]) {
        for (x, &name) in x.chunks_exact_mut(width.max(1)).zip(names) {
            for (group, x) in x.chunks_mut(GROUP).enumerate() {
                let mask = mask_of(draw, unit, name, group);
                x.iter_mut().zip(&mask).for_each(|(x, m)| *x *= m);
            }
        }
    }
}

multiversion! {
    fn multiply_add(draw: Draw, unit: Unit, names: &[[u32; 2]], width: usize, residual: &[f32], y: &mut [f32]) {
        let rows = y.chunks_exact_mut(width.max(1)).zip(residual.chunks_exact(width.max(1)));
        for ((y, residual), &name) in rows.zip(names) {
            for (group, (y, residual)) in y.chunks_mut(GROUP).zip(residual.chunks(GROUP)).enumerate() {
                let mask = mask_of(draw, unit, name, group);
                // Not fused, so that all instruction sets give the same bits.
                y.iter_mut().zip(residual).zip(&mask).for_each(|((y, residual), m)| *y = residual + m * *y);
            }
        }
    }
}

multiversion! {
    /// mask ← m of one row of a head from column `first` on, which begins a group
    pub(crate) fn fill(draw: Draw, name: [u32; 2], head: u32, first: usize, mask: &mut [f32]) {
        debug_assert!(first.is_multiple_of(GROUP));
        for (group, mask) in mask.chunks_mut(GROUP).enumerate() {
            let drawn = group_mask(draw, [name[1], name[0], head], first / GROUP + group);
            mask.copy_from_slice(&drawn[..mask.len()]);
        }
    }
}

/// Returns m of a group of columns of one row.
#[inline(always)]
fn mask_of(draw: Draw, unit: Unit, [sequence, position]: [u32; 2], group: usize) -> [f32; GROUP] {
    match unit {
        Unit::Value => group_mask(draw, [position, sequence, 0], group),
        Unit::Sequence => [group_mask(draw, [0, sequence, 0], 0)[0]; GROUP],
    }
}

#[inline(always)]
fn group_mask(draw: Draw, [position, sequence, head]: [u32; 3], group: usize) -> [f32; GROUP] {
    let first = (group * COUNTERS) as u32;
    let columns = std::array::from_fn(|i| first + i as u32);
    let words = philox([columns, [position; COUNTERS], [sequence; COUNTERS], [head; COUNTERS]], draw.key);
    let mut mask = [0.0; GROUP];
    for (word, halves) in words.iter().zip(mask.as_chunks_mut::<{ 2 * COUNTERS }>().0) {
        let (low, high) = halves.split_at_mut(COUNTERS);
        for i in 0..COUNTERS {
            low[i] = if word[i] & 0xffff < draw.threshold { 0.0 } else { draw.scale };
            high[i] = if word[i] >> 16 < draw.threshold { 0.0 } else { draw.scale };
        }
    }
    mask
}

/// Computes Philox4x32-10 of several counters, word by word.
#[inline(always)]
fn philox<const N: usize>([mut a, mut b, mut c, mut d]: [[u32; N]; 4], mut key: [u32; 2]) -> [[u32; N]; 4] {
    for _ in 0..ROUNDS {
        for i in 0..N {
            let (x, y) = (0xd251_1f53 * u64::from(a[i]), 0xcd9e_8d57 * u64::from(c[i]));
            (a[i], b[i]) = ((y >> 32) as u32 ^ b[i] ^ key[0], y as u32);
            (c[i], d[i]) = ((x >> 32) as u32 ^ d[i] ^ key[1], x as u32);
        }
        key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
    }
    [a, b, c, d]
}

/// The definition.
pub mod naive {
    use super::{COUNTERS, Dropout, GROUP, Unit, philox};

    /// Returns m of column j of row i, for attention that of query i and key j of the sequence.
    pub fn mask(dropout: Dropout, i: usize, head: u32, j: usize) -> f64 {
        let [sequence, position] = dropout.names[i];
        let (position, j) = if dropout.unit == Unit::Value { (position, j) } else { (0, 0) };
        let counter = [(j / GROUP * COUNTERS + j % COUNTERS) as u32, position, sequence, head];
        let words = philox(counter.map(|word| [word]), [dropout.key as u32, (dropout.key >> 32) as u32]);
        let part = j % GROUP / COUNTERS;
        let half = words[part / 2][0] >> (16 * (part % 2)) & 0xffff;
        let threshold = (f64::from(dropout.rate) * 65536.0).round();
        if f64::from(half) < threshold { 0.0 } else { 65536.0 / (65536.0 - threshold) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of Random123, the authors' library (`kat_vectors`, philox4x32 10).
    #[test]
    fn philox_gives_the_known_answers() {
        let max = u32::MAX;
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        for (counter, key, answer) in [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([max; 4], [max; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (pi, [0xa409_3822, 0x299f_31d0], [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
        ] {
            assert_eq!(philox(counter.map(|word| [word]), key).map(|[word]| word), answer);
        }
    }
}
