//! IDX, the format of MNIST and Fashion-MNIST: a big-endian header followed by bytes, plain or gzipped.
//!
//! ```text
//! 0 0 8 n   d₁ … dₙ (u32 each)   d₁ · … · dₙ bytes
//! ```
//!
//! A folder holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, and the same with `t10k` for the test pictures;
//! each may end in `.gz`. Source: Y. LeCun, "The MNIST database of handwritten digits".

use crate::datasets::dataset::{Dataset, Example};
use crate::datasets::error::{BadExample, DatasetError, IdxError};
use crate::files::{self, MAX_BYTES};
use crate::pictures::picture::{Channels, Picture};
use crate::random::Rng;
use flate2::read::MultiGzDecoder;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The classes of Fashion-MNIST (Xiao et al. 2017).
pub const FASHION: [&str; 10] =
    ["T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"];

/// An array of bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Idx {
    pub dims: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Idx {
    /// Parses an array of one to three dimensions, plain or gzipped. No more is read or held in memory than the header
    /// announces.
    ///
    /// # Errors
    /// Returns an error that says what is wrong with the file.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, IdxError> {
        if file.starts_with(files::GZIP) { Self::read(MultiGzDecoder::new(file)) } else { Self::read(file) }
    }

    fn read(mut source: impl Read) -> Result<Self, IdxError> {
        let mut word = || -> Result<[u8; 4], IdxError> {
            let mut word = [0; 4];
            source.read_exact(&mut word).map_err(IdxError::Header)?;
            Ok(word)
        };
        let n = match word()? {
            [0, 0, 8, n @ 1..=3] => n,
            [0, 0, 8, dims] => return Err(IdxError::Dims { dims }),
            found => return Err(IdxError::Magic { found }),
        };
        let dims =
            (0..n).map(|_| word().map(|word| u32::from_be_bytes(word) as usize)).collect::<Result<Vec<_>, _>>()?;
        let size =
            dims.iter().try_fold(1usize, |size, &dim| size.checked_mul(dim)).filter(|&size| size < isize::MAX as usize);
        let Some(size) = size else { return Err(IdxError::Announced { dims }) };
        // One byte more is read, so that a file that is too long is noticed.
        let bytes = files::read_to_end(source.take(size as u64 + 1), MAX_BYTES)?;
        let read = bytes.len();
        match read {
            _ if read == size => Ok(Idx { dims, bytes }),
            _ if read > size => Err(IdxError::TooLong { size, dims }),
            _ => Err(IdxError::TooShort { read, size, dims }),
        }
    }

    fn open(path: &Path) -> Result<Self, DatasetError> {
        let bytes = files::read(path).map_err(DatasetError::io(path))?;
        Self::parse(&bytes).map_err(|source| DatasetError::Idx { path: path.into(), source })
    }
}

/// One of the two pairs of files: pictures and labels to train or to test on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Train,
    Test,
}

impl Part {
    fn file(self, what: &str) -> String {
        format!("{}-{what}-ubyte", if self == Part::Train { "train" } else { "t10k" })
    }
}

/// Grey pictures, each with the name of its class as the caption.
pub struct IdxPictures {
    pixels: Vec<u8>,
    height: usize,
    width: usize,
    classes: Vec<u64>,
    names: Vec<String>,
}

impl IdxPictures {
    /// Returns whether the folder has the pictures of this part.
    pub fn is_in(folder: &Path, part: Part) -> bool {
        find(folder, &part.file("images-idx3")).is_some()
    }

    /// Opens one part of the folder. Class i is called `names[i]`.
    ///
    /// # Errors
    /// Returns an error if a file is missing or broken, the two files do not fit each other, or a label has no name.
    pub fn open(folder: &Path, part: Part, names: &[String]) -> Result<Self, DatasetError> {
        let located = |what| {
            let name = part.file(what);
            find(folder, &name).unwrap_or_else(|| folder.join(name))
        };
        let (image_path, label_path) = (located("images-idx3"), located("labels-idx1"));
        let (images, labels) = (Idx::open(&image_path)?, Idx::open(&label_path)?);
        let invalid = |path: &Path, source| Err(DatasetError::Idx { path: path.into(), source });
        let [n, height, width] = images.dims[..] else {
            return invalid(&image_path, IdxError::NoPictures { dims: images.dims });
        };
        if n == 0 || height == 0 || width == 0 {
            return invalid(&image_path, IdxError::Empty { dims: images.dims });
        }
        if labels.dims != [n] {
            return invalid(&label_path, IdxError::Labels { labels: labels.dims, pictures: images.dims });
        }
        if let Some(place) = labels.bytes.iter().position(|&label| usize::from(label) >= names.len()) {
            let (label, names) = (labels.bytes[place], names.len());
            return invalid(&label_path, IdxError::NoName { place, label, names });
        }
        let classes = labels.bytes.iter().map(|&label| u64::from(label)).collect();
        Ok(Self { pixels: images.bytes, height, width, classes, names: names.to_vec() })
    }
}

impl Dataset for IdxPictures {
    /// Returns the class of each picture.
    fn concepts(&self) -> &[u64] {
        &self.classes
    }

    fn read(&self, index: usize, _: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        let size = self.height * self.width;
        let samples = self.pixels[index * size..][..size].to_vec();
        let mode = Channels::Grey;
        example.picture = Picture { width: self.width, height: self.height, mode, samples, ..Picture::default() };
        example.caption.clone_from(&self.names[self.classes[index] as usize]);
        example.may_flip = false;
        Ok(())
    }
}

/// Returns the path of the file, plain or gzipped, if it exists.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    [name.to_owned(), format!("{name}.gz")].into_iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use std::io::Write;

    fn encode(dims: &[u32], bytes: &[u8]) -> Vec<u8> {
        let mut file = vec![0, 0, 8, dims.len() as u8];
        file.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
        file.extend(bytes);
        file
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_an_array_or_an_error(bytes: Vec<u8>, n in 0u8..6) {
            let _ = Idx::parse(&bytes);
            let headed = [&[0, 0, 8, n], &bytes[..]].concat();
            let _ = Idx::parse(&headed);
            let _ = Idx::parse(&gzip(&headed));
            let _ = Idx::parse(&[&[0x1f, 0x8b, 8], &bytes[..]].concat());
        }

        #[test]
        fn what_was_written_is_read(a in 1u32..5, b in 0u32..5, c in 1u32..5, fill: u8, cut in 1usize..4) {
            let bytes = vec![fill; (a * b * c) as usize];
            let file = encode(&[a, b, c], &bytes);
            let whole = Idx { dims: [a, b, c].map(|dim| dim as usize).to_vec(), bytes };
            prop_assert_eq!(&Idx::parse(&file).unwrap(), &whole);
            prop_assert_eq!(Idx::parse(&gzip(&file)).unwrap(), whole);
            prop_assert!(Idx::parse(&file[..file.len() - cut]).is_err());
            prop_assert!(Idx::parse(&[&file[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn a_forged_header_reserves_nothing() {
        let error = Idx::parse(&encode(&[u32::MAX, u32::MAX, u32::MAX], &[1, 2])).unwrap_err().to_string();
        assert!(error.contains("4294967295"), "{error}");
        let error = Idx::parse(&encode(&[u32::MAX, 9], &[1, 2])).unwrap_err().to_string();
        assert!(error.contains("2 of the"), "{error}");
    }
}
