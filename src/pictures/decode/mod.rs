//! Decoding of picture files to 8-bit samples, in the mode in which Pillow opens them.
//!
//! The result is that of `Image.open` in the reference pipelines. Of an animation it is the first frame, and colour
//! profiles are ignored. Only lossy WebP, and JPEG within TIFF, are decoded by libraries that may differ from Pillow's by
//! a few units of 255.
//!
//! The EXIF orientation is read but not applied, as in the reference: [`Picture::upright`] applies it. TIFF files are
//! the exception, since Pillow turns them when it reads them.
//!
//! A file that is cut off is an error. So is a JPEG without an end-of-image marker, even if all its rows are there:
//! Pillow refuses it too.
//!
//! Of a JPEG, a part alone can be decoded, and at an eighth, a quarter or half of its size ([`View`](super::View)). All other
//! formats are decoded whole.
//!
//! | file | what it knows |
//! |---|---|
//! | `png`, `gif`, `bmp`, `tiff` | the modes of a format |
//! | `jpeg` | a format, from its bits to its pixels |
//! | `generic` | what the crate `image` decodes |
//! | `boxes` | which files are HEIC and AVIF, which are refused |
//! | `palette` | samples of few bits, palettes, transparent colours |
//! | `limits` | how large a picture may be |

mod bmp;
mod boxes;
mod generic;
mod gif;
mod jpeg;
mod limits;
mod palette;
mod png;
mod tiff;

use crate::files;
use crate::pictures::error::PictureError;
use crate::pictures::picture::Picture;
use crate::pictures::region::{Ask, Part};
use image::codecs::webp::WebPDecoder;
use image::error::{ImageFormatHint, UnsupportedError};
use image::metadata::Orientation;
use image::{ImageError, ImageFormat};
use std::fs;
use std::io::{self, Cursor};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Largest size of a picture file in bytes. Decoded pixels may not take more than this either, so only a malicious file
/// is larger.
pub(crate) const MAX_FILE_BYTES: u64 = 1 << 30;
/// Number of bytes at the start of a file that tell its format.
pub(crate) const HEAD_BYTES: usize = 32;

/// Reads a PNG, JPEG, WebP, GIF, BMP or TIFF file. The format is recognised by the file's bytes, not by its name.
///
/// # Errors
/// Returns a [`PictureError`] that names the file.
pub fn open(path: &Path) -> Result<Picture, PictureError> {
    open_part(path, &whole)
}

/// Reads at least the part of a picture file that is asked for. The samples of that part are those that [`open`] has
/// there, unless it is shrunk.
///
/// # Errors
/// Returns an error under the same conditions as [`open`].
pub(super) fn open_part(path: &Path, ask: &Ask) -> Result<Picture, PictureError> {
    let bytes = read(path).map_err(PictureError::io(path))?;
    decode_part(&bytes, ask).map_err(|source| PictureError::Format { path: path.to_owned(), source })
}

/// Asks for the whole picture.
fn whole(size: (usize, usize), _: Orientation) -> Part {
    Part::whole(size)
}

/// Returns the format that a file's first [`HEAD_BYTES`] bytes show, if it is one that can be read.
pub(crate) fn format(head: &[u8]) -> Option<ImageFormat> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    let format = guess(head).ok()?;
    // A BMP file's mark is only two letters, so more of its header is checked.
    (matches!(format, Png | Jpeg | WebP | Gif | Tiff) || format == Bmp && bmp::is_bmp(head)).then_some(format)
}

fn guess(head: &[u8]) -> Result<ImageFormat, ImageError> {
    let is_big_tiff = head.starts_with(b"II+\0") || head.starts_with(b"MM\0+");
    if is_big_tiff { Ok(ImageFormat::Tiff) } else { image::guess_format(head) }
}

/// Reads the bytes of a picture file. Devices and pipes are an error, since reading them may never end.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe could wait for ever.
    if fs::metadata(path)?.is_file() {
        files::read_at_most(path, MAX_FILE_BYTES)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "not a file"))
    }
}

/// Decodes the bytes of a picture file. The result has at least one pixel.
///
/// # Errors
/// Returns the decoder's error, or an error if a side is longer than 30,000 pixels, the picture has more pixels than
/// Pillow's limit of 179 million, or decoding takes more than 1 GiB.
pub fn decode(bytes: &[u8]) -> Result<Picture, ImageError> {
    decode_part(bytes, &whole)
}

/// Decodes at least the part of a picture that is asked for, as [`open_part`] does.
///
/// # Errors
/// Returns an error under the same conditions as [`decode`].
pub(super) fn decode_part(bytes: &[u8], ask: &Ask) -> Result<Picture, ImageError> {
    // Decoders can panic on broken files.
    catch_unwind(AssertUnwindSafe(|| decode_within_limits(bytes, ask)))
        .unwrap_or_else(|_| Err(limits::unfit("its decoder gave up")))
}

fn decode_within_limits(bytes: &[u8], ask: &Ask) -> Result<Picture, ImageError> {
    if let Some(name) = boxes::name(bytes) {
        let how = "convert it to JPEG or PNG first, for example with heif-convert or magick";
        return Err(limits::unfit(format!("{name} is not decoded here; {how}")));
    }
    match guess(bytes)? {
        ImageFormat::Png => png::read(bytes),
        ImageFormat::Jpeg => jpeg::read(bytes, ask),
        ImageFormat::Gif => gif::read(bytes),
        ImageFormat::Bmp => bmp::read(bytes),
        ImageFormat::Tiff => tiff::read(bytes),
        ImageFormat::WebP => generic::read(WebPDecoder::new(Cursor::new(bytes))?),
        other => Err(ImageError::Unsupported(UnsupportedError::from(ImageFormatHint::Exact(other)))),
    }
}
