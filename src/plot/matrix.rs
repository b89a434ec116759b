//! The similarity matrix of a few pairs, pictures along the top, captions along the left.

use image::RgbImage;
use ndarray::ArrayView2;

/// `similarity[[i, j]]` is the cosine of picture i and caption j; (pictures, captions).
pub fn similarity_matrix(_pictures: &[RgbImage], _captions: &[&str], _similarity: ArrayView2<f32>) -> RgbImage {
    todo!()
}
