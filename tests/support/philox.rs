//! The masks of dropout by their definition, coded apart from the kernels.

use clipwright::layers::dropout::{Dropout, Site, Unit};
use ndarray::Array2;

/// Computes Philox4x32-10 (Salmon et al. 2011, section 3.3) of one counter.
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    (0..10_u32).fold(counter, |[a, b, c, d], round| {
        let steps = [0x9e37_79b9, 0xbb67_ae85_u32].map(|step| step.wrapping_mul(round));
        let [x, y] = [(0xd251_1f53, a), (0xcd9e_8d57, c)].map(|(m, word)| u64::from(word) * m);
        let halves = |x: u64| [(x >> 32) as u32, x as u32];
        let ([x_high, x_low], [y_high, y_low]) = (halves(x), halves(y));
        [y_high ^ b ^ key[0].wrapping_add(steps[0]), y_low, x_high ^ d ^ key[1].wrapping_add(steps[1]), x_low]
    })
}

/// Returns m of a value: 0 or 1/(1 − p).
pub fn mask(dropout: Dropout, row: usize, head: usize, column: usize) -> f64 {
    let [sequence, position] = dropout.names[row];
    let (position, column) = match dropout.unit {
        Unit::Value => (position, column as u32),
        Unit::Sequence => (0, 0),
    };
    // Of 128 columns, every 16th belongs to the same counter, two to a word.
    let (group, place, lane) = (column / 128, column % 128 / 16, column % 16);
    let key = [dropout.key as u32, (dropout.key >> 32) as u32];
    let word = philox([16 * group + lane, position, sequence, head as u32], key)[place as usize / 2];
    let half = if place.is_multiple_of(2) { word & 0xffff } else { word >> 16 };
    let p = (f64::from(dropout.rate) * 65536.0).round() / 65536.0;
    if f64::from(half) / 65536.0 < p { 0.0 } else { 1.0 / (1.0 - p) }
}

/// Returns what a block drops at a site: the stream is named by SplitMix64's step (Steele, Lea and Flood 2014).
pub fn at(dropout: Option<Dropout>, site: Site) -> Option<Dropout> {
    let step = |x: u64| {
        let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    };
    dropout.map(|dropout| Dropout { key: step(dropout.key ^ site as u64), ..dropout })
}

/// m ∘ y at a site
pub fn dropped(dropout: Option<Dropout>, site: Site, y: Array2<f64>) -> Array2<f64> {
    let Some(dropout) = at(dropout, site) else { return y };
    Array2::from_shape_fn(y.dim(), |(i, j)| mask(dropout, i, 0, j) * y[[i, j]])
}
