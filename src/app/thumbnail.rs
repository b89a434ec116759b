//! Small versions of picture files, for sheets, pages and the server.

use crate::pictures::decode;
use image::{RgbImage, imageops};
use std::path::Path;

/// Longer side in pixels of small pictures, unless somebody asks for another.
pub(crate) const THUMBNAIL: u32 = 320;

/// Returns a version of a picture whose longer side has at most so many pixels, upright, or `None` if it cannot be read.
pub(crate) fn thumbnail(path: &Path, side: u32) -> Option<RgbImage> {
    let picture = decode::open(path).ok()?.upright().into_rgb();
    let (width, height) = (picture.width as u32, picture.height as u32);
    let image = RgbImage::from_raw(width, height, picture.samples)?;
    let longer = width.max(height);
    let fit = |part: u32| (u64::from(part) * u64::from(side) / u64::from(longer)).max(1) as u32;
    Some(if longer > side { imageops::thumbnail(&image, fit(width), fit(height)) } else { image })
}
