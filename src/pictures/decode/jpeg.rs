//! JPEG: grey, red-green-blue or ink. A file that is cut off is not read.

use super::limits::{broken, check, unfit};
use crate::pictures::picture::{Channels, Picture, ycbcr_to_rgb};
use image::metadata::Orientation;
use image::{ImageError, ImageFormat};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

pub(super) fn read(bytes: &[u8]) -> Result<Picture, ImageError> {
    if !is_whole(bytes) {
        return Err(unfit("the file is truncated: it has no end-of-image marker"));
    }
    let broken = broken(ImageFormat::Jpeg);
    let options = DecoderOptions::default().set_strict_mode(false);
    let mut decoder = JpegDecoder::new_with_options(
        ZCursor::new(bytes),
        options.set_max_width(usize::MAX).set_max_height(usize::MAX),
    );
    decoder.decode_headers().map_err(&broken)?;
    let (width, height) = decoder.dimensions().ok_or_else(|| unfit("a picture without a size"))?;
    check(width as u32, height as u32, 4)?;
    let space = decoder.input_colorspace().ok_or_else(|| unfit("a picture without colours"))?;
    let (mode, out) = match space {
        ColorSpace::Luma => (Channels::Grey, space),
        ColorSpace::RGB | ColorSpace::YCbCr => (Channels::Rgb, ColorSpace::RGB),
        ColorSpace::CMYK | ColorSpace::YCCK => (Channels::Cmyk, space),
        other => return Err(unfit(format!("colours of the kind {other:?}"))),
    };
    decoder.set_options(decoder.options().jpeg_set_out_colorspace(out));
    let mut samples = decoder.decode().map_err(&broken)?;
    if mode == Channels::Cmyk {
        let is_ycck = space == ColorSpace::YCCK;
        samples.as_chunks_mut().0.iter_mut().for_each(|pixel| *pixel = ink(*pixel, is_ycck));
    }
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    Ok(Picture { width, height, mode, samples, orientation })
}

/// Returns whether the file reaches its end-of-image marker. Like Pillow, this requires the marker even if all rows are
/// there, and accepts any file that has it, however few rows come before it.
fn is_whole(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let Some(start) = rest.iter().position(|&byte| byte == 0xff) {
        rest = &rest[start..];
        let Some(fill) = rest.iter().position(|&byte| byte != 0xff) else { return false };
        let marker = rest[fill];
        rest = &rest[fill + 1..];
        match marker {
            // The end of the image.
            0xd9 => return true,
            // A byte 0xff among the compressed samples, and markers without a segment.
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            _ => {
                let length = rest.first_chunk().map_or(usize::MAX, |&length| u16::from_be_bytes(length).into());
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    }
    false
}

/// Returns the amounts of ink of a stored pixel. Files hold the amounts of light that the ink reflects, as Adobe's do,
/// either directly or as luminance and colour differences.
fn ink([c, m, y, k]: [u8; 4], is_ycck: bool) -> [u8; 4] {
    let [c, m, y] = if is_ycck { ycbcr_to_rgb([c, m, y]) } else { [255 - c, 255 - m, 255 - y] };
    [c, m, y, 255 - k]
}
