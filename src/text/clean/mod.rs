//! Cleaning of captions for CLIP's tokenizer: text is repaired, unescaped, single-spaced and lower-cased.
//!
//! The reference cleans a caption with `ftfy.fix_text` (6.3.1), `html.unescape` twice, collapsed whitespace and
//! `lower()`. This folder reproduces that chain, with the same result for the same caption.
//!
//! | file | what it knows |
//! |---|---|
//! | `entities` | HTML entities |
//! | `badness` | which adjacent characters mean that a text is garbled |
//! | `code_pages` | the single-byte encodings with which text is garbled |
//! | `mojibake` | how garbled text is repaired |
//! | `characters` | plain forms of single characters |
//! | `canonical` | how SigLIP's texts are cleaned instead |

mod badness;
mod canonical;
mod characters;
mod code_pages;
mod entities;
mod mojibake;

pub(super) use canonical::canonical;
use characters::plain;
use entities::{unescape, unescape_closed};
use mojibake::fix_encoding;
use std::borrow::Cow;

/// Largest number of repairs of one line. A line that was garbled and escaped by several programs in turn needs four or
/// five.
const MAX_REPAIRS: usize = 32;

/// Cleans a caption. Two captions that clean to the same string are the same caption to CLIP.
pub fn clean(text: &str) -> String {
    let text = if is_plain(text) { Cow::Borrowed(text) } else { Cow::Owned(repair(text)) };
    let text = unescape(&text);
    let text = unescape(&text);
    let mut out = String::with_capacity(text.len());
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    // The whole text is lower-cased at the end, since the lower case of a capital sigma depends on its neighbours.
    if out.is_ascii() {
        out.make_ascii_lowercase();
        return out;
    }
    out.to_lowercase()
}

/// Returns whether the text is printable ASCII without entities, as most captions are; [`repair`] would not change it.
fn is_plain(text: &str) -> bool {
    let begins_entity = |rest: &str| rest.starts_with(|c: char| c == '#' || c.is_ascii_alphanumeric());
    text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t' | b'\n' | b'\r'))
        && !text.split('&').skip(1).any(begins_entity)
}

/// Returns what Python's `str.isspace` returns: true for Unicode white space and the four ASCII separators.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Repairs the text line by line. From the first line with "<" on, the text may be real HTML, whose entities are kept.
fn repair(text: &str) -> String {
    let mut is_html = false;
    let lines = text.split_inclusive('\n').map(|line| {
        is_html |= line.contains('<');
        repair_line(line, is_html)
    });
    lines.collect()
}

/// Repairs until nothing changes, as ftfy does, since one repair can uncover the need for another. The number of
/// repairs is limited: entities can be nested as deep as the line is long, and each repair reads all of it.
fn repair_line(line: &str, is_html: bool) -> String {
    let mut line = line.to_owned();
    for _ in 0..MAX_REPAIRS {
        let text = if is_html { Cow::Borrowed(line.as_str()) } else { unescape_closed(&line) };
        let fixed = plain(&fix_encoding(&text));
        if fixed == line {
            break;
        }
        line = fixed;
    }
    line
}
