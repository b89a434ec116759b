//! AdamW (Loshchilov & Hutter 2019, algorithm 2), one pass over p, g, m, v.

/// The scalars of one step.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub lr: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub eps: f32,
    /// Zero for gains, biases and every other parameter of fewer than two dimensions.
    pub weight_decay: f32,
    /// Counts from 1; for the bias corrections 1 − βᵗ.
    pub step: u64,
    /// The gradient is multiplied by this first (global-norm clipping).
    pub grad_scale: f32,
}

/// g ← grad_scale·g; p ← p − lr·λ·p; m ← β₁m + (1−β₁)g; v ← β₂v + (1−β₂)g²;
/// p ← p − lr·(m/(1−β₁ᵗ)) / (√(v/(1−β₂ᵗ)) + ε); then g ← 0, so that no pass of its own has to clear it.
pub fn step(s: &Step, p: &mut [f32], g: &mut [f32], m: &mut [f32], v: &mut [f32]) {
    todo!()
}
