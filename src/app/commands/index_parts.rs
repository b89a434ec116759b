//! Parts of embeddings, as `clipwright embed` writes them, on their way into an index.

use super::CliError;
use super::arrays::NpyRows;
use super::parts::{Place, Record, Settings, records};
use crate::app::part::Part;
use crate::datasets::BadReport;
use crate::embed::Batch;
use crate::files;
use crate::index::{Entry, IndexError, ModelId, Scan};
use ndarray::Array2;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Number of rows that are added to the index at a time.
const AT_A_TIME: usize = 8192;
/// Largest number of missing parts that a message names.
const MAX_NAMED: usize = 10;
/// Largest distance of a row's squared length from 1, with room for the rounding of its numbers to f16.
const MAX_DISTANCE: f32 = 0.02;

/// The parts of a folder, all of which are there.
pub(super) struct Parts {
    settings: Settings,
    /// The width e of the embeddings.
    width: usize,
    /// The file of embeddings of each part, with its number of rows.
    arrays: Vec<(PathBuf, usize)>,
    /// The picture of each row, part after part.
    files: Vec<Entry>,
}

impl Parts {
    /// Reads what all parts say of themselves.
    ///
    /// # Errors
    /// Returns an error if a part is missing, does not belong to the others, or is not of files of pictures.
    pub(super) fn open(folder: &Path) -> Result<Self, CliError> {
        let mut known: BTreeMap<usize, (PathBuf, Record)> = BTreeMap::new();
        for path in records(folder)? {
            let record = Record::read(&path)?;
            let place = Part { place: record.part, of: record.settings.parts };
            if path != Place::of(folder, place).record {
                return Err(refused(&path, format!("it is of part {place}, whose file has another name")));
            }
            if let Some((first, other)) = known.values().next() {
                let with = |what| refused(&path, format!("its {what} is another than that of {}", first.display()));
                record.settings.difference(&other.settings).map_or(Ok(()), |what| Err(with(what)))?;
                if record.width != other.width {
                    return Err(with("width"));
                }
            }
            known.insert(record.part, (path, record));
        }
        let Some((_, first)) = known.values().next() else {
            return Err(refused(folder, "no part of embeddings in it, as embed --shard writes them".into()));
        };
        let (settings, width) = (first.settings.clone(), first.width);
        check_all(folder, settings.parts, &known)?;
        if !settings.images {
            return Err(refused(folder, "embeddings of texts, and an index is one of pictures".into()));
        }
        let (mut arrays, mut all) = (vec![], vec![]);
        for (part, (path, record)) in known {
            let files = entries(&path, record.rows)?;
            all.extend(files);
            arrays.push((Place::of(folder, Part { place: part, of: settings.parts }).images, record.rows));
        }
        Ok(Parts { settings, width, arrays, files: all })
    }

    pub(super) fn model(&self) -> &ModelId {
        &self.settings.model
    }

    /// Returns whether pictures were turned upright.
    pub(super) fn exif(&self) -> bool {
        self.settings.exif
    }

    /// Returns e, the width of the embeddings.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Returns the pictures as files below a folder, with the row of each.
    ///
    /// # Errors
    /// Returns an error if a picture is not below the folder.
    pub(super) fn scan(&self, root: &Path) -> Result<(Scan, Vec<usize>), IndexError> {
        Scan::of_files(root, self.files.iter().cloned())
    }

    /// Reads these rows, in ascending order, and passes them to `each`, batch by batch.
    ///
    /// # Errors
    /// Returns the error of `each`, or one that names a file that cannot be read or the row in it that is no embedding.
    pub(super) fn stream(
        &self,
        rows: &[usize],
        each: &mut dyn FnMut(Batch<()>) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let mut reader = Reader { parts: self, part: 0, start: 0, array: None };
        let mut report = BadReport::default();
        for (batch, first) in rows.chunks(AT_A_TIME).zip((0..).step_by(AT_A_TIME)) {
            let mut matrix = Array2::zeros((batch.len(), self.width));
            for (&row, mut out) in batch.iter().zip(matrix.rows_mut()) {
                reader.read(row, out.as_slice_mut().expect("a row of a new matrix"))?;
            }
            report.seen += batch.len() as u64;
            let read = (first..first + batch.len()).map(|place| (place, ())).collect();
            each(Batch { rows: matrix, read, bad: vec![], report: &report })?;
        }
        Ok(())
    }
}

/// A reader of ascending rows, which has the file of one part open.
struct Reader<'a> {
    parts: &'a Parts,
    part: usize,
    /// The first row of the part.
    start: usize,
    array: Option<NpyRows>,
}

impl Reader<'_> {
    fn read(&mut self, row: usize, out: &mut [f32]) -> Result<(), CliError> {
        let Parts { arrays, settings, width, .. } = self.parts;
        while row >= self.start + arrays[self.part].1 {
            self.start += arrays[self.part].1;
            self.part += 1;
            self.array = None;
        }
        let (path, rows) = &arrays[self.part];
        let array = match self.array.take() {
            Some(array) => array,
            None => NpyRows::open(path, [*rows, *width], settings.dtype)?,
        };
        let row = row - self.start;
        array.read(row, out)?;
        self.array = Some(array);
        let square: f32 = out.iter().map(|x| x * x).sum();
        // What is no number is left to the index, which skips it and names the picture.
        if (square - 1.0).abs() > MAX_DISTANCE {
            return Err(refused(path, format!("row {row} is not of unit length: its square is {square}")));
        }
        Ok(())
    }
}

/// Checks that no part is missing.
fn check_all(folder: &Path, parts: usize, known: &BTreeMap<usize, (PathBuf, Record)>) -> Result<(), CliError> {
    let missing = parts - known.len();
    if missing == 0 {
        return Ok(());
    }
    let named = (0..parts).filter(|part| !known.contains_key(part)).take(MAX_NAMED);
    let mut names = named.map(|place| Part { place, of: parts }.to_string()).collect::<Vec<_>>().join(", ");
    if missing > MAX_NAMED {
        names += &format!(" and {} more", missing - MAX_NAMED);
    }
    Err(refused(folder, format!("parts are missing: {names}; embed --shard writes one")))
}

/// Reads the pictures of a part, one for each row.
fn entries(path: &Path, rows: usize) -> Result<Vec<Entry>, CliError> {
    let bytes = files::read(path).map_err(CliError::file(path))?;
    let lines = (1..).zip(bytes.split_inclusive(|&byte| byte == b'\n')).skip(1);
    let entry = |(number, line)| {
        let reason = |error| CliError::line(path, number, &format!("not what embed writes: {error}"));
        serde_json::from_slice(line).map_err(reason)
    };
    let entries: Vec<Entry> = lines.map(entry).collect::<Result<_, _>>()?;
    match entries.len() {
        0 if rows > 0 => Err(refused(path, "its pictures are in shards, and an index is one of files".into())),
        lines if lines != rows => Err(refused(path, format!("{lines} lines behind the first for {rows} rows"))),
        _ => Ok(entries),
    }
}

fn refused(path: &Path, reason: String) -> CliError {
    CliError::file(path)(io::Error::other(reason))
}
