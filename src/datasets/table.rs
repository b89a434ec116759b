//! Pictures named in a table: CSV or TSV as OpenCLIP reads it, or a folder with `metadata.jsonl`.
//!
//! The table is read when it is opened, the pictures when they are needed. Relative paths start from the table's
//! folder.

use crate::counted::counted;
use crate::datasets::columns::Columns;
use crate::datasets::csv::{OpenQuote, Row, Rows};
use crate::datasets::dataset::{Dataset, Example, PictureFiles};
use crate::datasets::error::{BadExample, BadLimit, BadReport, DatasetError};
use crate::digest::{Digest, digest};
use crate::files;
use crate::pictures::{PictureError, decode};
use crate::random::Rng;
use crate::text::clean::clean;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The layout of a CSV file. The default is OpenCLIP's: columns `filepath` and `title`, separated by tabs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvLayout {
    pub columns: Columns,
    pub separator: u8,
}

impl Default for CsvLayout {
    fn default() -> Self {
        Self { columns: Columns::default(), separator: b'\t' }
    }
}

/// A usable row of the table.
struct Pair {
    line: u64,
    picture: PathBuf,
    caption: String,
}

/// The pictures and captions of a table.
pub struct Table {
    path: PathBuf,
    pairs: Vec<Pair>,
    concepts: Vec<u64>,
    bad: BadReport,
    guess: Option<Columns>,
}

impl Table {
    /// Reads a CSV or TSV file, plain or gzipped, whose first line names the columns. A row with more or fewer fields than there are
    /// columns is bad.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, lacks a column, leaves a quote open, or has no usable row or too
    /// many bad ones.
    pub fn csv(path: &Path, layout: &CsvLayout, limit: BadLimit) -> Result<Self, DatasetError> {
        let text = files::read_text(path).map_err(DatasetError::io(path))?;
        let open_quote = |OpenQuote(line)| DatasetError::OpenQuote { path: path.to_owned(), line };
        let mut rows = Rows::new(&text, layout.separator);
        let header = rows.next().transpose().map_err(open_quote)?.map(|row| row.fields).unwrap_or_default();
        let headings: Vec<_> = header.iter().map(|name| String::from_utf8_lossy(name)).collect();
        let headings: Vec<&str> = headings.iter().map(AsRef::as_ref).collect();
        let columns = layout.columns.find(&headings).map_err(|wanted| DatasetError::Column {
            path: path.to_owned(),
            wanted: wanted.to_owned(),
            columns: headings.iter().map(|heading| heading.to_string()).collect(),
            separator: char::from(layout.separator),
        })?;
        let place_of = |name: &str| headings.iter().position(|heading| *heading == name).expect("found above");
        let (picture, caption) = (place_of(&columns.picture), place_of(&columns.caption));
        let mut builder = Builder::new(path);
        for row in rows {
            let row = row.map_err(open_quote)?;
            match misfit(&row, headings.len()) {
                Some(reason) => builder.count_misfit(&row, &reason),
                None => {
                    let field = |column: usize| std::str::from_utf8(&row.fields[column]).map_err(|_| "not UTF-8");
                    builder.push(row.line, field(picture).and_then(|picture| Ok((picture, field(caption)?))));
                }
            }
        }
        builder.finish(columns, &layout.columns, limit)
    }

    /// Reads JSON lines, plain or gzipped, as `metadata.jsonl` has them: one object per line, with the path of a picture and its caption.
    /// Unless `columns` names other fields, these are `file_name` and `text`, or fields with other common names.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or has no usable line or too many bad ones.
    pub fn jsonl(path: &Path, columns: &Columns, limit: BadLimit) -> Result<Self, DatasetError> {
        let text = files::read_text(path).map_err(DatasetError::io(path))?;
        let lines = || (1..).zip(text.split(|&byte| byte == b'\n')).filter(|(_, json)| !json.trim_ascii().is_empty());
        let keys = |json| {
            let object: Map<String, Value> = serde_json::from_slice(json).ok()?;
            columns.find(&object.keys().map(String::as_str).collect::<Vec<_>>()).ok()
        };
        let found = lines().find_map(|(_, json)| keys(json)).unwrap_or_else(|| columns.or_hugging_face());
        let mut builder = Builder::new(path);
        for (line, json) in lines() {
            let object = serde_json::from_slice::<Map<String, Value>>(json).map_err(|error| error.to_string());
            let field = |name: &str| match object.as_ref().map_err(Clone::clone)?.get(name) {
                Some(Value::String(text)) => Ok(text.as_str()),
                Some(_) => Err(format!("the field `{name}` is no string")),
                None => Err(format!("missing field `{name}`")),
            };
            builder.push(line, field(&found.picture).and_then(|picture| Ok((picture, field(&found.caption)?))));
        }
        builder.finish(found, columns, limit)
    }

    /// Returns the counts of the table's rows and of the bad ones among them.
    pub fn bad(&self) -> &BadReport {
        &self.bad
    }

    /// Returns the columns that were used, if they were guessed.
    pub fn guess(&self) -> Option<&Columns> {
        self.guess.as_ref()
    }
}

/// Returns why a row does not fit under this number of headings, or `None` if it does.
fn misfit(row: &Row, headings: usize) -> Option<String> {
    let fields = row.fields.len();
    let counts = || format!("{} under {}", counted(fields, "field"), counted(headings, "heading"));
    match &row.swallowed {
        Some(lines) => Some(format!("a quote that line {} opens and line {} closes", lines.start(), lines.end())),
        None if fields > headings => Some(format!("the row is too long: {}", counts())),
        None if fields < headings => Some(format!("the row is too short: {}", counts())),
        None => None,
    }
}

impl Dataset for Table {
    /// Returns keys that are equal for rows with the same picture and, among the other rows, for the same caption.
    fn concepts(&self) -> &[u64] {
        &self.concepts
    }

    /// Returns a digest of the pictures' paths and the captions.
    fn list_digest(&self) -> Digest {
        let fields =
            self.pairs.iter().flat_map(|pair| [pair.picture.as_os_str().as_encoded_bytes(), pair.caption.as_bytes()]);
        digest(fields.flat_map(|field| [field, &[0]]))
    }

    fn read(&self, index: usize, rng: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        let row = &self.pairs[index];
        example.picture =
            example.view.open(&row.picture).map_err(|error| BadExample::new(place(&self.path, row.line), error))?;
        self.read_caption(index, rng, example)
    }

    fn read_caption(&self, index: usize, _: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        example.caption.clone_from(&self.pairs[index].caption);
        example.may_flip = false;
        Ok(())
    }
}

impl PictureFiles for Table {
    /// Returns the path of the picture, from the table's folder if it lies in there.
    fn name(&self, index: usize) -> String {
        let picture = &self.pairs[index].picture;
        files::name(picture.strip_prefix(folder_of(&self.path)).unwrap_or(picture)).into_owned()
    }

    fn file(&self, index: usize) -> Option<&Path> {
        Some(&self.pairs[index].picture)
    }

    fn picture_file(&self, index: usize) -> Result<Vec<u8>, BadExample> {
        let row = &self.pairs[index];
        let error = |source| BadExample::new(place(&self.path, row.line), PictureError::io(&row.picture)(source));
        decode::read(&row.picture).map_err(error)
    }
}

/// Returns the folder that relative paths in a table start from.
fn folder_of(table: &Path) -> &Path {
    table.parent().unwrap_or(Path::new(""))
}

struct Builder<'a> {
    path: &'a Path,
    folder: &'a Path,
    pairs: Vec<Pair>,
    bad: BadReport,
}

impl<'a> Builder<'a> {
    fn new(path: &'a Path) -> Self {
        Self { path, folder: folder_of(path), pairs: Vec::new(), bad: BadReport::default() }
    }

    /// Adds a row, or notes what is wrong with it.
    fn push<E: ToString>(&mut self, line: u64, fields: Result<(&str, &str), E>) {
        let checked = fields.map_err(|error| error.to_string()).and_then(|(picture, caption)| {
            match (picture.is_empty(), clean(caption).is_empty()) {
                (true, _) => Err("no picture".to_owned()),
                (_, true) => Err(format!("{picture}: empty caption")),
                _ if is_address(picture) => Err(format!("{picture}: a web address, and pictures are read from files")),
                _ => Ok(Pair { line, picture: self.folder.join(picture), caption: caption.to_owned() }),
            }
        });
        let row = checked.map_err(|reason| BadExample::new(place(self.path, line), reason));
        self.bad.count(&row);
        self.pairs.extend(row);
    }

    /// Counts a row that does not fit under the headings. If it has swallowed other lines, each of them is a bad row.
    fn count_misfit(&mut self, row: &Row, reason: &str) {
        for line in row.swallowed.clone().unwrap_or(row.line..=row.line) {
            self.bad.count::<()>(&Err(BadExample::misfit(place(self.path, line), reason)));
        }
    }

    /// Finishes the table; `columns` are those that were read and `asked` those that were asked for.
    fn finish(self, columns: Columns, asked: &Columns, limit: BadLimit) -> Result<Table, DatasetError> {
        limit.check(&self.bad)?;
        if self.pairs.is_empty() {
            return Err(DatasetError::Empty { place: self.path.display().to_string(), report: self.bad });
        }
        let concepts = concepts(&self.pairs);
        let guess = (!columns.are_usual(asked)).then_some(columns);
        Ok(Table { path: self.path.to_owned(), pairs: self.pairs, concepts, bad: self.bad, guess })
    }
}

/// Returns whether a path is a web address, as in tables of files to download.
fn is_address(path: &str) -> bool {
    ["http://", "https://"].iter().any(|start| path.starts_with(start))
}

fn concepts(pairs: &[Pair]) -> Vec<u64> {
    let picture = |row: &Pair| digest([row.picture.as_os_str().as_encoded_bytes()]).key();
    let mut uses: HashMap<u64, usize> = HashMap::new();
    pairs.iter().for_each(|row| *uses.entry(picture(row)).or_default() += 1);
    let concept = |row| match picture(row) {
        picture if uses[&picture] > 1 => picture,
        _ => digest([clean(&row.caption)]).key(),
    };
    pairs.iter().map(concept).collect()
}

fn place(path: &Path, line: u64) -> String {
    format!("{}, line {line}", path.display())
}
