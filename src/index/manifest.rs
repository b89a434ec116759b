//! The manifest `index.json`, which says which part of an index is valid.

use super::data::Data;
use super::error::{IndexError, IndexFileError};
use super::model::ModelId;
use crate::digest::Digest;
use crate::files::{self, write_atomic};
use crate::pictures::{PathPattern, Reading};
use kernels::codes;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

const FILE: &str = "index.json";
const FORMAT: &str = "clip-index";
/// Version 1 had fingerprints of 64 bits, which those of now cannot be compared with.
const VERSION: u32 = 4;
/// Version 3 had no digests of files, which the next update adds.
const WITHOUT_DIGESTS: u32 = 3;
/// Version 2 had neither codes nor places of lines, which the next update adds.
const WITHOUT_CODES: u32 = 2;
/// Largest width of embeddings: above that of every model, and small enough that no product of sizes overflows.
const MAX_EMBED_DIM: usize = 1 << 16;
/// Largest number of rows of an index: small enough that no product of sizes overflows.
const MAX_ROWS: usize = 1 << 40;

/// The committed state of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub(super) format: String,
    pub(super) version: u32,
    /// The generation number in the names of the other files.
    pub generation: u64,
    /// The folder of pictures, absolute or relative to the folder of the index.
    pub root: String,
    pub model: ModelId,
    /// The width e of the embeddings.
    pub embed_dim: usize,
    /// Whether pictures are turned upright before they are embedded, as their EXIF data has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exif: bool,
    /// Whether large JPEG files are decoded at a part of their size.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fast_decode: bool,
    /// What every update leaves out of the folder of pictures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<PathPattern>,
    /// Number of valid rows, dropped ones included.
    pub rows: usize,
    /// Number of valid bytes of the table of entries.
    pub entry_bytes: u64,
    /// The rows whose pictures changed or vanished, ascending.
    pub dropped: Vec<usize>,
}

/// The fields that are checked before the others are parsed.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

impl Manifest {
    /// Makes the manifest of an empty index.
    pub fn new(root: String, model: ModelId, embed_dim: usize) -> Self {
        Manifest {
            format: FORMAT.into(),
            version: VERSION,
            generation: 0,
            root,
            model,
            embed_dim,
            exif: false,
            fast_decode: false,
            exclude: vec![],
            rows: 0,
            entry_bytes: 0,
            dropped: vec![],
        }
    }

    /// Parses and checks a manifest.
    ///
    /// # Errors
    /// Returns an error that says what is wrong with it.
    pub(crate) fn parse(json: &[u8]) -> Result<Manifest, IndexFileError> {
        let head: Head = serde_json::from_slice(json)?;
        if head.format != FORMAT {
            return Err(IndexFileError::Format { found: head.format, expected: FORMAT });
        }
        match head.version {
            ..WITHOUT_CODES => return Err(IndexFileError::Older),
            WITHOUT_CODES..=VERSION => {}
            found => return Err(IndexFileError::Version { found, expected: VERSION }),
        }
        let manifest: Manifest = serde_json::from_slice(json)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), IndexFileError> {
        let &Manifest { generation, embed_dim, rows, ref dropped, .. } = self;
        if !(1..=MAX_EMBED_DIM).contains(&embed_dim) {
            return Err(IndexFileError::Width { embed_dim });
        }
        if rows > MAX_ROWS {
            return Err(IndexFileError::Rows { rows });
        }
        // The next generation must have a number too.
        if generation == u64::MAX {
            return Err(IndexFileError::Generation { generation });
        }
        if let Some(pair) = dropped.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(IndexFileError::Order { row: pair[1], earlier: pair[0] });
        }
        match dropped.last() {
            Some(&row) if row >= rows => Err(IndexFileError::NoRow { row, rows }),
            _ => Ok(()),
        }
    }

    /// Reads the manifest of the index in this folder.
    ///
    /// # Errors
    /// Returns an error if there is no index or it cannot be used.
    pub(crate) fn read(folder: &Path) -> Result<Manifest, IndexError> {
        let path = folder.join(FILE);
        let json = match files::read(&path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(IndexError::None { path: folder.into() });
            }
            json => json.map_err(IndexError::io(&path))?,
        };
        Manifest::parse(&json).map_err(IndexError::broken(path))
    }

    /// Writes the manifest and so makes it the state of the index.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written; the state is then unchanged.
    pub fn write(&self, folder: &Path) -> Result<(), IndexError> {
        let path = folder.join(FILE);
        let json = serde_json::to_vec(self).expect("strings and numbers");
        write_atomic(&path, |out| out.write_all(&json)).map_err(IndexError::io(path))
    }

    /// Checks that the embeddings of the index are those of the model.
    ///
    /// # Errors
    /// Returns [`IndexError::OtherModel`] if they are not.
    pub(crate) fn check_model(&self, folder: &Path, model: &ModelId) -> Result<(), IndexError> {
        if self.model.is_same(model) {
            return Ok(());
        }
        let (theirs, ours) = (Box::new(self.model.clone()), Box::new(model.clone()));
        Err(IndexError::OtherModel { path: folder.into(), theirs, ours })
    }

    /// Returns how the pictures of the index are read.
    pub fn reading(&self) -> Reading {
        Reading { exif: self.exif, fast_decode: self.fast_decode }
    }

    /// Checks that the pictures of the index are turned upright and decoded at a part of their size, if that is asked
    /// for.
    ///
    /// # Errors
    /// Returns [`IndexError::AsStored`] or [`IndexError::Exact`] if some were embedded without that.
    pub fn check_reading(&self, folder: &Path, asked: Reading) -> Result<(), IndexError> {
        match self.rows {
            0 => Ok(()),
            _ if asked.exif && !self.exif => Err(IndexError::AsStored { path: folder.into() }),
            _ if asked.fast_decode && !self.fast_decode => Err(IndexError::Exact { path: folder.into() }),
            _ => Ok(()),
        }
    }

    /// Checks the embedding of a query.
    ///
    /// # Errors
    /// Returns [`IndexError::Query`] if it has another width than e or a value that is not finite.
    pub fn check_query(&self, folder: &Path, query: &[f32]) -> Result<(), IndexError> {
        let (path, e) = (folder.into(), self.embed_dim);
        match query.iter().find(|x| !x.is_finite()) {
            _ if query.len() != e => {
                Err(IndexError::Query { path, reason: format!("has {} numbers instead of {e}", query.len()) })
            }
            Some(x) => Err(IndexError::Query { path, reason: format!("holds {x}") }),
            None => Ok(()),
        }
    }

    /// Returns whether the index has codes and places of lines, and not only what they are made of.
    pub(crate) fn has_codes(&self) -> bool {
        self.version > WITHOUT_CODES
    }

    /// Returns whether the index has a place for the digest of each file.
    pub(crate) fn has_digests(&self) -> bool {
        self.version > WITHOUT_DIGESTS
    }

    /// Returns the state of the index with codes and places of lines, and without digests.
    pub(crate) fn with_codes(&self) -> Self {
        Manifest { version: WITHOUT_DIGESTS, ..self.clone() }
    }

    /// Returns the state of the index with all of its files.
    pub(crate) fn with_digests(&self) -> Self {
        Manifest { version: VERSION, ..self.clone() }
    }

    /// Returns the state of the index without them.
    pub(crate) fn without_codes(&self) -> Self {
        Manifest { version: WITHOUT_CODES, ..self.clone() }
    }

    /// Returns the files that there are, in the order of [`Data::ALL`].
    pub(crate) fn data(&self) -> &'static [Data] {
        match self.version {
            ..=WITHOUT_CODES => &Data::ALL[..2],
            WITHOUT_DIGESTS => &Data::ALL[..4],
            _ => &Data::ALL,
        }
    }

    /// Returns the number of valid bytes of a file.
    pub(crate) fn bytes(&self, data: Data) -> u64 {
        match data {
            Data::Entries => self.entry_bytes,
            _ => self.rows as u64 * self.row_bytes(data) as u64,
        }
    }

    /// Returns the number of bytes of a row of a file whose rows are of one length.
    pub(crate) fn row_bytes(&self, data: Data) -> usize {
        match data {
            Data::Matrix => 2 * self.embed_dim,
            Data::Codes => codes::row_bytes(self.embed_dim),
            Data::Lines => size_of::<u64>(),
            Data::Digests => Digest::BYTES,
            Data::Entries => unreachable!("lines are of any length"),
        }
    }

    /// Returns the path of a file, for an index in `folder`.
    pub(crate) fn path(&self, folder: &Path, data: Data) -> PathBuf {
        let (start, end) = data.name();
        folder.join(format!("{start}{}{end}", self.generation))
    }

    /// Returns the number of pictures that can be found.
    pub(crate) fn live(&self) -> usize {
        self.rows - self.dropped.len()
    }

    /// Returns the folder of pictures, for an index in `folder`.
    pub(crate) fn root(&self, folder: &Path) -> PathBuf {
        match (self.root.as_str(), folder.parent()) {
            // The parent's own path is shorter than the index's path with ".." at its end.
            ("..", Some(parent)) if folder.file_name().is_some() => parent.into(),
            _ => folder.join(&self.root),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn manifest() -> Manifest {
        let model = ModelId { path: "m".into(), quick_gelu: true, fingerprint: "0".into(), ..ModelId::default() };
        Manifest { rows: 9, dropped: vec![2, 7], ..Manifest::new("..".into(), model, 4) }
    }

    fn changed(field: &str, value: Value) -> String {
        let mut json = serde_json::to_value(manifest()).unwrap();
        json[field] = value;
        Manifest::parse(json.to_string().as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn it_comes_back() {
        let json = serde_json::to_vec(&manifest()).unwrap();
        assert_eq!(Manifest::parse(&json).unwrap(), manifest());
        for cut in 0..json.len() {
            assert!(Manifest::parse(&json[..cut]).is_err(), "{cut} bytes");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(changed("format", json!("zip")), "its format is \"zip\" instead of \"clip-index\"");
        assert_eq!(changed("version", json!(1)), "it was made by an older version of this program");
        assert_eq!(changed("version", json!(5)), "its version is 5; this program reads version 4");
        assert_eq!(changed("embed_dim", json!(0)), "embeddings of width 0");
        assert_eq!(changed("embed_dim", json!(usize::MAX)), format!("embeddings of width {}", usize::MAX));
        assert_eq!(changed("rows", json!(usize::MAX)), format!("{} rows", usize::MAX));
        assert_eq!(changed("rows", json!(7)), "row 7 is dropped and there are 7");
        assert_eq!(changed("dropped", json!([3, 3])), "dropped row 3 comes after 3");
        assert!(changed("rows", json!(-1)).contains("-1"));
        assert!(changed("exclude", json!(["a["])).starts_with("\"a[\" is no pattern of paths"));
        assert!(changed("other", json!(1)).contains("unknown field"));
    }

    #[test]
    fn the_root_is_shown_without_detours() {
        for (folder, root) in [("p/.clip-index", "p"), (".clip-index", ""), (".", "./..")] {
            assert_eq!(manifest().root(Path::new(folder)), Path::new(root), "{folder}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, place: prop::sample::Index) {
            let _ = Manifest::parse(&bytes);
            let mut json = serde_json::to_vec(&manifest()).unwrap();
            let i = place.index(json.len());
            json[i] = bytes.first().copied().unwrap_or(b'9');
            let _ = Manifest::parse(&json);
        }
    }
}
