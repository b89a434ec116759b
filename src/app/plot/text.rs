//! Typesetting of labels in embedded fonts: measuring, placing, wrapping and shortening.
//!
//! The drawing library places glyphs on whole pixels and ignores the space to their left. This is visible at the size
//! of labels, so glyphs are placed here.

use super::canvas::{Area, Drawn, fill, pt};
use ab_glyph::{Font, FontRef, GlyphId, PxScale, point};
use plotters::style::{Color, RGBColor};
use std::sync::LazyLock;
use unicode_linebreak::linebreaks;

/// The fonts Noto Sans (Latin, Greek, Cyrillic) and Noto Sans CJK (Chinese, Japanese, Korean), both under the SIL Open
/// Font License (see `data/font/OFL.txt`). A character is set in the first font that has it.
static FACES: LazyLock<[FontRef<'static>; 2]> = LazyLock::new(|| {
    [
        &include_bytes!("../../../data/font/NotoSans-Regular-subset.ttf")[..],
        &include_bytes!("../../../data/font/NotoSansCJKjp-Regular-subset.otf")[..],
    ]
    .map(|font| FontRef::try_from_slice(font).expect("the font is whole"))
});

/// Height of the em square as a share of the height of a line, which is that of Noto Sans.
const EM: f64 = 1000.0 / 1362.0;
/// Width and height of the box in place of a character that no font has, as shares of the em.
const BOX: (f64, f64) = (0.6, 0.72);

/// Height of a capital letter as a share of the height of a line.
const CAPITAL: f64 = 0.52;

/// The part of a text that is placed at its x.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Left,
    Centre,
    Right,
}

/// How a character is set.
enum Sign {
    Glyph(&'static FontRef<'static>, GlyphId),
    /// A space of any kind, which is as wide as the usual one.
    Space,
    /// A character that is invisible by itself: a control character, a joiner or a variation selector.
    Invisible,
    /// A box, because no font has the character.
    Missing,
}

impl Sign {
    fn of(c: char) -> Self {
        let glyph = |face: &'static FontRef<'static>| Some((face, face.glyph_id(c))).filter(|(_, id)| id.0 != 0);
        match FACES.iter().find_map(glyph) {
            Some((face, id)) => Sign::Glyph(face, id),
            None if c.is_whitespace() => Sign::Space,
            None if c.is_control() || is_format(c) => Sign::Invisible,
            None => Sign::Missing,
        }
    }

    /// Returns the width as a share of the em.
    fn width(&self) -> f64 {
        let share = |face: &FontRef, id| f64::from(face.h_advance_unscaled(id) / units_per_em(face));
        match self {
            Sign::Glyph(face, id) => share(face, *id),
            Sign::Space => share(&FACES[0], FACES[0].glyph_id(' ')),
            Sign::Invisible => 0.0,
            Sign::Missing => BOX.0,
        }
    }
}

/// Returns whether a character only affects how its neighbours are set.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e01ef}')
}

fn units_per_em(face: &FontRef) -> f32 {
    face.units_per_em().expect("every font has an em")
}

/// Returns the width of a text in points; `size` is the height of a line in points.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().map(|c| Sign::of(c).width()).sum::<f64>() * size * EM
}

/// Draws one line of text at a position in points. Its capitals are centred vertically on `y`.
pub(super) fn text(area: &Area, text: &str, (x, y): (f64, f64), anchor: Anchor, size: f64, colour: &RGBColor) -> Drawn {
    let left = match anchor {
        Anchor::Left => x,
        Anchor::Centre => x - text_width(text, size) / 2.0,
        Anchor::Right => x - text_width(text, size),
    };
    let em = size * EM;
    let (mut pen, baseline) = (left, y + size * CAPITAL / 2.0);
    for sign in text.chars().map(Sign::of) {
        match sign {
            Sign::Glyph(face, id) => draw_glyph(area, (face, id), (pen, baseline), em, colour)?,
            Sign::Missing => draw_box(area, (pen, baseline), em, colour)?,
            Sign::Space | Sign::Invisible => {}
        }
        pen += sign.width() * em;
    }
    Ok(())
}

/// Draws a glyph whose origin is at a position in points.
fn draw_glyph(area: &Area, (face, id): (&FontRef, GlyphId), (x, y): (f64, f64), em: f64, colour: &RGBColor) -> Drawn {
    let pixels = |points: f64| pt(points) as f32;
    // A font's own unit of size is the height of its line.
    let scale = PxScale::from(pixels(em) * face.height_unscaled() / units_per_em(face));
    let Some(glyph) = face.outline_glyph(id.with_scale_and_position(scale, point(pixels(x), pixels(y)))) else {
        return Ok(());
    };
    let corner = glyph.px_bounds().min;
    let mut drawn = Ok(());
    glyph.draw(|dx, dy, coverage| {
        let at = (corner.x as i32 + dx as i32, corner.y as i32 + dy as i32);
        if drawn.is_ok() {
            drawn = area.draw_pixel(at, &colour.mix(f64::from(coverage.min(1.0))));
        }
    });
    Ok(drawn?)
}

/// Draws the box in place of a missing character.
fn draw_box(area: &Area, (x, y): (f64, f64), em: f64, colour: &RGBColor) -> Drawn {
    let (line, side) = (0.07 * em, 0.06 * em);
    let (left, right, top) = (x + side, x + BOX.0 * em - side, y - BOX.1 * em);
    let edges = [
        [(left, top), (right, top + line)],
        [(left, y - line), (right, y)],
        [(left, top), (left + line, y)],
        [(right - line, top), (right, y)],
    ];
    edges.into_iter().try_for_each(|edge| fill(area, edge, *colour))
}

/// Returns the text, or as much of its beginning as fits into `width` points, with an ellipsis.
pub(super) fn ellipsise(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.into();
    }
    let mut start: String = text.into();
    while start.pop().is_some() {
        let short = format!("{}…", start.trim_end());
        if text_width(&short, size) <= width {
            return short;
        }
    }
    String::new()
}

/// Breaks the text into at most `lines` lines of `width` points, where Unicode allows a break: between words, and
/// between the characters of a script without spaces. What does not fit is replaced by an ellipsis.
pub(super) fn wrap(text: &str, size: f64, width: f64, lines: usize) -> Vec<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut out: Vec<String> = Vec::new();
    let mut start = 0;
    for (end, _) in linebreaks(&text) {
        let piece = &text[start..end];
        start = end;
        let full = out.len() == lines;
        match out.last_mut() {
            // The last line takes the rest of the text and is shortened below.
            Some(line) if full || text_width(format!("{line}{piece}").trim_end(), size) <= width => {
                line.push_str(piece);
            }
            _ => out.push(piece.into()),
        }
    }
    out.iter().map(|line| ellipsise(line.trim_end(), size, width)).collect()
}

/// Formats a number with two decimals and without a minus before a zero.
pub(super) fn decimals(value: f32) -> String {
    let text = format!("{value:.2}");
    if text == "-0.00" { "0.00".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_to_fit() {
        let caption = "a caption that is far too long for its place";
        for width in [0.0, 20.0, 60.0, 120.0, 400.0] {
            let short = ellipsise(caption, 12.0, width);
            assert!(text_width(&short, 12.0) <= width, "{short} in {width} points");
            let lines = wrap(caption, 12.0, width, 2);
            assert!(
                lines.len() <= 2 && lines.iter().all(|l| text_width(l, 12.0) <= width),
                "{lines:?} in {width} points"
            );
        }
        assert_eq!(ellipsise("short", 12.0, 100.0), "short");
        assert_eq!(wrap("two lines", 12.0, text_width("lines ", 12.0), 2), ["two", "lines"]);
    }

    #[test]
    fn scripts_without_spaces_are_wrapped() {
        let caption = "口を開けて笑っている顔、とても嬉しい";
        let lines = wrap(caption, 12.0, text_width("口を開けて笑っている顔", 12.0), 2);
        // A line does not begin with a comma.
        assert_eq!(lines, ["口を開けて笑っている", "顔、とても嬉しい"]);
    }

    #[test]
    fn no_character_vanishes() {
        for c in "Añжλ笑にラ웃謝谢龙，→≤".chars() {
            assert!(matches!(Sign::of(c), Sign::Glyph(..)), "{c} has no glyph");
        }
        for c in "😀ก".chars() {
            assert!(matches!(Sign::of(c), Sign::Missing), "{c} has no box");
            assert!(text_width(&c.to_string(), 12.0) > 4.0);
        }
        assert!(matches!(Sign::of('\u{202f}'), Sign::Space));
        assert!(matches!(Sign::of('\u{fe0f}'), Sign::Invisible));
    }

    #[test]
    fn every_emoji_label_has_its_glyphs() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data/emoji");
        for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_some_and(|extension| extension == "tsv") {
                let labels = std::fs::read_to_string(&file).unwrap();
                let missing = labels.chars().find(|&c| matches!(Sign::of(c), Sign::Missing));
                assert_eq!(missing, None, "{}", file.display());
            }
        }
    }

    #[test]
    fn zero_has_no_sign() {
        assert_eq!([-0.004, -0.006, 0.0].map(decimals), ["0.00", "-0.01", "0.00"]);
    }
}
