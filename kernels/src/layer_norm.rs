//! LayerNorm over the last dimension (Ba et al. 2016, eq. 4), ε = 1e-5.
use crate::Write;

/// ε of every CLIP checkpoint.
pub const EPS: f32 = 1e-5;

/// y = (x − μ)·r·weight + bias, μ and r = 1/√(σ² + ε) per row. x, y (N, d); mean, rstd (N).
pub fn forward(x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32], mean: &mut [f32], rstd: &mut [f32]) {
    todo!()
}

/// y again from the saved mean and rstd, bit for bit what `forward` gave.
pub fn recompute(x: &[f32], weight: &[f32], bias: &[f32], mean: &[f32], rstd: &[f32], y: &mut [f32]) {
    todo!()
}

/// With x̂ = (x − μ)·r and g = dy·weight:
/// dx = r·(g − mean(g) − x̂·mean(g·x̂)), dweight += Σₙ dy·x̂, dbias += Σₙ dy. `write` is about dx only.
pub fn backward(
    x: &[f32],
    weight: &[f32],
    mean: &[f32],
    rstd: &[f32],
    dy: &[f32],
    write: Write,
    dx: &mut [f32],
    dweight: &mut [f32],
    dbias: &mut [f32],
) {
    todo!()
}
