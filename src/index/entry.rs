//! The table of entries, whose lines name the picture of each row.

use super::error::IndexFileError;
use serde::{Deserialize, Serialize};
use std::fs::Metadata;
use std::path::{Component, Path};
use std::time::UNIX_EPOCH;

/// A picture's file as it was when it was embedded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The path below the folder of pictures, with `/` between its parts on every system.
    pub path: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// Time of the last change, in nanoseconds since 1970.
    pub modified: i64,
}

impl Entry {
    /// Describes a file by its metadata.
    pub(crate) fn new(path: String, metadata: &Metadata) -> Self {
        Entry { path, size: metadata.len(), modified: modified(metadata) }
    }

    /// Parses one line of the table, without its line feed.
    ///
    /// # Errors
    /// Returns an error that says what is wrong with the line. A path that leads out of the folder of pictures is
    /// refused, so that an index from elsewhere cannot point at other files.
    pub(crate) fn parse(line: &[u8]) -> Result<Entry, IndexFileError> {
        let entry: Entry = serde_json::from_slice(line)?;
        if is_below(Path::new(&entry.path)) { Ok(entry) } else { Err(IndexFileError::NotBelow { path: entry.path }) }
    }

    /// Parses the whole table, which must have exactly `rows` lines.
    ///
    /// # Errors
    /// Returns an error that names the line and says what is wrong with it.
    pub(crate) fn parse_table(table: &[u8], rows: usize) -> Result<Vec<Entry>, IndexFileError> {
        let lines = lines(table, rows)?;
        lines.into_iter().enumerate().map(|(row, line)| Entry::parse(line).map_err(at_line(row))).collect()
    }

    /// Returns the entry as a line of the table.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("a string and two numbers");
        line.push(b'\n');
        line
    }
}

/// Returns whether a path that starts from a folder leads to something below it.
pub(super) fn is_below(path: &Path) -> bool {
    let mut parts = path.components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Returns the time of the last change in nanoseconds since 1970, or 0 where the file system keeps no such time.
fn modified(metadata: &Metadata) -> i64 {
    let nanoseconds = |time: std::time::SystemTime| match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    };
    metadata.modified().map_or(0, nanoseconds)
}

/// Splits the table into its lines without their line feeds, one for each row. The last line must have a line feed too.
pub(super) fn lines(table: &[u8], rows: usize) -> Result<Vec<&[u8]>, IndexFileError> {
    if table.last().is_some_and(|&byte| byte != b'\n') {
        return Err(IndexFileError::NoEnd);
    }
    let lines = table.split_inclusive(|&byte| byte == b'\n').map(|line| &line[..line.len() - 1]);
    let lines: Vec<&[u8]> = lines.collect();
    if lines.len() == rows { Ok(lines) } else { Err(IndexFileError::Lines { lines: lines.len(), rows }) }
}

/// Adds the number of a row's line, counted from one, to an error.
pub(super) fn at_line(row: usize) -> impl FnOnce(IndexFileError) -> IndexFileError {
    move |source| IndexFileError::Line { line: row + 1, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_name_comes_back(names in prop::collection::vec("[^/\0\\\\]{1,12}", 0..6), size: u64, modified: i64) {
            let entries: Vec<Entry> = names
                .into_iter()
                .filter(|name| name != "." && name != ".." && !name.contains(':'))
                .map(|name| Entry { path: format!("a/{name}"), size, modified })
                .collect();
            let table: Vec<u8> = entries.iter().flat_map(Entry::line).collect();
            prop_assert_eq!(Entry::parse_table(&table, entries.len()).unwrap(), entries);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, rows in 0usize..5) {
            let _ = Entry::parse_table(&bytes, rows);
        }

        #[test]
        fn a_broken_line_is_named(cut in 1usize..40, byte: u8) {
            let entry = Entry { path: "a.png".into(), size: 1, modified: 2 };
            let mut table = [entry.line(), entry.line()].concat();
            let place = entry.line().len() + cut % (entry.line().len() - 1);
            table[place] = byte;
            match Entry::parse_table(&table, 2) {
                Ok(entries) => prop_assert_eq!(&entries[0], &entry),
                Err(error) => prop_assert!(error.to_string().starts_with("line 2: ") || byte == b'\n', "{}", error),
            }
        }
    }

    #[test]
    fn paths_stay_below_their_folder() {
        for path in ["/etc/passwd", "../a.png", "a/../../b.png", "", "."] {
            let line = Entry { path: path.into(), size: 0, modified: 0 }.line();
            let reason = Entry::parse(&line).unwrap_err().to_string();
            assert!(reason.contains("not a path below a folder"), "{path}: {reason}");
        }
    }

    #[test]
    fn numbers_of_lines_are_checked() {
        let line = Entry { path: "a".into(), size: 0, modified: 0 }.line();
        let refused = |table: &[u8], rows| Entry::parse_table(table, rows).unwrap_err().to_string();
        assert_eq!(refused(&line, 2), "1 line, 2 rows");
        assert_eq!(refused(&line[..line.len() - 1], 1), "the last line has no end");
        assert_eq!(Entry::parse_table(b"", 0).unwrap(), []);
    }
}
