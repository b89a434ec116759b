//! Decoded pictures: samples, channels and digests.

use crate::digest::{Digest, digest};
use crate::pictures::region::{self, Cut, Region, stored_at};
use image::metadata::Orientation;

/// The channels of a [`Picture`]: what its samples mean. They are those of the file, since a picture is resized in
/// these channels and only then converted to red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Channels {
    /// One sample: luminance.
    Grey,
    /// Luminance and opacity.
    GreyAlpha,
    /// Luminance, and 0 for pixels of the one value that the file calls transparent. OpenCLIP ignores the latter
    /// sample, so pixels are blended as if they were all opaque.
    GreyKeyed,
    /// Luminance of 16 bits, as two little-endian bytes. It is blended in 16 bits and then clipped at 255.
    Grey16,
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Red, green, blue, opacity.
    Rgba,
    /// Red, green, blue, and 0 for pixels of the one colour that the file calls transparent, as in
    /// [`Channels::GreyKeyed`].
    RgbKeyed,
    /// Red, green, blue of a picture stored with a palette or as black and white. Such a picture is never blended
    /// when it is resized: Pillow cannot blend palette indices, and checkpoints were trained on what it does instead.
    Palette,
    /// Red, green, blue, opacity of a picture stored with a palette, which is never blended either.
    PaletteAlpha,
    /// Cyan, magenta, yellow, black: the amounts of ink.
    Cmyk,
    /// Luminance and the differences of blue and red, as JFIF defines them.
    YCbCr,
}

/// Returns the luminance of red, green and blue as Pillow weighs them (ITU-R Rec. 601).
pub fn luminance([r, g, b]: [u8; 3]) -> f32 {
    0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b)
}

impl Channels {
    /// Returns the number of bytes per pixel.
    pub fn channels(self) -> usize {
        match self {
            Channels::Grey => 1,
            Channels::GreyAlpha | Channels::GreyKeyed | Channels::Grey16 => 2,
            Channels::Rgb | Channels::Palette | Channels::YCbCr => 3,
            Channels::Rgba | Channels::RgbKeyed | Channels::PaletteAlpha | Channels::Cmyk => 4,
        }
    }
}

/// A picture of 8-bit samples (height, width, channels), interleaved by pixel, rows from the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub mode: Channels,
    pub samples: Vec<u8>,
    /// The turn that makes the picture upright, from the file's EXIF data.
    pub orientation: Orientation,
    /// Where the samples lie, if they are those of a part and the rest of the picture was left out.
    pub cut: Option<Cut>,
}

impl Default for Picture {
    fn default() -> Self {
        Self::new(0, 0, Channels::default())
    }
}

impl Picture {
    /// Makes a black picture.
    pub fn new(width: usize, height: usize, mode: Channels) -> Self {
        let samples = vec![0; width * height * mode.channels()];
        Self { width, height, mode, samples, orientation: Orientation::NoTransforms, cut: None }
    }

    /// Gives the picture a new shape and reuses its memory. The values of its samples are then unspecified.
    pub(crate) fn reshape(&mut self, width: usize, height: usize, mode: Channels) {
        (self.width, self.height, self.mode, self.orientation) = (width, height, mode, Orientation::NoTransforms);
        self.cut = None;
        self.samples.resize(width * height * mode.channels(), 0);
    }

    /// Returns the width and the height of the picture, including what was left out of it.
    pub fn size(&self) -> (usize, usize) {
        self.cut.map_or((self.width, self.height), |cut| cut.whole)
    }

    /// Returns the column and the row of the first sample.
    pub(crate) fn corner(&self) -> (usize, usize) {
        self.cut.map_or((0, 0), |cut| cut.corner)
    }

    /// Returns a digest of the shape and the samples.
    pub fn digest(&self) -> Digest {
        let shape = [self.width as u64, self.height as u64, self.mode as u64].map(u64::to_le_bytes);
        digest([shape.as_flattened(), &self.samples])
    }

    /// Turns the picture upright.
    pub fn upright(mut self) -> Self {
        let turned = match self.mode.channels() {
            1 => self.turned::<1>(),
            2 => self.turned::<2>(),
            3 => self.turned::<3>(),
            _ => self.turned::<4>(),
        };
        if let Some(samples) = turned {
            self.samples = samples;
            self.cut = self.cut.map(|Cut { corner: (x, y), whole }| {
                let region = Region { x, y, width: self.width, height: self.height }.upright(self.orientation, whole);
                Cut { corner: (region.x, region.y), whole: region::turned(self.orientation, whole) }
            });
            (self.width, self.height) = region::turned(self.orientation, (self.width, self.height));
        }
        self.orientation = Orientation::NoTransforms;
        self
    }

    /// Returns the samples of the upright picture, or `None` if it is upright already.
    fn turned<const C: usize>(&self) -> Option<Vec<u8>> {
        if self.orientation == Orientation::NoTransforms {
            return None;
        }
        let (right, bottom) = (self.width.saturating_sub(1), self.height.saturating_sub(1));
        let at = stored_at(self.orientation);
        let (width, height) = region::turned(self.orientation, (self.width, self.height));
        let pixels = self.samples.as_chunks::<C>().0;
        let pixel = |(x, y): (usize, usize)| pixels[y * self.width + x];
        let rows = (0..height).flat_map(|y| (0..width).map(move |x| at(x, y, right, bottom)));
        Some(rows.flat_map(pixel).collect())
    }

    /// Converts to red, green and blue as Pillow's `convert("RGB")` does: grey is repeated, opacity dropped.
    pub fn into_rgb(mut self) -> Self {
        self.samples = match self.mode {
            Channels::Rgb | Channels::Palette => self.samples,
            Channels::Grey => self.samples.iter().flat_map(|&grey| [grey; 3]).collect(),
            Channels::GreyAlpha | Channels::GreyKeyed => converted(&self.samples, |[grey, _]| [grey; 3]),
            Channels::Grey16 => converted(&self.samples, |pixel| [u16::from_le_bytes(pixel).min(255) as u8; 3]),
            Channels::Rgba | Channels::RgbKeyed | Channels::PaletteAlpha => {
                converted(&self.samples, |[r, g, b, _]| [r, g, b])
            }
            Channels::Cmyk => converted(&self.samples, cmyk_to_rgb),
            Channels::YCbCr => converted(&self.samples, ycbcr_to_rgb),
        };
        self.mode = Channels::Rgb;
        self
    }

    /// Writes the picture, laid over white, as red, green and blue.
    pub fn on_white(&self, to: &mut Picture) {
        to.reshape(self.width, self.height, Channels::Rgb);
        to.cut = self.cut;
        let out = to.samples.as_chunks_mut::<3>().0;
        let over = |colour: u8, alpha: u8| {
            let (colour, alpha) = (u32::from(colour), u32::from(alpha));
            ((colour * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        match self.mode {
            Channels::Grey => out.iter_mut().zip(&self.samples).for_each(|(out, &grey)| *out = [grey; 3]),
            Channels::GreyAlpha | Channels::GreyKeyed => {
                let pixels = self.samples.as_chunks::<2>().0;
                out.iter_mut().zip(pixels).for_each(|(out, &[grey, alpha])| *out = [over(grey, alpha); 3]);
            }
            Channels::Rgb | Channels::Palette => to.samples.copy_from_slice(&self.samples),
            Channels::Rgba | Channels::RgbKeyed | Channels::PaletteAlpha => {
                let pixels = self.samples.as_chunks::<4>().0;
                out.iter_mut()
                    .zip(pixels)
                    .for_each(|(out, &[r, g, b, alpha])| *out = [r, g, b].map(|c| over(c, alpha)));
            }
            Channels::Grey16 | Channels::Cmyk | Channels::YCbCr => *to = self.clone().into_rgb(),
        }
    }
}

fn converted<const C: usize>(samples: &[u8], colour: impl Fn([u8; C]) -> [u8; 3]) -> Vec<u8> {
    samples.as_chunks().0.iter().flat_map(|&pixel| colour(pixel)).collect()
}

/// R = (255 − K) − C · (255 − K) / 255, and likewise G with M and B with Y.
fn cmyk_to_rgb([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let light = 255 - u32::from(k);
    [c, m, y].map(|ink| {
        let scaled = u32::from(ink) * light + 128;
        (light - (((scaled >> 8) + scaled) >> 8)) as u8
    })
}

/// R = Y + 1.402 Cr, G = Y − 0.344 Cb − 0.714 Cr, B = Y + 1.772 Cb.
pub(super) fn ycbcr_to_rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    // A cast to u8 saturates.
    [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb].map(|v| v.round() as u8)
}
