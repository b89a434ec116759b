//! Writing of arrays to files that other programs read.

use super::CliError;
use crate::checkpoint::Dtype;
use crate::checkpoint::safetensors::{self, Tensor};
use crate::files::write_atomic;
use ndarray::{ArrayView, Dimension};
use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;

/// The format of a file of results, which its extension decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// NumPy's format of one array.
    Npy,
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

/// Writes a NumPy file (version 1.0 of the format) of f32 in C order, whole or not at all.
///
/// # Errors
/// Returns the error of the file system with the file's name.
pub(crate) fn write_npy<D: Dimension>(path: &Path, array: ArrayView<f32, D>) -> Result<(), CliError> {
    write_atomic(path, |out| {
        out.write_all(&npy_header(array.shape()))?;
        array.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
    })
    .map_err(CliError::file(path))
}

/// Returns the header: magic, version, length, and a Python dictionary padded so that the data starts at a multiple of
/// 64 bytes.
fn npy_header(shape: &[usize]) -> Vec<u8> {
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", shape.trim_end());
    let before = 10;
    let length = (before + text.len() + 1).next_multiple_of(64) - before;
    text = format!("{text:<width$}\n", width = length - 1);
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((length as u16).to_le_bytes());
    header.extend(text.bytes());
    header
}

/// Writes named arrays and metadata strings as safetensors, whole or not at all.
///
/// # Errors
/// Returns the error of the file system with the file's name.
pub(crate) fn write_safetensors<const N: usize>(
    path: &Path,
    arrays: &[(&str, ArrayView<f32, ndarray::IxDyn>)],
    metadata: [(&str, &str); N],
) -> Result<(), CliError> {
    let tensor = |(name, array): &(&str, ArrayView<f32, ndarray::IxDyn>)| Tensor {
        name: (*name).into(),
        dtype: Dtype::F32,
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
        for (shape, text) in [(&[3, 4][..], "(3, 4,)"), (&[7], "(7,)"), (&[2, 77, 768], "(2, 77, 768,)"), (&[], "()")] {
            let header = npy_header(shape);
            assert_eq!((header.len() % 64, header.last()), (0, Some(&b'\n')));
            assert_eq!(usize::from(u16::from_le_bytes([header[8], header[9]])), header.len() - 10);
            assert!(String::from_utf8_lossy(&header).contains(&format!("'shape': {text}, }}")), "{shape:?}");
        }
    }
}
