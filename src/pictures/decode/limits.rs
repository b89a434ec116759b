//! Limits on decoded pictures, and the errors of decoders.

use image::error::{DecodingError, LimitError, LimitErrorKind, ParameterError, ParameterErrorKind};
use image::{ImageError, ImageFormat, Limits};
use std::error::Error;

/// Longest side in pixels. It is larger than any photograph's and keeps a forged header from filling the memory.
const MAX_SIDE: u32 = 30_000;
/// Largest number of pixels of a picture: Pillow's limit, twice its `MAX_IMAGE_PIXELS`. A limit on the file's size
/// cannot take its place, since a few kilobytes can hold that many pixels of one colour.
const MAX_PIXELS: u64 = 178_956_970;
/// Largest amount of memory in bytes that decoding one picture may take.
pub(super) const MAX_DECODE_BYTES: u64 = 1 << 30;

/// Checks the size of a picture before memory is reserved for it.
pub(super) fn check(width: u32, height: u32, bytes_per_pixel: usize) -> Result<(), ImageError> {
    let pixels = u64::from(width) * u64::from(height);
    let kind = match pixels {
        0 => return Err(unfit("a picture without pixels")),
        _ if width.max(height) > MAX_SIDE || pixels > MAX_PIXELS => LimitErrorKind::DimensionError,
        _ if pixels.saturating_mul(bytes_per_pixel as u64) > MAX_DECODE_BYTES => LimitErrorKind::InsufficientMemory,
        _ => return Ok(()),
    };
    Err(ImageError::Limits(LimitError::from_kind(kind)))
}

/// Returns the limits for a decoder that enforces them itself.
pub(super) fn limits() -> Limits {
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    limits.max_alloc = Some(MAX_DECODE_BYTES);
    limits
}

/// Makes the error of a file that cannot be used for this reason.
pub(super) fn unfit(reason: impl Into<String>) -> ImageError {
    ImageError::Parameter(ParameterError::from_kind(ParameterErrorKind::Generic(reason.into())))
}

/// Wraps the error of a format's decoder.
pub(super) fn broken<E: Error + Send + Sync + 'static>(format: ImageFormat) -> impl Fn(E) -> ImageError {
    move |error| ImageError::Decoding(DecodingError::new(format.into(), error))
}
