//! Typesetting of labels in an embedded font: measuring, placing, wrapping and shortening.
//!
//! The drawing library places glyphs on whole pixels and ignores the space to their left. At the size of labels that is
//! visible, so glyphs are placed here.

use super::canvas::{Area, Drawn, pt};
use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use plotters::style::{Color, RGBColor};
use std::sync::LazyLock;

/// The font Noto Sans, under the SIL Open Font License (see `data/font/OFL.txt`).
static FACE: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(include_bytes!("../../../data/font/NotoSans-Regular-subset.ttf"))
        .expect("the font is whole")
});

/// Height of a capital letter as a share of the height of a line.
const CAPITAL: f64 = 0.52;

/// The part of a text that is placed at its x.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Left,
    Centre,
    Right,
}

/// Returns the width of a text in points; `size` is the height of a line in points.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let face = FACE.as_scaled(size as f32);
    text.chars().map(|c| f64::from(face.h_advance(face.glyph_id(c)))).sum()
}

/// Draws one line of text at a position in points. Its capitals are centred vertically on `y`.
pub(super) fn text(area: &Area, text: &str, (x, y): (f64, f64), anchor: Anchor, size: f64, colour: &RGBColor) -> Drawn {
    let left = match anchor {
        Anchor::Left => x,
        Anchor::Centre => x - text_width(text, size) / 2.0,
        Anchor::Right => x - text_width(text, size),
    };
    let pixels = |points: f64| pt(points) as f32;
    let scale = PxScale::from(pixels(size));
    let face = FACE.as_scaled(scale);
    let (mut pen, baseline) = (pixels(left), pixels(y + size * CAPITAL / 2.0));
    for id in text.chars().map(|c| face.glyph_id(c)) {
        if let Some(glyph) = FACE.outline_glyph(id.with_scale_and_position(scale, point(pen, baseline))) {
            let corner = glyph.px_bounds().min;
            let mut drawn = Ok(());
            glyph.draw(|dx, dy, coverage| {
                let at = (corner.x as i32 + dx as i32, corner.y as i32 + dy as i32);
                if drawn.is_ok() {
                    drawn = area.draw_pixel(at, &colour.mix(f64::from(coverage.min(1.0))));
                }
            });
            drawn?;
        }
        pen += face.h_advance(id);
    }
    Ok(())
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

/// Breaks the text between words into at most `lines` lines of `width` points. What does not fit is replaced by an
/// ellipsis.
pub(super) fn wrap(text: &str, size: f64, width: f64, lines: usize) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let full = out.len() == lines;
        match out.last_mut() {
            // The last line takes the rest of the text and is shortened below.
            Some(line) if full || text_width(&format!("{line} {word}"), size) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => out.push(word.into()),
        }
    }
    out.iter().map(|line| ellipsise(line, size, width)).collect()
}

/// Formats a number with two decimals and no minus before a zero.
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
    fn zero_has_no_sign() {
        assert_eq!([-0.004, -0.006, 0.0].map(decimals), ["0.00", "-0.01", "0.00"]);
    }
}
