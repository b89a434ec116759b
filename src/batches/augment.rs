//! Random variation of training pictures, in the order of this table.
//!
//! ```text
//! crop      a box of area ∈ `area` · whole and aspect ∈ `aspect` (log-uniform), resized with the config's filter
//! warp      rotation, shear and shift around the centre, bilinear; points outside the picture take the nearest pixel
//! mirror    with probability `mirror`, where the example allows it
//! colour    rgb ← brightness·(½ + contrast·(saturation·rgb + (1 − saturation)·grey − ½))
//! grey      with probability `grey`: saturation = 0
//! list      two operations of RandAugment
//! style     with probability `style`: the picture drawn again in another style
//! ```
//!
//! The crop is torchvision's `RandomResizedCrop` (Szegedy et al. 2015). The colour steps are linear, so they are one
//! 3 × 3 matrix and an offset, applied in one pass.

use super::rand_augment;
use super::style::Style;
use crate::pictures::picture::{Channels, Picture, luminance};
use crate::pictures::preprocess::{Preprocess, Scratch};
use crate::pictures::resize::Region;
use crate::random::Rng;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// The settings of the variation. Amounts are drawn between no change at all and the largest that a field allows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Share of the picture's area that a crop keeps.
    pub area: RangeInclusive<f32>,
    /// Width over height of the crop.
    pub aspect: RangeInclusive<f32>,
    /// Largest rotation in degrees, in either direction.
    pub rotation: f32,
    /// Largest sideways shift per pixel of height, in either direction.
    pub shear: f32,
    /// Largest shift along each axis as a share of the side, in either direction.
    pub shift: f32,
    /// Probability of mirroring a picture that may be mirrored.
    pub mirror: f64,
    /// Brightness is multiplied by a factor between 1 − x and 1 + x.
    pub brightness: f32,
    /// Contrast is multiplied by a factor between 1 − x and 1 + x.
    pub contrast: f32,
    /// Saturation is multiplied by a factor between 1 − x and 1 + x.
    pub saturation: f32,
    /// Probability of turning a picture grey.
    pub grey: f64,
    /// Whether two [operations of RandAugment](rand_augment) follow.
    pub rand_augment: bool,
    /// Probability of drawing the picture again in another [style](Style).
    pub style: f64,
}

/// The default is OpenCLIP's augmentation: a crop of at least nine tenths of the area and nothing else.
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
            rand_augment: false,
            style: 0.0,
        }
    }
}

impl Augment {
    /// Returns settings for small sets of drawings, which a model would otherwise learn by heart.
    pub fn drawings() -> Self {
        Self {
            area: 0.8..=1.0,
            aspect: 0.9..=1.1,
            rotation: 6.0,
            shear: 0.05,
            shift: 0.04,
            mirror: 0.5,
            brightness: 0.1,
            contrast: 0.1,
            saturation: 0.2,
            grey: 0.02,
            style: 0.15,
            ..Self::default()
        }
    }

    /// Returns settings for scenes of such drawings: nothing changes that a caption may name, such as places and colours.
    pub fn scenes() -> Self {
        Self {
            area: 0.9..=1.0,
            aspect: 0.95..=1.05,
            rotation: 8.0,
            shear: 0.08,
            brightness: 0.15,
            contrast: 0.15,
            saturation: 0.3,
            ..Self::default()
        }
    }

    /// Returns BLIP's settings, with crops of at least this share of the area: 0.2 in pre-training, 0.5 in fine-tuning.
    pub fn blip(least: f32) -> Self {
        Self { area: least..=1.0, mirror: 0.5, rand_augment: true, ..Self::default() }
    }

    /// Varies a picture at random and writes it to `out`, normalised as by [`Preprocess::apply`], which also says what
    /// happens to opacity and palettes. The random crop takes the place of the configuration's resize mode.
    ///
    /// `out` (3,edge,edge)
    ///
    /// # Panics
    /// Panics if the picture is empty or `out` has another length.
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
        let from = self.crop(picture.width, picture.height, rng);
        let mirrored = rng.random_bool(self.mirror) && may_flip;
        let warp = self.warp(mirrored, rng);
        let Scratch { rgb, resizer, resized, warped } = scratch;
        let picture = preprocess.flatten(picture, rgb);
        // The warp can enlarge by itself but not shrink, which takes the resizer's wider filters.
        let direct = warp.is_some() && from.width.max(from.height) <= s && picture.mode == Channels::Rgb;
        if !direct {
            let whole = Region { x: 0, y: 0, width: s, height: s };
            resizer.resize(picture, from, (s, s), whole, preprocess.interpolation, resized);
            *resized = std::mem::take(resized).into_rgb();
        }
        let (source, region) = if direct { (picture, from) } else { (&*resized, Region::whole(resized.size())) };
        let (varied, spare) = match warp {
            Some(warp) => {
                warp.apply(source, region, s, warped);
                (warped, resized)
            }
            None => (resized, warped),
        };
        self.recolour(varied, rng);
        if self.rand_augment {
            rand_augment::vary(varied, spare, rng);
        }
        if rng.random_bool(self.style) {
            Style::random(rng).apply(varied, spare);
        }
        preprocess.normalise(varied, out);
    }

    /// Draws a box within the picture. If ten draws do not fit, it is the largest central box of an allowed aspect.
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

    /// Draws a warp; returns `None` if it would leave every pixel in its place.
    fn warp(&self, mirrored: bool, rng: &mut Rng) -> Option<Warp> {
        let (sin, cos) = either_way(self.rotation, rng).to_radians().sin_cos();
        let shear = either_way(self.shear, rng);
        let shift = [either_way(self.shift, rng), either_way(self.shift, rng)];
        if self.rotation == 0.0 && self.shear == 0.0 && self.shift == 0.0 && !mirrored {
            return None;
        }
        let sign = if mirrored { -1.0 } else { 1.0 };
        Some(Warp { x: [sign * cos, cos * shear - sin], y: [sign * sin, sin * shear + cos], shift })
    }

    /// Varies brightness, contrast and saturation in place.
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
            let grey = contrast * (1.0 - saturation) * luminance(*pixel) + offset;
            // A cast to u8 saturates, and with the ½ in the offset it rounds.
            *pixel = pixel.map(|v| (contrast * saturation * f32::from(v) + grey) as u8);
        }
    }
}

/// Draws uniformly from [−max, max]. It draws for max = 0 too, so that one setting does not change the others' numbers.
fn either_way(max: f32, rng: &mut Rng) -> f32 {
    max * rng.random_range(-1.0..=1.0f32)
}

/// The affine map from an output pixel to the point of the input that it shows.
///
/// ```text
/// point = (⟨x, pixel⟩, ⟨y, pixel⟩) + shift
/// ```
///
/// Both points are measured from the centre, in units of the side.
struct Warp {
    x: [f32; 2],
    y: [f32; 2],
    shift: [f32; 2],
}

impl Warp {
    /// Fills `to`, `s` pixels wide and high, from a region of a picture and the pixels around it.
    fn apply(&self, from: &Picture, region: Region, s: usize, to: &mut Picture) {
        to.reshape(s, s, Channels::Rgb);
        let pixels = from.samples.as_chunks::<3>().0;
        let scale = [region.width as f32, region.height as f32];
        let centre = [region.x as f32 + 0.5 * scale[0] - 0.5, region.y as f32 + 0.5 * scale[1] - 0.5];
        let last = [(from.width - 1) as f32, (from.height - 1) as f32];
        let unit = 1.0 / s as f32;
        for (j, row) in to.samples.as_chunks_mut::<3>().0.chunks_exact_mut(s).enumerate() {
            let q = (j as f32 + 0.5) * unit - 0.5;
            for (i, pixel) in row.iter_mut().enumerate() {
                let p = (i as f32 + 0.5) * unit - 0.5;
                let u = (self.x[0] * p + self.x[1] * q + self.shift[0]) * scale[0] + centre[0];
                let v = (self.y[0] * p + self.y[1] * q + self.shift[1]) * scale[1] + centre[1];
                *pixel = bilinear(pixels, from.width, u.clamp(0.0, last[0]), v.clamp(0.0, last[1]));
            }
        }
    }
}

/// Returns the colour at a point between four pixels, in fixed point with 6-bit fractions. The sums of the three
/// channels, of 20 bits each, fit one word, so that one multiplication weighs a whole pixel.
fn bilinear(pixels: &[[u8; 3]], width: usize, u: f32, v: f32) -> [u8; 3] {
    let (u, v) = ((u * 64.0 + 0.5) as usize, (v * 64.0 + 0.5) as usize);
    let (fx, fy) = ((u & 63) as u64, (v & 63) as u64);
    let first = (v >> 6) * width + (u >> 6);
    // On the last column or row the fraction is 0, so the pixel beyond has no weight.
    let word = |offset: usize| {
        let [r, g, b] = pixels[(first + offset).min(pixels.len() - 1)].map(u64::from);
        r | g << 21 | b << 42
    };
    let top = word(0) * (64 - fx) + word(1) * fx;
    let bottom = word(width) * (64 - fx) + word(width + 1) * fx;
    let sum = top * (64 - fy) + bottom * fy + (1 << 11 | 1 << 32 | 1 << 53);
    [sum >> 12, sum >> 33, sum >> 54].map(|channel| channel as u8)
}
