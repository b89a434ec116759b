//! Picture files to 8-bit samples, in the mode in which Pillow would open them.
//!
//! As `Image.open` in the reference pipelines: the first frame of an animation, EXIF orientation *not* applied, colour
//! profiles ignored. 16-bit colour keeps its high byte; 16-bit grey is clipped at 255, as Pillow's conversion to RGB
//! does. JPEG and lossy WebP are decoded by other libraries than Pillow's and may differ by a few units of 255.

use crate::pictures::error::PictureError;
use crate::pictures::picture::{Channels, Picture};
use image::error::{LimitError, LimitErrorKind, ParameterError, ParameterErrorKind};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Longest side in pixels: larger than any photograph, and small enough that a forged header cannot fill the memory.
const LONGEST_SIDE: u32 = 30_000;
/// Pixels of the largest picture that Pillow opens: twice its `MAX_IMAGE_PIXELS`. A file of a few kilobytes can hold that
/// many of one colour.
const PIXELS: u64 = 178_956_970;
/// Most memory that decoding one picture may take, in bytes.
const MEMORY: u64 = 1 << 30;
/// Bytes of the largest picture file. None is larger than its pixels but by malice.
pub(crate) const FILE: u64 = 1 << 30;

/// Reads PNG, JPEG, WebP, GIF, BMP or TIFF; the bytes decide, not the name.
///
/// # Errors
/// [`PictureError`], with the file's name.
pub fn open(path: &Path) -> Result<Picture, PictureError> {
    let bytes = read(path).map_err(PictureError::io(path))?;
    decode(&bytes).map_err(|source| PictureError::Format { path: path.to_owned(), source })
}

/// The bytes of a picture file. What is called so may also be a device or a pipe, which has no end or never begins.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    let unfit = |reason| Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    match metadata.len() {
        _ if !metadata.is_file() => unfit("not a file"),
        size if size > FILE => unfit("larger than 1 GiB"),
        size => {
            let mut bytes = Vec::with_capacity(size as usize);
            File::open(path)?.take(FILE).read_to_end(&mut bytes)?;
            Ok(bytes)
        }
    }
}

/// A picture from the bytes of its file. It has at least one pixel.
///
/// # Errors
/// What the format's decoder says; also if the picture is larger than 30,000 pixels a side, than Pillow's limit of 179
/// million in all, or than 1 GiB.
pub fn decode(bytes: &[u8]) -> Result<Picture, ImageError> {
    // Decoders have been known to panic on broken files.
    catch_unwind(AssertUnwindSafe(|| decode_within_limits(bytes))).unwrap_or_else(|_| Err(unfit("its decoder gave up")))
}

fn decode_within_limits(bytes: &[u8]) -> Result<Picture, ImageError> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(LONGEST_SIDE), Some(LONGEST_SIDE));
    limits.max_alloc = Some(MEMORY);
    reader.limits(limits.clone());
    let has_palette = has_palette(bytes, reader.format());
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    match u64::from(width) * u64::from(height) {
        0 => return Err(unfit("a picture without pixels")),
        1..=PIXELS => limits.reserve(decoder.total_bytes())?,
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

/// Whether Pillow would open the file in mode "P" or "1". Palettes of BMP and TIFF are rare and go unnoticed.
fn has_palette(bytes: &[u8], format: Option<ImageFormat>) -> bool {
    // A PNG begins with 8 bytes of signature and the header chunk, whose bit depth and colour type these are.
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
