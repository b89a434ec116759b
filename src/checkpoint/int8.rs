//! Matrices of eight bits in a checkpoint.
//!
//! A file of `clipwright convert --dtype int8` has for every matrix X (O,I) that a Transformer's linear layer multiplies
//! with, of whole panels and not before [sharp attention](crate::models::stack::Transformer), these tensors; all others
//! are of f32. Its LayerNorms and matrices have been
//! [made even](crate::weights::Balance), so the file is read without the one that it was made of.
//!
//! | tensor | type | shape | what it is |
//! |---|---|---|---|
//! | X | I8 | (O,I) | w, whole numbers of −127 to 127 |
//! | X`_scale` | F32 | (O) | t, a number for each row |
//! | X`_outliers` | I64 | (R) | columns of X that keep 32 bits, ascending; w is 0 there |
//! | X`_outlier_weights` | F32 | (R,O) | these columns, one a row |
//!
//! ```text
//! Xₒᵢ = tₒ·wₒᵢ      but in an outlier's column what its row says
//! ```
//! The first two numbers of a row of w add up to −128 to 128, and so do the next two, and so on
//! ([why](kernels::gemm::int8)). The last two tensors are missing where there are no outliers. Products read w, t and the
//! outliers as they are ([`Int8`]), so that the embeddings have the bits of `--precision int8` with the model that the
//! file was made of.

use super::dtype::Stored;
use super::places::{Place, Places, leaves, placed};
use super::safetensors::{Tensor, write};
use super::tensors::{OUTLIER_WEIGHTS, OUTLIERS, SCALE, TensorFiles};
use super::{CheckpointError, Dtype};
use crate::params::{Layout, Params, Spec};
use crate::tree::Tree;
use kernels::gemm::int8::{Int8, Parts};
use std::borrow::Cow;
use std::path::Path;

/// Writes a file of these parameters, which have been made even, and rounds the matrices of linear layers.
///
/// # Errors
/// Returns an error if a leaf has no place, or if the file cannot be written.
pub(crate) fn write_rounded<S: Tree<Leaf = Spec>>(
    path: &Path,
    params: &Params<S>,
    places: &S::Of<Places>,
) -> Result<(), CheckpointError> {
    let mut tensors = vec![];
    for (name, spec, places, values) in leaves(params, places) {
        if places.is_empty() {
            return Err(CheckpointError::NoName { path: path.into(), tensor: name });
        }
        for place in places {
            match (&place, &spec.shape[..]) {
                (Place::Whole(name), &[outputs, inputs])
                    if spec.layout == (Layout::Linear { rounds: true }) && Int8::fit(outputs, inputs) =>
                {
                    let mut rounded = vec![0.0; Int8::size(outputs, inputs)];
                    Int8::round(values, outputs, inputs, &mut rounded);
                    tensors.extend(parts_of(name, Int8::new(&rounded, outputs, inputs).parts(), [outputs, inputs]));
                }
                _ => tensors.extend(placed(place, spec.shape.clone(), values, Dtype::F32)),
            }
        }
    }
    write(path, &tensors, [("format", "pt")])
}

/// Returns the tensors of a matrix.
fn parts_of(name: &str, parts: Parts, shape: [usize; 2]) -> Vec<Tensor<'static>> {
    let tensor = |suffix: &str, shape: &[usize], values: Vec<f32>, dtype| Tensor {
        name: format!("{name}{suffix}"),
        shape: shape.to_vec(),
        values: Cow::Owned(values),
        dtype,
    };
    let n = parts.outliers.len();
    let mut tensors = vec![
        tensor("", &shape, parts.weights.iter().map(|&w| f32::from(w)).collect(), Dtype::I8),
        tensor(SCALE, &shape[..1], parts.scales, Dtype::F32),
    ];
    if n > 0 {
        let places = parts.outliers.iter().map(|&k| k as f32).collect();
        tensors.push(tensor(OUTLIERS, &[n], places, Dtype::I64));
        tensors.push(tensor(OUTLIER_WEIGHTS, &[n, shape[0]], parts.kept, Dtype::F32));
    }
    tensors
}

impl TensorFiles {
    /// Whether a tensor is a matrix of eight bits.
    pub(crate) fn is_int8(&self, name: &str) -> bool {
        self.dtype(name) == Some(Stored::Known(Dtype::I8))
    }

    /// Whether any tensor is a matrix of eight bits.
    pub(crate) fn has_int8(&self) -> bool {
        self.names().iter().any(|name| self.is_int8(name))
    }

    /// Reads a matrix of eight bits of this shape, and what belongs to it.
    ///
    /// # Errors
    /// Returns an error that names the tensor if one is missing, of another shape or type, or holds numbers that it
    /// cannot.
    pub(crate) fn read_int8(&self, name: &str, shape: &[usize]) -> Result<Parts, CheckpointError> {
        let &[outputs, inputs] = shape else { return Err(self.not_int8(name, "is no matrix")) };
        let (mut weights, mut scales) = (vec![0; outputs * inputs], vec![0.0; outputs]);
        self.read_i8(name, shape, &mut weights)?;
        self.read_as(name, SCALE, Dtype::F32, &[outputs], &mut scales)?;
        let n = self.part_shape(name, OUTLIERS).map_or(0, |shape| shape.iter().product());
        if n > Int8::MAX_OUTLIERS {
            return Err(self.not_int8(name, "has more outliers than are read"));
        }
        if n == 0 && self.part_shape(name, OUTLIER_WEIGHTS).is_some() {
            return Err(self.not_int8(name, "has weights of outliers and does not say which columns they are"));
        }
        let (mut places, mut kept) = (vec![0.0; n], vec![0.0; n * outputs]);
        if n > 0 {
            self.read_as(name, OUTLIERS, Dtype::I64, &[n], &mut places)?;
            self.read_as(name, OUTLIER_WEIGHTS, Dtype::F32, &[n, outputs], &mut kept)?;
        }
        if !places.is_sorted_by(|a, b| a < b) || places.iter().any(|&k| k < 0.0 || k >= inputs as f32) {
            return Err(self.not_int8(name, "has outliers that are not columns of it in ascending order"));
        }
        let outliers = places.iter().map(|&k| k as usize).collect();
        let parts = Parts { weights, scales, outliers, kept };
        if !parts.has_narrow_pairs(inputs) {
            return Err(self.not_int8(name, "has pairs of weights that add up to more than 128, so convert it again"));
        }
        Ok(parts)
    }

    /// Reads a matrix of eight bits and widens it.
    pub(super) fn widen_int8(&self, name: &str, shape: &[usize], out: &mut [f32]) -> Result<(), CheckpointError> {
        let Parts { weights, scales, outliers, kept } = self.read_int8(name, shape)?;
        let inputs = shape[1];
        for (o, (out, scale)) in out.chunks_exact_mut(inputs.max(1)).zip(&scales).enumerate() {
            let weights = &weights[o * inputs..][..inputs];
            out.iter_mut().zip(weights).for_each(|(out, &w)| *out = scale * f32::from(w));
            outliers.iter().enumerate().for_each(|(n, &k)| out[k] = kept[n * scales.len() + o]);
        }
        Ok(())
    }

    fn not_int8(&self, tensor: &str, reason: &'static str) -> CheckpointError {
        CheckpointError::Int8 { path: self.path().into(), tensor: tensor.into(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::places::own;
    use crate::params::Init;
    use crate::tree::{Path as TreePath, tree};

    tree!(Matrices { weight, gain });

    fn spec() -> Matrices<Spec> {
        let weight = Spec::linear(64, 40, Init::Normal(1.0)).rounds();
        Matrices { weight, gain: Spec::new(&[40], Init::Normal(1.0)) }
    }

    /// Writes a matrix with two outliers, whose tensors `change` has altered, and reads it.
    fn read_changed(
        change: impl Fn(&mut Vec<Tensor>),
    ) -> Result<(Params<Matrices<Spec>>, Parts, Parts), CheckpointError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("int8.safetensors");
        let mut params = Params::init(spec(), 1);
        for row in params.flat[..64 * 40].chunks_mut(40) {
            row[3] *= 30.0;
            row[39] *= 50.0;
        }
        let mut rounded = vec![0.0; Int8::size(64, 40)];
        Int8::round(params.view().weight, 64, 40, &mut rounded);
        let parts = Int8::new(&rounded, 64, 40).parts();
        let mut tensors = parts_of("weight", parts.clone(), [64, 40]);
        tensors.extend(placed(Place::Whole("gain".into()), vec![40], params.view().gain, Dtype::F32));
        change(&mut tensors);
        write(&path, &tensors, []).unwrap();
        let files = TensorFiles::open(&path)?;
        assert_eq!(files.names().into_iter().collect::<Vec<_>>(), ["gain", "weight"]);
        let found = files.read_int8("weight", &[64, 40])?;
        let params = files.load(spec(), &own(&spec(), &TreePath::ROOT, ""))?;
        Ok((params, found, parts))
    }

    #[test]
    fn a_matrix_of_eight_bits_is_read_as_it_was_rounded_and_widened() {
        let (params, found, parts) = read_changed(|_| {}).unwrap();
        assert_eq!((&found, &found.outliers[..]), (&parts, &[3, 39][..]));
        let exact = Params::init(spec(), 1);
        for (i, (wide, exact)) in params.view().weight.iter().zip(exact.view().weight).enumerate() {
            let factor = if i % 40 == 3 {
                30.0
            } else if i % 40 == 39 {
                50.0
            } else {
                1.0
            };
            let bound = if factor > 1.0 { 0.0 } else { 0.51 * parts.scales[i / 40] };
            assert!((wide - factor * exact).abs() <= bound, "{i}: {wide} for {exact}");
        }
        assert_eq!(params.view().gain, exact.view().gain);
        let mut memory = vec![f32::NAN; Int8::size(64, 40)];
        Int8::assemble(&found, 64, 40, &mut memory);
        assert_eq!(Int8::new(&memory, 64, 40).parts(), parts);
    }

    #[test]
    fn what_does_not_belong_together_is_refused_by_name() {
        let without =
            |suffix: &'static str| move |tensors: &mut Vec<Tensor>| tensors.retain(|t| !t.name.ends_with(suffix));
        for (suffix, named) in
            [(SCALE, "weight_scale is missing"), (OUTLIER_WEIGHTS, "weight_outlier_weights is missing")]
        {
            let error = read_changed(without(suffix)).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        let error = read_changed(|tensors| tensors[2].values.to_mut()[1] = 40.0).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("tensor weight") && error.contains("outliers that are not columns"), "{error}");
        let error =
            read_changed(|tensors| tensors[0].values.to_mut()[..2].fill(65.0)).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("tensor weight") && error.contains("more than 128"), "{error}");
        let error = read_changed(|tensors| tensors[1].dtype = Dtype::F16).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("weight_scale") && error.contains("F16"), "{error}");
        let error = read_changed(|tensors| drop(tensors.remove(2))).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("tensor weight") && error.contains("does not say which columns"), "{error}");
    }
}
