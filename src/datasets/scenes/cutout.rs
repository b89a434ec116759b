//! A drawing without the white that it stands on.
//!
//! The white that reaches the edge of a tile is the ground; white within a drawing belongs to it. A pixel beside the
//! ground is a blend of the ground and the drawing's colour, which a pixel further in has:
//!
//! ```text
//! pixel = α·colour + (1 − α)·white
//! α     = ⟨white − pixel, white − colour⟩ / ⟨white − colour, white − colour⟩, at most 1
//! ```
//!
//! Of the pixels further in, at most two away, the one furthest from white gives the colour. Where that is nearly white
//! itself, or the pixel is the darker one, as on an outline, the pixel is all drawing.

use crate::pictures::picture::{Channels, Picture};

/// Values from which on a pixel can be ground: palettes blur white.
pub(super) const WHITE: u8 = 244;
/// Squared distance from white below which a colour does not tell how much of it a pixel has.
const MIN_CONTRAST: u32 = 1000;

/// Returns a tile on white as red, green, blue and opacity.
///
/// # Panics
/// Panics if the picture is not RGB.
#[track_caller]
pub fn cut_out(tile: &Picture) -> Picture {
    assert_eq!(tile.mode, Channels::Rgb, "a tile is red, green and blue");
    let pixels = tile.samples.as_chunks::<3>().0;
    let ground = ground(pixels, tile.width, tile.height);
    let around = |at: usize, reach: usize| around(at, reach, tile.width, tile.height);
    let is_edge: Vec<bool> =
        (0..pixels.len()).map(|at| !ground[at] && around(at, 1).any(|beside| ground[beside])).collect();
    let mut cut = Picture::new(tile.width, tile.height, Channels::Rgba);
    for (at, out) in cut.samples.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let [r, g, b] = pixels[at];
        *out = match is_edge[at] {
            _ if ground[at] => [r, g, b, 0],
            false => [r, g, b, 255],
            true => {
                let further_in = around(at, 2).filter(|&beside| !ground[beside] && !is_edge[beside]);
                let inner = further_in.map(|beside| pixels[beside]).max_by_key(|&inner| product(inner, inner));
                let nearest = || around(at, 1).filter(|&beside| !ground[beside]).map(|beside| pixels[beside]);
                let inner = inner.or_else(|| nearest().max_by_key(|&inner| product(inner, inner)));
                unblend(pixels[at], inner.unwrap_or(pixels[at]))
            }
        };
    }
    cut
}

/// Returns ⟨white − a, white − b⟩.
fn product(a: [u8; 3], b: [u8; 3]) -> u32 {
    a.iter().zip(b).map(|(&a, b)| u32::from(255 - a) * u32::from(255 - b)).sum()
}

/// Returns the colour and opacity of a blend of white and the inner colour.
fn unblend(pixel: [u8; 3], inner: [u8; 3]) -> [u8; 4] {
    let (part, whole) = (product(pixel, inner), product(inner, inner));
    let alpha = if whole < MIN_CONTRAST { 255 } else { (255 * part + whole / 2) / whole };
    match (alpha, pixel, inner) {
        (..255, _, [r, g, b]) => [r, g, b, alpha as u8],
        (_, [r, g, b], _) => [r, g, b, 255],
    }
}

/// Marks the white pixels that are connected with the edge of the picture.
fn ground(pixels: &[[u8; 3]], width: usize, height: usize) -> Vec<bool> {
    let mut ground = vec![false; pixels.len()];
    let on_edge = |&at: &usize| at % width == 0 || at % width == width - 1 || at < width || at >= width * (height - 1);
    let mut open: Vec<usize> = (0..pixels.len()).filter(on_edge).collect();
    while let Some(at) = open.pop() {
        if !ground[at] && pixels[at].iter().all(|&value| value >= WHITE) {
            ground[at] = true;
            let (x, y) = (at % width, at / width);
            let beside = [(x > 0, at.wrapping_sub(1)), (x + 1 < width, at + 1)];
            let above = [(y > 0, at.wrapping_sub(width)), (y + 1 < height, at + width)];
            open.extend(beside.into_iter().chain(above).filter_map(|(inside, next)| inside.then_some(next)));
        }
    }
    ground
}

/// Returns the pixels around a pixel, up to `reach` columns and rows away.
fn around(at: usize, reach: usize, width: usize, height: usize) -> impl Iterator<Item = usize> {
    let (x, y) = (at % width, at / width);
    let rows = y.saturating_sub(reach)..(y + reach + 1).min(height);
    rows.flat_map(move |row| {
        (x.saturating_sub(reach)..(x + reach + 1).min(width)).map(move |column| row * width + column)
    })
    .filter(move |&beside| beside != at)
}
