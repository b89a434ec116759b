//! Reads and writes safetensors files, one tensor at a time: a file is never in memory as a whole.
//!
//! Tensors are read from their offsets with ordinary reads, not through a memory map. A map would need a copy as well,
//! since parameters are one block of f32. It reads no faster from a warm page cache, and it adds the pages of the file
//! to the memory of the process, on top of the copy.

use super::dtype::{Dtype, Stored};
use super::{CheckpointError, check};
use crate::counted::counted;
use crate::files::{read_exact_at, write_atomic};
use rayon::prelude::*;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The largest header in bytes that the format allows.
pub(crate) const MAX_HEADER: u64 = 100_000_000;

/// The number of bytes that are read or written at a time: few enough to stay in the second-level cache until they are
/// converted and checked.
const CHUNK: usize = 1 << 17;

/// The number of bytes that are on the stack while they are converted.
const RAW: usize = 1 << 15;

/// An open file whose header has been checked: the offsets ascend without gaps or overlaps, and the last one is the end
/// of the file.
pub struct Reader {
    path: PathBuf,
    file: File,
    header: Metadata,
    data_start: u64,
}

impl Reader {
    /// Opens a file and checks its header.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or is not a valid safetensors file.
    pub fn open(path: &Path) -> Result<Reader, CheckpointError> {
        let io = |source| CheckpointError::Io { path: path.into(), source };
        let invalid = |reason| CheckpointError::Format { path: path.into(), format: "safetensors", reason };
        let mut file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|_| invalid(format!("it has {}", counted(size, "byte"))))?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER || length + 8 > size {
            return Err(invalid(format!("it has {} and claims a header of {length}", counted(size, "byte"))));
        }
        let mut text = vec![0; length as usize];
        file.read_exact(&mut text).map_err(io)?;
        let UniqueNames = serde_json::from_slice(&text).map_err(|e| invalid(e.to_string()))?;
        let header: Metadata = serde_json::from_slice(&text).map_err(|e| invalid(e.to_string()))?;
        let data_start = 8 + length;
        let promised = data_start.saturating_add(header.data_len() as u64);
        if promised != size {
            return Err(invalid(format!("it has {}, its header promises {promised}", counted(size, "byte"))));
        }
        Ok(Reader { path: path.into(), file, header, data_start })
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the names of all tensors, in the order of the file.
    pub fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    /// Returns the free-form string that the header's metadata has for a key.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// Returns the shape of a tensor, or `None` if the file does not have it.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.header.info(name).map(|info| info.shape.as_slice())
    }

    /// Returns the type of a tensor's numbers, or `None` if the file does not have it.
    pub fn dtype(&self, name: &str) -> Option<Stored> {
        self.header.info(name).map(|info| info.dtype.into())
    }

    /// Reads a tensor of this shape and converts it to f32. A scalar may be stored as a vector of one element, and as
    /// an integer, as counts are.
    ///
    /// # Errors
    /// Returns an error if the tensor is missing, has another shape or a type that parameters cannot have, holds a
    /// value that is not finite, or cannot be read.
    pub fn read(&self, name: &str, shape: &[usize], out: &mut [f32]) -> Result<(), CheckpointError> {
        let (start, dtype) = self.start(name, shape)?;
        self.values(name, start, dtype, 0, out)
    }

    /// Reads a tensor of this shape and of this type, which parameters need not have.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`read`](Self::read).
    pub(crate) fn read_as(
        &self,
        name: &str,
        dtype: Dtype,
        shape: &[usize],
        out: &mut [f32],
    ) -> Result<(), CheckpointError> {
        let info = self.info(name, shape)?;
        let found = Stored::from(info.dtype);
        if found != Stored::Known(dtype) {
            let (path, tensor) = (self.path.clone(), name.into());
            return Err(CheckpointError::Dtype { path, tensor, found: found.to_string() });
        }
        self.values(name, self.data_start + info.data_offsets.0 as u64, dtype, 0, out)
    }

    /// Reads whole numbers of eight bits as they are.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`read`](Self::read).
    pub(crate) fn read_i8(&self, name: &str, shape: &[usize], out: &mut [i8]) -> Result<(), CheckpointError> {
        let info = self.info(name, shape)?;
        let (path, start) = (&self.path, self.data_start + info.data_offsets.0 as u64);
        if info.dtype != safetensors::Dtype::I8 {
            let found = Stored::from(info.dtype).to_string();
            return Err(CheckpointError::Dtype { path: path.into(), tensor: name.into(), found });
        }
        let read = |(i, out): (usize, &mut [i8])| {
            read_exact_at(&self.file, bytemuck::cast_slice_mut(out), start + (i * CHUNK) as u64)
                .map_err(|source| CheckpointError::Io { path: path.into(), source })
        };
        let results: Vec<_> = out.par_chunks_mut(CHUNK).enumerate().map(read).collect();
        results.into_iter().collect()
    }

    /// Reads values of a tensor of this shape from the one at `first` on, as many as `out` has, on this thread.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`read`](Self::read). Values that are not read are not checked.
    pub(crate) fn read_part(
        &self,
        name: &str,
        shape: &[usize],
        first: usize,
        out: &mut [f32],
    ) -> Result<(), CheckpointError> {
        let (start, dtype) = self.start(name, shape)?;
        let len = CHUNK / dtype.bytes();
        let mut pieces = out.chunks_mut(len).enumerate();
        pieces.try_for_each(|(i, out)| self.piece(name, start, dtype, first + i * len, out))
    }

    /// Reads these rows of a matrix and nothing else of it.
    ///
    /// `shape` is the matrix's (V,d), `out` (N,d)
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`read`](Self::read). Rows that are not read are not checked.
    pub(crate) fn read_rows(
        &self,
        name: &str,
        shape: [usize; 2],
        rows: &[u32],
        out: &mut [f32],
    ) -> Result<(), CheckpointError> {
        let (start, dtype) = self.start(name, &shape)?;
        let [count, width] = shape;
        let mut rows = rows.iter().zip(out.chunks_exact_mut(width));
        rows.try_for_each(|(&row, out)| {
            assert!((row as usize) < count, "row {row} of a matrix of {count}");
            self.values(name, start, dtype, row as usize * width, out)
        })
    }

    /// Returns where a tensor of this shape begins in the file, and the type of its numbers.
    fn start(&self, name: &str, shape: &[usize]) -> Result<(u64, Dtype), CheckpointError> {
        let info = self.info(name, shape)?;
        let dtype = check::dtype(&self.path, name, info.dtype.into(), shape)?;
        Ok((self.data_start + info.data_offsets.0 as u64, dtype))
    }

    /// Refuses a tensor that is missing or has another shape. None of its values are read.
    pub(crate) fn check(&self, name: &str, shape: &[usize]) -> Result<(), CheckpointError> {
        self.info(name, shape).map(|_| ())
    }

    fn info(&self, tensor: &str, shape: &[usize]) -> Result<&TensorInfo, CheckpointError> {
        let path = &self.path;
        let Some(info) = self.header.info(tensor) else {
            return Err(CheckpointError::Missing { path: path.into(), tensor: tensor.into() });
        };
        check::shape(path, tensor, &info.shape, shape)?;
        Ok(info)
    }

    /// Reads the values of a tensor from the one at `first` on, in pieces on all threads. Each piece is checked while it
    /// is in the cache.
    fn values(
        &self,
        tensor: &str,
        start: u64,
        dtype: Dtype,
        first: usize,
        out: &mut [f32],
    ) -> Result<(), CheckpointError> {
        let len = CHUNK / dtype.bytes();
        let read = |(i, out)| self.piece(tensor, start, dtype, first + i * len, out);
        let results: Vec<_> = out.par_chunks_mut(len).enumerate().map(read).collect();
        results.into_iter().collect()
    }

    /// Reads and checks values of a tensor from the one at `first` on.
    fn piece(
        &self,
        tensor: &str,
        start: u64,
        dtype: Dtype,
        first: usize,
        out: &mut [f32],
    ) -> Result<(), CheckpointError> {
        self.decode_at(start + (first * dtype.bytes()) as u64, dtype, out)
            .map_err(|source| CheckpointError::Io { path: self.path.clone(), source })?;
        check::finite(&self.path, tensor, first, out)
    }

    /// Reads numbers that begin at this byte, those of f32 straight into their place.
    fn decode_at(&self, start: u64, dtype: Dtype, out: &mut [f32]) -> io::Result<()> {
        if dtype == Dtype::F32 && cfg!(target_endian = "little") {
            return read_exact_at(&self.file, bytemuck::cast_slice_mut(out), start);
        }
        let mut raw = [0; RAW];
        (start..).step_by(RAW).zip(out.chunks_mut(RAW / dtype.bytes())).try_for_each(|(start, out)| {
            let raw = &mut raw[..out.len() * dtype.bytes()];
            read_exact_at(&self.file, raw, start)?;
            dtype.decode(raw, out);
            Ok(())
        })
    }
}

/// A JSON object in which no key comes twice, whatever its values are. A parser that keeps the last of two equal keys
/// would hide the first.
struct UniqueNames;

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueNames)
    }
}

impl<'de> Visitor<'de> for UniqueNames {
    type Value = UniqueNames;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a header of named tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueNames, A::Error> {
        let mut seen = HashSet::new();
        while let Some((name, IgnoredAny)) = map.next_entry::<Cow<str>, _>()? {
            if seen.contains(&name) {
                return Err(A::Error::custom(format!("tensor {name} is there twice")));
            }
            seen.insert(name);
        }
        Ok(UniqueNames)
    }
}

/// A tensor to be written, and the type in which its numbers are stored.
pub struct Tensor<'a> {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Cow<'a, [f32]>,
    pub dtype: Dtype,
}

impl<'a> Tensor<'a> {
    /// Returns a tensor that borrows its values.
    pub fn new(name: &str, shape: &[usize], values: &'a [f32], dtype: Dtype) -> Self {
        Tensor { name: name.into(), shape: shape.to_vec(), values: Cow::Borrowed(values), dtype }
    }

    /// Returns how many bytes the numbers take.
    pub(super) fn bytes(&self) -> usize {
        self.values.len() * self.dtype.bytes()
    }

    /// Writes the numbers in their type.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        self.values.chunks(CHUNK / self.dtype.bytes()).try_for_each(|values| {
            let raw = &mut buffer[..values.len() * self.dtype.bytes()];
            self.dtype.encode(values, raw);
            out.write_all(raw)
        })
    }
}

/// Checks that no value of these tensors is too large for its type.
pub(super) fn check_values(path: &Path, tensors: &[Tensor]) -> Result<(), CheckpointError> {
    for Tensor { name, values, dtype, .. } in tensors {
        if let Some(index) = dtype.first_too_large(values) {
            let (path, tensor) = (path.into(), name.clone());
            return Err(CheckpointError::TooLarge { path, tensor, index, value: values[index], dtype: *dtype });
        }
    }
    Ok(())
}

/// Writes a file of these tensors, in this order, and of free-form strings. It appears as a whole or not at all.
///
/// # Errors
/// Returns an error if a value is too large for the type, or if the file cannot be written.
pub fn write<'m>(
    path: &Path,
    tensors: &[Tensor],
    metadata: impl IntoIterator<Item = (&'m str, &'m str)>,
) -> Result<(), CheckpointError> {
    let io = |source| CheckpointError::Io { path: path.into(), source };
    check_values(path, tensors)?;
    let mut end = 0;
    let infos = tensors.iter().map(|tensor| {
        let start = end;
        end += tensor.bytes();
        let (dtype, shape) = (tensor.dtype.into(), tensor.shape.clone());
        (tensor.name.clone(), TensorInfo { dtype, shape, data_offsets: (start, end) })
    });
    let metadata = metadata.into_iter().map(|(key, value)| (key.to_string(), value.to_string()));
    // The library keeps metadata in an order that differs from run to run; equal contents are to be equal bytes.
    let metadata: BTreeMap<_, _> = metadata.collect();
    let header = Metadata::new(None, infos.collect()).map_err(|e| io(io::Error::other(e.to_string())))?;
    let json = |header: serde_json::Result<String>| header.map_err(|e| io(e.into()));
    let (tensors_json, metadata) = (json(serde_json::to_string(&header))?, json(serde_json::to_string(&metadata))?);
    let comma = if tensors.is_empty() { "" } else { "," };
    let mut header = format!("{{\"__metadata__\":{metadata}{comma}{}", &tensors_json[1..]).into_bytes();
    // The format wants the data to start at a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    write_atomic(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        tensors.iter().try_for_each(|tensor| tensor.write(out))
    })
    .map_err(io)
}
