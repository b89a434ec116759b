//! Resizes a table of positions for pictures of another size.
//!
//! The row of the class token, if there is one, is kept. The other rows are a grid of vectors, which is resampled to the
//! new grid like a picture of d channels. Models were trained with different [filters](Filter); edges are never aligned.

use crate::pictures::resize::{Interpolation, Span};

/// The filter that a table is resampled with. All are separable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Keys' cubic with a = −½, widened when shrinking, as OpenCLIP's `resize_pos_embed` has it. The weights are those
    /// that pictures are resized with ([`crate::pictures::resize`]).
    Antialiased,
    /// Keys' cubic with a = −¾, never widened; beyond the edge the edge is repeated. BLIP and SigLIP resample so, and
    /// PyTorch's `interpolate(…, mode="bicubic")`.
    Plain,
    /// The weights |a|·Σ|a|, where a are those of `Antialiased`: for AdamW's second moments of a table that is
    /// resampled by a. They are means of squared gradients, and (Σ a g)² ≤ Σ|a| · Σ |a| g² (Cauchy and Schwarz). So
    /// none becomes negative, and none is smaller than that of the resampled gradients, which would make AdamW's steps
    /// too large.
    Squares,
}

impl Filter {
    /// Returns the inputs that output `i` blends when `input` vectors are resampled to `output`.
    fn span(self, i: usize, input: usize, output: usize) -> Span {
        match self {
            Filter::Antialiased => Interpolation::Bicubic.span(i, input, output),
            Filter::Plain => plain(i, input, output),
            Filter::Squares => {
                let Span { start, mut weights } = Filter::Antialiased.span(i, input, output);
                let sum: f64 = weights.iter().map(|w| w.abs()).sum();
                weights.iter_mut().for_each(|w| *w = w.abs() * sum);
                Span { start, weights }
            }
        }
    }
}

/// Returns the four neighbours of x = (i + ½)·input/output − ½, where those outside are the edge.
fn plain(i: usize, input: usize, output: usize) -> Span {
    const A: f64 = -0.75;
    let weight = |x: f64| {
        let x = x.abs();
        if x <= 1.0 { ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0 } else { (((x - 5.0) * x + 8.0) * x - 4.0) * A }
    };
    let x = (i as f64 + 0.5) * (input as f64 / output as f64) - 0.5;
    let first = x.floor() as isize - 1;
    let inside = |j: isize| j.clamp(0, input as isize - 1) as usize;
    let start = inside(first);
    let mut weights = vec![0.0; inside(first + 3) + 1 - start];
    for j in first..first + 4 {
        weights[inside(j) - start] += weight(x - j as f64);
    }
    Span { start, weights }
}

/// Returns the edge of a square grid of so many positions, or of one fewer, as its rows and columns.
pub(crate) fn square(positions: usize) -> [usize; 2] {
    [positions.isqrt(); 2]
}

/// Resamples a table of positions from one grid, of so many rows and columns, to another. If it has more rows than the
/// grid, the first one is that of the class token.
///
/// `old` (1+patches,d) or (patches,d), `new` (1+patches′,d) or (patches′,d)
///
/// # Panics
/// Panics if the tables do not have such shapes.
#[track_caller]
pub(crate) fn resize(
    (old, [g, h]): (&[f32], [usize; 2]),
    (new, [m, n]): (&mut [f32], [usize; 2]),
    width: usize,
    filter: Filter,
) {
    let first = old.len() - g * h * width;
    assert!(
        (first == 0 || first == width) && new.len() == first + m * n * width,
        "tables of {} and {} floats for grids of {g}×{h} and {m}×{n}, {width} wide",
        old.len(),
        new.len()
    );
    let (class, old) = old.split_at(first);
    let (new_class, new) = new.split_at_mut(first);
    new_class.copy_from_slice(class);
    let spans = |input, output| (0..output).map(move |i| filter.span(i, input, output));
    // The rows are resampled first, and then the columns.
    let mut middle = vec![0.0; g * n * width];
    for (old, middle) in old.chunks_exact(h * width).zip(middle.chunks_exact_mut(n * width)) {
        for (span, out) in spans(h, n).zip(middle.chunks_exact_mut(width)) {
            span.blend(old, width, out);
        }
    }
    for (span, out) in spans(g, m).zip(new.chunks_exact_mut(n * width)) {
        span.blend(&middle, n * width, out);
    }
}

#[cfg(test)]
mod tests {
    use super::{Filter, resize};

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
            resize((&old[3..], [4; 2]), (&mut new, [h; 2]), 1, Filter::Antialiased);
            assert_eq!(new[0], 7.0);
            for (i, value) in new[1..].iter().enumerate() {
                assert!((value - expected[i % h]).abs() < 1e-5, "{i}: {value}");
            }
            // The grid is transposed, and each value comes twice, since d = 2.
            let turned: Vec<f32> = (0..16).flat_map(|i| [old[4 + i / 4 + 4 * (i % 4)]; 2]).collect();
            let mut new = vec![f32::NAN; 2 + 2 * h * h];
            resize((&[&[5.0, 6.0], &turned[..]].concat(), [4; 2]), (&mut new, [h; 2]), 2, Filter::Antialiased);
            assert_eq!(new[..2], [5.0, 6.0]);
            for (i, value) in new[2..].iter().enumerate() {
                assert!((value - expected[i / 2 / h]).abs() < 1e-5, "{i}: {value}");
            }
        }
    }

    #[test]
    fn the_same_size_is_the_same_table() {
        let old: Vec<f32> = (0..30).map(|i| (i as f32).sin()).collect();
        for filter in [Filter::Antialiased, Filter::Plain, Filter::Squares] {
            let mut new = vec![f32::NAN; 30];
            resize((&old, [3; 2]), (&mut new, [3; 2]), 3, filter);
            assert_eq!(old, new);
            resize((&old[3..], [3; 2]), (&mut new[3..], [3; 2]), 3, filter);
            assert_eq!(old, new, "without a class token");
        }
    }

    /// A mean of squares over time bounds the square of the mean, before the tables are resampled and behind it.
    #[test]
    fn squares_bound_the_resampled_gradients() {
        let gradients = [1.3f32, 5.7, 0.4].map(|by| Vec::from_iter((0..50u8).map(|i| (by * f32::from(i)).sin())));
        for (from, to) in [(3, 7), (7, 3), (7, 6)] {
            let resampled = |table: &[f32], filter| {
                let mut new = vec![f32::NAN; 1 + to * to];
                resize((&table[..1 + from * from], [from; 2]), (&mut new, [to; 2]), 1, filter);
                new
            };
            let mean = |i: usize| gradients.iter().map(|g| g[i] * g[i]).sum::<f32>() / 3.0;
            let bound = resampled(&Vec::from_iter((0..50).map(mean)), Filter::Squares);
            let new = gradients.each_ref().map(|g| resampled(g, Filter::Antialiased));
            for (i, bound) in bound.iter().enumerate() {
                let mean = new.iter().map(|g| g[i] * g[i]).sum::<f32>() / 3.0;
                assert!(mean <= bound * (1.0 + 1e-5) && *bound < 4.0, "{from} to {to}: {mean} of {bound} at {i}");
            }
        }
    }
}
