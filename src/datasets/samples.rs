//! The samples of a shard: the members of a tar file that belong together by name, found by reading its headers alone.
//!
//! A member's name is its key up to the first dot of the file's name, and its kind after that, as the webdataset
//! package splits it: `a/17.seg.png` has the key `a/17` and the kind `seg.png`. Members of one key are adjacent.
//!
//! A tar file ends with blocks of zeros. A file without them has been cut off, even if the cut is between two members.

use crate::counted::counted;
use crate::datasets::error::DatasetError;
use crate::files;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

/// Largest number of bytes that all compressed shards of a dataset may take together, since they are unpacked in
/// memory.
pub(super) const MAX_UNPACKED_BYTES: u64 = 1 << 30;
/// The size in bytes of a block: a header is one block, and the end is marked by blocks of zeros.
pub(super) const BLOCK: u64 = 512;
/// The kinds of pictures; if a sample has several, the first in this order is taken.
const PICTURES: [&str; 10] = ["jpg", "png", "jpeg", "webp", "gif", "bmp", "tif", "tiff", "jpe", "jfif"];

/// The kinds of captions.
const CAPTIONS: [&str; 2] = ["txt", "json"];

/// Returns whether members of this kind can be part of a pair.
pub(super) fn is_of_a_pair(kind: &str) -> bool {
    let last = kind.rsplit('.').next().unwrap_or(kind);
    PICTURES.contains(&last) || CAPTIONS.contains(&last)
}

/// The position of a member's bytes within its shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub start: u64,
    pub len: u64,
}

/// Where the bytes of a shard are: in a file, or unpacked in memory.
pub(super) enum Bytes {
    File,
    Unpacked(Vec<u8>),
}

impl Bytes {
    /// Finds the bytes of a shard. If it is compressed, it is unpacked into at most `left` bytes.
    pub(crate) fn of(path: &Path, left: u64) -> Result<Self, DatasetError> {
        if is_gzipped(path)? { unpack(path, left) } else { Ok(Bytes::File) }
    }

    /// Returns the number of bytes that are held in memory.
    pub(crate) fn unpacked(&self) -> u64 {
        match self {
            Bytes::File => 0,
            Bytes::Unpacked(bytes) => bytes.len() as u64,
        }
    }

    /// Opens the bytes for reading.
    pub(crate) fn open(&self, path: &Path) -> io::Result<Box<dyn ReadSeek + '_>> {
        Ok(match self {
            Bytes::File => Box::new(BufReader::new(File::open(path)?)),
            Bytes::Unpacked(bytes) => Box::new(Cursor::new(bytes.as_slice())),
        })
    }
}

/// Bytes that can be read from any position.
pub(super) trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

/// Returns whether a shard's first bytes show that it is compressed.
///
/// # Errors
/// Returns an error if it cannot be read, is no file, or is a file of another kind.
pub(super) fn is_gzipped(path: &Path) -> Result<bool, DatasetError> {
    // A device may have no end, and a shard is read more than once.
    if !path.metadata().map_err(DatasetError::io(path))?.is_file() {
        return Err(DatasetError::Shard { path: path.into(), reason: "not a file".into() });
    }
    let mut head = vec![];
    let read = File::open(path).and_then(|file| file.take(BLOCK).read_to_end(&mut head));
    read.map_err(DatasetError::io(path))?;
    match files::kind(&head) {
        _ if head.starts_with(files::GZIP) => Ok(true),
        Some(kind) => Err(DatasetError::Shard {
            path: path.into(),
            reason: format!("it is {kind}, and shards are tar files, plain or gzipped"),
        }),
        None => Ok(false),
    }
}

/// Unpacks a compressed shard of at most `left` bytes. They are counted first, so that no memory is taken for more.
fn unpack(path: &Path, left: u64) -> Result<Bytes, DatasetError> {
    let open =
        || File::open(path).map(|file| MultiGzDecoder::new(BufReader::new(file))).map_err(DatasetError::io(path));
    let broken = |error: io::Error| DatasetError::BreaksOff { path: path.into(), reason: error.to_string() };
    let size = io::copy(&mut open()?.take(left + 1), &mut io::sink()).map_err(broken)?;
    if size > left {
        let reason =
            "unpacked, compressed shards have more than the 1 GiB that memory may hold: unpack them on the disk";
        return Err(DatasetError::Shard { path: path.into(), reason: reason.into() });
    }
    let mut bytes = Vec::with_capacity(size as usize);
    open()?.take(size).read_to_end(&mut bytes).map_err(broken)?;
    Ok(Bytes::Unpacked(bytes))
}

/// Reads a member's bytes if there are at most `max`. The limit is needed because a sparse file can claim a member of
/// any size without taking space on the disk.
pub(super) fn read(source: &mut (impl ReadSeek + ?Sized), extent: Extent, max: u64) -> io::Result<Vec<u8>> {
    if extent.len > max {
        let reason = format!("{}, where {max} are the most", counted(extent.len, "byte"));
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    let mut bytes = vec![0; extent.len as usize];
    source.seek(SeekFrom::Start(extent.start))?;
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Why a sample cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SampleError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("two members are called .{kind}")]
    Twice { kind: String },
    #[error("no {what}, but {kinds}")]
    Missing { what: &'static str, kinds: String },
    #[error("several pictures under one name, which ends at its first dot: {kinds}")]
    SeveralPictures { kinds: String },
    #[error("the class {text:?} is no number")]
    Class { text: String },
    #[error("the caption is not UTF-8")]
    NotUtf8,
    #[error("the JSON has neither \"caption\" nor \"text\"")]
    NoCaption,
    #[error("empty caption")]
    EmptyCaption,
    #[error("its pictures and captions take more than {}", counted(*max, "byte"))]
    TooLarge { max: u64 },
}

/// The members of one key: their kinds in lower case, and where they are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    pub key: String,
    pub members: Vec<(String, Extent)>,
}

impl Sample {
    /// Returns the member of this kind.
    pub(crate) fn get(&self, kind: &str) -> Option<Extent> {
        self.members.iter().find(|(own, _)| own == kind).map(|(_, extent)| *extent)
    }

    /// Returns the picture and the part of its kind before the last dot: `jpg` has none, `2.jpg` has `2.`.
    ///
    /// # Errors
    /// Returns an error if there is no picture, or if it is unclear which of several is meant.
    pub(crate) fn picture(&self) -> Result<(Extent, &str), SampleError> {
        let mut kinds: Vec<&String> = self.members.iter().map(|(kind, _)| kind).collect();
        kinds.sort();
        if let Some(pair) = kinds.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(SampleError::Twice { kind: pair[0].clone() });
        }
        if let Some(extent) = PICTURES.iter().find_map(|kind| self.get(kind)) {
            return Ok((extent, ""));
        }
        let dotted = self.members.iter().filter_map(|(kind, extent)| {
            let (before, last) = kind.rsplit_once('.')?;
            PICTURES.contains(&last).then(|| (*extent, &kind[..=before.len()]))
        });
        match dotted.collect::<Vec<_>>()[..] {
            [one] => Ok(one),
            [] => Err(self.missing("picture")),
            _ => Err(SampleError::SeveralPictures { kinds: self.kinds() }),
        }
    }

    /// Returns the error of a sample that lacks a member.
    pub(crate) fn missing(&self, what: &'static str) -> SampleError {
        SampleError::Missing { what, kinds: self.kinds() }
    }

    /// Returns the kinds of the members, for messages.
    fn kinds(&self) -> String {
        self.members.iter().map(|(kind, _)| format!(".{kind}")).collect::<Vec<_>>().join(", ")
    }
}

/// Reads the headers of a shard.
///
/// # Errors
/// Returns an error if the shard is damaged, or if it ends before its last member or without its mark.
pub(super) fn samples(path: &Path, bytes: &Bytes) -> Result<Vec<Sample>, DatasetError> {
    let breaks_off = |reason: String| DatasetError::BreaksOff { path: path.into(), reason };
    let mut source = bytes.open(path).map_err(DatasetError::io(path))?;
    let size = source.seek(SeekFrom::End(0)).map_err(DatasetError::io(path))?;
    let is_marked = size < BLOCK || ends_with_zeros(&mut *source, size).map_err(DatasetError::io(path))?;
    source.rewind().map_err(DatasetError::io(path))?;
    let mut samples: Vec<Sample> = vec![];
    let mut archive = tar::Archive::new(source);
    // Tar files that have been joined end to end have zeros between them.
    archive.set_ignore_zeros(true);
    for entry in archive.entries_with_seek().map_err(DatasetError::io(path))? {
        let entry =
            entry.map_err(|error| breaks_off(format!("{error}, after {}", counted(samples.len(), "sample"))))?;
        let name = entry.path_bytes();
        let name = String::from_utf8_lossy(&name);
        let extent = Extent { start: entry.raw_file_position(), len: entry.size() };
        if extent.start.checked_add(extent.len).is_none_or(|end| end > size) {
            return Err(breaks_off(format!("it ends within {name}, after {}", counted(samples.len(), "sample"))));
        }
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let Some((key, kind)) = split_name(&name) else { continue };
        if samples.last().is_none_or(|sample| sample.key != key) {
            samples.push(Sample { key: key.to_owned(), members: vec![] });
        }
        let sample = samples.last_mut().expect("one at least");
        sample.members.push((kind.to_ascii_lowercase(), extent));
    }
    if is_marked {
        Ok(samples)
    } else {
        Err(breaks_off(format!("it has no end mark after {}", counted(samples.len(), "sample"))))
    }
}

/// Returns whether the last block is one of zeros.
fn ends_with_zeros(source: &mut (impl ReadSeek + ?Sized), size: u64) -> io::Result<bool> {
    let block = read(source, Extent { start: size - BLOCK, len: BLOCK }, BLOCK)?;
    Ok(block.iter().all(|&byte| byte == 0))
}

/// Splits a member's path into key and kind at the first dot of the file's name: "a/b.seg.png" → "a/b", "seg.png".
pub(super) fn split_name(path: &str) -> Option<(&str, &str)> {
    let file = path.rfind('/').map_or(0, |slash| slash + 1);
    let dot = file + path[file..].find('.')?;
    (dot > file).then(|| (&path[..dot], &path[dot + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_unpacks_to_more_than_it_may_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zeros.tar.gz");
        let file = File::create(&path).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        io::copy(&mut io::repeat(0).take(5000), &mut encoder).unwrap();
        encoder.finish().unwrap();
        assert_eq!(Bytes::of(&path, 5000).unwrap().unpacked(), 5000);
        let error = Bytes::of(&path, 4999).err().unwrap().to_string();
        assert!(error.contains("zeros.tar.gz") && error.contains("1 GiB"), "{error}");
    }

    #[test]
    fn the_picture_of_a_sample_is_the_plain_one_or_the_only_one() {
        let sample = |kinds: &[&str]| Sample {
            key: "a".into(),
            members: (1..).zip(kinds).map(|(start, kind)| (kind.to_string(), Extent { start, len: 1 })).collect(),
        };
        let picture =
            |kinds: &[&str]| sample(kinds).picture().map(|(extent, before)| (extent.start, before.to_owned()));
        assert_eq!(picture(&["txt", "webp", "jpg"]).unwrap(), (3, "".into()));
        assert_eq!(picture(&["seg.png", "png"]).unwrap(), (2, "".into()));
        assert_eq!(picture(&["b.c.jpg", "b.c.txt"]).unwrap(), (1, "b.c.".into()));
        let refused = |kinds: &[&str]| picture(kinds).unwrap_err().to_string();
        assert_eq!(refused(&["txt", "npy"]), "no picture, but .txt, .npy");
        assert!(refused(&["1.jpg", "2.jpg"]).contains("first dot: .1.jpg, .2.jpg"));
    }
}
