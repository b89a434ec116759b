//! The check: backward passes against central differences of forward passes.

use super::layer::{Layer, Term, in_f64};
use crate::random::normals;
use crate::tour::bridge::plain;
use crate::tour::chain_rule::{Matrix, matrix, slope};
use ndarray::Array2;
use serde::Serialize;

/// The step h of the differences by which a gradient is judged, that of the tests.
pub(super) const STEP: f64 = 1e-5;
/// The steps that are tried, 10 to minus these powers.
const POWERS: std::ops::RangeInclusive<i32> = 1..=12;
/// The largest relative error of a right gradient in f64. Differences by [`STEP`] leave at most some billionths.
const TOLERANCE_F64: f64 = 1e-6;
/// The largest relative error of a right gradient in f32, that of the tests.
const TOLERANCE_F32: f64 = 1e-5;
/// A gradient whose entries are all smaller than this share of the layer's largest is measured by that share: the
/// gradient of a key's bias, for one, is zero, and an error cannot be relative to it.
const SMALL: f64 = 1e-3;

/// What the check says of a layer.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    pub gradients: Vec<Gradient>,
    pub steps: Vec<AtStep>,
}

/// The gradient of an input or of a parameter.
#[derive(Debug, Serialize)]
pub(super) struct Gradient {
    pub name: String,
    pub shape: [usize; 2],
    /// The largest relative error of the chapter's backward pass in f64, without the term that is left out.
    pub tour_error: f64,
    /// The largest relative error of the library's backward pass in f32, from which nothing is left out.
    pub library_error: f64,
    /// Whether the chapter's backward pass gives what the differences say.
    pub right: bool,
    /// Whether the library's does.
    pub library_right: bool,
    pub worst: Entry,
}

/// The entry of a gradient that is off by most.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Entry {
    pub row: usize,
    pub column: usize,
    pub given: f64,
    pub expected: f64,
}

/// The largest relative error of all gradients, by the step of the differences.
#[derive(Debug, Serialize)]
pub(super) struct AtStep {
    pub step: f64,
    /// That of the chapter's gradients against differences of the chapter's forward pass.
    pub tour_error: f64,
    /// That of the library's gradients against differences of the library's forward pass.
    pub library_error: f64,
}

/// A layer at a point, with a gradient of its output.
struct Probe<'a> {
    layer: &'a Layer,
    in_f32: Vec<Array2<f32>>,
    in_f64: Vec<Matrix>,
    dy: Array2<f32>,
}

/// Checks a layer whose backward pass lacks a term.
pub(super) fn check(layer: &Layer, without: Option<&Term>) -> Checked {
    let probe = Probe::new(layer);
    let (dy, at) = (plain(probe.dy.view()), &probe.in_f64);
    let mut given = (layer.backward)(at, &dy);
    if let Some(term) = without {
        (term.leave_out)(at, &dy, &mut given);
    }
    let (_, fast) = (layer.fast)(&probe.in_f32, probe.dy.view());
    let fast = in_f64(&fast);
    let expected = probe.differences(STEP, &|at| probe.loss_f64(at));
    let units = units(&expected);
    let (of_tour, of_library) = (errors(&given, &expected, &units), errors(&fast, &expected, &units));
    let gradients = layer.tensors.iter().zip(of_tour).zip(of_library);
    let gradient = |((&(name, rows, columns), (tour_error, worst)), (library_error, _))| Gradient {
        name: format!("d{name}"),
        shape: [rows, columns],
        tour_error,
        library_error,
        right: tour_error <= TOLERANCE_F64,
        library_right: library_error <= TOLERANCE_F32,
        worst,
    };
    Checked {
        gradients: gradients.map(gradient).collect(),
        steps: POWERS.map(|power| probe.at_step(power, &given, &fast, &units)).collect(),
    }
}

impl<'a> Probe<'a> {
    fn new(layer: &'a Layer) -> Self {
        let in_f32 = layer.point();
        let in_f64 = in_f64(&in_f32);
        let y = (layer.forward)(&in_f64);
        Probe { layer, in_f32, in_f64, dy: normals((y.len(), y[0].len()), 99) }
    }

    /// Returns ⟨dy, y⟩ of the chapter's forward pass.
    fn loss_f64(&self, at: &[Matrix]) -> f64 {
        let y = (self.layer.forward)(at);
        y.iter().flatten().zip(&self.dy).map(|(y, &dy)| y * f64::from(dy)).sum()
    }

    /// Returns ⟨dy, y⟩ of the library's forward pass. Only the sum is in f64.
    fn loss_f32(&self, at: &[Matrix]) -> f64 {
        let at: Vec<_> =
            at.iter().map(|x| Array2::from_shape_fn((x.len(), x[0].len()), |at| x[at.0][at.1] as f32)).collect();
        let (y, _) = (self.layer.fast)(&at, self.dy.view());
        y.iter().zip(&self.dy).map(|(&y, &dy)| f64::from(y) * f64::from(dy)).sum()
    }

    /// Moves every entry of every tensor by h, there and back.
    fn differences(&self, h: f64, loss: &dyn Fn(&[Matrix]) -> f64) -> Vec<Matrix> {
        let of_tensor = |k: usize| {
            let x = &self.in_f64[k];
            let moved = |x: &Matrix| {
                let mut at = self.in_f64.clone();
                at[k].clone_from(x);
                loss(&at)
            };
            matrix(x.len(), x[0].len(), |i, j| slope(x, (i, j), h, moved))
        };
        (0..self.in_f64.len()).map(of_tensor).collect()
    }

    fn at_step(&self, power: i32, given: &[Matrix], fast: &[Matrix], units: &[f64]) -> AtStep {
        let step = 10f64.powi(-power);
        let largest = |given: &[Matrix], loss: &dyn Fn(&[Matrix]) -> f64| {
            let errors = errors(given, &self.differences(step, loss), units);
            errors.into_iter().map(|(error, _)| error).fold(0.0, f64::max)
        };
        let tour_error = largest(given, &|at| self.loss_f64(at));
        AtStep { step, tour_error, library_error: largest(fast, &|at| self.loss_f32(at)) }
    }
}

/// Returns what the errors of each gradient are relative to: its largest entry.
fn units(expected: &[Matrix]) -> Vec<f64> {
    let size = |x: &Matrix| x.iter().flatten().fold(0.0, |size: f64, x| size.max(x.abs()));
    let of_layer = expected.iter().map(size).fold(0.0, f64::max);
    expected.iter().map(|x| size(x).max(SMALL * of_layer)).collect()
}

/// Returns the largest relative error of each gradient, and where it is.
fn errors(given: &[Matrix], expected: &[Matrix], units: &[f64]) -> Vec<(f64, Entry)> {
    let of_tensor = |((given, expected), unit): ((&Matrix, &Matrix), &f64)| {
        let entries = (0..given.len()).flat_map(|i| (0..given[i].len()).map(move |j| (i, j)));
        let off = |&(i, j): &(usize, usize)| (given[i][j] - expected[i][j]).abs();
        let (row, column) = entries.max_by(|a, b| off(a).total_cmp(&off(b))).expect("an entry");
        let worst = Entry { row, column, given: given[row][column], expected: expected[row][column] };
        (off(&(row, column)) / unit, worst)
    };
    given.iter().zip(expected).zip(units).map(of_tensor).collect()
}
