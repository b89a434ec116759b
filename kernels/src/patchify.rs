//! Cutting square pictures into square patches, and putting patches back; numbers are only copied.
//!
//! A picture is (channel, row, column), and so is each patch; patches go from left to right, then down.

use crate::parallel::{Rows, RowsMut, for_pieces, rows_per_piece};

/// The sizes of a square picture and of the patches that it is cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    pub channels: usize,
    /// The edge of the picture, in pixels.
    pub image_size: usize,
    /// The edge of a patch, in pixels, which divides `image_size`.
    pub patch_size: usize,
}

impl Grid {
    /// Returns the number of a picture's patches.
    pub fn patches(&self) -> usize {
        (self.image_size / self.patch_size).pow(2)
    }

    /// Returns the number of a patch's floats.
    pub fn patch_len(&self) -> usize {
        self.channels * self.patch_size.pow(2)
    }

    /// Returns the number of a picture's floats.
    pub fn image_len(&self) -> usize {
        self.channels * self.image_size.pow(2)
    }

    /// Goes through the lines of a patch, in the patch's order, and gives where each starts in the picture.
    fn lines(self, patch: usize) -> impl Iterator<Item = usize> {
        let (s, p) = (self.image_size, self.patch_size);
        let (top, left) = (patch / (s / p) * p, patch % (s / p) * p);
        (0..self.channels).flat_map(move |c| (0..p).map(move |y| (c * s + top + y) * s + left))
    }

    /// Returns the number of pictures; panics unless the sizes fit.
    #[track_caller]
    fn check(&self, images: &[f32], patches: &[f32]) -> usize {
        assert!(
            self.channels * self.patch_size > 0
                && self.image_size > 0
                && self.image_size.is_multiple_of(self.patch_size)
                && images.len().is_multiple_of(self.image_len())
                && images.len() == patches.len(),
            "patchify: {self:?}, pictures of {} floats, patches of {}",
            images.len(),
            patches.len()
        );
        images.len() / self.image_len()
    }
}

/// patches ← the patches of each picture
///
/// `images` (B, C, S, S), `patches` (B, g², C, p, p)
#[track_caller]
pub fn cut(grid: Grid, images: &[f32], patches: &mut [f32]) {
    let (pictures, len) = (grid.check(images, patches), grid.image_len());
    for_pieces(pictures, rows_per_piece(len), (Rows(images, len), RowsMut(patches, len)), &|(images, patches)| {
        for (image, patches) in images.0.chunks_exact(len).zip(patches.0.chunks_exact_mut(len)) {
            for (i, patch) in patches.chunks_exact_mut(grid.patch_len()).enumerate() {
                for (start, line) in grid.lines(i).zip(patch.chunks_exact_mut(grid.patch_size)) {
                    line.copy_from_slice(&image[start..start + grid.patch_size]);
                }
            }
        }
    });
}

/// images ← the patches, each where [`cut`] took it from
///
/// `patches` (B, g², C, p, p), `images` (B, C, S, S)
#[track_caller]
pub fn paste(grid: Grid, patches: &[f32], images: &mut [f32]) {
    let (pictures, len) = (grid.check(images, patches), grid.image_len());
    for_pieces(pictures, rows_per_piece(len), (Rows(patches, len), RowsMut(images, len)), &|(patches, images)| {
        for (patches, image) in patches.0.chunks_exact(len).zip(images.0.chunks_exact_mut(len)) {
            for (i, patch) in patches.chunks_exact(grid.patch_len()).enumerate() {
                for (start, line) in grid.lines(i).zip(patch.chunks_exact(grid.patch_size)) {
                    image[start..start + grid.patch_size].copy_from_slice(line);
                }
            }
        }
    });
}

/// The definition.
pub mod naive {
    use super::Grid;

    pub fn cut(grid: Grid, images: &[f32], patches: &mut [f32]) {
        let Grid { channels, image_size: s, patch_size: p } = grid;
        let edge = s / p;
        for (i, out) in patches.iter_mut().enumerate() {
            let (x, y, c) = (i % p, i / p % p, i / p / p % channels);
            let patch = i / grid.patch_len();
            let (left, top, picture) = (patch % edge * p, patch / edge % edge * p, patch / edge / edge);
            *out = images[((picture * channels + c) * s + top + y) * s + left + x];
        }
    }
}
