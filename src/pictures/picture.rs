//! Decoded pictures: samples, channels and digests.

use std::hash::{DefaultHasher, Hasher};

/// The channels of a [`Picture`]: what its samples mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Channels {
    /// One sample: luminance.
    Grey,
    /// Luminance and opacity.
    GreyAlpha,
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Red, green, blue, opacity.
    Rgba,
    /// Red, green, blue of a picture stored with a palette or as black and white. Such a picture is never blended
    /// when it is resized: Pillow cannot blend palette indices, and checkpoints were trained on what it does instead.
    Palette,
    /// Red, green, blue, opacity of a picture stored with a palette, which is never blended either.
    PaletteAlpha,
}

impl Channels {
    /// Returns the number of samples per pixel.
    pub fn channels(self) -> usize {
        match self {
            Channels::Grey => 1,
            Channels::GreyAlpha => 2,
            Channels::Rgb | Channels::Palette => 3,
            Channels::Rgba | Channels::PaletteAlpha => 4,
        }
    }
}

/// A digest that is equal for equal pictures, and for different ones with a chance of one in 2⁶⁴. Digests can be
/// compared within one run of one program only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest {
    width: usize,
    height: usize,
    mode: Channels,
    samples: u64,
}

/// A picture of 8-bit samples (height, width, channels), interleaved by pixel, rows from the top.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub mode: Channels,
    pub samples: Vec<u8>,
}

impl Picture {
    /// Makes a black picture.
    pub fn new(width: usize, height: usize, mode: Channels) -> Self {
        Self { width, height, mode, samples: vec![0; width * height * mode.channels()] }
    }

    /// Gives the picture a new shape and reuses its memory. The values of its samples are then unspecified.
    pub fn reshape(&mut self, width: usize, height: usize, mode: Channels) {
        (self.width, self.height, self.mode) = (width, height, mode);
        self.samples.resize(width * height * mode.channels(), 0);
    }

    /// Returns a digest of the shape and the samples.
    pub fn digest(&self) -> Digest {
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.samples);
        Digest { width: self.width, height: self.height, mode: self.mode, samples: hasher.finish() }
    }

    /// Converts to red, green and blue as Pillow's `convert("RGB")` does: grey is repeated, opacity dropped.
    pub fn into_rgb(mut self) -> Self {
        self.samples = match self.mode {
            Channels::Rgb | Channels::Palette => self.samples,
            Channels::Grey => self.samples.iter().flat_map(|&grey| [grey; 3]).collect(),
            Channels::GreyAlpha => self.samples.chunks_exact(2).flat_map(|pixel| [pixel[0]; 3]).collect(),
            Channels::Rgba | Channels::PaletteAlpha => {
                self.samples.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
            }
        };
        self.mode = Channels::Rgb;
        self
    }

    /// Writes the picture, laid over white, as red, green and blue.
    pub fn on_white(&self, to: &mut Picture) {
        to.reshape(self.width, self.height, Channels::Rgb);
        let out = to.samples.as_chunks_mut::<3>().0;
        let over = |colour: u8, alpha: u8| {
            let (colour, alpha) = (u32::from(colour), u32::from(alpha));
            ((colour * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        match self.mode {
            Channels::Grey => out.iter_mut().zip(&self.samples).for_each(|(out, &grey)| *out = [grey; 3]),
            Channels::GreyAlpha => {
                let pixels = self.samples.as_chunks::<2>().0;
                out.iter_mut().zip(pixels).for_each(|(out, &[grey, alpha])| *out = [over(grey, alpha); 3]);
            }
            Channels::Rgb | Channels::Palette => to.samples.copy_from_slice(&self.samples),
            Channels::Rgba | Channels::PaletteAlpha => {
                let pixels = self.samples.as_chunks::<4>().0;
                out.iter_mut()
                    .zip(pixels)
                    .for_each(|(out, &[r, g, b, alpha])| *out = [r, g, b].map(|c| over(c, alpha)));
            }
        }
    }
}
