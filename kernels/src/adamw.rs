//! AdamW (Loshchilov & Hutter 2019, algorithm 2), one pass over parameters, gradients and both running means.

use crate::isa::{Isa, mul_add, multiversion};
use crate::parallel::{PIECE, RowsMut, for_pieces};

/// The scalars of one step.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub lr: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub eps: f32,
    /// The λ of decoupled decay: zero for gains, biases and every other parameter of fewer than two dimensions.
    pub weight_decay: f32,
    /// The number t of the step, which counts from 1, for the bias corrections 1 − βᵗ.
    pub step: u64,
    /// What the gradient is multiplied by first (global-norm clipping).
    pub grad_scale: f32,
}

/// Takes a step, number t, and clears `g`, so that no pass of its own has to.
///
/// ```text
/// g      ← grad_scale·g
/// mean   ← β₁·mean   + (1 − β₁)·g
/// square ← β₂·square + (1 − β₂)·g²
/// p      ← p − lr·λ·p − lr·(mean/(1 − β₁ᵗ)) / (√(square/(1 − β₂ᵗ)) + ε)
/// ```
#[track_caller]
pub fn step(s: &Step, p: &mut [f32], g: &mut [f32], mean: &mut [f32], square: &mut [f32]) {
    step_on(Isa::best(), s, p, g, mean, square);
}

/// Computes [`step`] on a given instruction set.
#[track_caller]
pub fn step_on(isa: Isa, s: &Step, p: &mut [f32], g: &mut [f32], mean: &mut [f32], square: &mut [f32]) {
    let sizes = [p.len(), g.len(), mean.len(), square.len()];
    assert!(sizes == [p.len(); 4], "adamw: p, g, mean, square have {sizes:?} elements");
    assert!(s.step > 0, "adamw: steps count from 1");
    let parts = (RowsMut(p, 1), RowsMut(g, 1), RowsMut(mean, 1), RowsMut(square, 1));
    let factors = Factors::new(s);
    for_pieces(sizes[0], PIECE / 4, parts, &|(p, g, mean, square)| update(isa, factors, p.0, g.0, mean.0, square.0));
}

/// The factors of one step, which are the same for every element.
#[derive(Clone, Copy)]
struct Factors {
    grad_scale: f32,
    /// 1 − lr·λ
    keep: f32,
    beta1: f32,
    beta2: f32,
    /// −lr / (1 − β₁ᵗ)
    minus_lr: f32,
    /// 1 / √(1 − β₂ᵗ)
    square_scale: f32,
    eps: f32,
}

impl Factors {
    /// Computes the factors in f64, because 1 − βᵗ cancels for small t.
    fn new(s: &Step) -> Self {
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(s.step as f64);
        Factors {
            grad_scale: s.grad_scale,
            keep: (1.0 - f64::from(s.lr) * f64::from(s.weight_decay)) as f32,
            beta1: s.beta1,
            beta2: s.beta2,
            minus_lr: (-f64::from(s.lr) / correction(s.beta1)) as f32,
            square_scale: (1.0 / correction(s.beta2).sqrt()) as f32,
            eps: s.eps,
        }
    }
}

multiversion! {
    /// Takes the step for some of the elements.
    fn update(f: Factors, p: &mut [f32], g: &mut [f32], mean: &mut [f32], square: &mut [f32]) {
        for (((p, g), mean), square) in p.iter_mut().zip(g).zip(mean).zip(square) {
            let grad = f.grad_scale * *g;
            *mean = mul_add::<FMA>(f.beta1, *mean, (1.0 - f.beta1) * grad);
            *square = mul_add::<FMA>(f.beta2, *square, (1.0 - f.beta2) * grad * grad);
            let denominator = mul_add::<FMA>(square.sqrt(), f.square_scale, f.eps);
            *p = mul_add::<FMA>(f.minus_lr, *mean / denominator, f.keep * *p);
            *g = 0.0;
        }
    }
}

/// The definition, one element after the other, in f64.
#[doc(hidden)]
pub mod naive {
    use super::Step;

    pub fn step(s: &Step, p: &mut [f32], g: &mut [f32], mean: &mut [f32], square: &mut [f32]) {
        let [lr, beta1, beta2, eps, decay] = [s.lr, s.beta1, s.beta2, s.eps, s.weight_decay].map(f64::from);
        let t = s.step as i32;
        for i in 0..p.len() {
            let grad = f64::from(s.grad_scale) * f64::from(g[i]);
            let mean_new = beta1 * f64::from(mean[i]) + (1.0 - beta1) * grad;
            let square_new = beta2 * f64::from(square[i]) + (1.0 - beta2) * grad * grad;
            let decayed = f64::from(p[i]) * (1.0 - lr * decay);
            let denominator = (square_new / (1.0 - beta2.powi(t))).sqrt() + eps;
            p[i] = (decayed - lr * (mean_new / (1.0 - beta1.powi(t))) / denominator) as f32;
            (mean[i], square[i], g[i]) = (mean_new as f32, square_new as f32, 0.0);
        }
    }
}
