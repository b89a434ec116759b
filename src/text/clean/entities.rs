//! HTML entities, decoded as Python's `html` and ftfy decode them.

use regex::{Captures, Regex};
use std::borrow::Cow;
use std::sync::LazyLock;

/// Decodes entities as Python's `html.unescape` does: those of HTML 5, but references to control characters and to
/// code points that are no characters are dropped.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| compile("&#(?:[0-9]+|[xX][0-9A-Fa-f]+);?"));
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    for number in NUMBER.find_iter(text) {
        out.push_str(&htmlize::unescape(&text[at..number.start()]));
        out.extend(htmlize::unescape(number.as_str()).chars().filter(|&c| !is_dropped(c)));
        at = number.end();
    }
    out.push_str(&htmlize::unescape(&text[at..]));
    Cow::Owned(out)
}

fn is_dropped(c: char) -> bool {
    matches!(c, '\u{1}'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{fdd0}'..='\u{fdef}')
        || u32::from(c) & 0xfffe == 0xfffe
}

/// Decodes entities that end in a semicolon, as ftfy does; capitals such as `&EACUTE;` are understood too.
pub(super) fn unescape_closed(text: &str) -> Cow<'_, str> {
    static ENTITY: LazyLock<Regex> = LazyLock::new(|| compile("&#?[0-9A-Za-z]{1,24};"));
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    ENTITY.replace_all(text, |entity: &Captures| {
        let entity = &entity[0];
        closed(entity).or_else(|| from_capitals(entity)).unwrap_or_else(|| entity.to_owned())
    })
}

/// Decodes an entity that is known as a whole, with its semicolon.
fn closed(entity: &str) -> Option<String> {
    let meant = unescape(entity);
    (!meant.contains(';') || meant == ";" && !entity.starts_with("&#")).then(|| meant.into_owned())
}

/// Decodes a name in capitals that HTML defines only in lower case.
fn from_capitals(entity: &str) -> Option<String> {
    let unknown = !entity.starts_with("&#") && !entity.contains(char::is_lowercase) && unescape(entity) == entity;
    if unknown { closed(&entity.to_lowercase()).map(|meant| meant.to_uppercase()) } else { None }
}

fn compile(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a valid pattern")
}
