//! The number types of checkpoints, and their conversion to and from f32.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A number type that parameters can be stored as, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    F32,
    F16,
    Bf16,
    /// A type of whole numbers, which [matrices of eight bits](super::int8) have.
    I8,
    /// A type of whole numbers, which only counts have.
    I64,
}

/// The type of a tensor's numbers in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// A type that parameters can have.
    Known(Dtype),
    /// A type that no parameter can have, under the name that the file's library gives to it.
    Other(String),
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Dtype::F32 => "F32",
            Dtype::F16 => "F16",
            Dtype::Bf16 => "BF16",
            Dtype::I8 => "I8",
            Dtype::I64 => "I64",
        })
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Stored::Known(dtype) => dtype.fmt(f),
            Stored::Other(name) => f.write_str(name),
        }
    }
}

impl From<safetensors::Dtype> for Stored {
    fn from(dtype: safetensors::Dtype) -> Self {
        match dtype {
            safetensors::Dtype::F32 => Stored::Known(Dtype::F32),
            safetensors::Dtype::F16 => Stored::Known(Dtype::F16),
            safetensors::Dtype::BF16 => Stored::Known(Dtype::Bf16),
            safetensors::Dtype::I8 => Stored::Known(Dtype::I8),
            safetensors::Dtype::I64 => Stored::Known(Dtype::I64),
            other => Stored::Other(format!("{other:?}")),
        }
    }
}

impl From<pytorch_reader::DType> for Stored {
    fn from(dtype: pytorch_reader::DType) -> Self {
        match dtype {
            pytorch_reader::DType::F32 => Stored::Known(Dtype::F32),
            pytorch_reader::DType::F16 => Stored::Known(Dtype::F16),
            pytorch_reader::DType::BF16 => Stored::Known(Dtype::Bf16),
            pytorch_reader::DType::I64 => Stored::Known(Dtype::I64),
            other => Stored::Other(format!("{other:?}")),
        }
    }
}

/// The type in which numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    F32,
    F16,
}

impl From<Precision> for Dtype {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Dtype::F32,
            Precision::F16 => Dtype::F16,
        }
    }
}

impl Precision {
    /// Returns the name that PyTorch has for the type.
    pub(crate) fn torch(self) -> &'static str {
        match self {
            Precision::F32 => "float32",
            Precision::F16 => "float16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
        })
    }
}

impl Dtype {
    /// Returns the number of bytes of one number.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Dtype::I8 => 1,
            Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::F32 => 4,
            Dtype::I64 => 8,
        }
    }

    /// Converts stored numbers to f32. The result is exact, since f32 holds every f16 and bf16, and every count up to
    /// 2²⁴.
    pub(crate) fn decode(self, raw: &[u8], out: &mut [f32]) {
        match self {
            Dtype::F32 => {
                let numbers = raw.as_chunks().0;
                out.iter_mut().zip(numbers).for_each(|(out, raw)| *out = f32::from_le_bytes(*raw));
            }
            Dtype::I64 => {
                let numbers = raw.as_chunks().0;
                out.iter_mut().zip(numbers).for_each(|(out, raw)| *out = i64::from_le_bytes(*raw) as f32);
            }
            Dtype::I8 => out.iter_mut().zip(raw).for_each(|(out, &raw)| *out = f32::from(raw.cast_signed())),
            Dtype::F16 => decode_halves(raw, |bits, out| bits.reinterpret_cast::<f16>().convert_to_f32_slice(out), out),
            Dtype::Bf16 => {
                decode_halves(raw, |bits, out| bits.reinterpret_cast::<bf16>().convert_to_f32_slice(out), out)
            }
        }
    }

    /// Converts numbers from f32. Numbers of 16 bits are rounded to nearest, ties to even.
    pub(super) fn encode(self, values: &[f32], raw: &mut [u8]) {
        match self {
            Dtype::F32 => {
                let numbers = raw.as_chunks_mut().0;
                numbers.iter_mut().zip(values).for_each(|(raw, value)| *raw = value.to_le_bytes());
            }
            Dtype::I64 => {
                let numbers = raw.as_chunks_mut().0;
                numbers.iter_mut().zip(values).for_each(|(raw, &value)| *raw = (value as i64).to_le_bytes());
            }
            Dtype::I8 => raw.iter_mut().zip(values).for_each(|(raw, &value)| *raw = (value as i8).cast_unsigned()),
            Dtype::F16 => encode_halves(values, |value| f16::from_f32(value).to_le_bytes(), raw),
            Dtype::Bf16 => encode_halves(values, |value| bf16::from_f32(value).to_le_bytes(), raw),
        }
    }

    /// Returns the index of the first value that would become infinite.
    pub(super) fn first_too_large(self, values: &[f32]) -> Option<usize> {
        match self {
            Dtype::F32 | Dtype::I8 | Dtype::I64 => None,
            Dtype::F16 => values.iter().position(|&value| f16::from_f32(value).is_infinite()),
            Dtype::Bf16 => values.iter().position(|&value| bf16::from_f32(value).is_infinite()),
        }
    }
}

impl From<Dtype> for safetensors::Dtype {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => safetensors::Dtype::F32,
            Dtype::F16 => safetensors::Dtype::F16,
            Dtype::Bf16 => safetensors::Dtype::BF16,
            Dtype::I8 => safetensors::Dtype::I8,
            Dtype::I64 => safetensors::Dtype::I64,
        }
    }
}

/// Converts numbers of 16 bits in pieces, whose bits are copied to where `widen` may read them as whole numbers.
fn decode_halves(raw: &[u8], widen: impl Fn(&[u16], &mut [f32]), out: &mut [f32]) {
    const PIECE: usize = 1024;
    let mut bits = [0_u16; PIECE];
    for (raw, out) in raw.chunks(size_of_val(&bits)).zip(out.chunks_mut(PIECE)) {
        let n = out.len().min(raw.len() / size_of::<u16>());
        let bits = &mut bits[..n];
        bytemuck::cast_slice_mut(bits).copy_from_slice(&raw[..n * size_of::<u16>()]);
        bits.iter_mut().for_each(|bits| *bits = u16::from_le(*bits));
        widen(bits, &mut out[..n]);
    }
}

fn encode_halves(values: &[f32], encode: impl Fn(f32) -> [u8; 2], raw: &mut [u8]) {
    raw.as_chunks_mut().0.iter_mut().zip(values).for_each(|(raw, &value)| *raw = encode(value));
}
