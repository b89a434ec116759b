//! CSV: lines with one row of fields each, read as pandas reads them.
//!
//! A field that begins with a quote ends at the next one, whatever is between them; two quotes in a row stand for one
//! quote of the caption. In a field that begins with another character, a quote is an ordinary character.
//!
//! If a quote is not closed, the rows that follow silently become a part of the caption, up to the next quote. To
//! report this, the reader records where every quote was opened, and whether the lines that a field spans look like
//! rows of the table themselves.

use std::borrow::Cow;
use std::ops::RangeInclusive;

/// The extensions by which a line inside a quoted field is taken for a row that names a picture.
const PICTURES: [&[u8]; 8] = [b".png", b".jpg", b".jpeg", b".webp", b".gif", b".bmp", b".tif", b".tiff"];

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    /// The number of the line on which it begins, counted from 1.
    pub line: u64,
    pub fields: Vec<Cow<'a, [u8]>>,
    /// The lines of a quoted field whose quote seems to have been left open: either text follows the closing quote, or
    /// the field holds a line with as many separators as the row and the name of a picture.
    pub swallowed: Option<RangeInclusive<u64>>,
}

/// A quote that is never closed, with the number of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenQuote(pub u64);

/// The rows of a table, one after the other. Blank lines are not rows. A line ends with `\n`, `\r\n` or `\r`.
pub(crate) struct Rows<'a> {
    rest: &'a [u8],
    line: u64,
    separator: u8,
}

impl<'a> Rows<'a> {
    /// Reads the bytes of a whole table.
    pub(crate) fn new(bytes: &'a [u8], separator: u8) -> Self {
        Self { rest: bytes, line: 1, separator }
    }

    /// Takes the next n bytes.
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(n);
        self.rest = rest;
        taken
    }

    /// Takes the end of a line, if one is next.
    fn take_line_end(&mut self) -> bool {
        let n = match self.rest {
            [b'\r', b'\n', ..] => 2,
            [b'\r' | b'\n', ..] => 1,
            _ => return false,
        };
        self.take(n);
        self.line += 1;
        true
    }

    /// Takes the rest of the field, quotes included.
    fn take_bare(&mut self) -> &'a [u8] {
        let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n') || *byte == self.separator;
        self.take(self.rest.iter().position(is_end).unwrap_or(self.rest.len()))
    }

    /// Takes a field that begins with a quote.
    fn take_quoted(&mut self) -> Result<Cow<'a, [u8]>, OpenQuote> {
        let opened = self.line;
        self.take(1);
        let mut field = Cow::Borrowed(&self.rest[..0]);
        loop {
            let close = self.rest.iter().position(|&byte| byte == b'"').ok_or(OpenQuote(opened))?;
            let part = self.take(close);
            self.line += line_ends(part);
            append(&mut field, part);
            self.take(1);
            if self.rest.first() != Some(&b'"') {
                return Ok(field);
            }
            append(&mut field, self.take(1));
        }
    }

    fn take_row(&mut self) -> Result<Row<'a>, OpenQuote> {
        let mut row = Row { line: self.line, fields: vec![], swallowed: None };
        let mut spans = vec![];
        loop {
            if self.rest.first() == Some(&b'"') {
                let opened = self.line;
                let mut field = self.take_quoted()?;
                let more = self.take_bare();
                if opened < self.line {
                    spans.push((row.fields.len(), opened..=self.line, !more.trim_ascii().is_empty()));
                }
                append(&mut field, more);
                row.fields.push(field);
            } else {
                let field = self.take_bare();
                row.fields.push(Cow::Borrowed(field));
            }
            if self.rest.is_empty() || self.take_line_end() {
                break;
            }
            self.take(1);
        }
        let swallows =
            |&(field, _, goes_on): &(usize, _, bool)| goes_on || self.holds_row(&row.fields[field], row.fields.len());
        row.swallowed = spans.iter().find(|span| swallows(span)).map(|(_, lines, _)| lines.clone());
        Ok(row)
    }

    /// Returns whether one of the lines after the first has this number of fields, one of which names a picture.
    fn holds_row(&self, field: &[u8], fields: usize) -> bool {
        let names_picture = |part: &[u8]| {
            let part = part.trim_ascii().to_ascii_lowercase();
            PICTURES.iter().any(|extension| part.ends_with(extension))
        };
        field.split(|byte| matches!(byte, b'\r' | b'\n')).skip(1).any(|line| {
            let parts = || line.split(|&byte| byte == self.separator);
            parts().count() == fields && parts().any(names_picture)
        })
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<Row<'a>, OpenQuote>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while self.take_line_end() {}
            if self.rest.is_empty() {
                return None;
            }
            match self.take_row() {
                Ok(row) if matches!(&row.fields[..], [only] if only.trim_ascii().is_empty()) => {}
                Ok(row) => return Some(Ok(row)),
                Err(error) => {
                    self.rest = &[];
                    return Some(Err(error));
                }
            }
        }
    }
}

/// Returns how many lines end in these bytes.
fn line_ends(bytes: &[u8]) -> u64 {
    let pairs = bytes.windows(2).filter(|pair| pair == b"\r\n").count();
    (bytes.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count() - pairs) as u64
}

/// Appends bytes to a field; an empty field borrows them.
fn append<'a>(field: &mut Cow<'a, [u8]>, part: &'a [u8]) {
    if field.is_empty() {
        *field = Cow::Borrowed(part);
    } else if !part.is_empty() {
        field.to_mut().extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(text: &str) -> Vec<(u64, Vec<String>)> {
        let fields = |row: &Row| row.fields.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect();
        Rows::new(text.as_bytes(), b',').map(|row| row.unwrap()).map(|row| (row.line, fields(&row))).collect()
    }

    fn swallowed(text: &str) -> Vec<Option<RangeInclusive<u64>>> {
        Rows::new(text.as_bytes(), b',').map(|row| row.unwrap().swallowed).collect()
    }

    #[test]
    fn fields_and_lines_are_those_of_pandas() {
        let own = |rows: &[(u64, &[&str])]| -> Vec<(u64, Vec<String>)> {
            rows.iter().map(|(line, fields)| (*line, fields.iter().map(|field| field.to_string()).collect())).collect()
        };
        assert_eq!(rows("a,b\r\n\r\n  \r\nc,\r\n,\"d\"\r"), own(&[(1, &["a", "b"]), (4, &["c", ""]), (5, &["", "d"])]));
        assert_eq!(
            rows("\"a\nb\"\"\",5\" nail\nc \"d\",\"\"\"e\" f"),
            own(&[(1, &["a\nb\"", "5\" nail"]), (3, &["c \"d\"", "\"e f"])])
        );
        assert_eq!(rows("\"\",\n\"a\r\nb\r\",c\n,d"), own(&[(1, &["", ""]), (2, &["a\r\nb\r", "c"]), (5, &["", "d"])]));
        assert_eq!(rows(""), []);
    }

    #[test]
    fn a_quote_that_is_never_closed_is_found_on_its_line() {
        for (text, line) in [("\"", 1), ("a,b\n\"x\ny\",\"z\nw\n", 3), ("a,\"b\"\"", 1), ("a\n\n\r\nb,\"\"\"", 4)] {
            let last = Rows::new(text.as_bytes(), b',').last();
            assert_eq!(last, Some(Err(OpenQuote(line))), "{text:?}");
        }
    }

    #[test]
    fn a_quote_that_swallows_rows_is_noticed() {
        assert_eq!(swallowed("1.png,\"one, two\n\nthree, four\"\n2.png,\"five\" six"), [None, None]);
        assert_eq!(swallowed("1.png,\"one\n2.png,two\n3.png,\"three\"\n4.png,x"), [Some(1..=3), None]);
        assert_eq!(swallowed("0.png,x\n1.png,\"one\n2.png,two\n3.png,a nail of 5\"\n"), [None, Some(2..=4)]);
    }

    proptest! {
        #[test]
        fn every_byte_is_in_a_field_or_between_them(text in "[a,\"\r\n]{0,40}") {
            let is_letter = |byte: &u8| *byte == b'a';
            let whole: Option<Vec<Row>> = Rows::new(text.as_bytes(), b',').map(Result::ok).collect();
            if let Some(rows) = whole {
                let letters: usize = rows.iter().flat_map(|row| &row.fields).map(|field| field.iter().filter(|byte| is_letter(byte)).count()).sum();
                prop_assert_eq!(letters, text.bytes().filter(is_letter).count());
                prop_assert!(rows.windows(2).all(|pair| pair[0].line < pair[1].line));
            }
        }
    }
}
