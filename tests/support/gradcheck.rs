//! The judge of hand-written gradients.
//!
//! A layer f makes an output of an input x and parameters w. Pick any dy: the backward pass has to return the gradient
//! of one number.
//!
//! ```text
//! loss(x, w) = ⟨dy, f(x, w)⟩
//! slope      = (loss(+h) − loss(−h)) / 2h
//! ```
//!
//! The judge finds that gradient without any calculus. It moves one entry of x or w by ±h, runs the *oracle*, a naive
//! forward pass in f64, and takes the slope; then the next entry, until none is left.
//!
//! The oracle runs in f64 because differences lose digits: of the 7 digits of an f32 loss, 3 would be left at best. The
//! layer under test is the f32 code that trains models, so the tolerance has to allow for its own rounding only.
//!
//! Outputs and gradients of inputs are full of NaN before the layer runs, since they must be overwritten. Gradients of
//! parameters hold [`START`], since they must be added to.

use super::compare::{Mismatch, TOLERANCE, compare, compare_within, to_f64};
use super::random;
use clipwright::params::{self, Params, Spec, view};
use clipwright::tree::{Path, Tree};
use ndarray::{Array2, ArrayView2, ArrayViewMut2};

/// The step h. With a loss of the order of 1 to 100, rounding contributes 1e-16·loss/h ≤ 1e-9 and truncation
/// loss‴·h²/6 ≈ 1e-11·loss‴; both are far below [`TOLERANCE`].
const STEP: f64 = 1e-5;

/// The value that every parameter gradient holds beforehand. It is exact in binary, small enough that small gradients
/// lose no digits when they are added to it, and large enough that its loss is noticed beside large gradients.
pub const START: f32 = 1.0 / 64.0;

/// A layer at a random point: K matrices that it takes, and its parameters.
pub struct Layer<S, const K: usize> {
    name: String,
    spec: S,
    dims: [(usize, usize); K],
    tensors: Vec<Tensor>,
    tolerance: f64,
    /// The values of the inputs, of the parameters, and of the buffers, by which nothing is differentiated.
    point: Vec<f32>,
}

/// A tensor by which the layer is differentiated.
struct Tensor {
    name: String,
    shape: Vec<usize>,
}

/// The arguments of a layer's forward and backward pass.
pub struct Pass<'a, S: Tree, const K: usize> {
    pub p: S::Of<&'a [f32]>,
    pub x: [ArrayView2<'a, f32>; K],
    pub y: ArrayViewMut2<'a, f32>,
    pub dy: ArrayView2<'a, f32>,
    pub dx: [ArrayViewMut2<'a, f32>; K],
    pub g: S::Of<&'a mut [f32]>,
}

impl<S: Tree<Leaf = Spec>, const K: usize> Layer<S, K> {
    /// Makes a layer with the parameters of `spec` and with K inputs, each given by name, rows and columns.
    pub fn new(name: impl Into<String>, spec: S, inputs: [(&str, usize, usize); K]) -> Self {
        let inputs_len = inputs.iter().map(|(_, rows, cols)| rows * cols).sum();
        let mut point = random::normals(inputs_len, 1);
        let Params { spec, flat, .. } = random::params(spec, 2);
        point.extend(&flat);

        let mut tensors =
            Vec::from(inputs.map(|(name, rows, cols)| Tensor { name: name.to_string(), shape: vec![rows, cols] }));
        params::for_each(&spec, &Path::ROOT, |path, leaf, _| {
            if !leaf.is_buffer() {
                tensors.push(Tensor { name: path.to_string(), shape: leaf.shape.clone() });
            }
        });
        let dims = inputs.map(|(_, rows, cols)| (rows, cols));
        Layer { name: name.into(), spec, dims, tensors, tolerance: TOLERANCE, point }
    }

    /// Sets the tolerance of a network whose many layers round more than [`TOLERANCE`] allows.
    pub fn within(self, tolerance: f64) -> Self {
        Layer { tolerance, ..self }
    }

    /// Checks the forward pass and every entry of every gradient.
    #[track_caller]
    pub fn check(
        &self,
        oracle: impl Fn(&S::Of<&[f64]>, [ArrayView2<f64>; K]) -> Array2<f64>,
        pass: impl FnOnce(Pass<S, K>),
    ) {
        let mismatches = self.mismatches(oracle, pass);
        let report: Vec<_> = mismatches.iter().map(|mismatch| format!("\n{}: {mismatch}", self.name)).collect();
        assert!(report.is_empty(), "{}", report.concat());
    }

    /// Returns the tensors for which [`check`](Self::check) would fail.
    pub fn mismatches(
        &self,
        oracle: impl Fn(&S::Of<&[f64]>, [ArrayView2<f64>; K]) -> Array2<f64>,
        pass: impl FnOnce(Pass<S, K>),
    ) -> Vec<Mismatch> {
        let mut point = to_f64(&self.point);
        let (expected, dy, y, gradient) = self.run(&oracle, &point, pass);
        let mut mismatches = Vec::from_iter(compare("y", y.shape(), &to_f64(&y), &expected));

        let mut differences = (0..point.len()).map(|i| {
            let at = point[i];
            let mut loss = |x| {
                point[i] = x;
                self.loss(&oracle, &dy, &point)
            };
            let difference = (loss(at + STEP) - loss(at - STEP)) / (2.0 * STEP);
            point[i] = at;
            difference
        });
        let mut gradient = gradient.into_iter();
        for Tensor { name, shape } in &self.tensors {
            let size = shape.iter().product();
            let expected: Vec<f64> = differences.by_ref().take(size).collect();
            let given: Vec<f64> = gradient.by_ref().take(size).collect();
            mismatches.extend(compare(&format!("d{name}"), shape, &given, &expected));
        }
        mismatches
    }

    /// Checks the forward pass and the gradient along a few random directions, see [`check_directions`].
    #[track_caller]
    pub fn check_directions(
        &self,
        oracle: impl Fn(&S::Of<&[f64]>, [ArrayView2<f64>; K]) -> Array2<f64>,
        pass: impl FnOnce(Pass<S, K>),
    ) {
        let point = to_f64(&self.point);
        let (expected, dy, y, gradient) = self.run(&oracle, &point, pass);
        let mismatch = compare_within(self.tolerance, "y", y.shape(), &to_f64(&y), &expected);
        assert!(mismatch.is_none(), "{}: {}", self.name, mismatch.unwrap());
        check_directions(&self.name, self.tolerance, &point, &gradient, |point| self.loss(&oracle, &dy, point));
    }

    /// Returns the oracle's y, a random dy, the layer's y, and its gradient by all inputs and parameters.
    fn run(
        &self,
        oracle: impl Fn(&S::Of<&[f64]>, [ArrayView2<f64>; K]) -> Array2<f64>,
        point: &[f64],
        pass: impl FnOnce(Pass<S, K>),
    ) -> (Vec<f64>, Array2<f32>, Array2<f32>, Vec<f64>) {
        let (x, p) = self.split(point);
        let expected = oracle(&p, x);
        let dy = random::matrix(expected.dim(), 3);
        let mut y = Array2::from_elem(expected.dim(), f32::NAN);

        let inputs_len = self.point.len() - params::len(&self.spec);
        let mut gradient = vec![f32::NAN; inputs_len];
        gradient.resize(self.point.len(), START);
        let (mut dx, g) = gradient.split_at_mut(inputs_len);
        let (x, _) = self.split(&self.point);
        pass(Pass {
            p: view(&self.spec, &self.point[inputs_len..]),
            x,
            y: y.view_mut(),
            dy: dy.view(),
            dx: self.dims.map(|dim| {
                let (head, tail) = std::mem::take(&mut dx).split_at_mut(dim.0 * dim.1);
                dx = tail;
                ArrayViewMut2::from_shape(dim, head).expect("rows·cols floats")
            }),
            g: params::view_mut(&self.spec, g),
        });
        let (g, slots) = gradient[inputs_len..].split_at_mut(params::count(&self.spec));
        g.iter_mut().for_each(|sum| *sum -= START);
        slots.fill(0.0);
        (expected.into_iter().collect(), dy, y, to_f64(&gradient))
    }

    /// Returns the loss, ⟨dy, oracle(point)⟩.
    fn loss(
        &self,
        oracle: impl Fn(&S::Of<&[f64]>, [ArrayView2<f64>; K]) -> Array2<f64>,
        dy: &Array2<f32>,
        point: &[f64],
    ) -> f64 {
        let (x, p) = self.split(point);
        oracle(&p, x).iter().zip(dy).map(|(y, &dy)| y * f64::from(dy)).sum()
    }

    /// Returns the inputs and the parameters at a point.
    fn split<'a, T>(&self, mut point: &'a [T]) -> ([ArrayView2<'a, T>; K], S::Of<&'a [T]>) {
        let x = self.dims.map(|dim| {
            let (head, tail) = point.split_at(dim.0 * dim.1);
            point = tail;
            ArrayView2::from_shape(dim, head).expect("rows·cols numbers")
        });
        (x, view(&self.spec, point))
    }
}

/// Checks the gradient of `loss` at `point` along a few random directions, for models with too many parameters to move
/// one by one.
///
/// Along v ~ N(0, 1) the derivative is ⟨gradient, v⟩, whose standard deviation is |gradient|. That is the measure, as a
/// derivative that happens to be small is a sum whose terms cancel.
#[track_caller]
pub fn check_directions(name: &str, tolerance: f64, point: &[f64], gradient: &[f64], loss: impl Fn(&[f64]) -> f64) {
    let norm = dot(gradient, gradient).sqrt();
    // A direction has the length √n, and the error of differences grows with its cube.
    let step = STEP / (point.len() as f64 / 1e3).sqrt().max(1.0);
    for seed in 10..13 {
        let direction = to_f64(&random::normals(point.len(), seed));
        let loss = |h: f64| loss(&point.iter().zip(&direction).map(|(x, v)| x + h * v).collect::<Vec<_>>());
        let expected = (loss(step) - loss(-step)) / (2.0 * step);
        let given = dot(gradient, &direction);
        let off = (given - expected).abs() / norm;
        assert!(
            off <= tolerance,
            "{name}: {given} instead of {expected} along direction {seed}, off by {off:.1e} of the gradient's {norm}"
        );
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
