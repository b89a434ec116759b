//! Describes where a file has the leaves of a parameter tree, by a tree of the same type whose leaves are `Places`.
//!
//! Functions that read, write or check a file walk the parameters and their places together. They do not know what
//! model it is: a family makes the tree of places, field by field or from the paths of the parameter tree itself
//! (`own`).

use super::positions::{self, Filter};
use super::tensors::TensorFiles;
use super::{CheckpointError, Dtype, check, safetensors};
use crate::params::{Params, Role, Spec};
use crate::tree::{Path as TreePath, Tree};
use rayon::prelude::*;
use safetensors::Tensor;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

/// Where a file has the values of a leaf.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    /// The tensor of this name holds the leaf as it is.
    Whole(String),
    /// The tensor of this name holds the leaf with rows and columns exchanged.
    Transposed(String),
    /// The tensors of these names hold the leaf's rows one below the other, each so many shares of them.
    Stacked(Vec<(String, usize)>),
    /// The tensor of this name holds the leaf behind this many dimensions of size 1.
    Behind(String, usize),
    /// The tensor of this name has the leaf's rows among others. It is only read.
    Rows(String, Picked),
    /// The tensor of this name holds a table of positions that is resampled.
    Grid(String, Grid),
    /// No tensor holds the leaf. It is the identity matrix, since without a projection the pooled state is the
    /// embedding.
    Identity,
    /// No tensor holds the leaf. Its value is this number, which the caller asked for.
    Number(f32),
}

/// The rows of a matrix that make a leaf.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Picked {
    /// The shape of the matrix.
    pub stored: [usize; 2],
    pub rows: Vec<u32>,
}

/// A table of positions, and the grids of patches that it is for and that the leaf is for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grid {
    /// The shape of the tensor.
    pub stored: Vec<usize>,
    /// The rows and columns of the table's grid.
    pub from: [usize; 2],
    /// The rows and columns of the leaf's grid.
    pub to: [usize; 2],
    pub filter: Filter,
}

/// The places of a leaf. A tied leaf has several, which hold the same values; a leaf that the scheme has no name for
/// has none.
pub(crate) type Places = Vec<Place>;

/// A leaf that a file must have: its name and shape in the parameter tree, and its places in the file.
pub(crate) struct Expected {
    pub name: String,
    pub shape: Vec<usize>,
    pub places: Places,
}

/// Returns the places of a leaf that one tensor of the file holds as it is.
pub(crate) fn whole(name: impl Into<String>) -> Places {
    vec![Place::Whole(name.into())]
}

/// Returns places named by the paths of the tree itself: the tree begins at `at`, and every name has the prefix.
pub(crate) fn own<S: Tree>(tree: &S, at: &TreePath, prefix: &str) -> S::Of<Places> {
    tree.map(at, &mut |path, _| path.names().iter().map(|name| Place::Whole(format!("{prefix}{name}"))).collect())
}

/// Returns the leaves that a file must have for these parameters.
pub(crate) fn expected<S: Tree<Leaf = Spec>>(spec: &S, places: &S::Of<Places>, at: &TreePath) -> Vec<Expected> {
    let leaves = described(spec, places, at).into_iter();
    leaves.map(|(name, Spec { shape, .. }, places)| Expected { name, shape, places }).collect()
}

/// Lists every leaf of a table of parameters: its name, its description, and its places in a file.
#[track_caller]
pub(super) fn described<S: Tree<Leaf = Spec>>(
    spec: &S,
    places: &S::Of<Places>,
    at: &TreePath,
) -> Vec<(String, Spec, Places)> {
    let mut leaves = vec![];
    spec.map(at, &mut |path, spec| leaves.push((path.to_string(), spec.clone())));
    beside(leaves, places, at)
}

/// Pairs every leaf with its places. Both trees have the same type, and their paths are compared.
#[track_caller]
fn beside<L>(leaves: Vec<(String, L)>, places: &impl Tree<Leaf = Places>, at: &TreePath) -> Vec<(String, L, Places)> {
    let mut leaves = leaves.into_iter();
    let mut beside = vec![];
    places.map(at, &mut |path, places| {
        let (name, leaf) = leaves.next().expect("as many leaves as places");
        assert_eq!(name, path.to_string(), "parameters and places are two trees");
        beside.push((name, leaf, places.clone()));
    });
    assert!(leaves.next().is_none(), "as many places as leaves");
    beside
}

/// Reads a parameter tree from a file that holds this tree and nothing else, under the names that its paths have from
/// `at`.
///
/// # Errors
/// Returns an error if the file cannot be read, or if its tensors are not exactly those of the tree.
pub fn load_params<S: Tree<Leaf = Spec>>(path: &Path, spec: S, at: &TreePath) -> Result<Params<S>, CheckpointError> {
    let files = TensorFiles::open(path)?;
    let places = own(&spec, at, "");
    files.check(&expected(&spec, &places, at), |_| false)?;
    files.load(spec, &places)
}

/// Writes a file that holds a parameter tree at its places and nothing else. Counts are written as integers.
///
/// # Errors
/// Returns an error if a leaf has no place, if a value is too large for the type, or if the file cannot be written.
pub(crate) fn write_params<S: Tree<Leaf = Spec>>(
    path: &Path,
    params: &Params<S>,
    places: &S::Of<Places>,
    dtype: Dtype,
) -> Result<(), CheckpointError> {
    let mut tensors = vec![];
    for (name, spec, places, values) in leaves(params, places) {
        if places.is_empty() {
            return Err(CheckpointError::NoName { path: path.into(), tensor: name });
        }
        let dtype = if spec.role == Role::Count { Dtype::I64 } else { dtype };
        tensors.extend(places.into_iter().flat_map(|place| placed(place, spec.shape.clone(), values, dtype)));
    }
    safetensors::write(path, &tensors, [("format", "pt")])
}

/// Lists every leaf: its name, its description, its places in a file, and its values.
pub(super) fn leaves<'a, S: Tree<Leaf = Spec>>(
    params: &'a Params<S>,
    places: &S::Of<Places>,
) -> Vec<(String, Spec, Places, &'a [f32])> {
    let mut views = vec![];
    params.view().map(&TreePath::ROOT, &mut |_, values| views.push(*values));
    let leaves = described(&params.spec, places, &TreePath::ROOT).into_iter().zip(views);
    leaves.map(|((name, spec, places), values)| (name, spec, places, values)).collect()
}

/// Returns the tensors that a file holds for a leaf at this place.
pub(super) fn placed(place: Place, shape: Vec<usize>, values: &[f32], dtype: Dtype) -> Vec<Tensor<'_>> {
    match place {
        Place::Whole(name) | Place::Grid(name, _) => {
            vec![Tensor { name, shape, values: Cow::Borrowed(values), dtype }]
        }
        Place::Behind(name, ones) => {
            vec![Tensor { name, shape: behind(&shape, ones), values: Cow::Borrowed(values), dtype }]
        }
        Place::Transposed(name) => {
            let mut transposed = vec![0.0; values.len()];
            transpose(values, shape[0], &mut transposed);
            let shape = shape.into_iter().rev().collect();
            vec![Tensor { name, shape, values: Cow::Owned(transposed), dtype }]
        }
        Place::Stacked(names) => {
            let (mut rest, shares) = (values, shares(&names));
            let tensor = |(name, share): (String, usize)| {
                let values = rest.split_off(..values.len() / shares * share).expect("the shares are all");
                Tensor { name, shape: part(&shape, share, shares), values: Cow::Borrowed(values), dtype }
            };
            names.into_iter().map(tensor).collect()
        }
        Place::Rows(..) | Place::Identity | Place::Number(_) => vec![],
    }
}

/// Returns the shape of so many of these shares of the rows.
fn part(shape: &[usize], share: usize, shares: usize) -> Vec<usize> {
    [&[shape[0] / shares * share], &shape[1..]].concat()
}

/// Returns the number of shares of all tensors.
fn shares(names: &[(String, usize)]) -> usize {
    names.iter().map(|(_, share)| share).sum()
}

/// Returns the shape behind this many dimensions of size 1.
fn behind(shape: &[usize], ones: usize) -> Vec<usize> {
    [&vec![1; ones], shape].concat()
}

impl Place {
    /// Returns the place of a leaf whose rows are in tensors of these names, as many in each.
    pub(crate) fn stacked(names: impl IntoIterator<Item = String>) -> Place {
        Place::Stacked(names.into_iter().map(|name| (name, 1)).collect())
    }

    /// Returns the names and shapes of the tensors that hold a leaf of this shape.
    pub(super) fn tensors(&self, shape: &[usize]) -> Vec<(&str, Vec<usize>)> {
        match self {
            Place::Whole(name) => vec![(name, shape.to_vec())],
            Place::Behind(name, ones) => vec![(name, behind(shape, *ones))],
            Place::Grid(name, grid) => vec![(name, grid.stored.clone())],
            Place::Rows(name, picked) => vec![(name, picked.stored.to_vec())],
            Place::Transposed(name) => vec![(name, shape.iter().rev().copied().collect())],
            Place::Stacked(names) => {
                let shares = shares(names);
                names.iter().map(|(name, share)| (name.as_str(), part(shape, *share, shares))).collect()
            }
            Place::Identity | Place::Number(_) => vec![],
        }
    }

    /// Returns the names of the tensors that hold the leaf.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Place::Whole(name) | Place::Behind(name, _) | Place::Grid(name, _) | Place::Transposed(name) => vec![name],
            Place::Rows(name, _) => vec![name],
            Place::Stacked(names) => names.iter().map(|(name, _)| name.as_str()).collect(),
            Place::Identity | Place::Number(_) => vec![],
        }
    }

    /// Returns the name of the place in messages.
    fn name(&self) -> &str {
        match self {
            Place::Whole(name) | Place::Behind(name, _) | Place::Grid(name, _) | Place::Transposed(name) => name,
            Place::Rows(name, _) => name,
            Place::Stacked(names) => names.first().map_or("nothing", |(name, _)| name),
            Place::Identity => "an identity",
            Place::Number(_) => "a number",
        }
    }
}

impl TensorFiles {
    /// Returns the shape of a leaf, taken from the first of its places that the files have.
    pub(crate) fn shape_of(&self, places: &[Place]) -> Option<Vec<usize>> {
        places.iter().find_map(|place| self.shape_at(place))
    }

    fn shape_at(&self, place: &Place) -> Option<Vec<usize>> {
        match place {
            Place::Whole(name) | Place::Grid(name, _) => self.shape(name).map(<[usize]>::to_vec),
            Place::Behind(name, ones) => {
                let shape = self.shape(name)?;
                let ones = ones * usize::from(shape.starts_with(&vec![1; *ones]));
                Some(shape[ones..].to_vec())
            }
            Place::Transposed(name) => self.shape(name).map(|shape| shape.iter().rev().copied().collect()),
            Place::Stacked(names) => {
                let (name, share) = names.first()?;
                let mut shape = self.shape(name)?.to_vec();
                *shape.first_mut()? = (shape[0] / share).checked_mul(shares(names))?;
                Some(shape)
            }
            Place::Rows(name, picked) => self.shape(name).map(|_| vec![picked.rows.len(), picked.stored[1]]),
            Place::Identity => None,
            Place::Number(_) => Some(vec![]),
        }
    }

    /// Reads a leaf of this shape from one of its places.
    pub(crate) fn read_at(&self, place: &Place, shape: &[usize], out: &mut [f32]) -> Result<(), CheckpointError> {
        match place {
            Place::Whole(name) => self.read(name, shape, out),
            Place::Behind(name, ones) => self.read(name, &behind(shape, *ones), out),
            Place::Rows(name, Picked { stored, rows }) => self.read_rows(name, *stored, rows, out),
            Place::Grid(name, Grid { stored, from, to, .. }) if from == to => self.read(name, stored, out),
            Place::Grid(name, Grid { stored, from, to, filter }) => {
                let mut table = vec![0.0; stored.iter().product()];
                self.read(name, stored, &mut table)?;
                let width = *shape.last().expect("a table");
                positions::resize((&table, *from), (out, *to), width, *filter);
                Ok(())
            }
            Place::Transposed(name) => {
                let [rows, columns] = *shape else { panic!("{name} {shape:?} is not a matrix") };
                let mut transposed = vec![0.0; out.len()];
                self.read(name, &[columns, rows], &mut transposed)?;
                transpose(&transposed, columns, out);
                Ok(())
            }
            Place::Stacked(names) => {
                let (share_len, shares, mut rest) = (out.len() / shares(names), shares(names), out);
                names.iter().try_for_each(|(name, share)| {
                    let out = rest.split_off_mut(..share_len * share).expect("the shares are all");
                    self.read(name, &part(shape, *share, shares), out)
                })
            }
            Place::Identity => {
                out.fill(0.0);
                out.iter_mut().step_by(shape[1] + 1).for_each(|diagonal| *diagonal = 1.0);
                Ok(())
            }
            Place::Number(number) => {
                out.fill(*number);
                Ok(())
            }
        }
    }

    /// Checks that the files have exactly these leaves, apart from foreign tensors, without reading any values. A tied
    /// leaf needs only one of its places.
    ///
    /// # Errors
    /// Returns an error if a tensor is missing, has another shape, or belongs to no leaf and is not foreign.
    pub(crate) fn check(&self, leaves: &[Expected], is_foreign: impl Fn(&str) -> bool) -> Result<(), CheckpointError> {
        let mut placed = BTreeSet::new();
        for Expected { name, shape, places } in leaves {
            let present = |place: &&Place| self.shape_at(place).is_some();
            let first = places.iter().find(present).or(places.first()).ok_or_else(|| self.missing(name))?;
            let others = places.iter().filter(|&place| place != first && present(&place));
            for place in std::iter::once(first).chain(others) {
                for (tensor, shape) in place.tensors(shape) {
                    let found = self.shape(tensor).ok_or_else(|| self.missing(tensor))?;
                    check::shape(self.path(), tensor, found, &shape)?;
                    placed.insert(tensor);
                }
            }
        }
        let names = self.names();
        let has_place = |name: &&String| placed.contains(name.as_str()) || is_foreign(name);
        let tensors: Vec<String> = names.iter().filter(|name| !has_place(name)).cloned().collect();
        let path = self.path();
        if tensors.is_empty() { Ok(()) } else { Err(CheckpointError::Unexpected { path: path.into(), tensors }) }
    }

    /// Reads a parameter tree from its places.
    ///
    /// # Errors
    /// Returns an error if the files have none of the places of a leaf, or if the places of a tied leaf hold different
    /// values.
    pub(crate) fn load<S: Tree<Leaf = Spec>>(
        &self,
        spec: S,
        places: &S::Of<Places>,
    ) -> Result<Params<S>, CheckpointError> {
        let mut params = Params::zeros(spec);
        self.load_into(&mut params, places)?;
        Ok(params)
    }

    /// Reads a parameter tree from its places into memory that is there.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`load`](Self::load).
    pub(crate) fn load_into<S: Tree<Leaf = Spec>>(
        &self,
        params: &mut Params<S>,
        places: &S::Of<Places>,
    ) -> Result<(), CheckpointError> {
        let leaves = params.named_mut(&TreePath::ROOT).into_iter();
        let leaves = leaves.map(|(mut names, spec, out)| (names.swap_remove(0), (spec, out))).collect();
        let results: Vec<_> = beside(leaves, places, &TreePath::ROOT)
            .into_par_iter()
            .map(|(name, (spec, out), places)| self.fill(&name, &places, &spec.shape, out))
            .collect();
        results.into_iter().collect()
    }

    /// Reads a leaf from the first of its places that the files have, and compares it with the other places.
    pub(super) fn fill(
        &self,
        name: &str,
        places: &[Place],
        shape: &[usize],
        out: &mut [f32],
    ) -> Result<(), CheckpointError> {
        let (mut first, mut missing) = (None, None);
        let mut twin = vec![0.0; if places.len() > 1 { out.len() } else { 0 }];
        for place in places {
            let result = self.read_at(place, shape, if first.is_none() { &mut *out } else { &mut twin });
            match (result, first) {
                (Err(error @ CheckpointError::Missing { .. }), _) => missing = missing.or(Some(error)),
                (Err(error), _) => return Err(error),
                (Ok(()), None) => first = Some(place),
                (Ok(()), Some(first)) if twin != *out => {
                    let tensors = [first.name().into(), place.name().into()];
                    return Err(CheckpointError::Tied { path: self.path().into(), tensors });
                }
                (Ok(()), Some(_)) => {}
            }
        }
        if first.is_some() { Ok(()) } else { Err(missing.unwrap_or_else(|| self.missing(name))) }
    }
}

/// out = xᵀ
///
/// `x` (rows,columns), `out` (columns,rows)
fn transpose(x: &[f32], rows: usize, out: &mut [f32]) {
    let columns = x.len() / rows.max(1);
    for (i, row) in x.chunks_exact(columns.max(1)).enumerate() {
        row.iter().enumerate().for_each(|(j, &value)| out[j * rows + i] = value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::safetensors::{Reader, write};
    use crate::params::Init;
    use crate::tree::tree;

    tree!(Words { table as "words.weight" also "head.weight", bias });
    tree!(Tied { text as "encoder" also "decoder": Words, scale });

    const NAMES: [&str; 7] = [
        "decoder.bias",
        "decoder.head.weight",
        "decoder.words.weight",
        "encoder.bias",
        "encoder.head.weight",
        "encoder.words.weight",
        "scale",
    ];

    fn tied() -> Tied<Spec> {
        let init = Init::Normal(1.0);
        Tied {
            text: Words { table: Spec::table(5, 3, init), bias: Spec::new(&[5], init) },
            scale: Spec::new(&[], init),
        }
    }

    /// Returns the parameters in a file whose tensors `change` has altered, or the error.
    fn read_changed(change: impl Fn(&mut Vec<Tensor>)) -> Result<Params<Tied<Spec>>, CheckpointError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tied.safetensors");
        let params = Params::init(tied(), 1);
        let mut tensors = vec![];
        for (name, spec, values) in params.named(&TreePath::ROOT) {
            tensors.extend(placed(Place::Whole(name), spec.shape, values, Dtype::F32));
        }
        change(&mut tensors);
        write(&path, &tensors, []).unwrap();
        load_params(&path, tied(), &TreePath::ROOT)
    }

    #[test]
    fn a_tied_tensor_is_written_under_all_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tied.safetensors");
        let params = Params::init(tied(), 1);
        write_params(&path, &params, &own(&tied(), &TreePath::ROOT, ""), Dtype::F32).unwrap();
        let file = Reader::open(&path).unwrap();
        let mut names = file.names();
        names.sort();
        assert_eq!(names, NAMES);
        for name in &names[1..3] {
            let mut table = [0.0; 15];
            file.read(name, &[5, 3], &mut table).unwrap();
            assert_eq!(table, params.view().text.table, "{name}");
        }
        assert!(load_params(&path, tied(), &TreePath::ROOT).unwrap().flat == params.flat);
    }

    /// Some libraries write a tied tensor under only one of its names.
    #[test]
    fn one_name_of_a_tied_tensor_is_enough() {
        for kept in ["encoder.words", "encoder.head", "decoder.words", "decoder.head"] {
            let keep = |name: &str| name.starts_with(kept) || !name.ends_with("weight");
            let read = read_changed(|tensors| tensors.retain(|tensor| keep(&tensor.name))).unwrap();
            assert!(read.flat == Params::init(tied(), 1).flat, "{kept}");
        }
        let missing = read_changed(|tensors| tensors.retain(|tensor| !tensor.name.ends_with("weight")));
        assert!(missing.unwrap_err().to_string().ends_with("tensor encoder.words.weight is missing"));
    }

    #[test]
    fn tied_tensors_that_differ_are_named() {
        let spoil = |name: &'static str| {
            move |tensors: &mut Vec<Tensor>| {
                let tensor = tensors.iter_mut().find(|tensor| tensor.name == name).unwrap();
                tensor.values.to_mut()[3] += 1.0;
            }
        };
        for name in ["encoder.head.weight", "decoder.words.weight", "decoder.head.weight"] {
            let error = read_changed(spoil(name)).unwrap_err().to_string();
            assert!(error.ends_with(&format!("encoder.words.weight and {name} are one in this model, and differ")));
        }
        assert!(read_changed(spoil("decoder.bias")).unwrap_err().to_string().contains("encoder.bias and decoder.bias"));
        let shorter = read_changed(|tensors| {
            let tensor = tensors.iter_mut().find(|tensor| tensor.name == "decoder.bias").unwrap();
            tensor.shape = vec![4];
            tensor.values.to_mut().truncate(4);
        });
        assert!(shorter.unwrap_err().to_string().contains("decoder.bias has shape [4]"));
    }
}
