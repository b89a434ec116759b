//! Decoding of picture files to 8-bit samples, in the mode in which Pillow would open them.
//!
//! The result is that of `Image.open` in the reference pipelines: it is the first frame of an animation, EXIF
//! orientation is *not* applied and colour profiles are ignored. 16-bit colour keeps its high byte; 16-bit grey is
//! clipped at 255, as Pillow's conversion to RGB does. JPEG and lossy WebP are decoded by other libraries than Pillow's
//! and may differ by a few units of 255.

use crate::pictures::error::PictureError;
use crate::pictures::picture::{Channels, Picture};
use image::error::{LimitError, LimitErrorKind, ParameterError, ParameterErrorKind};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Longest side in pixels. It is larger than any photograph's and keeps a forged header from filling the memory.
const MAX_SIDE: u32 = 30_000;
/// Most pixels of a picture: Pillow's limit, twice its `MAX_IMAGE_PIXELS`. A limit on the file's size cannot take its
/// place, since a few kilobytes can hold that many pixels of one colour.
const MAX_PIXELS: u64 = 178_956_970;
/// Most memory that decoding one picture may take, in bytes.
const MAX_DECODE_BYTES: u64 = 1 << 30;
/// Largest picture file in bytes. Only a malicious file is larger than its decoded pixels may be.
pub(crate) const MAX_FILE_BYTES: u64 = 1 << 30;

/// Reads a PNG, JPEG, WebP, GIF, BMP or TIFF file. Its bytes decide which it is, not its name.
///
/// # Errors
/// Returns a [`PictureError`] that names the file.
pub fn open(path: &Path) -> Result<Picture, PictureError> {
    let bytes = read(path).map_err(PictureError::io(path))?;
    decode(&bytes).map_err(|source| PictureError::Format { path: path.to_owned(), source })
}

/// Reads the bytes of a picture file. It refuses devices and pipes, which may never end or never begin.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    let unfit = |reason| Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    match metadata.len() {
        _ if !metadata.is_file() => unfit("not a file"),
        size if size > MAX_FILE_BYTES => unfit("larger than 1 GiB"),
        size => {
            let mut bytes = Vec::with_capacity(size as usize);
            File::open(path)?.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        }
    }
}

/// Decodes the bytes of a picture file. The result has at least one pixel.
///
/// # Errors
/// Returns the decoder's error, or one of its own if a side is longer than 30,000 pixels, the picture has more than
/// Pillow's limit of 179 million, or decoding takes more than 1 GiB.
pub fn decode(bytes: &[u8]) -> Result<Picture, ImageError> {
    // Decoders have been known to panic on broken files.
    catch_unwind(AssertUnwindSafe(|| decode_within_limits(bytes))).unwrap_or_else(|_| Err(unfit("its decoder gave up")))
}

fn decode_within_limits(bytes: &[u8]) -> Result<Picture, ImageError> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    limits.max_alloc = Some(MAX_DECODE_BYTES);
    reader.limits(limits.clone());
    let has_palette = has_palette(bytes, reader.format());
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    match u64::from(width) * u64::from(height) {
        0 => return Err(unfit("a picture without pixels")),
        1..=MAX_PIXELS => limits.reserve(decoder.total_bytes())?,
        _ => return Err(ImageError::Limits(LimitError::from_kind(LimitErrorKind::DimensionError))),
    }
    decoder.set_limits(limits)?;
    let picture = from_image(DynamicImage::from_decoder(decoder)?);
    Ok(match picture.mode {
        _ if !has_palette => picture,
        Channels::Rgba => Picture { mode: Channels::PaletteAlpha, ..picture },
        _ => Picture { mode: Channels::Palette, ..picture.into_rgb() },
    })
}

fn unfit(reason: &str) -> ImageError {
    ImageError::Parameter(ParameterError::from_kind(ParameterErrorKind::Generic(reason.into())))
}

/// Returns whether Pillow would open the file in mode "P" or "1". Palettes of BMP and TIFF are rare and not detected.
fn has_palette(bytes: &[u8], format: Option<ImageFormat>) -> bool {
    // A PNG begins with an 8-byte signature and the header chunk; bytes 24 and 25 are its bit depth and colour type.
    let png = (bytes.get(24), bytes.get(25));
    match format {
        Some(ImageFormat::Gif) => true,
        Some(ImageFormat::Png) => matches!(png, (_, Some(3)) | (Some(1), Some(0))),
        _ => false,
    }
}

fn from_image(image: DynamicImage) -> Picture {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let (mode, samples) = match image {
        DynamicImage::ImageLuma8(grey) => (Channels::Grey, grey.into_raw()),
        DynamicImage::ImageLumaA8(grey) => (Channels::GreyAlpha, grey.into_raw()),
        DynamicImage::ImageRgb8(rgb) => (Channels::Rgb, rgb.into_raw()),
        DynamicImage::ImageRgba8(rgba) => (Channels::Rgba, rgba.into_raw()),
        DynamicImage::ImageLuma16(grey) => (Channels::Grey, grey.iter().map(|&v| v.min(255) as u8).collect()),
        DynamicImage::ImageLumaA16(grey) => (Channels::GreyAlpha, high_bytes(&grey)),
        DynamicImage::ImageRgb16(rgb) => (Channels::Rgb, high_bytes(&rgb)),
        DynamicImage::ImageRgba16(rgba) => (Channels::Rgba, high_bytes(&rgba)),
        other => (Channels::Rgb, other.into_rgb8().into_raw()),
    };
    Picture { width, height, mode, samples }
}

fn high_bytes(samples: &[u16]) -> Vec<u8> {
    samples.iter().map(|sample| (sample >> 8) as u8).collect()
}
