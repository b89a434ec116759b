//! The formats that the crate `image` decodes to red, green, blue and opacity: WebP, and the pixels of BMP.

use super::limits::{check, limits};
use crate::pictures::picture::{Channels, Picture};
use image::{DynamicImage, ImageDecoder, ImageError};

pub(super) fn read(mut decoder: impl ImageDecoder) -> Result<Picture, ImageError> {
    let (width, height) = decoder.dimensions();
    check(width, height, 4)?;
    decoder.set_limits(limits())?;
    let orientation = decoder.orientation()?;
    let (mode, samples) = match DynamicImage::from_decoder(decoder)? {
        DynamicImage::ImageRgba8(rgba) => (Channels::Rgba, rgba.into_raw()),
        other => (Channels::Rgb, other.into_rgb8().into_raw()),
    };
    Ok(Picture { width: width as usize, height: height as usize, mode, samples, orientation, cut: None })
}
