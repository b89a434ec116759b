//! What is looked at of a picture. A reader that knows it need not decode the rest.
//!
//! Of a photo of 3 × 2, the centred square that a tower reads leaves out a third, and of a panorama nearly all. The
//! values of the square are the same to the last bit whether the rest was decoded or not.

use super::decode::{decode_part, open_part, read};
use super::error::PictureError;
use super::picture::Picture;
use super::preprocess::Preprocess;
use super::region::{Part, Region, turned};
use crate::digest::{Digest, digest};
use image::ImageError;
use image::metadata::Orientation;
use std::path::Path;

/// How picture files are read. The default is what the reference pipelines do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Whether the turn that a picture's EXIF data asks for is made.
    pub exif: bool,
    /// Whether a JPEG that is far larger than the tower's square is decoded at half, a quarter or an eighth of its size.
    ///
    /// Its sides are divided by the largest of 8, 4 and 2 that leaves it at least twice as large as it becomes when it is
    /// resized. Each pixel is then the mean of a square of pixels, so that the resize sees no less of the picture than
    /// it keeps; but the values of the tower's square are not those of the reference any more.
    pub fast_decode: bool,
}

/// What is looked at of a picture. The default is all of it, as it is stored.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The preparation after which nobody looks at anything else.
    pub preprocess: Option<Preprocess>,
    pub reading: Reading,
}

impl View {
    /// Returns the view of pictures that are prepared in this way, as they are stored.
    pub fn of(preprocess: &Preprocess) -> Self {
        Self { preprocess: Some(preprocess.clone()), reading: Reading::default() }
    }

    /// Reads a picture file as [`decode::open`](super::decode::open) does. What is not looked at may be missing.
    ///
    /// # Errors
    /// Returns a [`PictureError`] that names the file.
    pub fn open(&self, path: &Path) -> Result<Picture, PictureError> {
        open_part(path, &|size, orientation| self.part(size, orientation))
    }

    /// Reads a picture file as [`open`](Self::open) does, and returns the digest of its bytes as well.
    ///
    /// # Errors
    /// Returns an error under the same conditions as that.
    pub fn open_hashed(&self, path: &Path) -> Result<(Picture, Digest), PictureError> {
        let bytes = read(path).map_err(PictureError::io(path))?;
        let picture = self.decode(&bytes).map_err(|source| PictureError::Format { path: path.into(), source })?;
        Ok((picture, digest([&bytes])))
    }

    /// Decodes the bytes of a picture file as [`decode::decode`](super::decode::decode) does. What is not looked at may
    /// be missing.
    ///
    /// # Errors
    /// Returns an error under the same conditions as that.
    pub fn decode(&self, bytes: &[u8]) -> Result<Picture, ImageError> {
        decode_part(bytes, &|size, orientation| self.part(size, orientation))
    }

    /// Returns a digest of a picture's size and of what is looked at of it. Whether the rest was decoded makes no
    /// difference.
    pub fn digest(&self, picture: &Picture) -> Digest {
        let (size, (x, y), channels) = (picture.size(), picture.corner(), picture.mode.channels());
        let shape = [size.0 as u64, size.1 as u64, picture.mode as u64].map(u64::to_le_bytes);
        let region = self.region(size, picture.orientation);
        let rows = picture.samples.chunks_exact(picture.width * channels).skip(region.y - y).take(region.height);
        let rows = rows.map(|row| &row[(region.x - x) * channels..][..region.width * channels]);
        digest(std::iter::once(shape.as_flattened()).chain(rows))
    }

    /// Returns the pixels of a stored picture of this size that are looked at.
    fn region(&self, size: (usize, usize), orientation: Orientation) -> Region {
        let Some(preprocess) = &self.preprocess else { return Region::whole(size) };
        let orientation = self.turn(orientation);
        preprocess.seen(turned(orientation, size)).stored(orientation, size)
    }

    /// Returns how a picture is turned that has to be turned like this to be upright.
    fn turn(&self, orientation: Orientation) -> Orientation {
        if self.reading.exif { orientation } else { Orientation::NoTransforms }
    }

    /// Returns the part of a stored picture of this size that is looked at.
    fn part(&self, size: (usize, usize), orientation: Orientation) -> Part {
        let preprocess = self.preprocess.as_ref().filter(|_| self.reading.fast_decode);
        let shrink = preprocess.map_or(1, |preprocess| preprocess.shrink(turned(self.turn(orientation), size)));
        let size = (size.0.div_ceil(shrink), size.1.div_ceil(shrink));
        Part { shrink, region: self.region(size, orientation) }
    }
}
