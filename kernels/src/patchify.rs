//! Cutting pictures into square patches, and putting patches back; numbers are only copied.
//!
//! A picture is (channel, row, column), and so is each patch; patches go from left to right, then down.

use crate::parallel::{Rows, RowsMut, for_pieces, rows_per_piece};

/// The sizes of a picture and of the patches that it is cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    pub channels: usize,
    /// The number of the picture's rows of pixels.
    pub height: usize,
    /// The number of the picture's columns of pixels.
    pub width: usize,
    /// The edge of a patch, in pixels. Pixels at the right and at the bottom that fill no patch belong to none.
    pub patch_size: usize,
}

impl Grid {
    /// Returns the number of a picture's patches.
    pub fn patches(&self) -> usize {
        (self.height / self.patch_size) * (self.width / self.patch_size)
    }

    /// Returns the number of a patch's floats.
    pub fn patch_len(&self) -> usize {
        self.channels * self.patch_size.pow(2)
    }

    /// Returns the number of a picture's floats.
    pub fn image_len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Goes through the lines of a patch, in the patch's order, and gives where each starts in the picture.
    fn lines(self, patch: usize) -> impl Iterator<Item = usize> {
        let Grid { height, width, patch_size: p, .. } = self;
        let (top, left) = (patch / (width / p) * p, patch % (width / p) * p);
        (0..self.channels).flat_map(move |c| (0..p).map(move |y| (c * height + top + y) * width + left))
    }

    /// Returns the number of pictures; panics unless the sizes fit.
    #[track_caller]
    fn check(&self, images: &[f32]) -> usize {
        assert!(
            self.channels * self.patch_size > 0
                && self.height.min(self.width) >= self.patch_size
                && images.len().is_multiple_of(self.image_len()),
            "patchify: {self:?}, pictures of {} floats",
            images.len()
        );
        images.len() / self.image_len()
    }
}

/// patches ← the patches of each picture, or those that are `kept` of it, as many of each and in that order
///
/// `images` (B,C,height,width), `kept` (B,K), `patches` (B,K,C,patch,patch)
#[track_caller]
pub fn cut(grid: Grid, images: &[f32], kept: Option<&[u32]>, patches: &mut [f32]) {
    let (pictures, len) = (grid.check(images), grid.image_len());
    let of_each = kept.map_or(grid.patches(), |kept| kept.len() / pictures.max(1));
    let patches_len = of_each * grid.patch_len();
    assert!(
        patches.len() == pictures * patches_len
            && kept.is_none_or(|kept| {
                kept.len() == pictures * of_each && kept.iter().all(|&i| (i as usize) < grid.patches())
            }),
        "patchify: {of_each} patches of each of {pictures} pictures, {} floats of them, {grid:?}",
        patches.len()
    );
    let parts = (Rows(images, len), kept.map(|kept| Rows(kept, of_each)), RowsMut(patches, patches_len));
    for_pieces(pictures, rows_per_piece(len), parts, &|(images, kept, patches)| {
        let of_pictures = patches.0.chunks_exact_mut(patches_len.max(1)).enumerate();
        for ((picture, patches), image) in of_pictures.zip(images.0.chunks_exact(len)) {
            for (i, patch) in patches.chunks_exact_mut(grid.patch_len()).enumerate() {
                let i = kept.as_ref().map_or(i, |kept| kept.0[picture * of_each + i] as usize);
                for (start, line) in grid.lines(i).zip(patch.chunks_exact_mut(grid.patch_size)) {
                    line.copy_from_slice(&image[start..start + grid.patch_size]);
                }
            }
        }
    });
}

/// images ← all patches, each where [`cut`] took it from, and 0 where there is none
///
/// `patches` (B,K,C,patch,patch), `images` (B,C,height,width)
#[track_caller]
pub fn paste(grid: Grid, patches: &[f32], images: &mut [f32]) {
    let (pictures, len) = (grid.check(images), grid.image_len());
    let patches_len = grid.patches() * grid.patch_len();
    assert_eq!(patches.len(), pictures * patches_len, "patchify: floats of the patches of {pictures} pictures");
    let parts = (Rows(patches, patches_len), RowsMut(images, len));
    for_pieces(pictures, rows_per_piece(len), parts, &|(patches, images)| {
        for (patches, image) in patches.0.chunks_exact(patches_len).zip(images.0.chunks_exact_mut(len)) {
            if patches_len < len {
                image.fill(0.0);
            }
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

    pub fn cut(grid: Grid, images: &[f32], kept: &[u32], patches: &mut [f32]) {
        let Grid { channels, height, width, patch_size: p } = grid;
        let (across, of_each) = (width / p, kept.len() / (images.len() / grid.image_len()));
        for (i, out) in patches.iter_mut().enumerate() {
            let (x, y, c) = (i % p, i / p % p, i / p / p % channels);
            let row = i / grid.patch_len();
            let (patch, picture) = (kept[row] as usize, row / of_each);
            let (left, top) = (patch % across * p, patch / across * p);
            *out = images[((picture * channels + c) * height + top + y) * width + left + x];
        }
    }
}
