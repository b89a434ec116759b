//! Cleaning of captions for CLIP's tokenizer: text is repaired, unescaped, single-spaced and lower-cased.
//!
//! The reference cleans a caption with `ftfy.fix_text`, `html.unescape` twice, collapsed whitespace and `lower()`. This
//! file reproduces that chain. From ftfy it has every repair of single characters (ligatures, full-width letters, curly
//! quotes, control characters, Windows-1252 controls, HTML entities, NFC) and that of the commonest mojibake: UTF-8
//! that was read as Windows-1252. It repairs neither text that was garbled through other code pages or lost bytes on
//! the way nor colour codes of terminals.

use regex::{Captures, Regex};
use std::borrow::Cow;
use std::sync::LazyLock;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Most repairs of one text. Text that was garbled by several programs in turn needs four or five.
const MAX_REPAIRS: usize = 32;

/// The characters of the 32 bytes 0x80..=0x9F in Windows-1252. The five bytes that it leaves undefined stand for
/// themselves.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Cleans a caption. Two captions that clean to the same string are the same caption to CLIP.
pub fn clean(text: &str) -> String {
    let text = if is_plain(text) { Cow::Borrowed(text) } else { Cow::Owned(repair(text)) };
    let text = htmlize::unescape(htmlize::unescape(text));
    let mut out = String::with_capacity(text.len());
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    // Lower-casing comes last and on the whole text, since a capital sigma's small form depends on its neighbours.
    if out.is_ascii() {
        out.make_ascii_lowercase();
        return out;
    }
    out.to_lowercase()
}

/// Returns whether the text is printable ASCII without entities, as most captions are; [`repair`] would not change it.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t' | b'\n' | b'\r') && b != b'&')
}

/// Returns what Python's `str.isspace` does: true for Unicode white space and the four ASCII separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Repairs until nothing changes, as ftfy does, since one repair can uncover the need for another. The number of
/// repairs is limited: entities can be nested as deep as the text is long, and each repair reads all of it.
fn repair(text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..MAX_REPAIRS {
        let fixed = repair_once(&text);
        if fixed == text {
            return fixed;
        }
        text = fixed;
    }
    text
}

fn repair_once(text: &str) -> String {
    // A caption with "<" may be real HTML, in which an entity says what it means.
    let text = if text.contains('<') { Cow::Borrowed(text) } else { unescape_closed(text) };
    let text = from_mojibake(&text).map_or(text, Cow::Owned);
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| push_plain(c, &mut out));
    match is_nfc_quick(out.chars()) {
        IsNormalized::Yes => out,
        _ => out.nfc().collect(),
    }
}

/// Decodes entities that end in a semicolon; capitals such as `&EACUTE;` are understood too.
fn unescape_closed(text: &str) -> Cow<'_, str> {
    static ENTITY: LazyLock<Regex> = LazyLock::new(|| Regex::new("&#?[0-9A-Za-z]{1,24};").expect("a valid pattern"));
    ENTITY.replace_all(text, |entity: &Captures| {
        let entity = &entity[0];
        let meant = htmlize::unescape(entity);
        if meant != entity || entity.contains(char::is_lowercase) {
            return meant.into_owned();
        }
        let small = entity.to_lowercase();
        let meant = htmlize::unescape(small.as_str());
        if meant == small { entity.to_owned() } else { meant.to_uppercase() }
    })
}

/// Repairs UTF-8 that was read as Windows-1252: "cafÃ©" → "café". A run of non-ASCII characters whose Windows-1252
/// bytes are valid UTF-8 is decoded. One such run could be chance ("CAFÉ…"), so there must be more evidence: two
/// characters, one of three bytes, or one that began with Â or Ã, which hardly occur otherwise.
fn from_mojibake(text: &str) -> Option<String> {
    static RUN: LazyLock<Regex> = LazyLock::new(|| Regex::new("[^\\x00-\\x7f]+").expect("a valid pattern"));
    let mut evidence = 0;
    let fixed = RUN.replace_all(text, |run: &Captures| {
        let run = &run[0];
        let Some(meant) = as_windows_1252(run) else { return run.to_owned() };
        let is_telling = |c: char| c >= '\u{800}' || c <= '\u{ff}';
        evidence += meant.chars().map(|c| if is_telling(c) { 2 } else { 1 }).sum::<u32>();
        meant
    });
    (evidence >= 2).then(|| fixed.into_owned())
}

fn as_windows_1252(run: &str) -> Option<String> {
    let bytes: Option<Vec<u8>> = run.chars().map(windows_1252_byte).collect();
    String::from_utf8(bytes?).ok()
}

fn windows_1252_byte(c: char) -> Option<u8> {
    match WINDOWS_1252.iter().position(|&w| w == c) {
        Some(i) => Some(0x80 + i as u8),
        None => u8::try_from(c).ok(),
    }
}

/// Appends the plain form of `c`: without curly quotes, ligatures, full width, and control characters.
fn push_plain(c: char, out: &mut String) {
    match c {
        '\u{00}'..='\u{08}' | '\u{0b}' | '\u{0e}'..='\u{1f}' | '\u{7f}' => {}
        '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}' => {}
        '\u{80}'..='\u{9f}' => out.push(WINDOWS_1252[c as usize - 0x80]),
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => out.push('\''),
        '\u{201c}'..='\u{201f}' => out.push('"'),
        '\u{2028}' | '\u{2029}' => out.push('\n'),
        '\u{3000}' => out.push(' '),
        '\u{fb05}' => out.push_str("ſt"),
        // Dutch, Afrikaans, Croatian and typographical ligatures, and the full- and half-width forms.
        'Ĳ' | 'ĳ' | 'ŉ' | 'Ǆ'..='ǌ' | 'Ǳ'..='ǳ' | '\u{fb00}'..='\u{fb06}' | '\u{ff01}'..='\u{ffef}' => {
            out.extend(std::iter::once(c).nfkc());
        }
        _ => out.push(c),
    }
}
