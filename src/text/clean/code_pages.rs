//! The single-byte code pages with which text is garbled, in the order in which they are tried.
//!
//! Bytes below 0x80 are ASCII in all of them. Bytes that Windows leaves undefined stand for themselves, which is how
//! programs treat them.

/// A code page: what each byte stands for.
pub(super) struct CodePage {
    pub(super) kind: Kind,
    /// The first byte that does not stand for the character of its own number, and the characters from it on.
    first: usize,
    upper: &'static str,
}

/// The damage that decoding with a code page can have done to a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Some bytes are undefined, and a program may have put U+FFFD for them, which is encoded as the byte 0x1A.
    Windows,
    /// The byte 0xA0 is not the no-break space, so programs did not replace it by a plain space.
    MacRoman,
    Other,
}

/// The number of pages that have letters where Latin-1 has letters. These pages come first.
const LIKE_LATIN_1: usize = 7;

pub(super) static CODE_PAGES: [CodePage; 10] = [
    // Latin-1
    CodePage { kind: Kind::Other, first: 0x100, upper: "" },
    // Windows-1252
    CodePage {
        kind: Kind::Windows,
        first: 0x80,
        upper: "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ\
                \u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿\
                ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞß\
                àáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ",
    },
    // Windows-1251
    CodePage {
        kind: Kind::Windows,
        first: 0x80,
        upper: "ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—\u{98}™љ›њќћџ\
                \u{a0}ЎўЈ¤Ґ¦§Ё©Є«¬\u{ad}®Ї°±Ііґµ¶·ё№є»јЅѕї\
                АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ\
                абвгдежзийклмнопрстуфхцчшщъыьэюя",
    },
    // Windows-1250
    CodePage {
        kind: Kind::Windows,
        first: 0x80,
        upper: "€\u{81}‚\u{83}„…†‡\u{88}‰Š‹ŚŤŽŹ\u{90}‘’“”•–—\u{98}™š›śťžź\
                \u{a0}ˇ˘Ł¤Ą¦§¨©Ş«¬\u{ad}®Ż°±˛ł´µ¶·¸ąş»Ľ˝ľż\
                ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢß\
                ŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
    },
    // Windows-1253
    CodePage {
        kind: Kind::Windows,
        first: 0x80,
        upper: "€\u{81}‚ƒ„…†‡\u{88}‰\u{8a}‹\u{8c}\u{8d}\u{8e}\u{8f}\u{90}‘’“”•–—\u{98}™\u{9a}›\u{9c}\u{9d}\u{9e}\u{9f}\
                \u{a0}΅Ά£¤¥¦§¨©ª«¬\u{ad}®―°±²³΄µ¶·ΈΉΊ»Ό½ΎΏ\
                ΐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡÒΣΤΥΦΧΨΩΪΫάέήί\
                ΰαβγδεζηθικλμνξοπρςστυφχψωϊϋόύώÿ",
    },
    // Windows-1254
    CodePage {
        kind: Kind::Windows,
        first: 0x80,
        upper: "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}\u{8e}\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}\u{9e}Ÿ\
                \u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿\
                ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏĞÑÒÓÔÕÖ×ØÙÚÛÜİŞß\
                àáâãäåæçèéêëìíîïğñòóôõö÷øùúûüışÿ",
    },
    // Windows-1257
    CodePage {
        kind: Kind::Windows,
        first: 0x80,
        upper: "€\u{81}‚\u{83}„…†‡\u{88}‰\u{8a}‹\u{8c}¨ˇ¸\u{90}‘’“”•–—\u{98}™\u{9a}›\u{9c}¯˛\u{9f}\
                \u{a0}¡¢£¤¥¦§Ø©Ŗ«¬\u{ad}®Æ°±²³´µ¶·ø¹ŗ»¼½¾æ\
                ĄĮĀĆÄÅĘĒČÉŹĖĢĶĪĻŠŃŅÓŌÕÖ×ŲŁŚŪÜŻŽß\
                ąįāćäåęēčéźėģķīļšńņóōõö÷ųłśūüżž˙",
    },
    // ISO 8859-2
    CodePage {
        kind: Kind::Other,
        first: 0xa0,
        upper: "\u{a0}Ą˘Ł¤ĽŚ§¨ŠŞŤŹ\u{ad}ŽŻ°ą˛ł´ľśˇ¸šşťź˝žż\
                ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢß\
                ŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
    },
    // Mac Roman
    CodePage {
        kind: Kind::MacRoman,
        first: 0x80,
        upper: "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü\
                †°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø\
                ¿¡¬√ƒ≈∆«»…\u{a0}ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ\
                ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\u{f8ff}ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ",
    },
    // Code page 437
    CodePage {
        kind: Kind::Other,
        first: 0x80,
        upper: "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒ\
                áíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
                └┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
                αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}",
    },
];

impl CodePage {
    /// Returns the bytes that this page decodes to `text`, if there are any.
    pub(super) fn encode(&self, text: &str) -> Option<Vec<u8>> {
        text.chars().map(|c| self.byte(c)).collect()
    }

    fn byte(&self, c: char) -> Option<u8> {
        match c {
            '\u{1a}' if self.kind == Kind::Windows => None,
            '\u{fffd}' if self.kind == Kind::Windows => Some(0x1a),
            _ if c.is_ascii() => Some(c as u8),
            _ => match self.upper.chars().position(|upper| upper == c) {
                Some(i) => Some((self.first + i) as u8),
                None => u8::try_from(c).ok().filter(|&byte| usize::from(byte) < self.first),
            },
        }
    }

    fn char(&self, byte: u8) -> char {
        let above = usize::from(byte).checked_sub(self.first);
        above.and_then(|i| self.upper.chars().nth(i)).unwrap_or(char::from(byte))
    }
}

/// Returns what the bytes stand for in one of the pages that are like Latin-1.
pub(super) fn like_latin_1(bytes: impl Iterator<Item = u8>) -> String {
    bytes.flat_map(|byte| CODE_PAGES[..LIKE_LATIN_1].iter().map(move |page| page.char(byte))).collect()
}

/// Returns the character of Windows-1252 where Latin-1 has a control character, and any other character as it is.
pub(super) fn without_c1(c: char) -> char {
    if ('\u{80}'..='\u{9f}').contains(&c) { CODE_PAGES[1].char(c as u8) } else { c }
}
