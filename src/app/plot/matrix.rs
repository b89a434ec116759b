//! The similarity matrix of a few pairs, with pictures along the top and captions along the left.

use super::canvas::{Area, Drawn, FAINT, INK, draw, fill, pt, thumbnail};
use super::text::{Anchor, decimals, text, wrap};
use image::RgbImage;
use ndarray::{ArrayView1, ArrayView2};
use plotters::style::{BLACK, RGBColor, WHITE};

/// Side of a cell. All lengths are in points.
const CELL: f64 = 42.0;
const CAPTIONS: f64 = 158.0;
const TOP: f64 = 44.0;
const BAR: f64 = 14.0;
const MARGIN: f64 = 18.0;

/// The colour map Viridis (van der Walt & Smith, 2015; CC0) at equal distances. Its lightness grows evenly, so that
/// equal differences look equal, in grey too.
const VIRIDIS: [[u8; 3]; 11] = [
    [0x44, 0x01, 0x54],
    [0x48, 0x24, 0x75],
    [0x41, 0x44, 0x87],
    [0x35, 0x5f, 0x8d],
    [0x2a, 0x78, 0x8e],
    [0x21, 0x91, 0x8c],
    [0x22, 0xa8, 0x84],
    [0x44, 0xbf, 0x70],
    [0x7a, 0xd1, 0x51],
    [0xbd, 0xdf, 0x26],
    [0xfd, 0xe7, 0x25],
];

/// The scale that maps cosines from low to high to colours.
struct Scale {
    low: f32,
    high: f32,
}

impl Scale {
    /// Makes a scale from the smallest to the largest finite value, rounded outwards to tenths.
    fn of(similarity: ArrayView2<f32>) -> Self {
        let finite = || similarity.iter().copied().filter(|v| v.is_finite());
        let low = (finite().fold(1.0, f32::min) * 10.0).floor() / 10.0;
        let high = (finite().fold(-1.0, f32::max) * 10.0).ceil() / 10.0;
        Scale { low, high: high.max(low + 0.1) }
    }

    fn colour(&self, value: f32) -> RGBColor {
        // NaN passes through and becomes black, which is not on the scale.
        let at = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f32;
        let left = (at as usize).min(VIRIDIS.len() - 2);
        let mix = |c: usize| {
            let (a, b) = (f32::from(VIRIDIS[left][c]), f32::from(VIRIDIS[left + 1][c]));
            (a + (b - a) * (at - left as f32)).round() as u8
        };
        RGBColor(mix(0), mix(1), mix(2))
    }
}

/// Returns black or white, whichever is legible on a colour.
fn contrast(RGBColor(r, g, b): RGBColor) -> RGBColor {
    let light = 0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b);
    if light > 130.0 { BLACK } else { WHITE }
}

/// Draws the matrix. A frame marks the best caption of each picture; on the diagonal the model is right.
///
/// `similarity` (n, n): entry (i, j) is the cosine of picture i and caption j, and picture i belongs to caption i
#[track_caller]
pub fn similarity_matrix(pictures: &[RgbImage], captions: &[&str], similarity: ArrayView2<f32>) -> RgbImage {
    let n = pictures.len();
    assert_eq!((captions.len(), similarity.dim()), (n, (n, n)), "{n} pictures, their captions and similarities");
    let scale = Scale::of(similarity);
    let side = n as f64 * CELL;
    let (left, top) = (MARGIN + CAPTIONS, TOP + CELL);
    let size = (left + side + 74.0, top + side + 40.0);
    draw(size, |area| {
        text(area, "Cosine of every picture with every caption", (MARGIN, 22.0), Anchor::Left, 17.0, &INK)?;
        for (i, picture) in pictures.iter().enumerate() {
            let x = left + i as f64 * CELL;
            thumbnail(area, picture, (x + 3.0, TOP + 1.0), CELL - 6.0)?;
            column(area, (x, top), similarity.row(i), &scale)?;
        }
        for (j, caption) in captions.iter().enumerate() {
            let lines = wrap(caption, 12.5, CAPTIONS - 10.0, 2);
            let middle = top + (j as f64 + 0.5) * CELL;
            for (i, line) in lines.iter().enumerate() {
                let y = middle + 15.0 * (i as f64 - 0.5 * (lines.len() - 1) as f64);
                text(area, line, (left - 8.0, y), Anchor::Right, 12.5, &INK)?;
            }
        }
        let note = "Frame: the best caption for the picture above. On the diagonal it is the right one.";
        text(area, note, (MARGIN, top + side + 22.0), Anchor::Left, 12.0, &FAINT)?;
        colour_bar(area, (left + side + 18.0, top, side), &scale)
    })
}

/// Draws the cosines of one picture with all captions, from top to bottom.
fn column(area: &Area, (x, top): (f64, f64), cosines: ArrayView1<f32>, scale: &Scale) -> Drawn {
    let best = cosines.iter().copied().fold(f32::NAN, f32::max);
    for (j, &cosine) in cosines.iter().enumerate() {
        let y = top + j as f64 * CELL;
        let colour = scale.colour(cosine);
        fill(area, [(x, y), (x + CELL, y + CELL)], colour)?;
        if cosine == best {
            fill(area, [(x + 2.0, y + 2.0), (x + CELL - 2.0, y + CELL - 2.0)], contrast(colour))?;
            fill(area, [(x + 3.6, y + 3.6), (x + CELL - 3.6, y + CELL - 3.6)], colour)?;
        }
        let middle = (x + CELL / 2.0, y + CELL / 2.0);
        text(area, &decimals(cosine), middle, Anchor::Centre, 12.0, &contrast(colour))?;
    }
    Ok(())
}

/// Draws the colour scale, low at the bottom, with at most nine labels.
fn colour_bar(area: &Area, (x, top, height): (f64, f64, f64), scale: &Scale) -> Drawn {
    let bands = pt(height);
    let range = scale.high - scale.low;
    for band in 0..bands {
        let y = |band: i32| top + height * f64::from(band) / f64::from(bands);
        let value = scale.high - range * band as f32 / bands as f32;
        fill(area, [(x, y(band)), (x + BAR, y(band + 1))], scale.colour(value))?;
    }
    let tenths = (range * 10.0).round() as usize;
    for tenth in (0..=tenths).step_by(tenths.div_ceil(8)) {
        let y = top + height - height * tenth as f64 / tenths as f64;
        text(area, &decimals(scale.low + tenth as f32 / 10.0), (x + BAR + 6.0, y), Anchor::Left, 12.0, &INK)?;
    }
    text(area, "cosine", (x, top - 12.0), Anchor::Left, 12.0, &FAINT)
}
