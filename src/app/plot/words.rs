//! The sheet of captions, word by word, with where the model looks as it writes each.

use super::canvas::{Area, Drawn, FAINT, INK, draw, image, thumbnail};
use super::text::{Anchor, ellipsise, text};
use crate::embed::{Blip, BlipError};
use crate::generate::Options;
use crate::pictures::Picture;
use image::{Rgb, RgbImage};
use ndarray::Array2;
use std::slice::from_ref;

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

impl Words {
    /// Writes a caption for a picture, behind a prompt, and sees where the model looks for each word.
    ///
    /// # Errors
    /// Returns an error if the model writes no captions, or if the options make no sense.
    pub fn written(blip: &Blip, picture: &Picture, prompt: &str, options: &Options) -> Result<Self, BlipError> {
        let [rows, columns] = blip.config().vision.image_size.map(|edge| edge / blip.config().vision.patch_size);
        let seen = blip.look(from_ref(picture));
        let written = blip.caption_seen(&seen, prompt, options, |_| 0)?.remove(0);
        let attention = blip.attention_seen(&seen, &written)?;
        let mut words: Vec<(String, Array2<f32>)> = vec![];
        for (&id, row) in written.ids[1..].iter().zip(attention.rows()) {
            let token = blip.tokenizer().token(id).unwrap_or_default();
            match (token.strip_prefix("##"), words.last_mut()) {
                // A word is looked for when its first piece is written.
                (Some(rest), Some((word, _))) => word.push_str(rest),
                _ => words.push((token, row.to_shape((rows, columns)).expect("one patch each").to_owned())),
            }
        }
        Ok(Words { picture: image(picture), words })
    }
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
