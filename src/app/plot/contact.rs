//! The contact sheet of a search: the pictures found, best first.

use super::canvas::{FAINT, INK, RULE, draw, fill, thumbnail};
use super::text::{Anchor, decimals, ellipsise, text};
use image::RgbImage;

/// Number of tiles in a row. The lengths below are in points.
const COLUMNS: usize = 5;
const PICTURE: f64 = 128.0;
const GAP: f64 = 18.0;
const LINE: f64 = 18.0;
const MARGIN: f64 = 22.0;
const HEAD: f64 = 50.0;
const TEXT: f64 = 12.0;

/// A picture that was found.
#[derive(Clone, Debug)]
pub struct Tile {
    /// The picture, or `None` if it can no longer be read, in which case its place stays empty.
    pub picture: Option<RgbImage>,
    /// The cosine, written with two decimals.
    pub score: f32,
    pub name: String,
}

/// Draws the sheet, with five tiles in a row. Each has its rank, its score and its name.
pub(crate) fn contact(title: &str, tiles: &[Tile]) -> RgbImage {
    let rows = tiles.len().div_ceil(COLUMNS).max(1);
    let width = 2.0 * MARGIN + COLUMNS as f64 * (PICTURE + GAP) - GAP;
    let height = PICTURE + 2.0 * LINE;
    draw((width, HEAD + rows as f64 * (height + GAP) - GAP + MARGIN), |area| {
        let title = ellipsise(title, 17.0, width - 2.0 * MARGIN);
        text(area, &title, (MARGIN, 24.0), Anchor::Left, 17.0, &INK)?;
        for (i, Tile { picture, score, name }) in tiles.iter().enumerate() {
            let x = MARGIN + (i % COLUMNS) as f64 * (PICTURE + GAP);
            let y = HEAD + (i / COLUMNS) as f64 * (height + GAP);
            match picture {
                Some(picture) => thumbnail(area, picture, (x, y), PICTURE)?,
                None => fill(area, [(x, y), (x + PICTURE, y + PICTURE)], RULE)?,
            }
            let first = y + PICTURE + LINE * 0.6;
            text(area, &(i + 1).to_string(), (x, first), Anchor::Left, TEXT, &INK)?;
            text(area, &decimals(*score), (x + PICTURE, first), Anchor::Right, TEXT, &FAINT)?;
            let name = ellipsise(name, TEXT, PICTURE);
            text(area, &name, (x, first + LINE), Anchor::Left, TEXT, &FAINT)?;
        }
        Ok(())
    })
}
