//! What the tests of the vector kernels share.
#![allow(dead_code)] // each test binary uses a part

use rayon::ThreadPoolBuilder;

/// `len` numbers in [−1, 1), the same for the same seed (splitmix64).
pub fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) >> 40
    };
    (0..len).map(|_| next() as f32 / (1u64 << 23) as f32 - 1.0).collect()
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
