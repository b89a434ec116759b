//! The sheet of captions, word by word, with where the model looks as it writes each.

use super::canvas::{Area, Drawn, FAINT, INK, draw, thumbnail};
use super::text::{Anchor, ellipsise, text};
use image::{Rgb, RgbImage};
use ndarray::Array2;

/// Number of words in a row. The lengths below are in points.
const COLUMNS: usize = 12;
const PICTURE: f64 = 76.0;
const GAP: f64 = 10.0;
const LINE: f64 = 20.0;
const MARGIN: f64 = 22.0;
const HEAD: f64 = 58.0;
const TEXT: f64 = 12.0;
/// The brightness of what the model does not look at.
const DARKEST: f32 = 0.12;

/// A picture, with each word that is written about it.
pub struct Words {
    pub picture: RgbImage,
    /// Each word with how much the model looks at each patch of the picture.
    pub words: Vec<(String, Array2<f32>)>,
}

/// Draws each picture and its caption, word by word. Every word has a copy of the picture, as bright at each patch as
/// the model looks there; its brightest patch is that of the picture.
pub fn words(pictures: &[Words]) -> RgbImage {
    let (tile, row) = (PICTURE + GAP, PICTURE + LINE + GAP);
    let rows = |words: &Words| (words.words.len() + 1).div_ceil(COLUMNS);
    let width = 2.0 * MARGIN + COLUMNS as f64 * tile - GAP;
    let height = pictures.iter().map(rows).sum::<usize>() as f64 * row;
    draw((width, HEAD + height + MARGIN), |area| {
        text(area, "Where the model looks as it writes each word", (MARGIN, 24.0), Anchor::Left, 17.0, &INK)?;
        let mut top = HEAD;
        for picture in pictures {
            let place = |i: usize| (MARGIN + (i % COLUMNS) as f64 * tile, top + (i / COLUMNS) as f64 * row);
            named(area, place(0), &picture.picture, "the picture", true)?;
            for (i, (word, attention)) in picture.words.iter().enumerate() {
                named(area, place(i + 1), &lit(&picture.picture, attention), word, false)?;
            }
            top += rows(picture) as f64 * row;
        }
        Ok(())
    })
}

fn named(area: &Area, (x, y): (f64, f64), picture: &RgbImage, name: &str, faint: bool) -> Drawn {
    thumbnail(area, picture, (x, y), PICTURE)?;
    let (name, colour) = (ellipsise(name, TEXT, PICTURE), if faint { FAINT } else { INK });
    text(area, &name, (x, y + PICTURE + LINE * 0.55), Anchor::Left, TEXT, &colour)
}

/// Returns the picture with each patch as bright as the model looks there.
fn lit(picture: &RgbImage, attention: &Array2<f32>) -> RgbImage {
    let (rows, columns) = attention.dim();
    let highest = attention.fold(f32::MIN_POSITIVE, |a, &b| a.max(b));
    let (width, height) = picture.dimensions();
    RgbImage::from_fn(width, height, |x, y| {
        let patch = [y as usize * rows / height as usize, x as usize * columns / width as usize];
        let light = DARKEST + (1.0 - DARKEST) * attention[patch] / highest;
        Rgb(picture.get_pixel(x, y).0.map(|value| (f32::from(value) * light) as u8))
    })
}
