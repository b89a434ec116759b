//! Similarity matrices of a few pictures, with pictures along the top and captions along the left.

use super::answers::Answers;
use super::canvas::{Area, Drawn, FAINT, INK, RULE, draw, fill, pt, thumbnail};
use super::marks::{Mark, cross, key, key_width, tick};
use super::text::{Anchor, decimals, text, text_width, wrap};
use crate::pictures::picture::luminance;
use image::RgbImage;
use plotters::element::Circle;
use plotters::style::{BLACK, Color, RGBColor, WHITE};

/// Side of a cell. All lengths are in points.
const CELL: f64 = 42.0;
const CAPTIONS: f64 = 158.0;
const TEXT: f64 = 12.5;
/// Height of the figure's title and of a block's, and of the row of ticks and crosses.
const HEAD: f64 = 44.0;
const TITLE: f64 = 46.0;
const MARKS: f64 = 20.0;
const FOOT: f64 = 40.0;
const BAR: f64 = 14.0;
/// Width of the colour scale with its labels.
const SCALE: f64 = 66.0;
const MARGIN: f64 = 18.0;

const NAME: &str = "Cosine of every picture with every caption";
const KEY: [(Mark, &str); 4] = [
    (frame, "the best caption for a picture"),
    (dot, "the right one"),
    (tick, "both are the same"),
    (cross, "they are not"),
];

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
    fn of(blocks: &[Answers]) -> Self {
        let finite = || blocks.iter().flat_map(|block| &block.cosines).copied().filter(|v| v.is_finite());
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
    if luminance([r, g, b]) > 130.0 { BLACK } else { WHITE }
}

/// Draws the blocks side by side. A frame marks the best caption of each picture, a dot the right one.
#[track_caller]
pub fn similarity_matrix(blocks: &[Answers]) -> RgbImage {
    blocks.iter().for_each(Answers::check);
    let scale = Scale::of(blocks);
    let rows = blocks.iter().map(|block| block.captions.len()).max().unwrap_or(0);
    let (top, side) = (HEAD + TITLE + CELL + MARKS, rows as f64 * CELL);
    let cells: f64 = blocks.iter().map(|block| width(block) + MARGIN).sum();
    let least = key_width(&KEY).max(text_width(NAME, 17.0)) + 2.0 * MARGIN;
    draw(((MARGIN + cells + SCALE).max(least), top + side + FOOT), |area| {
        text(area, NAME, (MARGIN, 22.0), Anchor::Left, 17.0, &INK)?;
        let mut left = MARGIN;
        for block in blocks {
            draw_block(area, (left, HEAD), block, &scale)?;
            left += width(block) + MARGIN;
        }
        key(area, (MARGIN, top + side + 22.0), &KEY)?;
        colour_bar(area, (left, top, side), &scale)
    })
}

/// Returns the width of a block, which is that of its cells and captions, or of its title.
fn width(block: &Answers) -> f64 {
    let titles = [text_width(&block.title, 14.5), text_width(&block.score(1), TEXT)];
    titles.into_iter().fold(CAPTIONS + block.pictures.len() as f64 * CELL, f64::max)
}

/// Draws a block: its title with its score, its pictures, and a row of cells for every caption.
fn draw_block(area: &Area, (left, top): (f64, f64), block: &Answers, scale: &Scale) -> Drawn {
    text(area, &block.title, (left, top + 8.0), Anchor::Left, 14.5, &INK)?;
    text(area, &block.score(1), (left, top + 27.0), Anchor::Left, TEXT, &INK)?;
    let top = top + TITLE;
    for (i, picture) in block.pictures.iter().enumerate() {
        let x = left + CAPTIONS + i as f64 * CELL;
        thumbnail(area, picture, (x + 3.0, top + 1.0), CELL - 6.0)?;
        let mark = if block.is_among_best(i, 1) { tick } else { cross };
        mark(area, (x + CELL / 2.0, top + CELL + MARKS / 2.0 - 2.0))?;
        column(area, (x, top + CELL + MARKS), block, i, scale)?;
    }
    for (j, caption) in block.captions.iter().enumerate() {
        let lines = wrap(caption, TEXT, CAPTIONS - 10.0, 2);
        let middle = top + CELL + MARKS + (j as f64 + 0.5) * CELL;
        for (i, line) in lines.iter().enumerate() {
            let y = middle + 15.0 * (i as f64 - 0.5 * (lines.len() - 1) as f64);
            text(area, line, (left + CAPTIONS - 8.0, y), Anchor::Right, TEXT, &INK)?;
        }
    }
    Ok(())
}

/// Draws the cosines of picture i with all captions, from top to bottom.
fn column(area: &Area, (x, top): (f64, f64), block: &Answers, i: usize, scale: &Scale) -> Drawn {
    let cosines = block.cosines.row(i);
    let best = cosines.iter().copied().fold(f32::NAN, f32::max);
    for (j, &cosine) in cosines.iter().enumerate() {
        let y = top + j as f64 * CELL;
        let colour = scale.colour(cosine);
        let contrast = contrast(colour);
        fill(area, [(x, y), (x + CELL, y + CELL)], colour)?;
        if cosine == best {
            fill(area, [(x + 2.0, y + 2.0), (x + CELL - 2.0, y + CELL - 2.0)], contrast)?;
            fill(area, [(x + 3.6, y + 3.6), (x + CELL - 3.6, y + CELL - 3.6)], colour)?;
        }
        if j == block.truth[i] {
            disc(area, (x + CELL / 2.0, y + 10.0), contrast)?;
        }
        let middle = (x + CELL / 2.0, y + CELL / 2.0 + 1.5);
        text(area, &decimals(cosine), middle, Anchor::Centre, 12.0, &contrast)?;
    }
    Ok(())
}

fn disc(area: &Area, (x, y): (f64, f64), colour: RGBColor) -> Drawn {
    Ok(area.draw(&Circle::new((pt(x), pt(y)), pt(2.4), colour.filled()))?)
}

/// Draws the frame of the key.
fn frame(area: &Area, (x, y): (f64, f64)) -> Drawn {
    fill(area, [(x - 6.0, y - 6.0), (x + 6.0, y + 6.0)], INK)?;
    fill(area, [(x - 4.4, y - 4.4), (x + 4.4, y + 4.4)], RULE)
}

/// Draws the dot of the key.
fn dot(area: &Area, at: (f64, f64)) -> Drawn {
    disc(area, at, INK)
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
