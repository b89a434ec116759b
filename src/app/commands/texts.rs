//! Lists of texts from the command line or from a file.

use super::CliError;
use crate::embed::TextEncoder;
use crate::eval::templates::{OPENAI, PLACE, SIMPLE, prompts};
use crate::text::clean;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Most texts that a warning names; of others only the number is printed.
const MAX_NAMED: usize = 5;

/// Reads the lines of a file that are not blank, with their numbers counted from 1.
///
/// # Errors
/// Returns an error if the file cannot be read, has a line that is not UTF-8, or only blank lines.
pub fn lines(path: &Path) -> Result<Vec<(usize, String)>, CliError> {
    let bytes = fs::read(path).map_err(|source| CliError::File { path: path.into(), source })?;
    // Some editors begin a text with a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        let text = std::str::from_utf8(line).map_err(|_| CliError::line(path, number, "not UTF-8"))?.trim();
        if !text.is_empty() {
            lines.push((number, text.to_owned()));
        }
    }
    if lines.is_empty() { Err(CliError::NoTexts { place: path.display().to_string() }) } else { Ok(lines) }
}

/// Returns the sentences that class names are put into: `openai`, `simple`, or those of a file.
pub fn templates(name: &str) -> Result<Vec<String>, CliError> {
    let owned = |list: &[&str]| list.iter().map(|&template| template.to_owned()).collect();
    match name {
        "openai" => Ok(owned(&OPENAI)),
        "simple" => Ok(owned(&SIMPLE)),
        file => {
            let path = PathBuf::from(file);
            let place = |(number, line): (usize, String)| match line.contains(PLACE) {
                true => Ok(line),
                false => Err(CliError::line(&path, number, "no {} where the label goes")),
            };
            lines(&path)?.into_iter().map(place).collect()
        }
    }
}

/// Removes blank and repeated labels. Labels that differ only in case or spaces are one label to CLIP and would share
/// its probability.
pub fn distinct(labels: Vec<String>) -> Vec<String> {
    let mut first: HashMap<String, String> = HashMap::new();
    let mut kept = Vec::new();
    for label in labels {
        let cleaned = clean(&label);
        if cleaned.is_empty() {
            continue;
        }
        match first.get(&cleaned) {
            Some(known) => eprintln!("warning: label {label:?} is there twice, as {known:?}; it counts once"),
            None => {
                first.insert(cleaned, label.clone());
                kept.push(label);
            }
        }
    }
    kept
}

/// Warns of texts that are longer than the context and lose their end. `templates` are the sentences that each text is
/// put into.
pub fn warn_truncated(encoder: &TextEncoder, texts: &[String], templates: &[impl AsRef<str>]) {
    let context = encoder.context_length();
    let cut = |text: &&String| prompts(templates, text).any(|p| encoder.tokenizer().encode(&p, context).truncated);
    let cut: Vec<&String> = texts.iter().filter(cut).collect();
    for text in cut.iter().take(MAX_NAMED) {
        let start: String = text.chars().take(60).collect();
        eprintln!("warning: {start:?}… is longer than the model's {context} tokens; the rest is ignored");
    }
    if cut.len() > MAX_NAMED {
        eprintln!("warning: so are {} more", cut.len() - MAX_NAMED);
    }
}
