//! Trees of weights whose matrices stay in their file: products read them when they need them, some rows at a time.

use super::CheckpointError;
use super::places::{Place, Places, described};
use super::tensors::TensorFiles;
use crate::params::{Layout, Spec};
use crate::tree::{Path, Tree};
use crate::weights::{Rounding, Weight};
use kernels::gemm::{Backend, Fetch, Fetched, Panels};
use std::fmt;
use std::sync::OnceLock;

/// A leaf of a tree: the numbers, or where they are.
enum Leaf<'a> {
    Values(Vec<f32>),
    Matrix(Matrix<'a>),
}

/// A matrix (O,I) in a file.
struct Matrix<'a> {
    files: &'a TensorFiles,
    name: String,
    spec: Spec,
    place: &'a Place,
    rounding: Rounding,
    /// The first error of all matrices.
    failed: &'a OnceLock<CheckpointError>,
}

impl fmt::Debug for Matrix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {:?}", self.name, self.spec.shape)
    }
}

impl Fetch for Matrix<'_> {
    /// Fills rows that cannot be read with zeros.
    fn fetch(&self, first: usize, rows: &mut [f32]) {
        if let Err(error) = self.read(first, rows) {
            rows.fill(0.0);
            // Another thread may have found one before.
            let _ = self.failed.set(error);
        }
    }
}

impl Matrix<'_> {
    fn read(&self, first: usize, rows: &mut [f32]) -> Result<(), CheckpointError> {
        let (half, inputs) = (self.rounding.half(&self.spec), self.spec.shape[1]);
        self.files.read_rows_at(self.place, &self.spec.shape, first, rows)?;
        self.files.check_size(&self.name, half, first * inputs, rows)?;
        half.iter().for_each(|half| half.round_in_place(rows));
        Ok(())
    }
}

impl TensorFiles {
    /// Whether products can read the matrices of a tree from the files, with these places, and add in the same order as
    /// with the weights of [`load_weights`](Self::load_weights).
    pub(crate) fn can_fetch<S: Tree<Leaf = Spec>>(&self, spec: &S, places: &S::Of<Places>) -> bool {
        let mut leaves = described(spec, places, &Path::ROOT).into_iter();
        Backend::chosen() == Backend::Simd
            && leaves.all(|(_, spec, places)| {
                let has_rows = matches!(&places[..], [place] if self.has_rows(place));
                !is_matrix(&spec) || has_rows && Panels::fit(spec.shape[0])
            })
    }

    /// Lets `work` have a tree of weights whose matrices are [fetched](Fetched). All else is read before.
    ///
    /// # Errors
    /// Returns an error if a leaf cannot be read, also if `work` has found that out.
    pub(crate) fn with_fetched<S: Tree<Leaf = Spec>>(
        &self,
        spec: &S,
        places: &S::Of<Places>,
        rounding: Rounding,
        work: impl FnOnce(&S::Of<Weight<'_>>),
    ) -> Result<(), CheckpointError> {
        let (failed, mut leaves) = (OnceLock::new(), vec![]);
        let described = described(spec, places, &Path::ROOT);
        for (name, spec, places) in &described {
            leaves.push(match &places[..] {
                [place] if is_matrix(spec) => {
                    let (name, spec) = (name.clone(), spec.clone());
                    Leaf::Matrix(Matrix { files: self, name, spec, place, rounding, failed: &failed })
                }
                _ => {
                    let mut values = vec![0.0; spec.size()];
                    self.fill(name, places, &spec.shape, &mut values)?;
                    Leaf::Values(values)
                }
            });
        }
        let mut leaves = leaves.iter();
        work(&spec.map(&Path::ROOT, &mut |_, spec| match leaves.next().expect("the same tree") {
            Leaf::Values(values) => Weight::Plain(values),
            Leaf::Matrix(matrix) => Weight::Fetched(Fetched::new(matrix, spec.shape[0], spec.shape[1])),
        }));
        failed.into_inner().map_or(Ok(()), Err)
    }

    /// Whether rows of the matrix at this place can be read without the others.
    fn has_rows(&self, place: &Place) -> bool {
        matches!(place, Place::Whole(_) | Place::Stacked(_)) && place.names().iter().all(|name| self.has_parts(name))
    }

    /// Reads rows from `first` on, as many as `out` has, of a matrix (O,I) of this shape at a place that [has
    /// rows](Self::has_rows), on this thread.
    ///
    /// `out` (N,I)
    fn read_rows_at(
        &self,
        place: &Place,
        shape: &[usize],
        first: usize,
        out: &mut [f32],
    ) -> Result<(), CheckpointError> {
        let tensors = place.tensors(shape);
        let (of_each, width) = (shape[0] / tensors.len(), shape[1]);
        let (mut row, mut rest) = (first, out);
        while !rest.is_empty() {
            let (name, shape) = &tensors[row / of_each];
            let n = (rest.len() / width).min(of_each - row % of_each);
            let out = rest.split_off_mut(..n * width).expect("as many rows");
            self.read_part(name, shape, row % of_each * width, out)?;
            row += n;
        }
        Ok(())
    }
}

/// Whether a product reads the leaf and nothing else does.
fn is_matrix(spec: &Spec) -> bool {
    matches!(spec.layout, Layout::Linear { .. }) && spec.shape.len() == 2
}
