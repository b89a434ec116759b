//! A folder of parts: embeddings that several processes write, each its own part, as `clip-retrieval inference` does.
//!
//! | file | what it holds |
//! |---|---|
//! | `img_emb/img_emb_3.npy` | unit-length embeddings of pictures, one a row |
//! | `text_emb/text_emb_3.npy` | those of captions |
//! | `metadata/metadata_3.parquet` | the pictures' paths and the captions, row by row |
//! | `parts/part_3.jsonl` | the [`Record`] of the part, then the picture's file of each row, as an index describes it |
//!
//! Numbers have as many digits as the number of parts, since readers sort files by name. The record is written last,
//! and with it the part is finished. A part without a row has only that, since some readers skip arrays without rows,
//! but not the tables beside them.
//!
//! Tables are for other programs. Here they are never read: files from elsewhere could end the process, since the crate
//! that reads them does not return an error for all that can be wrong with them.

use super::CliError;
use super::arrays::{write_line, write_npy};
use super::convert::check_empty;
use super::parquet_writer::write_parquet;
use super::pictures::Tally;
use crate::app::part::Part;
use crate::checkpoint::Precision;
use crate::files::write_atomic;
use crate::index::{Entry, ModelId};
use crate::pictures::Reading;
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

const PARTS: &str = "parts";
/// Version of the records. Another version has other fields.
const VERSION: u32 = 1;
/// Largest record in bytes, above what any path of a model takes.
const MAX_RECORD_BYTES: u64 = 1 << 20;

/// Largest width of embeddings, that of an index.
const MAX_WIDTH: usize = 1 << 16;

/// What all parts of a folder have in common.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    version: u32,
    /// Number of parts.
    pub parts: usize,
    pub model: ModelId,
    pub dtype: Precision,
    /// Whether pictures are turned upright.
    pub exif: bool,
    /// Whether large JPEG files are decoded at a part of their size.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fast_decode: bool,
    /// Digest of the list of what is embedded.
    list: String,
    pub images: bool,
    texts: bool,
}

impl Settings {
    pub(super) fn new(
        parts: usize,
        model: ModelId,
        dtype: Precision,
        Reading { exif, fast_decode }: Reading,
        list: String,
        (images, texts): (bool, bool),
    ) -> Self {
        Settings { version: VERSION, parts, model, dtype, exif, fast_decode, list, images, texts }
    }

    /// Returns what is different in parts with these settings, if their rows do not belong together.
    pub(super) fn difference(&self, other: &Settings) -> Option<&'static str> {
        let same = [
            ("version", self.version == other.version),
            ("number of parts", self.parts == other.parts),
            ("model", self.model.is_same(&other.model)),
            ("--dtype", self.dtype == other.dtype),
            ("--exif", self.exif == other.exif),
            ("--fast-decode", self.fast_decode == other.fast_decode),
            ("list of what is embedded", self.list == other.list),
            ("kind of content", (self.images, self.texts) == (other.images, other.texts)),
        ];
        same.iter().find(|(_, same)| !same).map(|&(what, _)| what)
    }
}

/// What a finished part says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub settings: Settings,
    /// The place of the part, counted from 0.
    pub part: usize,
    /// Number of things in the part.
    pub seen: usize,
    /// Number of those that could not be read and have no row.
    pub bad: usize,
    pub rows: usize,
    /// The width e of the embeddings.
    pub width: usize,
}

impl Record {
    /// Reads the first line of a part's file.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or does not begin with a record of this version.
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let mut line = vec![];
        let file = File::open(path).map_err(CliError::file(path))?;
        BufReader::new(file.take(MAX_RECORD_BYTES)).read_until(b'\n', &mut line).map_err(CliError::file(path))?;
        let record: Record = serde_json::from_slice(&line).map_err(|error| no_record(path, error))?;
        let &Record { ref settings, part, rows, width, seen, bad } = &record;
        if settings.version != VERSION {
            return Err(no_record(path, format!("version {} instead of {VERSION}", settings.version)));
        }
        if part >= settings.parts || !(1..=MAX_WIDTH).contains(&width) || rows > seen || bad > seen {
            let counts = format!("part {part} of {}, {rows} rows of {width}, {bad} bad of {seen}", settings.parts);
            return Err(no_record(path, counts));
        }
        Ok(record)
    }

    pub(super) fn tally(&self) -> Tally {
        Tally { seen: self.seen, bad: self.bad }
    }
}

fn no_record(path: &Path, reason: impl ToString) -> CliError {
    CliError::line(path, 1, &format!("not what embed writes: {}", reason.to_string()))
}

/// The rows of a part.
#[derive(Default)]
pub(super) struct Rows {
    pub count: usize,
    /// Embeddings of the pictures, if there are some.
    pub images: Vec<f32>,
    /// Embeddings of the captions, if there are some.
    pub texts: Vec<f32>,
    pub paths: Vec<String>,
    pub captions: Vec<String>,
    /// The files of the pictures, if they are files of their own.
    pub files: Vec<Entry>,
}

/// The files of a part.
pub(super) struct Place {
    pub images: PathBuf,
    texts: PathBuf,
    metadata: PathBuf,
    pub record: PathBuf,
}

impl Place {
    /// Returns where a part is in a folder.
    pub(super) fn of(folder: &Path, part: Part) -> Self {
        let width = part.of.to_string().len();
        let file = |inside: &str, name: &str, extension: &str| {
            folder.join(inside).join(format!("{name}_{:0width$}.{extension}", part.place))
        };
        Place {
            images: file("img_emb", "img_emb", "npy"),
            texts: file("text_emb", "text_emb", "npy"),
            metadata: file("metadata", "metadata", "parquet"),
            record: file(PARTS, "part", "jsonl"),
        }
    }
}

/// Returns the files of all finished parts in a folder, sorted by name, or nothing if it is no folder of parts.
///
/// # Errors
/// Returns the error of the file system.
pub(super) fn records(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let entries = match fs::read_dir(folder.join(PARTS)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
        entries => entries.map_err(CliError::file(folder))?,
    };
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(CliError::file(folder))?;
    let is_record = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("part_"));
    paths.retain(is_record);
    paths.sort();
    Ok(paths)
}

/// A folder that parts are written into.
pub(super) struct Folder {
    path: PathBuf,
    settings: Settings,
}

impl Folder {
    /// Begins a folder, or goes on with one that was begun with the same settings.
    ///
    /// # Errors
    /// Returns an error if the folder has other content or a part with other settings, or if it cannot be written.
    pub(super) fn open(path: &Path, settings: Settings) -> Result<Self, CliError> {
        let begun = path.join(PARTS);
        // Another process may have begun the folder meanwhile.
        check_empty(path).or_else(|error| if begun.is_dir() { Ok(()) } else { Err(error) })?;
        fs::create_dir_all(&begun).map_err(CliError::file(&begun))?;
        if let Some(other) = records(path)?.first()
            && let Some(what) = settings.difference(&Record::read(other)?.settings)
        {
            return Err(CliError::OtherFolder { path: path.into(), what: what.into() });
        }
        Ok(Folder { path: path.into(), settings })
    }

    fn place(&self, place: usize) -> Place {
        Place::of(&self.path, Part { place, of: self.settings.parts })
    }

    /// Returns the record of a part, if it is finished.
    ///
    /// # Errors
    /// Returns an error if the record cannot be read.
    pub(super) fn finished(&self, place: usize) -> Result<Option<Record>, CliError> {
        let Place { images, texts, metadata, record } = self.place(place);
        if !record.is_file() {
            return Ok(None);
        }
        let record = Record::read(&record)?;
        let Settings { images: has_images, texts: has_texts, .. } = self.settings;
        let is_there = |path: &Path, needed: bool| path.is_file() || !needed || record.rows == 0;
        let whole = is_there(&images, has_images) && is_there(&texts, has_texts) && is_there(&metadata, true);
        Ok(whole.then_some(record))
    }

    /// Writes a part. The record comes last: with it, all files are there.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written.
    pub(super) fn write(&self, place: usize, width: usize, tally: Tally, rows: &Rows) -> Result<Record, CliError> {
        let Place { images, texts, metadata, record: path } = self.place(place);
        let Settings { images: has_images, texts: has_texts, dtype, .. } = self.settings;
        let matrix = |path: &Path, flat: &[f32]| {
            let matrix = ArrayView2::from_shape((rows.count, width), flat).expect("rows of one width");
            create_folder_of(path).and_then(|()| write_npy(path, matrix, dtype))
        };
        let needed = [has_images, has_texts, true].map(|needed| needed && rows.count > 0);
        for (path, needed) in [&images, &texts, &metadata].into_iter().zip(needed) {
            // An interrupted run may have left the file of a part that has no row now.
            if !needed && path.exists() {
                fs::remove_file(path).map_err(CliError::file(path))?;
            }
        }
        if needed[0] {
            matrix(&images, &rows.images)?;
        }
        if needed[1] {
            matrix(&texts, &rows.texts)?;
        }
        if needed[2] {
            let columns = [("image_path", has_images, &rows.paths), ("caption", has_texts, &rows.captions)];
            let columns: Vec<(&str, &[String])> =
                columns.iter().filter(|(_, needed, _)| *needed).map(|&(name, _, texts)| (name, &texts[..])).collect();
            create_folder_of(&metadata)?;
            write_parquet(&metadata, &columns).map_err(CliError::file(&metadata))?;
        }
        let Tally { seen, bad } = tally;
        let record = Record { settings: self.settings.clone(), part: place, seen, bad, rows: rows.count, width };
        let written = write_atomic(&path, |out| {
            write_line(out, &record)?;
            rows.files.iter().try_for_each(|file| write_line(out, file))
        });
        written.map_err(CliError::file(&path)).map(|()| record)
    }
}

fn create_folder_of(path: &Path) -> Result<(), CliError> {
    path.parent().map_or(Ok(()), |folder| fs::create_dir_all(folder).map_err(CliError::file(folder)))
}
