//! A layer as its chapter and as the library have it, and the terms that can be left out of its backward pass.

use crate::layers::{floats, floats_mut};
use crate::random::normals;
use crate::tour::bridge::plain;
use crate::tour::chain_rule::Matrix;
use crate::tree::{Arena, Dim, Tree};
use ndarray::{Array2, ArrayView2};

/// The library's y, and its gradients of all tensors.
pub(super) type Fast = (Array2<f32>, Vec<Array2<f32>>);

/// A layer in f64 and in f32. Whatever it is differentiated by is a list of matrices; a vector is a matrix of one row.
pub(super) struct Layer {
    pub name: &'static str,
    /// The chapter of the tour that derives the backward pass.
    pub chapter: &'static str,
    pub formula: &'static str,
    /// The inputs and parameters: name, rows, columns.
    pub tensors: &'static [(&'static str, usize, usize)],
    /// Computes y by the functions of the chapter.
    pub forward: fn(&[Matrix]) -> Matrix,
    /// Computes the gradients of all tensors from dy by the functions of the chapter.
    pub backward: fn(&[Matrix], &Matrix) -> Vec<Matrix>,
    /// Computes y and the gradients by the layer that trains models.
    pub fast: fn(&[Array2<f32>], ArrayView2<f32>) -> Fast,
    pub terms: &'static [Term],
}

/// A part of a backward pass.
pub(super) struct Term {
    pub name: &'static str,
    /// How the chapter writes it.
    pub formula: &'static str,
    /// Makes of right gradients those of a backward pass without the term.
    pub leave_out: fn(&[Matrix], &Matrix, &mut [Matrix]),
}

impl Layer {
    /// Draws the point at which the layer is differentiated, from N(0, ¼) so that no softmax is all but decided, which
    /// would leave nothing of its gradient. All its numbers are numbers of f32 as well.
    pub(super) fn point(&self) -> Vec<Array2<f32>> {
        self.tensors.iter().zip(1..).map(|(&(_, rows, cols), seed)| 0.5 * normals((rows, cols), seed)).collect()
    }

    /// Returns the term of this name.
    pub(super) fn term(&self, name: &str) -> Option<&'static Term> {
        self.terms.iter().find(|term| term.name == name)
    }
}

/// Returns the same point for the functions of the tour.
pub(super) fn in_f64(point: &[Array2<f32>]) -> Vec<Matrix> {
    point.iter().map(|x| plain(x.view())).collect()
}

/// Takes the tensors of a layer apart.
pub(super) fn of<const K: usize, T>(tensors: &[T]) -> &[T; K] {
    tensors.try_into().expect("as many tensors as the table has")
}

/// Returns a matrix of one row.
pub(super) fn row(x: Vec<f64>) -> Matrix {
    vec![x]
}

/// Returns gradients of zeros with the shapes of the tensors.
pub(super) fn zeros<const K: usize>(tensors: &[Array2<f32>; K]) -> [Array2<f32>; K] {
    tensors.each_ref().map(|x| Array2::zeros(x.raw_dim()))
}

/// Views a parameter as the layers do.
pub(super) fn read(x: &Array2<f32>) -> &[f32] {
    floats(x.view())
}

/// Views the gradient of a parameter as the layers do.
pub(super) fn write(x: &mut Array2<f32>) -> &mut [f32] {
    floats_mut(x.view_mut())
}

/// Calls `f` with fresh buffers of these sizes.
pub(super) fn with<D: Tree<Leaf = Dim>, R>(
    dims: &D,
    f: impl FnOnce(&mut D::Of<ndarray::ArrayViewMut2<'_, f32>>) -> R,
) -> R {
    f(&mut Arena::default().carve(dims))
}
