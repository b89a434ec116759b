//! `clipwright export`: writes the embeddings of an index for other programs.

use super::arrays::{Format, write_line, write_numbers};
use super::convert::Dtype;
use super::embed::{NAMES, Name};
use super::parts::{Folder, Rows, Settings};
use super::pictures::Tally;
use super::{CliError, Context};
use crate::checkpoint::Precision;
use crate::counted::counted;
use crate::digest::digest;
use crate::files::{self, write_atomic};
use crate::index::{self, Entry};
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Number of rows that are in memory at a time.
const AT_A_TIME: usize = 1 << 13;
/// Largest number of rows of a part of a folder, which is in memory until it is written.
const PART: usize = 1 << 18;

/// Write the embeddings of an index for other programs
///
/// The rows are those of the pictures that can be found, in the order of the index, of unit length as far as the f16
/// allow that they are stored in: a dot product is a cosine. No model is needed.
#[derive(Debug, Args)]
#[command(after_help = "\
A file is written whole or not at all:
  .npy     an array (n, e) for NumPy
  .faiss   an IndexFlatIP for FAISS's read_index
Beside either, in NAME.names.jsonl, is a line of JSON for each row: {\"image\"}.

An --output without an extension is a folder of parts in the layout that
clip-retrieval index and autofaiss read, as `clipwright embed --help` has it:
img_emb/*.npy, metadata/*.parquet with the column image_path, parts/*.jsonl.
`clipwright index DIR --from PARTS` makes an index of them again.

Examples:
  clipwright export photos --output photos.faiss
    index = faiss.read_index(\"photos.faiss\")
  clipwright export photos --output photos.npy
    rows = numpy.load(\"photos.npy\", mmap_mode=\"r\")
  clipwright export photos --output parts --dtype f16

Qdrant takes the .npy and the names as they are:
    names = [json.loads(line) for line in open(\"photos.names.jsonl\")]
    client.create_collection(\"photos\", VectorParams(size=rows.shape[1],
                             distance=Distance.DOT))
    client.upload_collection(\"photos\", vectors=rows, payload=names,
                             ids=range(len(names)))")]
pub(crate) struct Export {
    /// Folder of the index, or the folder of pictures that it is in
    #[arg(value_name = "INDEX")]
    index: PathBuf,
    /// File to write, .npy or .faiss; without an extension a folder of parts
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Type of the numbers of a .npy
    #[arg(long, value_enum, default_value_t)]
    dtype: Dtype,
}

/// The pictures of an index that can be found, with their rows.
struct Rowed {
    index: index::Index,
    rows: Vec<usize>,
    entries: Vec<Entry>,
}

impl Export {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        context.refuse_precision("export takes what has been computed; --dtype is what it is written as")?;
        context.refuse_model("export takes embeddings that are made already")?;
        let index = index::Index::open(&self.index)?;
        let (rows, entries) = index.entries(&index.all())?.into_iter().unzip();
        let rowed = Rowed { index, rows, entries };
        let dtype = self.dtype.into();
        let names = match self.output.extension() {
            None => rowed.write_parts(&self.output, dtype).map(|()| None),
            Some(_) => rowed.write_file(&self.output, dtype).map(Some),
        }?;
        context.output.show(&Report {
            output: files::name(&self.output).into_owned(),
            rows: rowed.rows.len(),
            width: rowed.index.manifest().embed_dim,
            names: names.map(|path| files::name(&path).into_owned()),
        })
    }
}

impl Rowed {
    /// Returns the name of the picture of an entry, as results have it.
    fn name(&self, entry: &Entry) -> String {
        files::name(&self.index.file(entry)).into_owned()
    }

    /// Writes one file of all rows, and one of their names; returns the path of the latter.
    fn write_file(&self, path: &Path, dtype: Precision) -> Result<PathBuf, CliError> {
        let format = Format::of(path, &[("npy", Format::Npy), ("faiss", Format::Faiss)])?;
        let shape = [self.rows.len(), self.index.manifest().embed_dim];
        let header = format.header(path, shape, dtype)?.expect("a format of a matrix alone");
        let written = write_atomic(path, |out| {
            out.write_all(&header)?;
            self.rows.chunks(AT_A_TIME).try_for_each(|rows| {
                let rows = self.index.embeddings(rows).map_err(io::Error::other)?;
                write_numbers(out, rows.view(), dtype)
            })
        });
        written.map_err(CliError::file(path))?;
        let names = path.with_extension(NAMES);
        let name = |entry| Name::Image(self.name(entry));
        write_atomic(&names, |out| self.entries.iter().try_for_each(|entry| write_line(out, &name(entry))))
            .map_err(CliError::file(&names))?;
        Ok(names)
    }

    /// Writes a folder of parts, each of so many rows as may be in memory.
    fn write_parts(&self, path: &Path, dtype: Precision) -> Result<(), CliError> {
        let manifest = self.index.manifest();
        let parts = self.rows.len().div_ceil(PART).max(1);
        let list = digest(self.entries.iter().map(|entry| self.name(entry) + "\0")).to_string();
        let settings = Settings::new(parts, manifest.model.clone(), dtype, manifest.reading(), list, (true, false));
        let folder = Folder::open(path, settings)?;
        for part in 0..parts {
            let places = part * PART..self.rows.len().min((part + 1) * PART);
            let named = |entry: &Entry| Entry { path: self.name(entry), ..entry.clone() };
            let files: Vec<Entry> = self.entries[places.clone()].iter().map(named).collect();
            let rows = Rows {
                count: places.len(),
                images: self.index.embeddings(&self.rows[places])?.into_raw_vec_and_offset().0,
                paths: files.iter().map(|file| file.path.clone()).collect(),
                files,
                ..Rows::default()
            };
            folder.write(part, manifest.embed_dim, Tally { seen: rows.count, bad: 0 }, &rows)?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Report {
    output: String,
    rows: usize,
    width: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Report { output, rows, width, .. } = self;
        write!(f, "{output}: {} of {width}", counted(*rows, "row"))
    }
}
