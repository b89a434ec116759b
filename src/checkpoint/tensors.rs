//! Finds and reads the tensors of a model, which may be in one file or in several.

use super::dtype::{Dtype, Stored};
use super::json::read_json;
use super::wrappers::unwrapped;
use super::{CheckpointError, foreign, pickle, safetensors};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// The tensors that belong to a [matrix of eight bits](super::int8), by what is behind its name.
pub(super) const SCALE: &str = "_scale";
pub(super) const OUTLIERS: &str = "_outliers";
pub(super) const OUTLIER_WEIGHTS: &str = "_outlier_weights";

/// Returns the name of the matrix that a tensor would belong to.
fn matrix_of(name: &str) -> Option<&str> {
    [SCALE, OUTLIERS, OUTLIER_WEIGHTS].iter().find_map(|suffix| name.strip_suffix(suffix))
}

/// The type of the numbers of a matrix of eight bits.
const INT8: Option<Stored> = Some(Stored::Known(Dtype::I8));

/// The open files of a model, and which of them holds which tensor.
pub(crate) struct TensorFiles {
    path: PathBuf,
    files: Vec<Reader>,
    /// The position in `files` of the file that holds each tensor, and the tensor's name there. The key is its name
    /// without wrappers.
    index: BTreeMap<String, (usize, String)>,
}

/// An open file of one of the two formats.
enum Reader {
    Safetensors(safetensors::Reader),
    Pickle(pickle::Reader),
}

/// The contents of an index such as `model.safetensors.index.json`.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, PathBuf>,
}

impl TensorFiles {
    /// Opens a safetensors file, a file of `torch.save`, or an index together with the shards beside it.
    pub(crate) fn open(path: &Path) -> Result<TensorFiles, CheckpointError> {
        if path.extension().is_some_and(|extension| extension == "json") {
            return TensorFiles::open_shards(path);
        }
        let mut files = TensorFiles { path: path.into(), files: vec![], index: BTreeMap::new() };
        files.add(path)?;
        Ok(files)
    }

    fn open_shards(path: &Path) -> Result<TensorFiles, CheckpointError> {
        let json = read_json(path)?;
        if json.is_object() && json.get("weight_map").is_none() {
            return Err(foreign::json(path));
        }
        let invalid = |source| CheckpointError::Json { path: path.into(), source };
        let Index { weight_map } = Index::deserialize(json).map_err(invalid)?;
        let mut files = TensorFiles { path: path.into(), files: vec![], index: BTreeMap::new() };
        let shards: BTreeSet<&PathBuf> = weight_map.values().collect();
        for shard in shards {
            // An index may name only files beside itself, not others on the disk.
            if !matches!(shard.components().collect::<Vec<_>>()[..], [Component::Normal(_)]) {
                return Err(CheckpointError::NotBeside { path: path.into(), shard: shard.clone() });
            }
            files.add(&path.with_file_name(shard))?;
        }
        let held: BTreeSet<&String> = files.index.values().map(|(_, name)| name).collect();
        match weight_map.keys().find(|name| !held.contains(name)) {
            Some(name) => Err(CheckpointError::Missing { path: path.into(), tensor: name.clone() }),
            None => Ok(files),
        }
    }

    fn add(&mut self, path: &Path) -> Result<(), CheckpointError> {
        let file = Reader::open(path)?;
        let mut uses: BTreeMap<String, usize> = BTreeMap::new();
        file.names().iter().for_each(|tensor| *uses.entry(unwrapped(tensor)).or_default() += 1);
        // What belongs to a matrix of eight bits is read with it.
        let is_part = |name: &str| matrix_of(name).is_some_and(|matrix| file.dtype(matrix) == INT8);
        for tensor in file.names().into_iter().filter(|name| !is_part(name)) {
            // Names that would become equal stay as they are.
            let name = Some(unwrapped(&tensor)).filter(|name| uses[name] == 1).unwrap_or_else(|| tensor.clone());
            if self.index.contains_key(&name) {
                return Err(CheckpointError::Twice { path: path.into(), tensor });
            }
            self.index.insert(name, (self.files.len(), tensor));
        }
        self.files.push(file);
        Ok(())
    }

    /// Returns the path that was opened: the file of weights, or the index of several.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the paths of the files that hold the tensors.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| match file {
            Reader::Safetensors(file) => file.path(),
            Reader::Pickle(file) => file.path(),
        })
    }

    /// Returns the names of all tensors, without wrappers.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.index.keys().cloned().collect()
    }

    /// Returns the number types of the parameters among the tensors, each type once. Counts are not parameters.
    pub(crate) fn dtypes(&self, is_parameter: impl Fn(&str) -> bool) -> Vec<String> {
        let dtypes = self.index.keys().filter(|name| is_parameter(name)).filter_map(|name| self.dtype(name));
        let mut dtypes: Vec<String> =
            dtypes.filter(|dtype| *dtype != Stored::Known(Dtype::I64)).map(|dtype| dtype.to_string()).collect();
        dtypes.sort();
        dtypes.dedup();
        dtypes
    }

    /// Returns the outermost keys of the files of `torch.save`, and whether each key holds a dictionary or a list,
    /// which can hold more than one tensor.
    pub(crate) fn keys(&self) -> Result<BTreeMap<String, bool>, CheckpointError> {
        let mut keys = BTreeMap::new();
        for file in &self.files {
            if let Reader::Pickle(file) = file {
                keys.extend(file.outermost()?.into_iter().map(|(key, holds_more)| (unwrapped(&key), holds_more)));
            }
        }
        Ok(keys)
    }

    /// Returns the shape of a tensor, or `None` if no file has it.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        match self.file(name)? {
            (Reader::Safetensors(file), name) => file.shape(name),
            (Reader::Pickle(file), name) => file.shape(name),
        }
    }

    /// Returns the type of a tensor's numbers, or `None` if no file has it.
    pub(crate) fn dtype(&self, name: &str) -> Option<Stored> {
        self.file(name).and_then(|(file, name)| file.dtype(name))
    }

    /// Returns the shape of what belongs to a matrix of eight bits, by what is behind its name.
    pub(super) fn part_shape(&self, name: &str, suffix: &str) -> Option<&[usize]> {
        match self.file(name)? {
            (Reader::Safetensors(file), name) => file.shape(&format!("{name}{suffix}")),
            (Reader::Pickle(_), _) => None,
        }
    }

    /// Reads the numbers of a matrix of eight bits.
    pub(super) fn read_i8(&self, name: &str, shape: &[usize], out: &mut [i8]) -> Result<(), CheckpointError> {
        match self.file(name) {
            Some((Reader::Safetensors(file), name)) => file.read_i8(name, shape, out),
            _ => Err(self.missing(name)),
        }
    }

    /// Reads what belongs to a matrix of eight bits, by what is behind its name.
    pub(super) fn read_as(
        &self,
        name: &str,
        suffix: &str,
        dtype: Dtype,
        shape: &[usize],
        out: &mut [f32],
    ) -> Result<(), CheckpointError> {
        match self.file(name) {
            Some((Reader::Safetensors(file), name)) => file.read_as(&format!("{name}{suffix}"), dtype, shape, out),
            _ => Err(self.missing(name)),
        }
    }

    /// Reads a tensor of this shape and converts it to f32. A scalar may be stored as a vector of one element. A matrix
    /// of eight bits is widened.
    pub(crate) fn read(&self, name: &str, shape: &[usize], out: &mut [f32]) -> Result<(), CheckpointError> {
        match self.file(name) {
            Some((file, own)) if file.dtype(own) == INT8 => self.widen_int8(name, shape, out),
            Some((Reader::Safetensors(file), name)) => file.read(name, shape, out),
            Some((Reader::Pickle(file), name)) => file.read(name, shape, out),
            None => Err(self.missing(name)),
        }
    }

    /// Whether a part of a tensor can be read without the rest: if it is in a safetensors file, in 16 or 32 bits.
    pub(super) fn has_parts(&self, name: &str) -> bool {
        matches!(self.file(name), Some((Reader::Safetensors(_), _))) && self.dtype(name) != INT8
    }

    /// Reads values of a tensor that [has parts](Self::has_parts), from the one at `first` on, on this thread.
    pub(super) fn read_part(
        &self,
        name: &str,
        shape: &[usize],
        first: usize,
        out: &mut [f32],
    ) -> Result<(), CheckpointError> {
        match self.file(name) {
            Some((Reader::Safetensors(file), name)) => file.read_part(name, shape, first, out),
            _ => Err(self.missing(name)),
        }
    }

    /// Reads these rows of a matrix. Of a safetensors file no others are read.
    ///
    /// `shape` is the matrix's (V,d), `out` (N,d)
    pub(crate) fn read_rows(
        &self,
        name: &str,
        shape: [usize; 2],
        rows: &[u32],
        out: &mut [f32],
    ) -> Result<(), CheckpointError> {
        match self.file(name) {
            Some((Reader::Safetensors(file), name)) => file.read_rows(name, shape, rows, out),
            Some((Reader::Pickle(file), name)) => {
                let mut matrix = vec![0.0; shape[0] * shape[1]];
                file.read(name, &shape, &mut matrix)?;
                kernels::embedding::gather(&matrix, rows, shape[1], out);
                Ok(())
            }
            None => Err(self.missing(name)),
        }
    }

    /// Returns the file that holds a tensor, and the tensor's name there.
    fn file(&self, name: &str) -> Option<(&Reader, &str)> {
        self.index.get(name).map(|(file, name)| (&self.files[*file], name.as_str()))
    }

    pub(super) fn missing(&self, name: &str) -> CheckpointError {
        CheckpointError::Missing { path: self.path.clone(), tensor: name.into() }
    }
}

impl Reader {
    /// Opens a file in the format that its first bytes show, whatever its name is.
    fn open(path: &Path) -> Result<Reader, CheckpointError> {
        // The bytes that begin the first entry of a ZIP archive, or the end record of an empty one.
        const ZIP: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];
        // The byte that begins a pickle, before the version of its protocol. Files from before PyTorch 1.6 begin so
        // too.
        const PICKLE: u8 = 0x80;
        let io = |source| CheckpointError::Io { path: path.into(), source };
        // Opening a pipe would wait for a writer.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(io(std::io::Error::other("not a file")));
        }
        let mut start = vec![];
        File::open(path).and_then(|file| file.take(foreign::START as u64).read_to_end(&mut start)).map_err(io)?;
        if foreign::is_safetensors(&start, safetensors::MAX_HEADER) {
            return safetensors::Reader::open(path).map(Reader::Safetensors);
        }
        if ZIP.iter().any(|magic| start.starts_with(magic)) || matches!(start[..], [PICKLE, 2..=5, ..]) {
            return pickle::Reader::open(path).map(Reader::Pickle);
        }
        foreign::refuse(path, &start)?;
        safetensors::Reader::open(path).map(Reader::Safetensors)
    }

    /// Returns the type of a tensor's numbers, or `None` if the file does not have it.
    fn dtype(&self, name: &str) -> Option<Stored> {
        match self {
            Reader::Safetensors(file) => file.dtype(name),
            Reader::Pickle(file) => file.dtype(name),
        }
    }

    fn names(&self) -> Vec<String> {
        match self {
            Reader::Safetensors(file) => file.names(),
            Reader::Pickle(file) => file.names(),
        }
    }
}
