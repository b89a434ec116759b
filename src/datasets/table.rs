//! Pictures named in a table: CSV or TSV as OpenCLIP reads it, or a folder with `metadata.jsonl`.
//!
//! The table is read at once, the pictures when they are needed. Relative paths start from the table's folder.

use crate::datasets::dataset::{Dataset, Example};
use crate::datasets::error::{BadExample, BadLimit, BadReport, DatasetError};
use crate::pictures::decode;
use crate::random::{Rng, key};
use crate::text::clean::clean;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The layout of a CSV file. The default is OpenCLIP's: columns `filepath` and `title`, separated by tabs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvLayout {
    /// Name of the column with the pictures' paths.
    pub picture: String,
    /// Name of the column with the captions.
    pub caption: String,
    pub separator: u8,
}

impl Default for CsvLayout {
    fn default() -> Self {
        Self { picture: "filepath".to_owned(), caption: "title".to_owned(), separator: b'\t' }
    }
}

/// A usable row of the table.
struct Row {
    line: u64,
    picture: PathBuf,
    caption: String,
}

/// The pictures and captions of a table.
pub struct Table {
    path: PathBuf,
    rows: Vec<Row>,
    concepts: Vec<u64>,
    bad: BadReport,
}

impl Table {
    /// Reads a CSV or TSV file, whose first line names the columns.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, lacks a column, has no usable row or too many bad ones.
    pub fn csv(path: &Path, layout: &CsvLayout, limit: BadLimit) -> Result<Self, DatasetError> {
        let csv_error = |source| DatasetError::Csv { path: path.to_owned(), source };
        let mut reader =
            csv::ReaderBuilder::new().delimiter(layout.separator).flexible(true).from_path(path).map_err(csv_error)?;
        let header = reader.byte_headers().map_err(csv_error)?.clone();
        let column = |wanted: &str| {
            header.iter().position(|name| name == wanted.as_bytes()).ok_or_else(|| DatasetError::Column {
                path: path.to_owned(),
                wanted: wanted.to_owned(),
                columns: header.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect(),
            })
        };
        let (picture, caption) = (column(&layout.picture)?, column(&layout.caption)?);
        let mut table = Builder::new(path);
        for record in reader.into_byte_records() {
            let record = record.map_err(csv_error)?;
            let line = record.position().map_or(0, csv::Position::line);
            let field = |column| {
                let bytes = record.get(column).ok_or("the row is too short")?;
                std::str::from_utf8(bytes).map_err(|_| "not UTF-8")
            };
            table.push(line, field(picture).and_then(|picture| Ok((picture, field(caption)?))));
        }
        table.finish(limit)
    }

    /// Reads `metadata.jsonl`, which has one object per line with `file_name` and `text`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, has no usable line or too many bad ones.
    pub fn jsonl(path: &Path, limit: BadLimit) -> Result<Self, DatasetError> {
        #[derive(Deserialize)]
        struct Line {
            file_name: String,
            text: String,
        }
        let bytes = std::fs::read(path).map_err(DatasetError::io(path))?;
        let mut table = Builder::new(path);
        for (line, json) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
            if json.trim_ascii().is_empty() {
                continue;
            }
            let row = serde_json::from_slice::<Line>(json);
            table.push(line, row.as_ref().map(|row| (row.file_name.as_str(), row.text.as_str())));
        }
        table.finish(limit)
    }

    /// Returns the counts of the table's rows and of the bad ones among them.
    pub fn bad(&self) -> &BadReport {
        &self.bad
    }
}

impl Dataset for Table {
    /// Returns keys that are equal for rows with the same picture and, among the other rows, for the same caption.
    fn concepts(&self) -> &[u64] {
        &self.concepts
    }

    /// The list has the pictures' paths and the captions.
    fn list_hash(&self) -> u64 {
        let fields =
            self.rows.iter().flat_map(|row| [row.picture.as_os_str().as_encoded_bytes(), row.caption.as_bytes()]);
        key(fields.flat_map(|field| field.iter().copied().chain([0])))
    }

    fn read(&self, index: usize, _: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        let row = &self.rows[index];
        example.picture =
            decode::open(&row.picture).map_err(|error| BadExample::new(place(&self.path, row.line), error))?;
        example.caption.clone_from(&row.caption);
        example.may_flip = false;
        Ok(())
    }
}

struct Builder<'a> {
    path: &'a Path,
    folder: &'a Path,
    rows: Vec<Row>,
    bad: BadReport,
}

impl<'a> Builder<'a> {
    fn new(path: &'a Path) -> Self {
        let folder = path.parent().unwrap_or(Path::new(""));
        Self { path, folder, rows: Vec::new(), bad: BadReport::default() }
    }

    /// Adds a row, or notes what is wrong with it.
    fn push<E: ToString>(&mut self, line: u64, fields: Result<(&str, &str), E>) {
        let checked = fields.map_err(|error| error.to_string()).and_then(|(picture, caption)| {
            match (picture.is_empty(), clean(caption).is_empty()) {
                (true, _) => Err("no picture".to_owned()),
                (_, true) => Err(format!("{picture}: empty caption")),
                _ => Ok(Row { line, picture: self.folder.join(picture), caption: caption.to_owned() }),
            }
        });
        let row = checked.map_err(|reason| BadExample::new(place(self.path, line), reason));
        self.bad.count(&row);
        self.rows.extend(row);
    }

    fn finish(self, limit: BadLimit) -> Result<Table, DatasetError> {
        limit.check(&self.bad)?;
        if self.rows.is_empty() {
            return Err(DatasetError::Empty { place: self.path.display().to_string(), report: self.bad });
        }
        let concepts = concepts(&self.rows);
        Ok(Table { path: self.path.to_owned(), rows: self.rows, concepts, bad: self.bad })
    }
}

fn concepts(rows: &[Row]) -> Vec<u64> {
    let picture = |row: &Row| key(row.picture.as_os_str().as_encoded_bytes().iter().copied());
    let mut uses: HashMap<u64, usize> = HashMap::new();
    rows.iter().for_each(|row| *uses.entry(picture(row)).or_default() += 1);
    let concept = |row| match picture(row) {
        picture if uses[&picture] > 1 => picture,
        _ => key(clean(&row.caption).into_bytes()),
    };
    rows.iter().map(concept).collect()
}

fn place(path: &Path, line: u64) -> String {
    format!("{}, line {line}", path.display())
}
