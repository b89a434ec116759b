//! The tensors of a model, in one file or spread over several.

use super::names::{Place, Scheme};
use super::{CheckpointError, check, pickle, safetensors};
use crate::params::{Params, Spec};
use crate::tree::{Path as TreePath, Tree};
use rayon::prelude::*;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// Open files and who holds which tensor.
pub struct Weights {
    path: PathBuf,
    files: Vec<Reader>,
    /// Tensor name to file.
    index: BTreeMap<String, usize>,
}

enum Reader {
    Safetensors(safetensors::Reader),
    Pickle(pickle::Reader),
}

/// `model.safetensors.index.json`
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, PathBuf>,
}

impl Weights {
    /// A safetensors file, a file of `torch.save`, or the index of the shards beside it.
    pub fn open(path: &Path) -> Result<Weights, CheckpointError> {
        if path.extension().is_some_and(|extension| extension == "json") {
            return Weights::open_shards(path);
        }
        let mut weights = Weights { path: path.into(), files: vec![], index: BTreeMap::new() };
        weights.add(path)?;
        Ok(weights)
    }

    fn open_shards(path: &Path) -> Result<Weights, CheckpointError> {
        let invalid = |reason| CheckpointError::Config { path: path.into(), reason };
        let text = std::fs::read(path).map_err(|source| CheckpointError::Io { path: path.into(), source })?;
        let Index { weight_map } = serde_json::from_slice(&text).map_err(|e| invalid(e.to_string()))?;
        let mut weights = Weights { path: path.into(), files: vec![], index: BTreeMap::new() };
        let shards: BTreeSet<&PathBuf> = weight_map.values().collect();
        for shard in shards {
            // An index speaks of files beside itself, not of others on the disk.
            if !matches!(shard.components().collect::<Vec<_>>()[..], [Component::Normal(_)]) {
                return Err(invalid(format!("{:?} is not a file beside it", shard.display())));
            }
            weights.add(&path.with_file_name(shard))?;
        }
        match weight_map.keys().find(|&name| !weights.index.contains_key(name)) {
            Some(name) => Err(CheckpointError::Missing { path: path.into(), tensor: name.clone() }),
            None => Ok(weights),
        }
    }

    fn add(&mut self, path: &Path) -> Result<(), CheckpointError> {
        let file = Reader::open(path)?;
        for tensor in file.names() {
            if self.index.contains_key(&tensor) {
                return Err(CheckpointError::Twice { path: path.into(), tensor });
            }
            self.index.insert(tensor, self.files.len());
        }
        self.files.push(file);
        Ok(())
    }

    /// What was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that hold the tensors.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| match file {
            Reader::Safetensors(file) => file.path(),
            Reader::Pickle(file) => file.path(),
        })
    }

    /// All tensors.
    pub fn names(&self) -> BTreeSet<String> {
        self.index.keys().cloned().collect()
    }

    /// The shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        match self.file(name)? {
            Reader::Safetensors(file) => file.shape(name),
            Reader::Pickle(file) => file.shape(name),
        }
    }

    /// The type of a tensor's numbers, if it is there.
    pub fn dtype(&self, name: &str) -> Option<String> {
        match self.file(name)? {
            Reader::Safetensors(file) => file.dtype(name),
            Reader::Pickle(file) => file.dtype(name),
        }
    }

    /// Reads a tensor of this shape, converted to f32. A scalar may be stored as a vector of one.
    pub fn read(&self, name: &str, shape: &[usize], out: &mut [f32]) -> Result<(), CheckpointError> {
        match self.file(name) {
            Some(Reader::Safetensors(file)) => file.read(name, shape, out),
            Some(Reader::Pickle(file)) => file.read(name, shape, out),
            None => Err(self.missing(name)),
        }
    }

    /// The shape that our tensor `name` has in this file, if it is there.
    pub fn shape_of(&self, scheme: &Scheme, name: &str) -> Option<Vec<usize>> {
        match scheme.place(name)? {
            Place::Whole(theirs) => self.shape(&theirs).map(<[usize]>::to_vec),
            Place::Transposed(theirs) => self.shape(&theirs).map(|shape| shape.iter().rev().copied().collect()),
            Place::Thirds([first, ..]) => {
                let mut shape = self.shape(&first)?.to_vec();
                *shape.first_mut()? = shape[0].checked_mul(3)?;
                Some(shape)
            }
            Place::Identity => None,
        }
    }

    /// Reads our tensor `name` from where the scheme puts it.
    pub fn read_ours(
        &self,
        scheme: &Scheme,
        name: &str,
        shape: &[usize],
        out: &mut [f32],
    ) -> Result<(), CheckpointError> {
        match scheme.place(name).ok_or_else(|| self.missing(name))? {
            Place::Whole(theirs) => self.read(&theirs, shape, out),
            Place::Transposed(theirs) => {
                let [rows, columns] = *shape else { panic!("{name} {shape:?} is not a matrix") };
                let mut transposed = vec![0.0; out.len()];
                self.read(&theirs, &[columns, rows], &mut transposed)?;
                transpose(&transposed, columns, out);
                Ok(())
            }
            Place::Thirds(theirs) => {
                let mut third = shape.to_vec();
                third[0] /= 3;
                let mut parts = theirs.iter().zip(out.chunks_exact_mut(out.len() / 3));
                parts.try_for_each(|(theirs, out)| self.read(theirs, &third, out))
            }
            Place::Identity => {
                out.fill(0.0);
                out.iter_mut().step_by(shape[1] + 1).for_each(|diagonal| *diagonal = 1.0);
                Ok(())
            }
        }
    }

    /// That a table of our tensors, `(names, shape)`, is exactly what the file has under the scheme; of a tied tensor's
    /// names one is enough. Reads no values.
    pub fn check(&self, scheme: &Scheme, table: &[(Vec<String>, Vec<usize>)]) -> Result<(), CheckpointError> {
        let mut placed = BTreeSet::new();
        for (names, shape) in table {
            let present = |name: &&String| self.shape_of(scheme, name).is_some();
            let first = names.iter().find(present).unwrap_or(&names[0]);
            let others = names.iter().filter(|&name| name != first && present(&name));
            for name in std::iter::once(first).chain(others) {
                self.check_tensor(scheme, name, shape, &mut placed)?;
            }
        }
        let has_place = |name: &&String| placed.contains(*name) || scheme.is_foreign(name);
        let tensors: Vec<String> = self.index.keys().filter(|name| !has_place(name)).cloned().collect();
        if tensors.is_empty() { Ok(()) } else { Err(CheckpointError::Unexpected { path: self.path.clone(), tensors }) }
    }

    /// That the file has our tensor `name` in this shape; adds what it is called there to `placed`.
    fn check_tensor(
        &self,
        scheme: &Scheme,
        name: &str,
        shape: &[usize],
        placed: &mut BTreeSet<String>,
    ) -> Result<(), CheckpointError> {
        let theirs = match scheme.place(name).ok_or_else(|| self.missing(name))? {
            Place::Whole(theirs) => vec![(theirs, shape.to_vec())],
            Place::Transposed(theirs) => vec![(theirs, shape.iter().rev().copied().collect())],
            Place::Thirds(theirs) => {
                let third = [&[shape[0] / 3], &shape[1..]].concat();
                theirs.map(|theirs| (theirs, third.clone())).into()
            }
            Place::Identity => vec![],
        };
        for (theirs, shape) in theirs {
            let found = self.shape(&theirs).ok_or_else(|| self.missing(&theirs))?;
            check::shape(&self.path, &theirs, found, &shape)?;
            placed.insert(theirs);
        }
        Ok(())
    }

    /// Reads a parameter tree, named from `at`. A tensor's values come from `read(name, shape, out)`.
    ///
    /// # Errors
    /// Of a tied tensor's names the file must have one; whatever it has under the others must be equal.
    pub fn load<S: Tree<Leaf = Spec>>(
        &self,
        spec: S,
        at: &TreePath,
        read: impl Fn(&str, &[usize], &mut [f32]) -> Result<(), CheckpointError> + Sync,
    ) -> Result<Params<S>, CheckpointError> {
        let mut params = Params::zeros(spec);
        let tensors = params.named_mut(at);
        let results: Vec<_> =
            tensors.into_par_iter().map(|(names, spec, out)| self.fill(&names, &spec.shape, out, &read)).collect();
        results.into_iter().collect::<Result<(), _>>()?;
        Ok(params)
    }

    /// Reads a tensor from the first of its names that is there, and compares it with the others.
    fn fill(
        &self,
        names: &[String],
        shape: &[usize],
        out: &mut [f32],
        read: impl Fn(&str, &[usize], &mut [f32]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        let (mut first, mut missing) = (None, Ok(()));
        let mut twin = vec![0.0; if names.len() > 1 { out.len() } else { 0 }];
        for name in names {
            let result = read(name, shape, if first.is_none() { &mut *out } else { &mut twin });
            match (result, first) {
                (Err(error @ CheckpointError::Missing { .. }), _) => missing = missing.and(Err(error)),
                (Err(error), _) => return Err(error),
                (Ok(()), None) => first = Some(name),
                (Ok(()), Some(first)) if twin != *out => {
                    let tensors = [first.clone(), name.clone()];
                    return Err(CheckpointError::Tied { path: self.path.clone(), tensors });
                }
                (Ok(()), Some(_)) => {}
            }
        }
        if first.is_some() { Ok(()) } else { missing }
    }

    fn file(&self, name: &str) -> Option<&Reader> {
        self.index.get(name).map(|&file| &self.files[file])
    }

    fn missing(&self, name: &str) -> CheckpointError {
        CheckpointError::Missing { path: self.path.clone(), tensor: name.into() }
    }
}

impl Reader {
    /// The first bytes decide, not the name.
    fn open(path: &Path) -> Result<Reader, CheckpointError> {
        const ZIP: &[u8] = b"PK\x03\x04";
        // A pickle, and in it the magic number of files before PyTorch 1.6.
        const LEGACY: &[u8] = &[0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46];
        let io = |source| CheckpointError::Io { path: path.into(), source };
        // A pipe would be waited for.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(io(std::io::Error::other("not a file")));
        }
        let mut start = vec![];
        File::open(path).and_then(|file| file.take(8).read_to_end(&mut start)).map_err(io)?;
        if start.starts_with(ZIP) || start == LEGACY {
            pickle::Reader::open(path).map(Reader::Pickle)
        } else {
            safetensors::Reader::open(path).map(Reader::Safetensors)
        }
    }

    fn names(&self) -> Vec<String> {
        match self {
            Reader::Safetensors(file) => file.names(),
            Reader::Pickle(file) => file.names(),
        }
    }
}

/// out (n,m) from x (m,n), m = `rows`.
pub(super) fn transpose(x: &[f32], rows: usize, out: &mut [f32]) {
    let columns = x.len() / rows.max(1);
    for (i, row) in x.chunks_exact(columns.max(1)).enumerate() {
        row.iter().enumerate().for_each(|(j, &value)| out[j * rows + i] = value);
    }
}
