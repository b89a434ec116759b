//! Mojibake: UTF-8 that was decoded with a single-byte code page, perhaps several times over.
//!
//! The repair encodes the text with each code page that has all its characters, until the bytes turn out to be UTF-8.
//! On the way some bytes may have been lost: 0xA0, the no-break space, which became a space, and bytes that became
//! U+FFFD. If no page fits the whole text, runs of it that look like UTF-8 are repaired one by one. The steps and their
//! conditions are ftfy's (`fix_encoding`).

use super::badness::is_bad;
use super::code_pages::{CODE_PAGES, CodePage, Kind, like_latin_1, without_c1};
use regex::Regex;
use regex::bytes::{self, Captures, NoExpand};
use std::borrow::Cow;
use std::sync::LazyLock;

/// Punctuation that is a continuation byte of UTF-8 in some page, but often occurs as itself beside garbled text.
const OWN_PUNCTUATION: &str = "–—―‘’‚“”„•…";

/// Repairs the text as long as it looks garbled and a step changes it.
pub(super) fn fix_encoding(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    while let Some(fixed) = step(&text).filter(|fixed| *fixed != text) {
        text = Cow::Owned(fixed);
    }
    text
}

fn step(text: &str) -> Option<String> {
    if text.is_ascii() || !is_bad(text) {
        return None;
    }
    CODE_PAGES
        .iter()
        .find_map(|page| decode(&restore(page, page.encode(text)?)))
        .or_else(|| fix_runs(text))
        .or_else(|| Some(text.chars().map(without_c1).collect()))
}

/// Restores lost bytes where the rest of a character of UTF-8 is still there.
fn restore(page: &CodePage, bytes: Vec<u8>) -> Vec<u8> {
    // In Mac Roman the bytes that seem to have lost a 0xA0 are a dash before a space.
    let bytes = if page.kind == Kind::MacRoman { bytes } else { restore_a0(bytes) };
    if page.kind == Kind::Windows { replace_lost(bytes) } else { bytes }
}

/// Turns spaces back into the byte 0xA0 where that makes a likely character. A space after 0xC3 was an "à" that
/// usually is a word and keeps a space behind it, except at the start of some Portuguese words.
fn restore_a0(bytes: Vec<u8>) -> Vec<u8> {
    static WITH_SPACE: LazyLock<bytes::Regex> = LazyLock::new(|| {
        any_of(&[
            r"[\xc2\xc3\xc5\xce\xd0\xd9] ",
            r"[\xe2\xe3] [\x80-\x84\x86-\x9f\xa1-\xbf]",
            r"[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf] ",
            r"\xf0 [\x80-\xbf][\x80-\xbf]",
            r"\xf0[\x80-\xbf] [\x80-\xbf]",
            r"\xf0[\x80-\xbf][\x80-\xbf] ",
        ])
    });
    static A_GRAVE: LazyLock<bytes::Regex> = LazyLock::new(|| any_of(&[r"\xc3 ( |quele|quela|quilo|s )?"]));
    if !WITH_SPACE.is_match(&bytes) {
        return bytes;
    }
    let bytes = A_GRAVE.replace_all(&bytes, |found: &Captures| match found.get(1) {
        Some(_) => found[0].to_vec(),
        None => b"\xc3\xa0 ".to_vec(),
    });
    let with_a0 =
        |found: &Captures| -> Vec<u8> { found[0].iter().map(|&b| if b == b' ' { 0xa0 } else { b }).collect() };
    WITH_SPACE.replace_all(&bytes, with_a0).into_owned()
}

/// Replaces a character of UTF-8 by U+FFFD if one byte of it is lost or a question mark, or several are lost.
fn replace_lost(bytes: Vec<u8>) -> Vec<u8> {
    static LOSSY: LazyLock<bytes::Regex> = LazyLock::new(|| {
        any_of(&[
            r"[\xc2-\xdf]\x1a",
            r"[\xc2\xc3]\?",
            r"\xed[\xa0-\xaf][\x1a?]\xed[\xb0-\xbf][\x1a?\x80-\xbf]",
            r"\xed[\xa0-\xaf][\x1a?\x80-\xbf]\xed[\xb0-\xbf][\x1a?]",
            r"[\xe0-\xef][\x1a?][\x1a\x80-\xbf]",
            r"[\xe0-\xef][\x1a\x80-\xbf][\x1a?]",
            r"[\xf0-\xf4][\x1a?][\x1a\x80-\xbf][\x1a\x80-\xbf]",
            r"[\xf0-\xf4][\x1a\x80-\xbf][\x1a?][\x1a\x80-\xbf]",
            r"[\xf0-\xf4][\x1a\x80-\xbf][\x1a\x80-\xbf][\x1a?]",
            r"\x1a",
        ])
    });
    LOSSY.replace_all(&bytes, NoExpand("\u{fffd}".as_bytes())).into_owned()
}

/// Compiles a pattern of bytes.
fn any_of(patterns: &[&str]) -> bytes::Regex {
    bytes::Regex::new(&format!("(?-u){}", patterns.join("|"))).expect("a valid pattern")
}

/// Decodes UTF-8 and two of its variants: characters beyond U+FFFF as two surrogates, and NUL as C0 80. Like ftfy, it
/// also reads a C0 before the line break at the end as NUL.
fn decode(bytes: &[u8]) -> Option<String> {
    static VARIANT: LazyLock<bytes::Regex> =
        LazyLock::new(|| any_of(&[r"\xc0(?:\x80|\n$)", r"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]"]));
    let (mut out, mut at) = (String::with_capacity(bytes.len()), 0);
    for variant in VARIANT.find_iter(bytes) {
        out.push_str(str::from_utf8(&bytes[at..variant.start()]).ok()?);
        out.push(match *variant.as_bytes() {
            [_, b1, b2, _, b4, b5] => {
                let high = u32::from(b1 & 0x0f) << 16 | u32::from(b2 & 0x3f) << 10;
                char::from_u32(0x10000 + (high | u32::from(b4 & 0x0f) << 6 | u32::from(b5 & 0x3f)))?
            }
            _ => '\0',
        });
        at = variant.end();
    }
    out.push_str(str::from_utf8(&bytes[at..]).ok()?);
    Some(out)
}

/// Repairs the runs that look like characters of UTF-8 in a page that is like Latin-1. A run does not begin directly
/// after a continuation byte, since it would then be the end of a longer sequence.
fn fix_runs(text: &str) -> Option<String> {
    static RUN: LazyLock<Regex> = LazyLock::new(|| {
        let of_2 = like_latin_1(0xc2..=0xdf);
        let of_3 = like_latin_1(0xe0..=0xef);
        let of_4 = like_latin_1([0xf0, 0xf3].into_iter());
        let next = like_latin_1(0x80..=0xbf);
        let strict = next.replace(|c| OWN_PUNCTUATION.contains(c), "");
        let run = format!("(?:[{of_2}][{next} ]|[{of_3}][{next} ]{{2}}|[{of_4}][{next} ]{{3}})+");
        Regex::new(&format!("(^|[^{strict}])({run})")).expect("a valid pattern")
    });
    let fixed = RUN.replace_all(text, |found: &regex::Captures| {
        let (before, run) = (&found[1], &found[2]);
        // Repairing a run that is the whole text would recurse forever.
        if run.len() < text.len() && is_bad(run) {
            format!("{before}{}", fix_encoding(run))
        } else {
            found[0].to_owned()
        }
    });
    (fixed != text).then(|| fixed.into_owned())
}
