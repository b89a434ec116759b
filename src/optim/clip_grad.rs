//! Clipping by the global norm (Pascanu et al. 2013, algorithm 1).

/// Returns the factor that brings gradients of this norm down to `max_norm`, or 1 if they are not longer.
pub fn scale(norm: f32, max_norm: Option<f32>) -> f32 {
    match max_norm {
        Some(max_norm) if norm > max_norm => max_norm / norm,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_gradients_are_shortened() {
        assert_eq!(scale(5.0, Some(1.0)), 0.2);
        assert_eq!(scale(0.5, Some(1.0)), 1.0);
        assert_eq!(scale(5.0, None), 1.0);
    }
}
