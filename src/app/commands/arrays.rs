//! Writing of arrays to files that other programs read.

use super::CliError;
use crate::checkpoint::safetensors::{self, Tensor};
use crate::checkpoint::{Dtype, Precision};
use crate::counted::counted;
use crate::files::{read_exact_at, write_atomic};
use half::f16;
use ndarray::{ArrayView, Dimension};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The format of a file of results, which its extension decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// NumPy's format of one array.
    Npy,
    /// FAISS's format of an index that compares a query with all rows by dot products.
    Faiss,
    /// Named arrays as safetensors.
    Safetensors,
    /// JSON with one object per line.
    JsonLines,
    /// A table of pictures and captions, as `train` reads it.
    Csv,
}

impl Format {
    /// Returns the format among `known` that the file's extension names.
    ///
    /// # Errors
    /// Returns an error if the file has another extension or none.
    pub(crate) fn of(path: &Path, known: &[(&str, Format)]) -> Result<Self, CliError> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        let found = known.iter().find(|(name, _)| Some(*name) == extension.as_deref());
        found.map(|&(_, format)| format).ok_or_else(|| {
            let names: Vec<String> = known.iter().map(|(name, _)| format!(".{name}")).collect();
            CliError::Usage(format!("--output {}: the file must end in {}", path.display(), names.join(", ")))
        })
    }
}

impl Format {
    /// Returns what stands in front of the rows of a matrix, if the format is one of a matrix alone.
    ///
    /// # Errors
    /// Returns an error if the format has no such numbers.
    pub(crate) fn header(self, path: &Path, shape: [usize; 2], dtype: Precision) -> Result<Option<Vec<u8>>, CliError> {
        match (self, dtype) {
            (Format::Npy, dtype) => Ok(Some(npy_header(&shape, dtype))),
            (Format::Faiss, Precision::F32) => Ok(Some(faiss_header(shape))),
            (Format::Faiss, Precision::F16) => {
                Err(CliError::Usage(format!("--dtype f16: {}: FAISS's flat indexes are of f32", path.display())))
            }
            _ => Ok(None),
        }
    }
}

/// Writes a NumPy file (version 1.0 of the format) in C order, whole or not at all.
///
/// # Errors
/// Returns the error of the file system with the file's name.
pub(crate) fn write_npy<D: Dimension>(path: &Path, array: ArrayView<f32, D>, dtype: Precision) -> Result<(), CliError> {
    write_array(path, &npy_header(array.shape(), dtype), array, dtype)
}

/// Writes a header and the numbers of an array in C order, whole or not at all.
///
/// # Errors
/// Returns the error of the file system with the file's name.
pub(crate) fn write_array<D: Dimension>(
    path: &Path,
    header: &[u8],
    array: ArrayView<f32, D>,
    dtype: Precision,
) -> Result<(), CliError> {
    let written = write_atomic(path, |out| {
        out.write_all(header)?;
        write_numbers(out, array, dtype)
    });
    written.map_err(CliError::file(path))
}

/// Writes the numbers of an array in C order, little-endian.
pub(crate) fn write_numbers<D: Dimension>(
    out: &mut dyn Write,
    array: ArrayView<f32, D>,
    dtype: Precision,
) -> io::Result<()> {
    array.iter().try_for_each(|&value| match dtype {
        Precision::F32 => out.write_all(&value.to_le_bytes()),
        Precision::F16 => out.write_all(&f16::from_f32(value).to_le_bytes()),
    })
}

/// Returns what FAISS's `write_index` writes in front of the numbers of an `IndexFlatIP`: the kind, width, rows, two
/// numbers without a meaning, whether it is trained, the metric (0 for dot products), and how many numbers there are.
fn faiss_header([rows, width]: [usize; 2]) -> Vec<u8> {
    let mut header = b"IxFI".to_vec();
    header.extend((width as i32).to_le_bytes());
    header.extend((rows as i64).to_le_bytes());
    header.extend([1i64 << 20; 2].map(i64::to_le_bytes).concat());
    header.push(1);
    header.extend(0i32.to_le_bytes());
    header.extend((rows as u64 * width as u64).to_le_bytes());
    header
}

/// Returns the header: magic, version, length, and a Python dictionary padded so that the data starts at a multiple of
/// 64 bytes. The dictionary is written as Python prints it, since some readers search it for a pattern.
fn npy_header(shape: &[usize], dtype: Precision) -> Vec<u8> {
    let kind = match dtype {
        Precision::F32 => "<f4",
        Precision::F16 => "<f2",
    };
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let shape = shape.join(", ");
    let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}{comma}), }}");
    let before = 10;
    let length = (before + text.len() + 1).next_multiple_of(64) - before;
    text = format!("{text:<width$}\n", width = length - 1);
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((length as u16).to_le_bytes());
    header.extend(text.bytes());
    header
}

/// A matrix in a NumPy file as [`write_npy`] writes it, whose rows are read when they are needed.
pub(crate) struct NpyRows {
    path: PathBuf,
    file: File,
    start: u64,
    width: usize,
    dtype: Dtype,
}

impl NpyRows {
    /// Opens a file.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or if its header or length are not those of such a matrix.
    pub(crate) fn open(path: &Path, [rows, width]: [usize; 2], dtype: Precision) -> Result<Self, CliError> {
        let io = || CliError::file(path);
        let expected = npy_header(&[rows, width], dtype);
        let (file, start, dtype) = (File::open(path).map_err(io())?, expected.len() as u64, Dtype::from(dtype));
        let bytes = rows.checked_mul(width).and_then(|numbers| numbers.checked_mul(dtype.bytes()));
        let data = file.metadata().map_err(io())?.len().checked_sub(start);
        let mut header = vec![0; expected.len()];
        let read = read_exact_at(&file, &mut header, 0);
        if read.is_err() || header != expected || data.is_none() || data != bytes.map(|bytes| bytes as u64) {
            let reason = format!("not an array of {} of {width} numbers as NumPy writes it", counted(rows, "row"));
            return Err(io()(io::Error::other(reason)));
        }
        Ok(Self { path: path.into(), file, start, width, dtype })
    }

    /// Reads a row, which must be one of those that there are.
    ///
    /// # Errors
    /// Returns the error of the file system with the file's name.
    pub(crate) fn read(&self, row: usize, out: &mut [f32]) -> Result<(), CliError> {
        let mut raw = vec![0; self.width * self.dtype.bytes()];
        let at = self.start + (row * raw.len()) as u64;
        read_exact_at(&self.file, &mut raw, at).map_err(CliError::file(&self.path))?;
        self.dtype.decode(&raw, out);
        Ok(())
    }
}

/// Writes named arrays and metadata strings as safetensors, whole or not at all.
///
/// # Errors
/// Returns the error of the file system with the file's name.
pub(crate) fn write_safetensors<const N: usize>(
    path: &Path,
    arrays: &[(&str, ArrayView<f32, ndarray::IxDyn>)],
    dtype: Precision,
    metadata: [(&str, &str); N],
) -> Result<(), CliError> {
    let tensor = |(name, array): &(&str, ArrayView<f32, ndarray::IxDyn>)| Tensor {
        name: (*name).into(),
        dtype: dtype.into(),
        shape: array.shape().to_vec(),
        values: Cow::Owned(array.iter().copied().collect()),
    };
    let tensors: Vec<Tensor> = arrays.iter().map(tensor).collect();
    Ok(safetensors::write(path, &tensors, metadata)?)
}

/// Writes one object as a line of JSON.
pub(crate) fn write_line(out: &mut dyn Write, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_numpys() {
        for (shape, text) in [(&[3, 4][..], "(3, 4)"), (&[7], "(7,)"), (&[2, 77, 768], "(2, 77, 768)"), (&[], "()")] {
            let header = npy_header(shape, Precision::F16);
            assert_eq!((header.len() % 64, header.last()), (0, Some(&b'\n')));
            assert_eq!(usize::from(u16::from_le_bytes([header[8], header[9]])), header.len() - 10);
            let header = String::from_utf8_lossy(&header);
            assert!(header.contains("'<f2'") && header.contains(&format!("'shape': {text}, }}")), "{shape:?}");
        }
    }

    /// What FAISS 1.15 writes for three rows of four.
    #[test]
    fn the_header_is_that_of_faiss() {
        let hex = "49784649 04000000 0300000000000000 0000100000000000 0000100000000000 01 00000000 0c00000000000000";
        let hex = hex.replace(' ', "");
        let header: String = faiss_header([3, 4]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(header, hex);
        assert!(Format::Faiss.header(Path::new("a.faiss"), [3, 4], Precision::F16).is_err());
    }

    #[test]
    fn what_is_written_comes_back_and_other_bytes_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.npy");
        let rows = ndarray::array![[1.0, 0.5, -0.25], [0.0, 65504.0, 3.0]];
        for dtype in [Precision::F32, Precision::F16] {
            write_npy(&path, rows.view(), dtype).unwrap();
            let mut row = [0.0; 3];
            NpyRows::open(&path, [2, 3], dtype).unwrap().read(1, &mut row).unwrap();
            assert_eq!(row, [0.0, 65504.0, 3.0]);
            let bytes = std::fs::read(&path).unwrap();
            let refused = |bytes: &[u8], shape| {
                std::fs::write(&path, bytes).unwrap();
                NpyRows::open(&path, shape, dtype).err().map(|error| error.to_string())
            };
            for shape in [[1, 3], [3, 2], [0, 3], [usize::MAX, usize::MAX]] {
                assert!(refused(&bytes, shape).unwrap().contains("rows.npy: not an array of"), "{shape:?}");
            }
            assert!((0..bytes.len()).all(|end| refused(&bytes[..end], [2, 3]).is_some()));
            assert!((0..128).all(|place| {
                let mut bytes = bytes.clone();
                bytes[place] ^= 1;
                refused(&bytes, [2, 3]).is_some()
            }));
        }
    }
}
