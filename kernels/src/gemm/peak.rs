//! The yardstick of the matrix product: how fast the multiply-add units are when nothing waits for memory.

use super::vector::{MAX_LANES, multivector};
use crate::isa::Isa;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// A thread has this many independent sums: more than the latency of the multiply-add units times their number, two.
const CHAINS: usize = 12;
/// This many steps lie between two looks at the clock, about a millisecond.
const STEPS: usize = 1 << 18;
/// Every thread multiplies for this long before it counts, while its clock rate settles.
const SETTLE: Duration = Duration::from_millis(5);
/// Every thread counts for this long.
const COUNT: Duration = Duration::from_millis(10);

/// Measures multiply-adds from register to register on `threads` threads at once, in GFLOP/s; a multiply-add counts as
/// two.
pub fn fma_peak_gflops(isa: Isa, threads: usize) -> f64 {
    let together = Barrier::new(threads);
    std::thread::scope(|scope| {
        let rate = || {
            together.wait();
            rate(isa, SETTLE);
            rate(isa, COUNT)
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(rate)).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic in a sum")).sum::<f64>() / 1e9
    })
}

/// Counts the floating-point operations per second of this thread, over at least `time`.
fn rate(isa: Isa, time: Duration) -> f64 {
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < time {
        count += multiply_adds(isa);
    }
    2.0 * count as f64 / start.elapsed().as_secs_f64()
}

multivector! {
    /// Spends about a millisecond on multiply-adds and returns their number.
    fn multiply_adds<V, L>() -> usize {
        // SAFETY: the body has the instruction set of `V`; only registers are used, and the array has room for any of
        // them.
        unsafe {
            let (a, b) = (V::splat(black_box(0.5)), V::splat(black_box(1.0)));
            let mut sums = [V::splat(0.0); CHAINS];
            for _ in 0..black_box(STEPS) {
                for sum in &mut sums {
                    *sum = sum.mul_add(a, b);
                }
            }
            // The sums have to be used, or the compiler drops them.
            let mut total = V::splat(0.0);
            for sum in sums {
                total = total.add(sum);
            }
            let mut lanes = [0.0; MAX_LANES];
            total.store(lanes.as_mut_ptr());
            black_box(lanes);
        }
        STEPS * CHAINS * L
    }
}
