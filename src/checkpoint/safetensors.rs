//! Tensors in and out of safetensors files, one at a time: a file is never in memory as a whole.

use super::CheckpointError;
use crate::io::write_atomic;
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The format's own limit.
const MAX_HEADER: u64 = 100_000_000;

/// How many bytes are converted at a time.
const CHUNK: usize = 1 << 16;

/// An open file whose header has been checked: offsets ascend without gap or overlap and end with the file.
pub struct Reader {
    path: PathBuf,
    file: File,
    header: Metadata,
    data_start: u64,
}

impl Reader {
    pub fn open(path: &Path) -> Result<Reader, CheckpointError> {
        let io = |source| CheckpointError::Io { path: path.into(), source };
        let invalid = |reason: String| CheckpointError::Format { path: path.into(), reason };
        let mut file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|_| invalid(format!("it has {size} bytes")))?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER || length + 8 > size {
            return Err(invalid(format!("it has {size} bytes and claims a header of {length}")));
        }
        let mut text = vec![0; length as usize];
        file.read_exact(&mut text).map_err(io)?;
        let header: Metadata = serde_json::from_slice(&text).map_err(|e| invalid(e.to_string()))?;
        let data_start = 8 + length;
        if data_start + header.data_len() as u64 != size {
            return Err(invalid(format!(
                "it has {size} bytes, its header promises {}",
                data_start + header.data_len() as u64
            )));
        }
        Ok(Reader { path: path.into(), file, header, data_start })
    }

    /// All tensors, in the order of the file.
    pub fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    /// The free-form strings of the header.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// The shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.header.info(name).map(|info| info.shape.as_slice())
    }

    /// Reads a tensor of this shape, converted to f32. A scalar may be stored as a vector of one, and as an integer:
    /// counts are.
    pub fn read(&mut self, name: &str, shape: &[usize], out: &mut [f32]) -> Result<(), CheckpointError> {
        let (path, tensor) = (self.path.clone(), name.to_string());
        let Some(info) = self.header.info(name) else {
            return Err(CheckpointError::Missing { path, tensor });
        };
        let scalar = shape.is_empty() && info.shape == [1];
        if info.shape != shape && !scalar {
            return Err(CheckpointError::Shape { path, tensor, found: info.shape.clone(), expected: shape.to_vec() });
        }
        let convert: fn(&[u8]) -> f32 = match info.dtype {
            Dtype::F32 => |b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            Dtype::F16 => |b| f16::from_le_bytes([b[0], b[1]]).to_f32(),
            Dtype::BF16 => |b| bf16::from_le_bytes([b[0], b[1]]).to_f32(),
            Dtype::I64 if shape.is_empty() => |b| i64::from_le_bytes(b.try_into().expect("eight bytes")) as f32,
            other => return Err(CheckpointError::Dtype { path, tensor, found: format!("{other:?}") }),
        };
        let start = self.data_start + info.data_offsets.0 as u64;
        let bytes = info.dtype.bitsize() / 8;
        self.read_at(start, bytes, convert, out).map_err(|source| CheckpointError::Io { path, source })?;
        match out.iter().position(|value| !value.is_finite()) {
            Some(index) => {
                Err(CheckpointError::NotFinite { path: self.path.clone(), tensor, index, value: out[index] })
            }
            None => Ok(()),
        }
    }

    fn read_at(&mut self, start: u64, bytes: usize, convert: fn(&[u8]) -> f32, out: &mut [f32]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(start))?;
        let mut buffer = vec![0; CHUNK.min(out.len() * bytes)];
        for out in out.chunks_mut(CHUNK / bytes) {
            let raw = &mut buffer[..out.len() * bytes];
            self.file.read_exact(raw)?;
            out.iter_mut().zip(raw.chunks_exact(bytes)).for_each(|(out, raw)| *out = convert(raw));
        }
        Ok(())
    }
}

/// A tensor's numbers, and as what they are stored.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    F32(&'a [f32]),
    /// Whole numbers: counts.
    I64(&'a [f32]),
}

impl Values<'_> {
    fn dtype(self) -> Dtype {
        match self {
            Values::F32(_) => Dtype::F32,
            Values::I64(_) => Dtype::I64,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Values::F32(values) => 4 * values.len(),
            Values::I64(values) => 8 * values.len(),
        }
    }

    fn write(self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Values::F32(values) => write_numbers(out, values, f32::to_le_bytes),
            Values::I64(values) => write_numbers(out, values, |value| (value as i64).to_le_bytes()),
        }
    }
}

/// Writes tensors `(name, shape, values)`, in this order, and free-form strings; whole or not at all.
pub fn write<const N: usize>(
    path: &Path,
    tensors: &[(String, Vec<usize>, Values)],
    metadata: [(&str, &str); N],
) -> Result<(), CheckpointError> {
    let io = |source| CheckpointError::Io { path: path.into(), source };
    let mut end = 0;
    let infos = tensors.iter().map(|(name, shape, values)| {
        let start = end;
        end += values.bytes();
        (name.clone(), TensorInfo { dtype: values.dtype(), shape: shape.clone(), data_offsets: (start, end) })
    });
    let metadata: HashMap<_, _> = metadata.map(|(key, value)| (key.to_string(), value.to_string())).into();
    let header = Metadata::new(Some(metadata), infos.collect()).map_err(|e| io(io::Error::other(e.to_string())))?;
    let mut header = serde_json::to_vec(&header).map_err(|e| io(e.into()))?;
    // The format wants the data to start at a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    write_atomic(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        tensors.iter().try_for_each(|(_, _, values)| values.write(out))
    })
    .map_err(io)
}

fn write_numbers<const N: usize>(out: &mut dyn Write, values: &[f32], convert: fn(f32) -> [u8; N]) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(CHUNK);
    for values in values.chunks(CHUNK / N) {
        buffer.clear();
        buffer.extend(values.iter().flat_map(|&value| convert(value)));
        out.write_all(&buffer)?;
    }
    Ok(())
}
