//! Random tensors, which are the same on every machine and in every run.

use clipwright::params::{Params, Spec, for_each};
use clipwright::tree::{Path, Tree};
use ndarray::Array2;

/// Returns `n` draws from N(0, 1).
pub fn normals(n: usize, seed: u64) -> Vec<f32> {
    matrix((1, n), seed).into_raw_vec_and_offset().0
}

/// Returns a matrix of draws from N(0, 1).
pub use clipwright::random::normals as matrix;

/// Returns a matrix of unit rows in random directions.
pub fn unit_rows(dim: (usize, usize), seed: u64) -> Array2<f32> {
    let mut x = matrix(dim, seed);
    x.rows_mut().into_iter().for_each(|mut row| row /= row.dot(&row).sqrt());
    x
}

/// Returns random values for every parameter. Initial gains of 1 and biases of 0 would hide wrong terms.
///
/// Matrices are scaled by 1/√fan_in, so that every layer hands on numbers of the order of 1. Buffers are positive, as
/// variances are.
pub fn params<S: Tree<Leaf = Spec>>(spec: S, seed: u64) -> Params<S> {
    let mut params = Params::zeros(spec);
    let mut draws = normals(params.flat.len(), seed).into_iter();
    let flat = &mut params.flat;
    for_each(&params.spec, &Path::ROOT, |_, leaf, range| {
        let fan_in: usize = leaf.shape.iter().skip(1).product();
        let scale = (fan_in as f32).powf(-0.5);
        flat[range].iter_mut().zip(draws.by_ref()).for_each(|(value, draw)| {
            *value = if leaf.is_buffer() { draw.abs() + 0.5 } else { scale * draw };
        });
    });
    params
}
