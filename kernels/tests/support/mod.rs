//! What the tests of the kernels share.
#![allow(dead_code, reason = "unit tests of the crate use a part of it")]

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use rayon::ThreadPoolBuilder;

/// `len` numbers in [−1, 1), the same for the same seed on every machine.
pub fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut rng = Pcg64::seed_from_u64(seed);
    (0..len).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Every element within `tolerance` of the expected one.
#[track_caller]
pub fn assert_close(what: &str, actual: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (&a, &e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance, "{what}[{i}]: {a} instead of {e}, tolerance {tolerance}");
    }
}

/// `f` gives the same bits on 1, 2 and 5 threads.
#[track_caller]
pub fn assert_same_bits(f: impl Fn() -> Vec<f32> + Sync) {
    let on = |threads: usize| -> Vec<u32> {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("a small pool");
        pool.install(&f).into_iter().map(f32::to_bits).collect()
    };
    let expected = on(1);
    for threads in [2, 5] {
        assert!(on(threads) == expected, "other bits on {threads} threads than on one");
    }
}
