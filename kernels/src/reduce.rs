//! Sums over rows and over everything, in a fixed order.

/// out\[j\] += Σᵢ x\[i, j\]; x (N, d): the gradient of a bias.
pub fn add_column_sums(x: &[f32], out: &mut [f32]) {
    todo!()
}

/// Σ x², accumulated in f64.
pub fn sum_of_squares(x: &[f32]) -> f64 {
    todo!()
}
