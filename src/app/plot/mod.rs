//! Plots and sheets of pictures. Every function draws into memory; [`save`] writes the PNG file. `svg` draws the curves of
//! a run once more, for a page.

pub mod answers;
pub(crate) mod canvas;
mod chart;
pub mod contact;
pub mod curves;
pub(crate) mod heat;
mod marks;
pub mod matrix;
pub mod sheet;
pub(crate) mod svg;
mod text;
pub mod told;
pub mod words;

pub use chart::Figure;

use crate::files::write_atomic;
use image::{ExtendedColorType, ImageEncoder, RgbImage, codecs::png::PngEncoder};
use std::io::{self, Write};
use std::path::Path;

/// Writes a picture as PNG, whole or not at all.
///
/// # Errors
/// Returns an error, without the name of the file, if it cannot be written.
pub fn save(path: impl AsRef<Path>, picture: &RgbImage) -> io::Result<()> {
    write_atomic(path, |out| write_png(out, picture))
}

/// Writes a picture as PNG.
pub(crate) fn write_png(out: impl Write, picture: &RgbImage) -> io::Result<()> {
    let (width, height) = picture.dimensions();
    PngEncoder::new(out).write_image(picture, width, height, ExtendedColorType::Rgb8).map_err(io::Error::other)
}
