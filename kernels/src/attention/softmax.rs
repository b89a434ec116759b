//! Turns blocks of scores into probabilities, and back into gradients, between two products.

use super::pack::LANES as WIDTH;
use crate::Write;
use crate::exp::exp;
use crate::isa::{mul_add, multiversion};
use crate::lanes::{self, across, larger};

/// The running softmax of one query: Σ exp(score) = sum·exp(max) over the keys so far.
#[derive(Clone, Copy)]
pub(super) struct Running {
    pub max: f32,
    pub sum: f32,
}

impl Running {
    /// The state before the first key.
    pub const EMPTY: Running = Running { max: f32::NEG_INFINITY, sum: 0.0 };
}

multiversion! {
    /// Turns the scores of one query, of which it sees the first `visible`, into exp(score − max), and the rest into 0;
    /// brings `running` and what the earlier keys left in `out` to the new maximum.
    pub(super) fn fold(scores: &mut [f32], visible: usize, running: &mut Running, out: &mut [f32]) {
        scores[visible..].fill(f32::NEG_INFINITY);
        let chunks = scores.as_chunks_mut::<WIDTH>().0;
        let mut lanes = [running.max; WIDTH];
        for x in chunks.iter() {
            for i in 0..WIDTH {
                lanes[i] = larger(lanes[i], x[i]);
            }
        }
        let max = across(lanes, larger);
        let mut sums = [0.0; WIDTH];
        for x in chunks {
            for i in 0..WIDTH {
                x[i] = exp::<FMA>(x[i] - max);
                sums[i] += x[i];
            }
        }
        let sum = across(sums, |a, b| a + b);
        if running.max < max && running.sum > 0.0 {
            let shrink = exp::<FMA>(running.max - max);
            running.sum *= shrink;
            out.iter_mut().for_each(|out| *out *= shrink);
        }
        *running = Running { max, sum: running.sum + sum };
    }
}

multiversion! {
    /// Puts P = exp(S − lse) of one query in place of its scores, 0 for the keys that it does not see, and
    /// P∘(dP − delta) in place of dP, where `delta` is ⟨dout, out⟩.
    pub(super) fn backward(scores: &mut [f32], d_probs: &mut [f32], visible: usize, lse: f32, delta: f32) {
        scores[visible..].fill(f32::NEG_INFINITY);
        for (p, dp) in scores.as_chunks_mut::<WIDTH>().0.iter_mut().zip(d_probs.as_chunks_mut::<WIDTH>().0) {
            for i in 0..WIDTH {
                p[i] = exp::<FMA>(p[i] - lse);
                dp[i] = p[i] * (dp[i] - delta);
            }
        }
    }
}

multiversion! {
    /// x ← m ∘ x
    pub(super) fn multiply(m: &[f32], x: &mut [f32]) {
        x.iter_mut().zip(m).for_each(|(x, m)| *x *= m);
    }
}

multiversion! {
    /// to = factor·x or to += factor·x
    pub(super) fn scaled(factor: f32, x: &[f32], write: Write, to: &mut [f32]) {
        match write {
            Write::Set => to.iter_mut().zip(x).for_each(|(to, x)| *to = factor * x),
            Write::Add => to.iter_mut().zip(x).for_each(|(to, &x)| *to = mul_add::<FMA>(factor, x, *to)),
        }
    }
}

multiversion! {
    /// Σ xᵢ·yᵢ
    pub(super) fn dot(x: &[f32], y: &[f32]) -> f32 {
        lanes::dot::<FMA>(x, y)
    }
}
