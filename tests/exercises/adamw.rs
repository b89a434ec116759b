//! Exercise: the step that is made of gradients.

use crate::judge::{draws, refuses};
use clipwright::tour::adamw::{self as tour, BETA1, BETA2, EPS, check_step};
use std::slice::from_mut;

const LR: f64 = 0.1;
const DECAY: f64 = 0.2;

/// Takes step number t = 1, 2, … of AdamW for one parameter w with gradient dw. It moves both running means and w:
///
/// ```text
/// mean ← β₁·mean + (1 − β₁)·dw
/// square ← β₂·square + (1 − β₂)·dw²
/// w ← w − lr·λ·w − lr · (mean / (1 − β₁ᵗ)) / (√(square / (1 − β₂ᵗ)) + ε)
/// ```
///
/// β₁, β₂ and ε are `BETA1`, `BETA2` and `EPS`; `decay` is λ.
fn adamw(w: &mut f64, dw: f64, mean: &mut f64, square: &mut f64, t: i32, lr: f64, decay: f64) {
    todo!("the w that decays is the one from before the step")
}

fn judge(step: impl Fn(&mut f64, f64, &mut f64, &mut f64, i32, f64, f64)) {
    let (gradients, mut w, mut mean, mut square) = (draws((1, 6), 1).remove(0), 0.7, 0.0, 0.0);
    for t in 1..=gradients.len() {
        let before = w;
        step(&mut w, gradients[t - 1], &mut mean, &mut square, t as i32, LR, DECAY);
        check_step("w", &gradients[..t], before, w, LR, DECAY);
    }
}

#[test]
#[ignore = "an exercise"]
fn adamw_is_yours() {
    judge(adamw);
}

#[test]
fn the_judge_of_adamw_is_fair() {
    judge(|w, dw, mean, square, t, lr, decay| {
        tour::adamw(from_mut(w), &[dw], from_mut(mean), from_mut(square), t, lr, &[decay]);
    });
    refuses("step 1, w: given ", || {
        judge(|w, dw, mean, square, _, lr, decay| {
            *mean = BETA1 * *mean + (1.0 - BETA1) * dw;
            *square = BETA2 * *square + (1.0 - BETA2) * dw * dw;
            *w -= lr * decay * *w + lr * *mean / (square.sqrt() + EPS);
        });
    });
}
