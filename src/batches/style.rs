//! Other styles of a drawing, so that a model learns the shapes that all styles share, and not one hand's colours and
//! shades alone (Geirhos et al. 2019, arXiv 1811.12231, section 3.2, for photographs).
//!
//! ```text
//! Ink        black where the picture is darker than a threshold, white elsewhere
//! Lines      black where neighbouring colours differ, white elsewhere
//! Outlines   a few flat colours, and the same lines on them
//! ```

use crate::pictures::picture::{Channels, Picture, luminance};
use crate::random::Rng;
use rand::RngExt;

/// A way to draw a picture again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Style {
    Ink {
        /// Where black ends, as a share of the way from the darkest pixel to the brightest.
        threshold: f32,
        /// How fast black turns into white there.
        contrast: f32,
    },
    Lines(Pen),
    Outlines {
        pen: Pen,
        /// How many values are left of each channel.
        levels: u8,
    },
}

/// How differences of colour become lines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pen {
    /// The largest difference that makes no line, in levels of 0 to 255.
    pub floor: f32,
    /// How many levels darker a line is for each level beyond.
    pub strength: f32,
}

impl Style {
    /// Draws a style at random.
    pub(super) fn random(rng: &mut Rng) -> Self {
        let pen = Pen { floor: rng.random_range(20.0..60.0), strength: rng.random_range(2.0..6.0) };
        match rng.random_range(0..3) {
            0 => Style::Ink { threshold: rng.random_range(0.35..0.9), contrast: rng.random_range(6.0..32.0) },
            1 => Style::Lines(pen),
            _ => Style::Outlines { pen, levels: rng.random_range(3..=6) },
        }
    }

    /// Draws a picture again in this style. `spare` is room for another.
    pub fn apply(self, picture: &mut Picture, spare: &mut Picture) {
        match self {
            Style::Ink { threshold, contrast } => ink(picture, threshold, contrast),
            Style::Lines(pen) => lines(picture, spare, pen, |_| [255.0; 3]),
            Style::Outlines { pen, levels } => {
                let step = 255.0 / f32::from(levels.max(2) - 1);
                lines(picture, spare, pen, |pixel| pixel.map(|v| (f32::from(v) / step).round() * step));
            }
        }
    }
}

/// Makes a picture black and white.
fn ink(picture: &mut Picture, threshold: f32, contrast: f32) {
    let pixels = picture.samples.as_chunks_mut::<3>().0;
    let (darkest, brightest) = pixels.iter().fold((255.0f32, 0.0f32), |(low, high), pixel| {
        let v = luminance(*pixel);
        (low.min(v), high.max(v))
    });
    let middle = darkest + threshold * (brightest - darkest);
    // A cast to u8 saturates.
    pixels.iter_mut().for_each(|pixel| *pixel = [((luminance(*pixel) - middle) * contrast + 128.0) as u8; 3]);
}

/// Draws black lines where the left and right or the upper and lower neighbours of a pixel differ, on what `ground` makes
/// of the pixel.
fn lines(picture: &mut Picture, spare: &mut Picture, pen: Pen, ground: impl Fn([u8; 3]) -> [f32; 3]) {
    let (width, height) = (picture.width, picture.height);
    spare.reshape(width, height, Channels::Rgb);
    let pixels = picture.samples.as_chunks::<3>().0;
    for (y, row) in spare.samples.as_chunks_mut::<3>().0.chunks_exact_mut(width).enumerate() {
        let (above, below) = (y.saturating_sub(1) * width, (y + 1).min(height - 1) * width);
        for (x, drawn) in row.iter_mut().enumerate() {
            let (left, right) = (x.saturating_sub(1), (x + 1).min(width - 1));
            let across = difference(pixels[y * width + left], pixels[y * width + right]);
            let down = difference(pixels[above + x], pixels[below + x]);
            let black = ((across + down - pen.floor) * pen.strength / 255.0).clamp(0.0, 1.0);
            *drawn = ground(pixels[y * width + x]).map(|v| (v * (1.0 - black) + 0.5) as u8);
        }
    }
    std::mem::swap(&mut picture.samples, &mut spare.samples);
}

/// Returns the mean difference of the channels.
fn difference(a: [u8; 3], b: [u8; 3]) -> f32 {
    a.iter().zip(b).map(|(a, b)| f32::from(a.abs_diff(b))).sum::<f32>() / 3.0
}
