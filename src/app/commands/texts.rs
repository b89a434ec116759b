//! Lists of texts from the command line or from a file.

use super::CliError;
use crate::counted::counted;
use crate::datasets::csv::{OpenQuote, Row, Rows};
use crate::embed::{Blip, Family, TextEncoder};
use crate::eval::templates::{PLACE, called, prompts};
use crate::files;
use crate::text::blip_clean::{self, MAX_CAPTION_WORDS};
use crate::text::{Tokenizer, clean};
use serde_json::Value;
use std::collections::HashMap;
use std::io::{self, stdin};
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Largest number of texts that a warning names; of the others only the number is printed.
const MAX_NAMED: usize = 5;

/// The path that stands for standard input.
pub(crate) const STDIN: &str = "-";

/// The headings of columns of labels in tables.
const HEADINGS: [&str; 8] = ["label", "labels", "name", "names", "class", "classname", "class_name", "class name"];

/// Reads all of standard input.
pub(crate) fn stdin_bytes() -> io::Result<Vec<u8>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Relaxed) {
        return Err(io::Error::other("standard input is read already, for another argument"));
    }
    files::read_to_end(stdin().lock(), files::MAX_BYTES)
}

/// Reads a text file, plain or gzipped, or standard input for `-`.
fn read(path: &Path) -> Result<String, CliError> {
    let text =
        if path == Path::new(STDIN) { stdin_bytes().and_then(files::unpack_text) } else { files::read_text(path) };
    let not_utf8 = |error: FromUtf8Error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        CliError::line(path, 1 + before.iter().filter(|&&byte| byte == b'\n').count(), "not UTF-8")
    };
    String::from_utf8(text.map_err(CliError::file(path))?).map_err(not_utf8)
}

/// Reads the lines of a file that are not blank, with their numbers counted from 1. `-` is standard input.
///
/// # Errors
/// Returns an error if the file cannot be read, has a line that is not UTF-8, or only blank lines.
pub(crate) fn lines(path: &Path) -> Result<Vec<(usize, String)>, CliError> {
    let text = read(path)?;
    let lines = (1..).zip(text.split('\n')).map(|(number, line)| (number, line.trim().to_owned()));
    let lines: Vec<_> = lines.filter(|(_, line)| !line.is_empty()).collect();
    if lines.is_empty() { Err(CliError::NoTexts { place: path.display().to_string() }) } else { Ok(lines) }
}

/// Reads labels: a list in JSON, a table in a file named `.csv` or `.tsv`, or else text with one label per line. A
/// table has one column or one that is called `label` or `name`. `-` is standard input.
///
/// # Errors
/// Returns an error if the file cannot be read, is not such a list or table, or has no label.
pub(crate) fn labels(path: &Path) -> Result<Vec<String>, CliError> {
    let is_named = |end: &str| files::has_extension(path, end);
    let separator = if is_named("csv") { b',' } else { b'\t' };
    let labels = if is_named("csv") || is_named("tsv") {
        label_column(path, &read(path)?, separator)?
    } else {
        let text = read(path)?;
        match serde_json::from_str::<Vec<Value>>(&text) {
            Ok(list) => label_list(path, list)?,
            Err(error) if is_named("json") => {
                return Err(CliError::line(path, error.line(), &format!("no list of labels: {error}")));
            }
            Err(_) => text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect(),
        }
    };
    if labels.is_empty() { Err(CliError::NoTexts { place: path.display().to_string() }) } else { Ok(labels) }
}

fn label_list(path: &Path, list: Vec<Value>) -> Result<Vec<String>, CliError> {
    let label = |(i, label): (usize, Value)| match label {
        Value::String(label) => Ok(label.trim().to_owned()),
        other => Err(CliError::file(path)(io::Error::other(format!("label {i} is {other}, and no text")))),
    };
    list.into_iter().enumerate().map(label).collect()
}

fn label_column(path: &Path, text: &str, separator: u8) -> Result<Vec<String>, CliError> {
    let error = |line: u64, reason: &str| CliError::line(path, line as usize, reason);
    let open_quote = |OpenQuote(line)| error(line, "a quote is opened and never closed");
    let rows: Vec<Row> = Rows::new(text.as_bytes(), separator).collect::<Result<_, _>>().map_err(open_quote)?;
    let field = |row: &Row, column: usize| String::from_utf8_lossy(&row.fields[column]).trim().to_owned();
    let Some(header) = rows.first() else { return Ok(vec![]) };
    let columns = header.fields.len();
    let is_heading = |&column: &usize| HEADINGS.contains(&&*field(header, column).to_lowercase());
    let (column, first) = match (0..columns).find(is_heading) {
        Some(column) => (column, 1),
        None if columns == 1 => (0, 0),
        None => return Err(error(1, "no column called \"label\" or \"name\", and more than one")),
    };
    let label = |row: &Row| match row.fields.len() {
        fields if fields == columns => Ok(field(row, column)),
        fields => Err(error(
            row.line,
            &format!("{}, where the first line has {columns}; quotes hold a label together", counted(fields, "field")),
        )),
    };
    rows[first..].iter().map(label).collect()
}

/// Returns the sentences that class names are put into: `openai`, `simple`, or those of a file.
pub(crate) fn templates(name: &str) -> Result<Vec<String>, CliError> {
    if let Some(templates) = called(name) {
        return Ok(templates);
    }
    let path = PathBuf::from(name);
    // CLIP_benchmark writes {c} where the name goes.
    let lines = lines(&path)?.into_iter().map(|(number, line)| (number, line.replace("{c}", PLACE)));
    let place = |(number, line): (usize, String)| match line.contains(PLACE) {
        true => Ok(line),
        false => Err(CliError::line(&path, number, "no {} where the label goes")),
    };
    lines.map(place).collect()
}

/// Removes blank and repeated labels and returns each of the others with its position in the list. Labels that differ
/// only in case or spaces are one label to CLIP and would share its probability.
pub(crate) fn distinct(labels: Vec<String>) -> (Vec<usize>, Vec<String>) {
    let mut first: HashMap<String, String> = HashMap::new();
    let mut kept = (vec![], vec![]);
    for (i, label) in labels.into_iter().enumerate() {
        let cleaned = clean(&label);
        if cleaned.is_empty() {
            continue;
        }
        match first.get(&cleaned) {
            Some(known) => note!("warning: label {label:?} is there twice, as {known:?}; it counts once"),
            None => {
                first.insert(cleaned, label.clone());
                kept.0.push(i);
                kept.1.push(label);
            }
        }
    }
    kept
}

/// What is wrong with a text that [`is_nothing`].
pub(crate) const NOTHING_LEFT: &str = "nothing is left after cleaning";

/// Returns whether nothing is left of a text when it is cleaned for a BLIP.
pub(crate) fn is_nothing<C>(model: &Family<C>, text: &str) -> bool {
    matches!(model, Family::Blip(_)) && blip_clean::caption(text, MAX_CAPTION_WORDS).is_empty()
}

/// Warns of texts that are too long for the model and lose their end. `templates` are the sentences that each text is
/// put into.
pub(crate) fn warn_long<C: AsRef<TextEncoder>>(model: &Family<C>, texts: &[String], templates: &[impl AsRef<str>]) {
    match model {
        Family::Clip(clip) => warn_truncated(clip.as_ref(), texts, templates),
        Family::Blip(blip) => warn_cut_by_blip(blip, texts, templates),
    }
}

/// Does the same for a BLIP.
pub(crate) fn warn_cut_by_blip(blip: &Blip, texts: &[String], templates: &[impl AsRef<str>]) {
    let tokens = blip.max_text();
    let is_long = |text: String| {
        let whole = blip_clean::caption(&text, usize::MAX);
        whole != blip_clean::caption(&text, MAX_CAPTION_WORDS)
            || blip.tokenizer().encode(&whole, usize::MAX).len() > tokens
    };
    let cut: Vec<&String> = texts.iter().filter(|text| prompts(templates, text).any(is_long)).collect();
    warn_cut(&cut, &format!("BLIP's {MAX_CAPTION_WORDS} words and {tokens} tokens"));
}

/// Warns of texts that are longer than the context of a CLIP and lose their end. `templates` are the sentences that each text is
/// put into.
pub(crate) fn warn_truncated(encoder: &TextEncoder, texts: &[String], templates: &[impl AsRef<str>]) {
    warn_cut_by_clip((encoder.tokenizer(), encoder.context_length()), texts, templates);
}

/// Does the same for a tokenizer and the context of its CLIP.
pub(crate) fn warn_cut_by_clip(
    (tokenizer, context): (&Tokenizer, usize),
    texts: &[String],
    templates: &[impl AsRef<str>],
) {
    let cut = |text: &&String| prompts(templates, text).any(|p| tokenizer.encode(&p, context).truncated);
    let cut: Vec<&String> = texts.iter().filter(cut).collect();
    warn_cut(&cut, &format!("the model's {}", counted(context, "token")));
}

/// Warns of texts that lose their end, since they are longer than `limit` says.
pub(crate) fn warn_cut(cut: &[&String], limit: &str) {
    for text in cut.iter().take(MAX_NAMED) {
        let start: String = text.chars().take(60).collect();
        note!("warning: {start:?}… is longer than {limit}; the rest is ignored");
    }
    if cut.len() > MAX_NAMED {
        note!("warning: so are {} more", cut.len() - MAX_NAMED);
    }
}
