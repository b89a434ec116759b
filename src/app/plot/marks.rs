//! The marks tick and cross, and a line that explains them.

use super::canvas::{Area, COLOURS, Drawn, FAINT, pt};
use super::text::{Anchor, text, text_width};
use plotters::prelude::*;

/// The colour of right answers.
pub(super) const RIGHT: RGBColor = COLOURS[2];
/// The colour of wrong answers.
pub(super) const MISSED: RGBColor = COLOURS[1];

/// A function that draws a mark around a position in points.
pub(super) type Mark = fn(&Area, (f64, f64)) -> Drawn;

/// Size of the text that explains marks, and the space around a mark, in points.
const TEXT: f64 = 12.0;
const SPACE: f64 = 18.0;

pub(super) fn tick(area: &Area, (x, y): (f64, f64)) -> Drawn {
    stroke(area, &[(x - 4.5, y), (x - 1.5, y + 3.5), (x + 4.5, y - 4.5)], RIGHT)
}

pub(super) fn cross(area: &Area, (x, y): (f64, f64)) -> Drawn {
    stroke(area, &[(x - 3.5, y - 3.5), (x + 3.5, y + 3.5)], MISSED)?;
    stroke(area, &[(x - 3.5, y + 3.5), (x + 3.5, y - 3.5)], MISSED)
}

/// Draws each mark with its meaning, one after the other, on a line that begins at a position in points.
pub(super) fn key(area: &Area, (x, y): (f64, f64), entries: &[(Mark, &str)]) -> Drawn {
    let mut left = x;
    for (mark, meaning) in entries {
        mark(area, (left + 6.0, y))?;
        text(area, meaning, (left + SPACE, y), Anchor::Left, TEXT, &FAINT)?;
        left += SPACE + text_width(meaning, TEXT) + SPACE;
    }
    Ok(())
}

/// Returns the width of the line that [`key`] draws.
pub(super) fn key_width(entries: &[(Mark, &str)]) -> f64 {
    entries.iter().map(|(_, meaning)| 2.0 * SPACE + text_width(meaning, TEXT)).sum::<f64>() - SPACE
}

fn stroke(area: &Area, points: &[(f64, f64)], colour: RGBColor) -> Drawn {
    let points: Vec<(i32, i32)> = points.iter().map(|&(x, y)| (pt(x), pt(y))).collect();
    Ok(area.draw(&PathElement::new(points, colour.stroke_width(pt(1.8) as u32)))?)
}
