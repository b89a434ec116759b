//! PNG: the mode is that of the header. A colour that the file calls transparent changes nothing but opacity.

use super::limits::{MAX_DECODE_BYTES, broken, check, unfit};
use super::palette::{Palette, high_bytes, keyed, unpack};
use crate::pictures::picture::{Channels, Picture};
use image::metadata::Orientation;
use image::{ImageError, ImageFormat};
use png::{BitDepth, ColorType, Decoder, Info, Limits};
use std::io::Cursor;

pub(super) fn read(bytes: &[u8]) -> Result<Picture, ImageError> {
    let limits = Limits { bytes: MAX_DECODE_BYTES as usize };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_ignore_text_chunk(true);
    let broken = broken(ImageFormat::Png);
    let header = decoder.read_header_info().map_err(&broken)?;
    // The largest mode has four bytes per pixel, and the decoder's own samples come on top.
    check(header.width, header.height, 4 + header.bytes_per_pixel())?;
    let mut reader = decoder.read_info().map_err(&broken)?;
    let size = reader.output_buffer_size().ok_or_else(|| unfit("a picture larger than the memory"))?;
    let mut samples = vec![0; size];
    reader.next_frame(&mut samples).map_err(&broken)?;
    let info = reader.info();
    let exif = info.exif_metadata.as_deref().and_then(Orientation::from_exif_chunk);
    Ok(Picture { orientation: exif.unwrap_or(Orientation::NoTransforms), ..picture(info, samples)? })
}

fn picture(info: &Info, samples: Vec<u8>) -> Result<Picture, ImageError> {
    let (width, height) = (info.width as usize, info.height as usize);
    let of = |mode, samples| Ok(Picture { width, height, mode, samples, ..Picture::default() });
    let bits = info.bit_depth as usize;
    match (info.color_type, info.bit_depth) {
        (ColorType::Grayscale, BitDepth::One) => {
            let mut palette = Palette::new([[0; 3], [255; 3]]);
            key::<1>(info).iter().for_each(|key| palette.make_transparent(u8::from(*key != [0])));
            Ok(palette.picture(width, height, &unpack(&samples, width, 1)))
        }
        (ColorType::Grayscale, BitDepth::Sixteen) => {
            of(Channels::Grey16, samples.as_chunks().0.iter().flat_map(|&[high, low]| [low, high]).collect())
        }
        (ColorType::Grayscale, _) => {
            let scale = 255 / ((1 << bits) - 1) as u8;
            let grey: Vec<u8> = unpack(&samples, width, bits).into_iter().map(|sample| sample * scale).collect();
            match key::<1>(info) {
                Some(key) => of(Channels::GreyKeyed, keyed(&grey, key)),
                None => of(Channels::Grey, grey),
            }
        }
        (ColorType::Rgb, depth) => {
            let rgb = if depth == BitDepth::Sixteen { high_bytes(&samples) } else { samples };
            match key::<3>(info) {
                Some(key) => of(Channels::RgbKeyed, keyed(&rgb, key)),
                None => of(Channels::Rgb, rgb),
            }
        }
        (ColorType::Indexed, _) => {
            let colours = info.palette.as_deref().ok_or_else(|| unfit("a picture without its palette"))?;
            let mut palette = Palette::of_bytes(colours);
            palette.set_opacity(info.trns.iter().flat_map(|opacity| opacity.iter().copied()));
            Ok(palette.picture(width, height, &unpack(&samples, width, bits)))
        }
        // Pillow has no mode with two samples of 16 bits.
        (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => {
            let pixels = high_bytes(&samples);
            of(
                Channels::Rgba,
                pixels.as_chunks().0.iter().flat_map(|&[grey, alpha]| [grey, grey, grey, alpha]).collect(),
            )
        }
        (ColorType::GrayscaleAlpha, _) => of(Channels::GreyAlpha, samples),
        (ColorType::Rgba, BitDepth::Sixteen) => of(Channels::Rgba, high_bytes(&samples)),
        (ColorType::Rgba, _) => of(Channels::Rgba, samples),
    }
}

/// Returns the transparent colour of a picture without opacity. Pillow compares the low byte of the file's numbers with
/// the sample of 8 bits, whatever the depth.
fn key<const C: usize>(info: &Info) -> Option<[u8; C]> {
    let bytes = info.trns.as_deref()?;
    // The decoder has dropped the high bytes where samples have at most 8 bits.
    let width = if info.bit_depth == BitDepth::Sixteen { 2 } else { 1 };
    let low: Vec<u8> = bytes.chunks_exact(width).map(|number| number[width - 1]).collect();
    low.first_chunk().copied()
}
