//! L2 normalisation of rows: y = x / |x|.

/// x, y (N, d), norm (N).
pub fn forward(x: &[f32], y: &mut [f32], norm: &mut [f32]) {
    todo!()
}

/// dx = (dy − y·⟨y, dy⟩) / |x|
pub fn backward(y: &[f32], norm: &[f32], dy: &[f32], dx: &mut [f32]) {
    todo!()
}
