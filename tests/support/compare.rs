//! Comparison of tensors, with a report that names the worst entry.

use clipwright::params::{self, Spec};
use clipwright::tree::{Path, Tree};
use ndarray::ArrayView2;
use std::fmt;

/// Tolerance of f32 results, relative to the largest entry of the tensor.
///
/// One rounding is 6e-8; a sum of a few hundred terms behind a dozen operations loses one or two digits more. A wrong
/// term, on random values of the order of 1, is off by 1e-2 or worse. The measure is the tensor's largest entry and not
/// each entry itself: a small entry is a sum whose large terms cancel, and their rounding errors do not.
pub const TOLERANCE: f64 = 1e-5;

/// A tensor that differs from the expected one, with its worst entry.
#[derive(Debug)]
pub struct Mismatch {
    pub tensor: String,
    shape: Vec<usize>,
    index: usize,
    given: f64,
    expected: f64,
    largest: f64,
    wrong_entries: usize,
}

impl Mismatch {
    /// The worst entry's index in each dimension.
    fn place(&self) -> Vec<usize> {
        let mut rest = self.index;
        let mut place: Vec<_> = self.shape.iter().rev().map(|&n| (rest % n, rest /= n).0).collect();
        place.reverse();
        place
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Mismatch { tensor, shape, given, expected, largest, wrong_entries, .. } = self;
        let (off, size) = ((given - expected).abs() / largest, shape.iter().product::<usize>());
        write!(
            f,
            "{tensor} {shape:?}: {wrong_entries} of {size} entries are wrong, the worst at {:?}: ",
            self.place()
        )?;
        write!(f, "{given} instead of {expected}, off by {off:.1e} of the largest entry, {largest}")
    }
}

/// Returns the worst entry of `given` that exceeds [`TOLERANCE`], if any does; NaN always exceeds it.
pub fn compare(tensor: &str, shape: &[usize], given: &[f64], expected: &[f64]) -> Option<Mismatch> {
    compare_within(TOLERANCE, tensor, shape, given, expected)
}

/// Returns the worst entry of `given` that exceeds this tolerance, if any does; NaN always exceeds it.
pub fn compare_within(
    tolerance: f64,
    tensor: &str,
    shape: &[usize],
    given: &[f64],
    expected: &[f64],
) -> Option<Mismatch> {
    assert_eq!(given.len(), expected.len(), "{tensor}");
    let largest = expected.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    assert!(largest > 0.0, "{tensor}: nothing but zeros is expected, so this proves nothing");
    let off = |i: usize| {
        let off = (given[i] - expected[i]).abs() / largest;
        if off.is_nan() { f64::INFINITY } else { off }
    };
    let wrong: Vec<usize> = (0..given.len()).filter(|&i| off(i) > tolerance).collect();
    let index = wrong.iter().copied().max_by(|&i, &j| off(i).total_cmp(&off(j)))?;
    Some(Mismatch {
        tensor: tensor.to_string(),
        shape: shape.to_vec(),
        index,
        given: given[index],
        expected: expected[index],
        largest,
        wrong_entries: wrong.len(),
    })
}

/// Checks that two f32 computations of one matrix agree up to the order of their sums.
#[track_caller]
pub fn assert_close(tensor: &str, given: ArrayView2<f32>, expected: ArrayView2<f32>) {
    assert_eq!(given.dim(), expected.dim(), "{tensor}");
    let shape = [given.nrows(), given.ncols()];
    if let Some(mismatch) = compare(tensor, &shape, &to_f64(given), &to_f64(expected)) {
        panic!("{mismatch}");
    }
}

/// Checks that parameters or their gradients agree up to the order of sums, tensor by tensor.
#[track_caller]
pub fn assert_leaves_close<S: Tree<Leaf = Spec>>(spec: &S, given: &[f32], expected: &[f32]) {
    assert_eq!((given.len(), expected.len()), (params::len(spec), params::len(spec)));
    let mut report = String::new();
    params::for_each(spec, &Path::ROOT, |path, leaf, range| {
        let (given, expected) = (to_f64(&given[range.clone()]), to_f64(&expected[range]));
        if let Some(mismatch) = compare(&path.to_string(), &leaf.shape, &given, &expected) {
            report += &format!("\n{mismatch}");
        }
    });
    assert!(report.is_empty(), "{report}");
}

/// Converts to f64, which is exact.
pub fn to_f64<'a>(x: impl IntoIterator<Item = &'a f32>) -> Vec<f64> {
    x.into_iter().map(|&x| x.into()).collect()
}
