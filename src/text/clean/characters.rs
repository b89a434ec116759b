//! Single characters that have a plainer form: curly quotes, ligatures, full width, control characters.

use super::code_pages::without_c1;
use regex::Regex;
use std::sync::LazyLock;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Returns the text in plain characters, without the colour codes of terminals, in Unicode's normal form C.
pub(super) fn plain(text: &str) -> String {
    static TERMINAL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\x1b\[[\d;]*[A-Za-z]").expect("a valid pattern"));
    let mut out = String::with_capacity(text.len());
    text.replace("\r\n", "\n").chars().for_each(|c| push_plain(without_c1(c), &mut out));
    if out.contains('\u{1b}') {
        out = TERMINAL.replace_all(&out, "").into_owned();
    }
    out.retain(|c| !is_control(c));
    match is_nfc_quick(out.chars()) {
        IsNormalized::Yes => out,
        _ => out.nfc().collect(),
    }
}

/// Appends the plain form of `c`.
fn push_plain(c: char, out: &mut String) {
    match c {
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => out.push('\''),
        '\u{201c}'..='\u{201f}' => out.push('"'),
        '\r' | '\u{2028}' | '\u{2029}' => out.push('\n'),
        '\u{3000}' => out.push(' '),
        'ŉ' => out.push_str("'n"),
        '\u{fb05}' => out.push_str("ſt"),
        // Dutch, Croatian and typographical ligatures, and the full- and half-width forms.
        'Ĳ' | 'ĳ' | 'Ǆ'..='ǌ' | 'Ǳ'..='ǳ' | '\u{fb00}'..='\u{fb06}' | '\u{ff01}'..='\u{ffef}' => {
            out.extend(std::iter::once(c).nfkc());
        }
        _ => out.push(c),
    }
}

/// Returns whether `c` is a character that text does not need. Spaces, marks of direction and joiners are needed.
fn is_control(c: char) -> bool {
    matches!(c, '\u{00}'..='\u{08}' | '\u{0b}' | '\u{0e}'..='\u{1f}' | '\u{7f}')
        || matches!(c, '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}')
}
