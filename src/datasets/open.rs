//! Recognition of how the data at a user's path is stored, and pairs of pictures and captions in any of these formats.

use crate::counted::counted;
use crate::datasets::benchmark::{is_shard, shards_in};
use crate::datasets::braces::paths;
use crate::datasets::columns::Columns;
use crate::datasets::dataset::{Dataset, PictureFiles};
use crate::datasets::error::{BadLimit, BadReport, DatasetError};
use crate::datasets::joined::Joined;
use crate::datasets::{CsvLayout, Shards, Table};
use crate::files;
use flate2::read::MultiGzDecoder;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Number of examples that the shuffle of tar shards chooses between.
const SHUFFLE_BUFFER: usize = 5000;

/// Names of the files that hold the captions in a folder of pictures.
const METADATA: [(&str, PairFormat); 2] = [("metadata.jsonl", PairFormat::Jsonl), ("metadata.csv", PairFormat::Csv)];

/// Number of bytes by which a file is recognised: those of a tar file's first header.
const HEAD: u64 = 512;
/// The position of the mark in the header of a tar file, and the mark itself.
const TAR: (usize, &[u8]) = (257, b"ustar");

/// How pairs of pictures and captions are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairFormat {
    /// A CSV or TSV table with a header, or a folder with `metadata.csv`.
    Csv,
    /// JSON lines, or a folder with `metadata.jsonl`.
    Jsonl,
    /// Tar shards.
    WebDataset,
}

impl PairFormat {
    /// Returns the format that a file's name or, where that says nothing, its first bytes suggest.
    fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let head = head(path).unwrap_or_default();
        let is_tar = head.get(TAR.0..).is_some_and(|at| at.starts_with(TAR.1));
        let is_json = files::text(&head).is_ok_and(|text| text.trim_ascii_start().starts_with(b"{"));
        if is_tar || is_shard(&name) {
            PairFormat::WebDataset
        } else if is_json || files::has_extension(path, "jsonl") {
            PairFormat::Jsonl
        } else {
            PairFormat::Csv
        }
    }
}

/// Reads the first bytes of a file, unpacked if they are gzipped. Returns nothing for a pipe, which can be read only
/// once.
fn head(path: &Path) -> std::io::Result<Vec<u8>> {
    if !path.is_file() {
        return Ok(vec![]);
    }
    let read = |source: &mut dyn Read| {
        let mut head = vec![];
        source.take(HEAD).read_to_end(&mut head).map(|_| head)
    };
    let head = read(&mut File::open(path)?)?;
    if head.starts_with(files::GZIP) { read(&mut MultiGzDecoder::new(File::open(path)?)) } else { Ok(head) }
}

/// How a user's pairs are stored, and which columns of a table they are in. A field that is `None` is decided by the
/// path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairLayout {
    pub format: Option<PairFormat>,
    pub columns: Columns,
    /// The byte that separates columns. With `None` it is a comma in files named `.csv` or `.csv.gz`, and a tab in
    /// all others.
    pub separator: Option<u8>,
}

impl PairLayout {
    fn csv(&self, path: &Path) -> CsvLayout {
        let by_name = if files::has_extension(path, "csv") { b',' } else { b'\t' };
        CsvLayout { columns: self.columns.clone(), separator: self.separator.unwrap_or(by_name) }
    }
}

/// How the data at a path is stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Csv(PathBuf),
    Jsonl(PathBuf),
    Shards(Vec<PathBuf>),
    /// A folder with neither a table nor shards directly in it.
    Folder,
}

impl Stored {
    /// Looks at sources that are joined by `::`; returns each with its name.
    ///
    /// # Errors
    /// Returns the errors of [`at`](Self::at), or one if there is no source.
    pub(crate) fn sources(path: &str, format: Option<PairFormat>) -> Result<Vec<(&str, Self)>, DatasetError> {
        let is_one = Path::new(path).exists();
        let sources = path.split("::").filter(|source| !source.is_empty());
        let sources: Vec<&str> = if is_one { vec![path] } else { sources.collect() };
        if sources.is_empty() {
            return Err(DatasetError::Pattern { pattern: path.into(), reason: "names no file" });
        }
        sources.into_iter().map(|source| Ok((source, Self::at(source, format)?))).collect()
    }

    /// Looks at a file, a folder, or a [pattern](paths) of shards.
    ///
    /// # Errors
    /// Returns an error if a folder cannot be read or has two tables, or if a pattern is broken or matches no file.
    pub(crate) fn at(path: &str, format: Option<PairFormat>) -> Result<Self, DatasetError> {
        let file = Path::new(path);
        if file.is_dir() {
            return Self::inside(file, format);
        }
        let mut files = if file.exists() { vec![file.to_owned()] } else { paths(path)? };
        let format = format.unwrap_or_else(|| PairFormat::of(&files[0]));
        if format != PairFormat::WebDataset && files.len() > 1 {
            return Err(DatasetError::Pattern { pattern: path.into(), reason: "stands for more than one table" });
        }
        Ok(match format {
            PairFormat::Csv => Stored::Csv(files.remove(0)),
            PairFormat::Jsonl => Stored::Jsonl(files.remove(0)),
            PairFormat::WebDataset => Stored::Shards(files),
        })
    }

    fn inside(folder: &Path, format: Option<PairFormat>) -> Result<Self, DatasetError> {
        let fits = |own| format.is_none_or(|format| format == own);
        let tables = METADATA.iter().map(|&(name, own)| (folder.join(name), own));
        let tables: Vec<_> = tables.filter(|(path, own)| fits(*own) && path.is_file()).collect();
        let shards = if fits(PairFormat::WebDataset) && tables.is_empty() { shards_in(folder)? } else { vec![] };
        match &tables[..] {
            [_, _, ..] => Err(DatasetError::TwoTables { path: folder.to_owned() }),
            [(path, PairFormat::Csv)] => Ok(Stored::Csv(path.clone())),
            [(path, _)] => Ok(Stored::Jsonl(path.clone())),
            [] if shards.is_empty() => Ok(Stored::Folder),
            [] => Ok(Stored::Shards(shards)),
        }
    }
}

/// A user's pairs, with a report on those that could not be used.
pub struct OwnPairs {
    path: String,
    dataset: Arc<dyn Dataset>,
    /// The same as `dataset`.
    files: Arc<dyn PictureFiles>,
    bad: BadReport,
    /// The columns of tables that were guessed, which is rare.
    guesses: Vec<Columns>,
}

impl OwnPairs {
    /// Opens a table, a folder, tar shards given by a [pattern](paths), or several of these, joined by `::`. The shards
    /// of all sources are one set, whose pairs are mixed with each other.
    ///
    /// # Errors
    /// Returns an error if the data cannot be read, has no usable pair or too many bad ones.
    pub fn open(path: &str, layout: &PairLayout, limit: BadLimit) -> Result<Self, DatasetError> {
        let (mut parts, mut shards) = (vec![], vec![]);
        for (source, stored) in Stored::sources(path, layout.format)? {
            match stored {
                Stored::Csv(file) => parts.push(Self::table(path, Table::csv(&file, &layout.csv(&file), limit)?)),
                Stored::Jsonl(file) => parts.push(Self::table(path, Table::jsonl(&file, &layout.columns, limit)?)),
                Stored::Shards(own) => shards.extend(own),
                Stored::Folder => return Err(DatasetError::NoPairs { path: source.into() }),
            }
        }
        if !shards.is_empty() {
            parts.push(Self::shards(path, Shards::open(&shards, SHUFFLE_BUFFER, limit)?));
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Self::joined(path, parts) })
    }

    fn joined(path: &str, parts: Vec<Self>) -> Self {
        let mut bad = BadReport::default();
        parts.iter().for_each(|part| bad.merge(&part.bad));
        let mut guesses: Vec<Columns> = parts.iter().flat_map(|part| &part.guesses).cloned().collect();
        guesses.dedup();
        Self::new(path, Arc::new(Joined::new(parts.into_iter().map(|part| part.files).collect())), bad, guesses)
    }

    fn table(path: &str, table: Table) -> Self {
        let (bad, guesses) = (table.bad().clone(), table.guess().cloned().into_iter().collect());
        Self::new(path, Arc::new(table), bad, guesses)
    }

    /// Makes pairs of the examples in shards.
    pub(super) fn shards(path: &str, shards: Shards) -> Self {
        let bad = shards.bad().clone();
        Self::new(path, Arc::new(shards), bad, vec![])
    }

    fn new<D: PictureFiles + 'static>(path: &str, data: Arc<D>, bad: BadReport, guesses: Vec<Columns>) -> Self {
        Self { path: path.into(), dataset: Arc::clone(&data) as _, files: data, bad, guesses }
    }

    /// Returns the pairs as a dataset.
    pub fn dataset(&self) -> &Arc<dyn Dataset> {
        &self.dataset
    }

    /// Returns the pairs as a dataset whose pictures are files.
    pub fn files(&self) -> &dyn PictureFiles {
        &*self.files
    }

    /// Returns the report on the rows or samples that could not be used.
    pub fn bad(&self) -> &BadReport {
        &self.bad
    }

    /// Returns the columns of the first table whose columns were guessed.
    pub fn guess(&self) -> Option<&Columns> {
        self.guesses.first()
    }
}

impl fmt::Display for OwnPairs {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} in {}", counted(self.dataset.concepts().len(), "pair"), self.path)?;
        self.guesses.iter().try_for_each(|guess| write!(f, ", where {guess}"))?;
        if self.bad.bad > 0 { write!(f, "; skipped {}", self.bad) } else { Ok(()) }
    }
}
