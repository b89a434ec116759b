//! Expansion of lists of files in shell notation: `shards/{000..099}.tar`, `{train,extra}/{0..9}.tar::more.tar`,
//! `shards/*.tar`.

use crate::datasets::error::DatasetError;
use std::path::{Path, PathBuf};

/// Largest number of files that a pattern may name; a range that names more is mistyped.
const MAX_FILES: usize = 1_000_000;
/// Longest path in bytes, as Linux limits it.
const MAX_PATH_BYTES: usize = 4096;
/// Largest number of pairs of braces in one pattern. Each pair is a step of the recursion.
const MAX_BRACES: usize = 64;
/// Largest number of digits of an end of a range.
const MAX_DIGITS: usize = 20;

/// Returns the paths of the files that a pattern stands for. A name with `*`, `?` or `[…]` is replaced by the files
/// that it matches, sorted.
///
/// # Errors
/// Returns the errors of [`expand`], or one if no file matches.
pub fn paths(pattern: &str) -> Result<Vec<PathBuf>, DatasetError> {
    let error = |reason| DatasetError::Pattern { pattern: pattern.to_owned(), reason };
    let mut paths = Vec::new();
    for name in expand(pattern)? {
        if !name.contains(['*', '?', '[']) || Path::new(&name).exists() {
            paths.push(PathBuf::from(name));
            continue;
        }
        let before = paths.len();
        for path in glob::glob(&name).map_err(|_| error("has a `*` or a bracket where none can be"))? {
            paths.push(path.map_err(|failed| {
                let path = failed.path().to_owned();
                DatasetError::io(&path)(failed.into())
            })?);
        }
        if paths.len() == before {
            return Err(error("matches no file"));
        }
    }
    Ok(paths)
}

/// Expands a pattern into the names that it stands for, in its order. Patterns are separated by `::`, or by commas
/// outside of braces. A range of numbers keeps the leading zeros of its ends. A range of numbers or letters may run
/// downwards and may have a step, as in `{000..090..10}`.
///
/// # Errors
/// Returns [`DatasetError::Pattern`] if braces are unbalanced or too many, or if there is no name, more than a million
/// names, or a name that is longer than a path can be.
pub fn expand(pattern: &str) -> Result<Vec<String>, DatasetError> {
    let error = |reason| DatasetError::Pattern { pattern: pattern.to_owned(), reason };
    let mut names = Vec::new();
    for part in pattern.split("::").flat_map(|part| split_outside_braces(part)) {
        if part.bytes().filter(|&byte| byte == b'{').count() > MAX_BRACES {
            return Err(error("has more than 64 pairs of braces"));
        }
        if !part.is_empty() {
            expand_one(part, &mut names).map_err(error)?;
        }
    }
    if names.is_empty() { Err(error("names no file")) } else { Ok(names) }
}

/// Puts each alternative of the first braces in their place and expands the rest.
fn expand_one(pattern: &str, names: &mut Vec<String>) -> Result<(), &'static str> {
    let Some(open) = pattern.find('{') else {
        return match pattern.contains('}') {
            true => Err("a closing brace without an opening one"),
            false if names.len() >= MAX_FILES => Err("stands for more than a million files"),
            false if pattern.len() > MAX_PATH_BYTES => Err("stands for a name that is longer than a path can be"),
            false => {
                names.push(pattern.to_owned());
                Ok(())
            }
        };
    };
    let close = closing(&pattern[open..]).ok_or("an opening brace without a closing one")? + open;
    let (before, inside, after) = (&pattern[..open], &pattern[open + 1..close], &pattern[close + 1..]);
    if before.contains('}') {
        return Err("a closing brace without an opening one");
    }
    let mut each = |alternative: &str| expand_one(&format!("{before}{alternative}{after}"), names);
    match range(inside) {
        Some(mut numbers) => numbers.try_for_each(|number| each(&number)),
        None => split_outside_braces(inside).into_iter().try_for_each(each),
    }
}

/// Returns the position of the brace that closes the one at the start of the text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    text.char_indices().find_map(|(i, c)| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(i)
    })
}

/// Returns the numbers or letters of a range such as `000..099`, `0..90..10` or `a..e`, or `None` if the text is no
/// range.
fn range(inside: &str) -> Option<Box<dyn Iterator<Item = String>>> {
    let mut parts = inside.split("..");
    let (first, last) = (parts.next()?, parts.next()?);
    // Like a shell, this treats a step of 0 as 1 and ignores the sign of a step.
    let step = parts.next().map_or(Some(1), |step| number(step.strip_prefix('-').unwrap_or(step)))?.max(1);
    if parts.next().is_some() {
        return None;
    }
    let (from, to, name): (u64, u64, Box<dyn Fn(u64) -> String>) = match (number(first), number(last)) {
        (Some(from), Some(to)) => {
            let is_padded = [first, last].iter().any(|text| text.len() > 1 && text.starts_with('0'));
            let width = if is_padded { first.len().max(last.len()) } else { 0 };
            (from, to, Box::new(move |number| format!("{number:0width$}")))
        }
        _ => (letter(first)?, letter(last)?, Box::new(|code| char::from(code as u8).to_string())),
    };
    let step = usize::try_from(step).ok()?;
    Some(if from <= to {
        Box::new((from..=to).step_by(step).map(name))
    } else {
        Box::new((to..=from).rev().step_by(step).map(name))
    })
}

fn number(text: &str) -> Option<u64> {
    let is_number = text.len() <= MAX_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// Returns the code of a single letter.
fn letter(text: &str) -> Option<u64> {
    match text.as_bytes() {
        [letter] if letter.is_ascii_alphabetic() => Some(u64::from(*letter)),
        _ => None,
    }
}

/// Splits at the commas that are not inside braces.
fn split_outside_braces(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0i32, 0, Vec::new());
    for (i, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}
