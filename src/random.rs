//! Random numbers that depend on where they are used, never on which thread gets there first.

use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

/// The generator behind shuffling, augmentation and caption drawing: 128-bit state, the same stream on every platform.
pub type Rng = rand_pcg::Pcg64;

/// Returns the generator for one use, which is named by numbers such as (seed, epoch, example). Similar names give
/// unrelated streams.
pub fn rng(name: &[u64]) -> Rng {
    Rng::seed_from_u64(key(name))
}

/// Returns a matrix of draws from N(0, 1), the same in every run.
pub fn normals((rows, cols): (usize, usize), seed: u64) -> Array2<f32> {
    let draws = Rng::seed_from_u64(seed).sample_iter(StandardNormal).take(rows * cols);
    Array2::from_shape_vec((rows, cols), draws.collect()).expect("rows·cols draws")
}

/// Returns the key of such a name for a generator that has no state.
pub fn key(name: &[u64]) -> u64 {
    name.iter().fold(0, |state, &part| mix(state ^ part))
}

/// Takes SplitMix64's step (Steele, Lea and Flood 2014), a bijection in which every input bit moves every output bit.
pub(crate) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
