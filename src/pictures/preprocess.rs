//! Preparation of a decoded picture for the image tower: it is resized, cropped and normalised, channel by channel.
//!
//! ```text
//! out[c, y, x] = (rgb[y, x, c] / 255 − mean[c]) / std[c]
//! ```
//!
//! `out` (3,edge,edge)
//!
//! The conversion to RGB comes after resizing and cropping, as in OpenAI's and OpenCLIP's transforms, or before them,
//! as in Hugging Face's ([`Library`]). The order matters for pictures with opacity or a palette.

use crate::pictures::error::PreprocessError;
use crate::pictures::picture::{Channels, Picture};
pub use crate::pictures::resize::Interpolation;
use crate::pictures::resize::{Region, Resizer, seen};
use serde::{Deserialize, Serialize};

/// Largest absolute value of a normalised pixel: far above every real one and far below the largest f32.
const MAX_NORMALISED: f32 = 1e6;

/// How much longer than in the end the sides of a picture still are when it was decoded at a part of its size. With 1
/// instead, the worst cosine of 23 photos with their exact embeddings fell from 0.9994 to 0.995.
const FAST_MARGIN: usize = 2;

/// How a picture becomes a square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResizeMode {
    /// The shorter side becomes `edge`; the longer one is cropped around the centre.
    #[default]
    Shortest,
    /// The longer side becomes `edge`; the shorter one is padded with black around the centre.
    Longest,
    /// Both sides become `edge`; the proportions are lost.
    Squash,
}

/// The library whose preprocessing is reproduced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Library {
    /// torchvision's transforms, which OpenAI and OpenCLIP use. A crop begins at (side − edge) / 2, with halves rounded
    /// to even. Opacity is dropped at the end.
    #[default]
    OpenClip,
    /// transformers' `CLIPImageProcessor`. The picture is first laid over white as RGB (before version 5, opacity was
    /// dropped), so that palettes are blended like any other picture. A crop begins at ⌊(side − edge) / 2⌋, which
    /// differs from torchvision's for every fourth side.
    HuggingFace,
}

/// The settings of OpenCLIP's `preprocess_cfg`. Fields that a file leaves out have the values of OpenAI's models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preprocess {
    /// The edge of the result in pixels, its width and its height.
    #[serde(deserialize_with = "side")]
    pub size: usize,
    /// The mean that is subtracted from red, green and blue in [0, 1].
    pub mean: [f32; 3],
    /// The standard deviation by which red, green and blue are then divided.
    pub std: [f32; 3],
    pub interpolation: Interpolation,
    pub resize_mode: ResizeMode,
    /// The library to follow. It is not a field of OpenCLIP's file but follows from the kind of file that was read.
    #[serde(skip)]
    pub library: Library,
}

impl Default for Preprocess {
    #[expect(clippy::excessive_precision, reason = "the numbers as published")]
    fn default() -> Self {
        Self {
            size: 224,
            mean: [0.48145466, 0.4578275, 0.40821073],
            std: [0.26862954, 0.26130258, 0.27577711],
            interpolation: Interpolation::Bicubic,
            resize_mode: ResizeMode::Shortest,
            library: Library::OpenClip,
        }
    }
}

impl Preprocess {
    /// Returns how SigLIP's pictures are prepared: squashed to squares, with values from −1 to 1.
    pub fn siglip() -> Self {
        Self { mean: [0.5; 3], std: [0.5; 3], resize_mode: ResizeMode::Squash, ..Self::default() }
    }
}

/// The memory that is reused from one prepared picture to the next.
#[derive(Default)]
pub struct Scratch {
    pub(crate) rgb: Picture,
    pub(crate) resizer: Resizer,
    pub(crate) resized: Picture,
    pub(crate) warped: Picture,
}

impl Preprocess {
    /// Prepares a picture for the tower.
    ///
    /// `out` (3,edge,edge)
    ///
    /// # Panics
    /// Panics if the picture is empty or `out` has another length.
    #[track_caller]
    pub fn apply(&self, picture: &Picture, scratch: &mut Scratch, out: &mut [f32]) {
        let s = self.size;
        assert_eq!(out.len(), 3 * s * s, "a picture of side {s} has 3 × {s} × {s} values");
        self.normalise(self.resized(picture, scratch), out);
    }

    /// Returns the picture as small as the tower sees it, for whoever keeps many: [`apply`](Self::apply) makes of both the
    /// same values.
    ///
    /// # Panics
    /// Panics if the picture is empty.
    pub fn reduce(&self, picture: &Picture, scratch: &mut Scratch) -> Picture {
        self.resized(picture, scratch).clone().into_rgb()
    }

    /// Returns the part of the resized picture that the tower sees.
    fn resized<'a>(&self, picture: &Picture, scratch: &'a mut Scratch) -> &'a Picture {
        let whole = picture.size();
        let (size, window) = self.geometry(whole);
        let Scratch { rgb, resizer, resized, .. } = scratch;
        let picture = self.flatten(picture, rgb);
        resizer.resize(picture, Region::whole(whole), size, window, self.interpolation, resized);
        resized
    }

    /// Returns the picture to resize: the picture laid over white, in `rgb`, if the library starts with that, and the
    /// picture itself otherwise.
    pub(crate) fn flatten<'a>(&self, picture: &'a Picture, rgb: &'a mut Picture) -> &'a Picture {
        match self.library {
            Library::HuggingFace if picture.mode != Channels::Rgb => {
                picture.on_white(rgb);
                rgb
            }
            _ => picture,
        }
    }

    /// Checks that the mean and the standard deviation turn every pixel into a number of reasonable size.
    ///
    /// # Errors
    /// Returns [`PreprocessError::Normalisation`] if they do not.
    pub fn check(&self) -> Result<(), PreprocessError> {
        let Self { mean, std, .. } = *self;
        let fits = |(mean, std): (&f32, &f32)| [0.0, 1.0].iter().all(|x| ((x - mean) / std).abs() <= MAX_NORMALISED);
        if mean.iter().zip(&std).all(fits) { Ok(()) } else { Err(PreprocessError::Normalisation { mean, std }) }
    }

    /// Returns the largest of 8, 4, 2 and 1 by which the sides of a picture of this size (width, height) can be divided,
    /// so that both are still [`FAST_MARGIN`] times as long as they become.
    pub(super) fn shrink(&self, (width, height): (usize, usize)) -> usize {
        let (size, _) = self.geometry((width, height));
        let fits = |by: &usize| width >= by * FAST_MARGIN * size.0 && height >= by * FAST_MARGIN * size.1;
        [8, 4, 2].into_iter().find(fits).unwrap_or(1)
    }

    /// Returns the pixels of a picture of this size (width, height) that the tower's square depends on.
    pub(super) fn seen(&self, input: (usize, usize)) -> Region {
        let (size, window) = self.geometry(input);
        seen(input, size, window, self.interpolation)
    }

    /// Returns the size (width, height) to resize to and the region of it to keep.
    fn geometry(&self, (width, height): (usize, usize)) -> ((usize, usize), Region) {
        let s = self.size;
        let whole = |size| (size, Region::whole(size));
        match self.resize_mode {
            ResizeMode::Squash => whole((s, s)),
            ResizeMode::Longest => {
                let ratio = (width as f64 / s as f64).max(height as f64 / s as f64);
                let fit = |side: usize| ((side as f64 / ratio).round_ties_even() as usize).clamp(1, s);
                whole((fit(width), fit(height)))
            }
            ResizeMode::Shortest => {
                let shorter = width.min(height);
                let size = (s * width / shorter, s * height / shorter);
                let corner = |side: usize| match self.library {
                    Library::OpenClip => half_even(side - s),
                    Library::HuggingFace => (side - s) / 2,
                };
                (size, Region { x: corner(size.0), y: corner(size.1), width: s, height: s })
            }
        }
    }

    /// Returns the left, top, right and bottom edge of the tower's square in a picture of this size, in the picture's
    /// pixels. The square is inside the picture where that is cropped, and reaches beyond it where it is padded.
    pub fn square(&self, width: usize, height: usize) -> [f64; 4] {
        let ((w, h), region) = self.geometry((width, height));
        let edges = |corner: usize, kept: usize, resized: usize, side: usize| {
            let first = corner as f64 - ((self.size - kept) / 2) as f64;
            [first, first + self.size as f64].map(|edge| edge * side as f64 / resized as f64)
        };
        let [left, right] = edges(region.x, region.width, w, width);
        let [top, bottom] = edges(region.y, region.height, h, height);
        [left, top, right, bottom]
    }

    /// Writes the picture, at most a square of the size, centred on black, as normalised planes.
    pub(crate) fn normalise(&self, picture: &Picture, out: &mut [f32]) {
        match picture.mode {
            Channels::Grey => self.planes::<1>(picture, [0, 0, 0], out),
            Channels::GreyAlpha | Channels::GreyKeyed => self.planes::<2>(picture, [0, 0, 0], out),
            Channels::Rgb | Channels::Palette => self.planes::<3>(picture, [0, 1, 2], out),
            Channels::Rgba | Channels::RgbKeyed | Channels::PaletteAlpha => {
                self.planes::<4>(picture, [0, 1, 2], out);
            }
            Channels::Grey16 | Channels::Cmyk | Channels::YCbCr => {
                self.planes::<3>(&picture.clone().into_rgb(), [0, 1, 2], out);
            }
        }
    }

    /// Writes normalised planes and converts to RGB: `rgb` says which of a pixel's C samples is red, green and blue.
    fn planes<const C: usize>(&self, picture: &Picture, rgb: [usize; 3], out: &mut [f32]) {
        let s = self.size;
        let (left, top) = ((s - picture.width) / 2, (s - picture.height) / 2);
        let pixels = picture.samples.as_chunks::<C>().0;
        for (c, plane) in out.chunks_exact_mut(s * s).enumerate() {
            // A sample has 256 values. A table is faster than two divisions per pixel and gives the same bits.
            let value: [f32; 256] = std::array::from_fn(|v| (v as f32 / 255.0 - self.mean[c]) / self.std[c]);
            if pixels.len() < s * s {
                plane.fill(value[0]);
            }
            let rows = pixels.chunks_exact(picture.width).zip(plane.chunks_exact_mut(s).skip(top));
            for (row, out) in rows {
                out[left..].iter_mut().zip(row).for_each(|(out, pixel)| *out = value[usize::from(pixel[rgb[c]])]);
            }
        }
    }
}

/// Returns n / 2 rounded to even, as Python's `round` computes the corner of a centred crop.
fn half_even(n: usize) -> usize {
    let floor = n / 2;
    floor + (n & floor & 1)
}

/// Reads one side or two equal ones; OpenCLIP writes either.
fn side<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Side(usize),
        Sides([usize; 2]),
    }
    match Size::deserialize(deserializer)? {
        Size::Side(side) | Size::Sides([side, _]) if side == 0 => Err(serde::de::Error::custom("a size of 0")),
        Size::Side(side) => Ok(side),
        Size::Sides([height, width]) if height == width => Ok(height),
        Size::Sides(sides) => Err(serde::de::Error::custom(format!("size {sides:?} is not a square"))),
    }
}
