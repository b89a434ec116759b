//! Turns pictures of three planes into pixels of three colours; numbers are only copied.

use crate::isa::{Isa, multiversion};
use crate::parallel::{Rows, RowsMut, for_pieces, rows_per_piece};

/// A pixel has this many colours.
const CHANNELS: usize = 3;

/// pixels\[i, c\] ← planes\[c, i\], picture by picture.
///
/// `planes` (B,3,pixels), `pixels` (B,pixels,3)
#[track_caller]
pub fn channels_last(planes: &[f32], image_len: usize, pixels: &mut [f32]) {
    channels_last_on(Isa::best(), planes, image_len, pixels);
}

/// Computes [`channels_last`] on a given instruction set.
#[track_caller]
pub fn channels_last_on(isa: Isa, planes: &[f32], image_len: usize, pixels: &mut [f32]) {
    assert!(
        image_len > 0
            && image_len.is_multiple_of(CHANNELS)
            && planes.len().is_multiple_of(image_len)
            && planes.len() == pixels.len(),
        "channels last: {} floats in, {} out, {image_len} to a picture",
        planes.len(),
        pixels.len()
    );
    let parts = (Rows(planes, image_len), RowsMut(pixels, image_len));
    for_pieces(planes.len() / image_len, rows_per_piece(image_len), parts, &|(planes, pixels)| {
        for (planes, pixels) in planes.0.chunks_exact(image_len).zip(pixels.0.chunks_exact_mut(image_len)) {
            interleave(isa, planes, pixels);
        }
    });
}

multiversion! {
    /// Interleaves the planes of one picture.
    fn interleave(planes: &[f32], pixels: &mut [f32]) {
        let (red, rest) = planes.split_at(planes.len() / CHANNELS);
        let (green, blue) = rest.split_at(red.len());
        let pixels = pixels.as_chunks_mut::<CHANNELS>().0.iter_mut();
        for (pixel, ((&r, &g), &b)) in pixels.zip(red.iter().zip(green).zip(blue)) {
            *pixel = [r, g, b];
        }
    }
}

/// The definition.
pub mod naive {
    pub fn channels_last(planes: &[f32], image_len: usize, pixels: &mut [f32]) {
        for (i, pixel) in pixels.iter_mut().enumerate() {
            let (picture, place, c) = (i / image_len, i % image_len / 3, i % 3);
            *pixel = planes[picture * image_len + c * image_len / 3 + place];
        }
    }
}
