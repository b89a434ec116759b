//! Recognition of garbled text.
//!
//! Text that was decoded with the wrong code page has adjacent characters that are rare in other text, such as a small
//! accented letter before a currency sign. The kinds of characters and their unlikely neighbours are exactly those of
//! ftfy 6.3.1 (`ftfy/badness.py`).

use regex::Regex;
use std::sync::LazyLock;

/// The kinds of characters that garbled text is made of, as members of a regular expression's class. Where a letter
/// could be part of a face such as `ò_ó`, its kind is `kaomoji` and not `accented`; letters that often end a word
/// are `common`.
const KINDS: [(&str, &str); 14] = [
    ("common", "\u{a0}\u{ad}·´–—―…’"),
    ("c1", "\u{80}-\u{9f}"),
    ("bad", "¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊�ªº"),
    ("law", "¶§"),
    ("currency", "¢£¥₧€"),
    ("start_punctuation", "¡«¿©΄΅‘‚“„•‹\u{f8ff}"),
    ("end_punctuation", "®»˝”›™"),
    ("numeric", "²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№"),
    ("kaomoji", "Ò-ÖÙ-Üò-öø-üŐŌŪŲ°"),
    ("upper_accented", "À-ÑØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ"),
    ("lower_accented", "ßà-ñăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґﬁﬂ"),
    ("upper_common", "ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я"),
    ("lower_common", "α-ωάέήίΰа-џ"),
    ("box", "│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓"),
];

/// Patterns that are rare in text that is not garbled.
const RULES: [&str; 37] = [
    // Any control character from 0x80 on, which no text contains on purpose.
    r"[{c1}]",
    // Adjacent characters of kinds that do not occur next to each other.
    r"[{bad}{lower_accented}{upper_accented}{box}{start_punctuation}{end_punctuation}{currency}{numeric}{law}][{bad}]",
    r"[a-zA-Z][{lower_common}{upper_common}][{bad}]",
    r"[{bad}][{lower_accented}{upper_accented}{box}{start_punctuation}{end_punctuation}{currency}{numeric}{law}]",
    r"[{lower_accented}{lower_common}{box}{end_punctuation}{currency}{numeric}][{upper_accented}]",
    r"[{box}{end_punctuation}{currency}{numeric}][{lower_accented}]",
    r"[{lower_accented}{box}{end_punctuation}][{currency}]",
    r"[\s\x1c-\x1f][{upper_accented}][{currency}]",
    r"[{upper_accented}{box}][{numeric}{law}]",
    r"[{lower_accented}{upper_accented}{box}{currency}{end_punctuation}][{start_punctuation}][{numeric}]",
    r"[{lower_accented}{upper_accented}{currency}{numeric}{box}{law}][{end_punctuation}][{start_punctuation}]",
    r"[{currency}{numeric}{box}][{start_punctuation}]",
    r"[a-z][{upper_accented}][{start_punctuation}{currency}]",
    r"[{box}][{kaomoji}]",
    r"[{lower_accented}{upper_accented}{currency}{numeric}{start_punctuation}{end_punctuation}{law}][{box}]",
    r"[{box}][{end_punctuation}]",
    r"[{lower_accented}{upper_accented}][{start_punctuation}{end_punctuation}][\p{L}\p{N}_]",
    // A ligature that is not within a word of plain letters, or a degree sign behind a capital.
    r"[Œœ][^A-Za-z]",
    r"[{upper_accented}]°",
    // Two characters of Windows-1252 that the kinds above do not cover, and two Arabic letters decoded with it.
    r"[ÂÃÎÐ][€œŠš¢£Ÿž\xa0\xad®©°·»{start_punctuation}{end_punctuation}–—´]",
    r"×[²³]",
    r"(?:[ØÙ][{common}{currency}{bad}{numeric}{start_punctuation}ŸŠ®°µ»]){2}",
    // The first of three characters for scripts of South Asia.
    r"à[²µ¹¼½¾]",
    // Mac Roman.
    r"√[±∂†≠®™´≤≥¥µø]",
    r"≈[°¢]",
    r"‚Ä[ìîïòôúùû†°¢π]",
    r"‚[âó][àä°ê]",
    // Windows-1251: punctuation, pairs for Cyrillic letters, and those pairs garbled by a second code page.
    r"вЂ",
    r"[ВГРС][{c1}{bad}{start_punctuation}{end_punctuation}{currency}°µ][ВГРС]",
    r"ГўВЂВ.[A-Za-z ]",
    // à, á or a no-break space in Windows-1252, and Â before a character that it stands for.
    r"Ã[\xa0¡]",
    r"[a-z][\s\x1c-\x1f]?[ÃÂ][ ]",
    r"^[ÃÂ][ ]",
    r"[a-z.,?!{end_punctuation}]Â[ {start_punctuation}{end_punctuation}]",
    // Windows-1253: punctuation, and pairs for Greek letters.
    r"β€[™\xa0Ά\xad®°]",
    r"[ΒΓΞΟ][{c1}{bad}{start_punctuation}{end_punctuation}{currency}°][ΒΓΞΟ]",
    // Windows-1257: punctuation.
    r"ā€",
];

/// Returns whether the text looks as if it had been decoded with the wrong code page.
pub(super) fn is_bad(text: &str) -> bool {
    static BADNESS: LazyLock<Regex> = LazyLock::new(|| {
        let with_kinds = |rules: String, (kind, members): (&str, &str)| rules.replace(&format!("{{{kind}}}"), members);
        Regex::new(&KINDS.into_iter().fold(RULES.join("|"), with_kinds)).expect("a valid pattern")
    });
    BADNESS.is_match(text)
}
