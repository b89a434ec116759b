//! Random variation of training pictures: crop, warp, mirror, colour.
//!
//! ```text
//! crop      a box of area ∈ `area` · whole and aspect ∈ `aspect` (log-uniform), resized to S × S with the config's filter
//! warp      rotation, shear and shift around the centre, bilinear; what moves in from outside is the nearest edge
//! mirror    with probability `mirror`, where the example allows it
//! colour    rgb ← b·(m + k·(σ·rgb + (1 − σ)·grey − m)):  brightness b, contrast k around m = ½, saturation σ
//! grey      with probability `grey`: σ = 0
//! ```
//!
//! Crop as torchvision's `RandomResizedCrop` (Szegedy et al. 2015); the colour steps are linear, so they are one 3 × 3
//! matrix and an offset, applied in one pass.

use super::picture::{Mode, Picture};
use super::preprocess::{Preprocess, Scratch};
use super::random::Rng;
use super::resize::Region;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// How strongly pictures vary. All amounts are the largest; the smallest is nothing at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Share of the picture's area that a crop keeps.
    pub area: RangeInclusive<f32>,
    /// Width over height of the crop.
    pub aspect: RangeInclusive<f32>,
    /// Degrees, either way.
    pub rotation: f32,
    /// Sideways shift per pixel of height, either way.
    pub shear: f32,
    /// Shift as a share of the side, either way and in both directions.
    pub shift: f32,
    /// Probability of mirroring a picture that may be.
    pub mirror: f64,
    /// Factors between 1 − x and 1 + x.
    pub brightness: f32,
    /// As brightness.
    pub contrast: f32,
    /// As brightness.
    pub saturation: f32,
    /// Probability of losing all colour.
    pub grey: f64,
}

/// OpenCLIP's: a crop of nine tenths or more, nothing else.
impl Default for Augment {
    fn default() -> Self {
        Self {
            area: 0.9..=1.0,
            aspect: 0.75..=4.0 / 3.0,
            rotation: 0.0,
            shear: 0.0,
            shift: 0.0,
            mirror: 0.0,
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            grey: 0.0,
        }
    }
}

impl Augment {
    /// For small sets of drawings, which a model would otherwise learn by heart.
    pub fn drawings() -> Self {
        Self {
            area: 0.6..=1.0,
            aspect: 0.8..=1.25,
            rotation: 12.0,
            shear: 0.1,
            shift: 0.06,
            mirror: 0.5,
            brightness: 0.2,
            contrast: 0.2,
            saturation: 0.4,
            grey: 0.1,
        }
    }

    /// Prepares a varied picture; `out` is (3, S, S), normalised as [`Preprocess::apply`] does. Only the config's
    /// size, filter and normalisation count here: the crop takes the place of its resize mode.
    ///
    /// # Panics
    /// If the picture is empty or `out` has another length.
    #[track_caller]
    pub fn apply(
        &self,
        preprocess: &Preprocess,
        picture: &Picture,
        may_flip: bool,
        rng: &mut Rng,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) {
        let s = preprocess.size;
        assert_eq!(out.len(), 3 * s * s, "a picture of side {s} has 3 × {s} × {s} values");
        let whole = Region { x: 0, y: 0, width: s, height: s };
        let from = self.crop(picture.width, picture.height, rng);
        let Scratch { resizer, resized, warped } = scratch;
        resizer.resize(picture, from, (s, s), whole, preprocess.interpolation, resized);
        if resized.mode != Mode::Rgb {
            *resized = std::mem::take(resized).into_rgb();
        }
        let mirrored = may_flip && rng.random_bool(self.mirror);
        let source = match self.warp(s as f32, mirrored, rng) {
            Some(warp) => {
                warp.apply(resized, warped);
                warped
            }
            None => resized,
        };
        self.recolour(source, rng);
        preprocess.normalise(source, out);
    }

    /// A random box; the largest central one of a fitting aspect if ten draws do not fit the picture.
    fn crop(&self, width: usize, height: usize, rng: &mut Rng) -> Region {
        let (w, h) = (width as f32, height as f32);
        let (narrowest, widest) = (self.aspect.start().ln(), self.aspect.end().ln());
        for _ in 0..10 {
            let area = w * h * rng.random_range(self.area.clone());
            let aspect = rng.random_range(narrowest..=widest).exp();
            let box_width = (area * aspect).sqrt().round() as usize;
            let box_height = (area / aspect).sqrt().round() as usize;
            if (1..=width).contains(&box_width) && (1..=height).contains(&box_height) {
                let (x, y) = (rng.random_range(0..=width - box_width), rng.random_range(0..=height - box_height));
                return Region { x, y, width: box_width, height: box_height };
            }
        }
        let box_width = ((h * self.aspect.end()).round() as usize).clamp(1, width);
        let box_height = ((w / self.aspect.start()).round() as usize).clamp(1, height);
        Region { x: (width - box_width) / 2, y: (height - box_height) / 2, width: box_width, height: box_height }
    }

    /// Nothing if it would leave every pixel in its place.
    fn warp(&self, side: f32, mirrored: bool, rng: &mut Rng) -> Option<Warp> {
        let angle = either_way(self.rotation, rng).to_radians();
        let shear = either_way(self.shear, rng);
        let (dx, dy) = (either_way(self.shift * side, rng), either_way(self.shift * side, rng));
        if self.rotation == 0.0 && self.shear == 0.0 && self.shift == 0.0 && !mirrored {
            return None;
        }
        let (sin, cos) = angle.sin_cos();
        let sign = if mirrored { -1.0 } else { 1.0 };
        let (xx, xy, yx, yy) = (sign * cos, cos * shear - sin, sign * sin, sin * shear + cos);
        let centre = (side - 1.0) / 2.0;
        Some(Warp { xx, xy, yx, yy, x: centre + dx - (xx + xy) * centre, y: centre + dy - (yx + yy) * centre })
    }

    fn recolour(&self, picture: &mut Picture, rng: &mut Rng) {
        let brightness = 1.0 + either_way(self.brightness, rng);
        let contrast = brightness * (1.0 + either_way(self.contrast, rng));
        let saturation = 1.0 + either_way(self.saturation, rng);
        let saturation = if rng.random_bool(self.grey) { 0.0 } else { saturation };
        if (brightness, contrast, saturation) == (1.0, 1.0, 1.0) {
            return;
        }
        let offset = 127.5 * (brightness - contrast) + 0.5;
        for pixel in picture.samples.as_chunks_mut::<3>().0 {
            let [r, g, b] = pixel.map(f32::from);
            let grey = contrast * (1.0 - saturation) * (0.299 * r + 0.587 * g + 0.114 * b) + offset;
            // A cast to u8 saturates, and with the ½ in the offset it rounds.
            *pixel = [r, g, b].map(|v| (contrast * saturation * v + grey) as u8);
        }
    }
}

/// Uniform in [−most, most]; the draw happens in any case, so that one setting does not shift the others' randomness.
fn either_way(most: f32, rng: &mut Rng) -> f32 {
    most * rng.random_range(-1.0..=1.0f32)
}

/// For each output pixel, where in the input it comes from.
struct Warp {
    xx: f32,
    xy: f32,
    yx: f32,
    yy: f32,
    x: f32,
    y: f32,
}

impl Warp {
    fn apply(&self, from: &Picture, to: &mut Picture) {
        to.reshape(from.width, from.height, Mode::Rgb);
        let pixels = from.samples.as_chunks::<3>().0;
        let (right, bottom) = ((from.width - 1) as f32, (from.height - 1) as f32);
        for (y, row) in to.samples.as_chunks_mut::<3>().0.chunks_exact_mut(from.width).enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                let (x, y) = (x as f32, y as f32);
                let u = (self.xx * x + self.xy * y + self.x).clamp(0.0, right);
                let v = (self.yx * x + self.yy * y + self.y).clamp(0.0, bottom);
                *pixel = bilinear(pixels, from.width, from.height, u, v);
            }
        }
    }
}

/// The colour at a point between four pixels, in 8-bit fixed point.
fn bilinear(pixels: &[[u8; 3]], width: usize, height: usize, u: f32, v: f32) -> [u8; 3] {
    let (u, v) = ((u * 256.0) as usize, (v * 256.0) as usize);
    let (x, y, fx, fy) = (u >> 8, v >> 8, (u & 255) as u32, (v & 255) as u32);
    let (x1, y1) = ((x + 1).min(width - 1), (y + 1).min(height - 1));
    let (a, b) = (pixels[y * width + x], pixels[y * width + x1]);
    let (c, d) = (pixels[y1 * width + x], pixels[y1 * width + x1]);
    std::array::from_fn(|i| {
        let top = u32::from(a[i]) * (256 - fx) + u32::from(b[i]) * fx;
        let bottom = u32::from(c[i]) * (256 - fx) + u32::from(d[i]) * fx;
        ((top * (256 - fy) + bottom * fy + (1 << 15)) >> 16) as u8
    })
}
