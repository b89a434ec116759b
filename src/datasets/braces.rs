//! Expansion of lists of files in shell notation: `shards/{000..099}.tar`, `{train,extra}/{0..9}.tar::more.tar`.

use crate::datasets::error::DatasetError;

/// Most files that a pattern may name; a range that names more is mistyped.
const MAX_FILES: usize = 1_000_000;
/// Longest path in bytes, as Linux limits it.
const MAX_PATH_BYTES: usize = 4096;
/// Most pairs of braces in one pattern. Each pair is a step of the recursion.
const MAX_BRACES: usize = 64;
/// Most digits of an end of a range.
const MAX_DIGITS: usize = 20;

/// Expands a pattern into the names that it stands for, in its order. Patterns are separated by `::`, or by commas
/// outside of braces. A range keeps the leading zeros of its ends and may run downwards.
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

/// Returns the numbers of a range such as `000..099`, or `None` if the text is no range.
fn range(inside: &str) -> Option<Box<dyn Iterator<Item = String>>> {
    let (first, last) = inside.split_once("..")?;
    let is_number = |text: &str| text.len() <= MAX_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(first) || !is_number(last) {
        return None;
    }
    let (from, to): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let is_padded = [first, last].iter().any(|text| text.len() > 1 && text.starts_with('0'));
    let width = if is_padded { first.len().max(last.len()) } else { 0 };
    let name = move |number: u64| format!("{number:0width$}");
    Some(if from <= to { Box::new((from..=to).map(name)) } else { Box::new((to..=from).rev().map(name)) })
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
