//! Resizes a table of positions for pictures of another size.
//!
//! The row of the class token is kept. The other rows are a g × g grid of vectors, which is resampled to the new grid
//! like a picture of d channels. The filter is separable, Keys' cubic with a = −½, and is widened when shrinking
//! (antialiased); edges are not aligned. OpenCLIP's `resize_pos_embed` does the same. The weights are those that
//! pictures are resized with ([`crate::pictures::resize`]).

use crate::pictures::resize::{Interpolation, Span};

/// Resamples the table `old` (1+g²,d) into `new` (1+h²,d).
///
/// # Panics
/// Panics if the tables do not have such shapes.
#[track_caller]
pub(crate) fn resize(old: &[f32], new: &mut [f32], width: usize) {
    let (g, h) = (grid(old, width), grid(new, width));
    let (class, old) = old.split_at(width);
    let (new_class, new) = new.split_at_mut(width);
    new_class.copy_from_slice(class);
    let spans: Vec<Span> = (0..h).map(|i| Interpolation::Bicubic.span(i, g, h)).collect();
    // The rows are resampled first, which gives (g,h,d), and then the columns.
    let mut middle = vec![0.0; g * h * width];
    for (old, middle) in old.chunks_exact(g * width).zip(middle.chunks_exact_mut(h * width)) {
        for (span, out) in spans.iter().zip(middle.chunks_exact_mut(width)) {
            span.blend(old, width, out);
        }
    }
    for (span, out) in spans.iter().zip(new.chunks_exact_mut(h * width)) {
        span.blend(&middle, h * width, out);
    }
}

/// Returns the edge g of the grid of a table (1+g²,d).
#[track_caller]
fn grid(table: &[f32], width: usize) -> usize {
    let g = (table.len() / width - 1).isqrt();
    assert_eq!(table.len(), (1 + g * g) * width, "a table of {} values, rows of {width}", table.len());
    g
}

#[cfg(test)]
mod tests {
    use super::resize;

    /// The expected values are those of PyTorch's `interpolate(…, mode="bicubic", antialias=True, align_corners=False)`
    /// for a 4 × 4 grid whose rows are all 0, 1, 4, 9, with d = 1, and for the transposed grid with d = 2.
    #[test]
    fn values_are_those_of_pytorch() {
        let larger = [-0.06579, 0.29412, 1.36111, 3.36111, 6.82353, 9.32895];
        let smaller = [0.07551, 2.35920, 7.93593];
        for expected in [&larger[..], &smaller] {
            let h = expected.len();
            let old: Vec<f32> = [[7.0; 4].as_slice(), &[0.0, 1.0, 4.0, 9.0].repeat(4)].concat();
            let mut new = vec![f32::NAN; 1 + h * h];
            resize(&old[3..], &mut new, 1);
            assert_eq!(new[0], 7.0);
            for (i, value) in new[1..].iter().enumerate() {
                assert!((value - expected[i % h]).abs() < 1e-5, "{i}: {value}");
            }
            // The grid is transposed, and each value comes twice, since d = 2.
            let turned: Vec<f32> = (0..16).flat_map(|i| [old[4 + i / 4 + 4 * (i % 4)]; 2]).collect();
            let mut new = vec![f32::NAN; 2 + 2 * h * h];
            resize(&[&[5.0, 6.0], &turned[..]].concat(), &mut new, 2);
            assert_eq!(new[..2], [5.0, 6.0]);
            for (i, value) in new[2..].iter().enumerate() {
                assert!((value - expected[i / 2 / h]).abs() < 1e-5, "{i}: {value}");
            }
        }
    }

    #[test]
    fn the_same_size_is_the_same_table() {
        let old: Vec<f32> = (0..30).map(|i| (i as f32).sin()).collect();
        let mut new = vec![f32::NAN; 30];
        resize(&old, &mut new, 3);
        assert_eq!(old, new);
    }
}
