//! BMP: black and white, grey, a palette or colours, as the header says.

use super::generic;
use super::limits::unfit;
use crate::pictures::picture::{Channels, Picture};
use image::{ImageError, codecs::bmp::BmpDecoder};
use std::io::Cursor;

/// Number of bytes before the header of the bitmap.
const FILE_HEADER: usize = 14;
/// All sizes that a header of the bitmap can have.
const HEADERS: [u32; 7] = [12, 40, 52, 56, 64, 108, 124];

/// Returns whether bytes begin like a BMP file.
pub(super) fn is_bmp(bytes: &[u8]) -> bool {
    bytes.starts_with(b"BM") && number::<4>(bytes, FILE_HEADER).is_some_and(|size| HEADERS.contains(&size))
}

pub(super) fn read(bytes: &[u8]) -> Result<Picture, ImageError> {
    let header = Header::parse(bytes).ok_or_else(|| unfit("a BMP file with an unknown header"))?;
    let picture = generic::read(BmpDecoder::new(Cursor::new(bytes))?)?;
    Ok(match header.bits {
        1..=8 if header.is_grey && header.colours == 2 => Picture { mode: Channels::Palette, ..picture.into_rgb() },
        1..=8 if header.is_grey => {
            let picture = picture.into_rgb();
            let grey = picture.samples.iter().step_by(3).copied().collect();
            Picture { mode: Channels::Grey, samples: grey, ..picture }
        }
        1..=8 => Picture { mode: Channels::Palette, ..picture.into_rgb() },
        16 => header.rounded_down(picture.into_rgb()),
        _ => picture,
    })
}

struct Header {
    bits: u32,
    /// Number of colours in the palette.
    colours: usize,
    /// Whether the palette is black and white, or maps every value to its own shade of grey.
    is_grey: bool,
    /// The largest values of red, green and blue in a pixel of 16 bits.
    most: [u32; 3],
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let size = number::<4>(bytes, FILE_HEADER)?;
        let (bits, padding) = if size == 12 { (number::<2>(bytes, 24)?, 3) } else { (number::<2>(bytes, 28)?, 4) };
        let named = if size == 12 { 0 } else { number::<4>(bytes, 46)? };
        let colours = if named == 0 { 1usize.checked_shl(bits)? } else { named as usize };
        let bit_fields = size != 12 && number::<4>(bytes, 30)? == 3;
        let greens = if bit_fields { number::<4>(bytes, 58)?.count_ones() } else { 5 };
        let most = [31, (1u32 << greens.min(8)) - 1, 31];
        let start = FILE_HEADER + size as usize;
        let palette = if bits <= 8 { bytes.get(start..start.checked_add(padding * colours)?) } else { None };
        let is_grey = palette.is_some_and(|palette| {
            let grey = |i: usize| if colours == 2 { 255 * i } else { i };
            let is_grey = |(i, colour): (usize, &[u8])| colour[..3].iter().all(|&v| grey(i) == usize::from(v));
            palette.chunks_exact(padding).enumerate().all(is_grey)
        });
        Some(Self { bits, colours, is_grey, most })
    }

    /// Changes the samples of pixels of 16 bits from the decoder's rounding to Pillow's: Pillow widens a sample v to
    /// ⌊255 v / most⌋, the decoder to the nearest value.
    fn rounded_down(&self, mut picture: Picture) -> Picture {
        for pixel in picture.samples.as_chunks_mut::<3>().0 {
            for (sample, most) in pixel.iter_mut().zip(self.most) {
                let value = (u32::from(*sample) * most + 127) / 255;
                *sample = (value * 255 / most) as u8;
            }
        }
        picture
    }
}

/// Returns the little-endian number in the N bytes at a position.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk::<N>()?;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte)))
}
