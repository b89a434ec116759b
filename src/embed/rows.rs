//! Concatenation and even choice of rows of embeddings.

use ndarray::{Array2, Axis, concatenate};

/// Concatenates the rows of the parts. Without parts there are no rows.
///
/// each part (rows,e), result (N,e)
///
/// # Panics
/// Panics if a part has another width.
#[track_caller]
pub fn concat_rows(parts: &[Array2<f32>], width: usize) -> Array2<f32> {
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    let empty = Array2::zeros((0, width));
    if views.is_empty() { empty } else { concatenate(Axis(0), &views).expect("rows of one width") }
}

/// Returns at most `max` of the positions 0..n, evenly spread and ascending.
pub fn evenly_spread(n: usize, max: usize) -> impl ExactSizeIterator<Item = usize> {
    let kept = n.min(max);
    (0..kept).map(move |i| i * n / kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_evenly_spread() {
        let places = |n, most| evenly_spread(n, most).collect::<Vec<_>>();
        assert_eq!(places(10, 3), [0, 3, 6]);
        assert_eq!(places(3, 10), [0, 1, 2]);
        assert!(places(0, 5).is_empty() && places(5, 0).is_empty());
    }

    #[test]
    fn parts_lie_below_each_other() {
        assert_eq!(concat_rows(&[], 3).dim(), (0, 3));
        let all = concat_rows(&[Array2::ones((2, 3)), Array2::zeros((1, 3))], 3);
        assert_eq!(all.column(1).to_vec(), [1.0, 1.0, 0.0]);
    }
}
