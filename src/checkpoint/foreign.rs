//! Refuses files that are mistaken for weights. They are recognised by their first bytes.

use super::CheckpointError;
use std::path::Path;

/// The number of bytes at the start of a file that are looked at.
pub(crate) const START: usize = 512;

const ORIGINAL: &str = "take the safetensors or PyTorch file that it was made from";
const UNPACK: &str = "unpack it and name what is in it";

/// The first bytes of each kind of file, what the kind is, and what to do.
const KINDS: [(&[u8], &str, &str); 10] = [
    (
        b"version https://git-lfs.github.com/spec",
        "a Git LFS pointer, which stands for a file that was not downloaded",
        "run git lfs pull in its folder",
    ),
    (b"GGUF", "a GGUF file, as llama.cpp and clip.cpp read", ORIGINAL),
    (b"\x89HDF\r\n", "an HDF5 file, as TensorFlow and Keras write", ORIGINAL),
    (b"\x93NUMPY", "a NumPy array", ORIGINAL),
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"7z\xbc\xaf", "a 7-Zip archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (b"\x89PNG", "a picture", "name a file of weights"),
    (b"\xff\xd8\xff", "a picture", "name a file of weights"),
    (b"RIFF", "a picture or a sound", "name a file of weights"),
];

/// Whether a file begins as every safetensors file does, with the length of a header and the header's opening brace.
pub(crate) fn is_safetensors(start: &[u8], max_header: u64) -> bool {
    let length = start.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    length.is_some_and(|length| length <= max_header) && start.get(8) == Some(&b'{')
}

/// Refuses a file that begins like something other than weights. The error says what to do.
pub(crate) fn refuse(path: &Path, start: &[u8]) -> Result<(), CheckpointError> {
    let listed = KINDS.iter().find(|(magic, ..)| start.starts_with(magic)).map(|&(_, what, help)| (what, help));
    let (what, help) = match listed {
        Some(listed) => listed,
        None if is_web_page(start) => (
            "a web page",
            "download the file itself: hf download, or an address with /resolve/ where the page's has /blob/",
        ),
        None if is_graph(start) => ("a graph of ONNX or TensorFlow", ORIGINAL),
        None if is_message_pack(start) => ("a MessagePack file, as Flax writes", ORIGINAL),
        None if start.get(257..262) == Some(b"ustar") => ("a tar archive", UNPACK),
        None => return Ok(()),
    };
    Err(CheckpointError::NotWeights { path: path.into(), what, help })
}

/// Returns the error for a ZIP archive without the entry that every file of `torch.save` has.
pub(crate) fn other_zip(path: &Path) -> CheckpointError {
    if path.extension().is_some_and(|extension| extension == "npz") {
        let what = "an archive of NumPy arrays, as big_vision writes";
        return CheckpointError::NotWeights { path: path.into(), what, help: "take the same model as safetensors" };
    }
    let what = "a ZIP archive, but not one of torch.save, which has a data.pkl";
    CheckpointError::NotWeights { path: path.into(), what, help: UNPACK }
}

/// Returns the error for a JSON file that was named as weights and is no index of weights.
pub(crate) fn json(path: &Path) -> CheckpointError {
    let what = "a JSON file without the weight_map of an index of weights";
    CheckpointError::NotWeights { path: path.into(), what, help: "name the weights beside it, or their folder" }
}

fn is_web_page(start: &[u8]) -> bool {
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    let tags: [&[u8]; 4] = [b"<!doctype", b"<html", b"<?xml", b"<!--"];
    tags.iter().any(|tag| text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag)))
}

/// Whether this is a graph of ONNX or TensorFlow: a protocol buffer whose first field is a small number, the version,
/// and whose second field is a text or a message, or a file with the mark `TFL3` of TensorFlow Lite.
fn is_graph(start: &[u8]) -> bool {
    const VERSION: u8 = 0x08;
    const FIELDS: std::ops::RangeInclusive<u8> = 2..=15;
    match start {
        [VERSION, 1..=64, field, _, ..] if start.len() > 8 => field & 7 == 2 && FIELDS.contains(&(field >> 3)),
        _ => &start[start.len().min(4)..start.len().min(8)] == b"TFL3",
    }
}

/// Whether this is a MessagePack map of a few entries whose first key is a short text.
fn is_message_pack(start: &[u8]) -> bool {
    matches!(start, [0x81..=0x8f, 0xa1..=0xbf, first, ..] if start.len() > 8 && first.is_ascii_alphabetic())
}
