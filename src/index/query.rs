//! A query of several texts and pictures, as one vector.

use ndarray::ArrayView2;

/// The shortest sum that counts, as a share of the sum of all weights without their signs. What is shorter may be made
/// of the rounding errors of the embeddings alone.
const MIN_SHARE: f64 = 1e-4;

/// The parts of a query cancel each other out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the weighted parts of the query cancel each other out: nothing is left to look for")]
pub struct Cancelled;

/// z = Σᵢ aᵢ·xᵢ, y = z / |z|
///
/// `parts` (N,e), `weights` (N), result (e)
///
/// The parts are unit-length embeddings of texts and pictures, which share one space. The weight a of what pictures should
/// not show is below 0. The sum is made in f64.
///
/// # Errors
/// Returns an error if the sum is as short as rounding errors may make it.
///
/// # Panics
/// Panics if there are not as many weights as parts.
#[track_caller]
pub fn combine(parts: ArrayView2<f32>, weights: &[f32]) -> Result<Vec<f32>, Cancelled> {
    assert_eq!(parts.nrows(), weights.len(), "parts and weights of a query");
    let weights = || weights.iter().map(|&a| f64::from(a));
    let mut sum = vec![0.0; parts.ncols()];
    for (part, a) in parts.rows().into_iter().zip(weights()) {
        sum.iter_mut().zip(part).for_each(|(z, &x)| *z += a * f64::from(x));
    }
    let length = sum.iter().map(|z| z * z).sum::<f64>().sqrt();
    if length <= MIN_SHARE * weights().map(f64::abs).sum::<f64>() {
        return Err(Cancelled);
    }
    Ok(sum.into_iter().map(|z| (z / length) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    #[test]
    fn a_query_is_the_unit_vector_along_the_weighted_sum() {
        let parts = array![[0.6f32, 0.8, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]];
        assert_eq!(
            combine(parts.view(), &[1.0, 2.0, -0.6]).unwrap(),
            [0.0, 0.8, 2.0].map(|z| (z / 4.64f64.sqrt()) as f32)
        );
        // One part is itself, whatever its weight, and against it is the other way.
        assert_eq!(combine(array![[0.6f32, 0.8]].view(), &[3e38]).unwrap(), [0.6, 0.8]);
        assert_eq!(combine(array![[0.6f32, 0.8]].view(), &[-0.5]).unwrap(), [-0.6, -0.8]);
    }

    #[test]
    fn a_sum_of_nothing_is_an_error() {
        let same = array![[0.6f32, 0.8], [0.600_001, 0.799_999]];
        assert_eq!(combine(same.view(), &[2.0, -2.0]), Err(Cancelled));
        assert!(combine(same.view(), &[2.0, -1.9]).is_ok());
        assert_eq!(combine(Array2::zeros((0, 2)).view(), &[]), Err(Cancelled));
        // What is no number is left to whoever takes the query.
        assert!(combine(array![[f32::NAN, 0.0]].view(), &[1.0]).unwrap()[0].is_nan());
    }
}
