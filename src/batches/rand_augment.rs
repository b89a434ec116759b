//! RandAugment, as BLIP is trained with it (Cubuk et al. 2020, arXiv 1909.13719; BLIP's list and numbers).
//!
//! Of ten operations two are drawn, with replacement, and each is carried out with a probability of one half:
//!
//! ```text
//! AutoContrast   sample ← (sample − low)·255/(high − low), a channel at a time
//! Equalize       sample ← the share of the channel's pixels below it, times 255
//! ShearX, ShearY       by ±0.15 pixels per pixel, from the upper left corner
//! TranslateX, TranslateY   by ±5 pixels
//! Rotate         by ±15° around the centre
//! Identity, Brightness, Sharpness   nothing
//! ```
//!
//! Points outside of the picture are grey. At BLIP's strength, 5 of 10, the factor of brightness and sharpness is
//! 0.1 + 1.8·5/10 = 1, which changes nothing.

use crate::pictures::picture::{Channels, Picture};
use crate::random::Rng;
use rand::RngExt;
use rand::seq::IndexedRandom;

/// How many operations are drawn for a picture.
const DRAWN: usize = 2;
/// The shift per pixel of a shear, the pixels of a shift, and the degrees of a rotation.
const SHEAR: f32 = 0.15;
const SHIFT: f32 = 5.0;
const DEGREES: f32 = 15.0;
/// The samples of points outside of the picture.
const OUTSIDE: [u8; 3] = [128; 3];

/// An operation; those that move something do it in either direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    AutoContrast,
    Equalize,
    ShearX(f32),
    ShearY(f32),
    TranslateX(f32),
    TranslateY(f32),
    Rotate(f32),
    /// Identity, brightness and sharpness.
    Nothing,
}

use Operation::*;

/// BLIP's list.
const LIST: [Operation; 10] = [
    Nothing,
    AutoContrast,
    Nothing,
    Nothing,
    Equalize,
    ShearX(SHEAR),
    ShearY(SHEAR),
    TranslateX(SHIFT),
    TranslateY(SHIFT),
    Rotate(DEGREES),
];

/// Varies a picture in red, green and blue. `spare` is room for another.
pub(super) fn vary(picture: &mut Picture, spare: &mut Picture, rng: &mut Rng) {
    for _ in 0..DRAWN {
        let operation = *LIST.choose(rng).expect("a list of ten");
        let (happens, reversed) = (rng.random_bool(0.5), rng.random_bool(0.5));
        if happens {
            let operation = if reversed { operation.reversed() } else { operation };
            operation.apply(picture, spare);
        }
    }
}

impl Operation {
    /// Returns the operation in the other direction.
    fn reversed(self) -> Self {
        match self {
            ShearX(amount) => ShearX(-amount),
            ShearY(amount) => ShearY(-amount),
            TranslateX(amount) => TranslateX(-amount),
            TranslateY(amount) => TranslateY(-amount),
            Rotate(degrees) => Rotate(-degrees),
            AutoContrast | Equalize | Nothing => self,
        }
    }

    /// Carries the operation out on a picture in red, green and blue. `spare` is room for another.
    pub fn apply(self, picture: &mut Picture, spare: &mut Picture) {
        let shows = match self {
            Nothing => return,
            AutoContrast => return map_channels(picture, stretched),
            Equalize => return map_channels(picture, equalized),
            ShearX(amount) => [[1.0, -amount, 0.0], [0.0, 1.0, 0.0]],
            ShearY(amount) => [[1.0, 0.0, 0.0], [-amount, 1.0, 0.0]],
            TranslateX(pixels) => [[1.0, 0.0, pixels], [0.0, 1.0, 0.0]],
            TranslateY(pixels) => [[1.0, 0.0, 0.0], [0.0, 1.0, pixels]],
            Rotate(degrees) => {
                let (sin, cos) = degrees.to_radians().sin_cos();
                let [cx, cy] = [picture.width, picture.height].map(|side| side as f32 / 2.0);
                [[cos, -sin, cx - cos * cx + sin * cy], [sin, cos, cy - sin * cx - cos * cy]]
            }
        };
        warp(picture, shows, spare);
        std::mem::swap(picture, spare);
    }
}

/// Replaces the values of each channel by what a table of its histogram says.
fn map_channels(picture: &mut Picture, table: impl Fn(&[u32; 256]) -> [u8; 256]) {
    for channel in 0..3 {
        let mut histogram = [0; 256];
        picture.samples.iter().skip(channel).step_by(3).for_each(|&v| histogram[usize::from(v)] += 1);
        let table = table(&histogram);
        picture.samples.iter_mut().skip(channel).step_by(3).for_each(|v| *v = table[usize::from(*v)]);
    }
}

/// Returns the table that stretches the values of a channel to all of 0 to 255.
fn stretched(histogram: &[u32; 256]) -> [u8; 256] {
    let low = histogram.iter().position(|&count| count > 0).unwrap_or(0);
    let high = histogram.iter().rposition(|&count| count > 0).unwrap_or(0);
    if high <= low {
        return std::array::from_fn(|v| v as u8);
    }
    let scale = 255.0 / (high - low) as f64;
    // A cast to u8 cuts off at 0 and 255.
    std::array::from_fn(|v| (v as f64 * scale - low as f64 * scale) as u8)
}

/// Returns the table that makes the values of a channel about equally frequent.
fn equalized(histogram: &[u32; 256]) -> [u8; 256] {
    let last = histogram.iter().rposition(|&count| count > 0).unwrap_or(0);
    let step = histogram[..last].iter().sum::<u32>() / 255;
    if step == 0 {
        return std::array::from_fn(|v| v as u8);
    }
    let mut below = step / 2;
    std::array::from_fn(|v| {
        let value = (below / step).min(255) as u8;
        below += histogram[v];
        value
    })
}

/// Fills `to`, whose pixel (x, y) shows the point `shows`·(x, y, 1) of `from`, between the four pixels around it.
fn warp(from: &Picture, shows: [[f32; 3]; 2], to: &mut Picture) {
    to.reshape(from.width, from.height, Channels::Rgb);
    let pixels = from.samples.as_chunks::<3>().0;
    let at = |x: f32, y: f32| {
        let is_inside = x >= 0.0 && y >= 0.0 && x < from.width as f32 && y < from.height as f32;
        if is_inside { pixels[y as usize * from.width + x as usize] } else { OUTSIDE }
    };
    for (y, row) in to.samples.as_chunks_mut::<3>().0.chunks_exact_mut(from.width).enumerate() {
        for (x, pixel) in row.iter_mut().enumerate() {
            let [u, v] = shows.map(|[a, b, c]| a * x as f32 + b * y as f32 + c);
            let (left, top) = (u.floor(), v.floor());
            let (fx, fy) = (u - left, v - top);
            let around = [
                (0.0, 0.0, 1.0 - fx, 1.0 - fy),
                (1.0, 0.0, fx, 1.0 - fy),
                (0.0, 1.0, 1.0 - fx, fy),
                (1.0, 1.0, fx, fy),
            ];
            let mut sum = [0.5; 3];
            for (dx, dy, wx, wy) in around {
                let colour = at(left + dx, top + dy);
                sum.iter_mut().zip(colour).for_each(|(sum, v)| *sum += wx * wy * f32::from(v));
            }
            *pixel = sum.map(|v| v as u8);
        }
    }
}
