//! Samples of fewer than eight bits, and palettes.

use crate::pictures::picture::{Channels, Picture};

/// The colours of a picture's values, each with its opacity.
pub(super) struct Palette([[u8; 4]; 256]);

impl Palette {
    /// Makes a palette from the colours of the first values. All other values are black, as in Pillow's palettes.
    pub(crate) fn new(colours: impl IntoIterator<Item = [u8; 3]>) -> Self {
        let mut palette = [[0, 0, 0, 255]; 256];
        (palette.iter_mut().zip(colours)).for_each(|(colour, [r, g, b])| *colour = [r, g, b, 255]);
        Self(palette)
    }

    /// Makes a palette from bytes of red, green and blue, one colour after the other.
    pub(crate) fn of_bytes(colours: &[u8]) -> Self {
        Self::new(colours.as_chunks().0.iter().copied())
    }

    /// Sets the opacity of the first values.
    pub(crate) fn set_opacity(&mut self, opacity: impl IntoIterator<Item = u8>) {
        self.0.iter_mut().zip(opacity).for_each(|(colour, opacity)| colour[3] = opacity);
    }

    /// Makes one value transparent.
    pub(crate) fn make_transparent(&mut self, value: u8) {
        self.0[usize::from(value)][3] = 0;
    }

    /// Returns whether every value is its own shade of grey. Pillow reads such a picture as grey.
    pub(crate) fn is_grey_wedge(colours: &[u8]) -> bool {
        colours.as_chunks::<3>().0.iter().zip(0..=255).all(|(colour, grey)| *colour == [grey; 3])
    }

    /// Returns the picture of these values, which is never blended.
    pub(crate) fn picture(&self, width: usize, height: usize, values: &[u8]) -> Picture {
        let colours = values.iter().map(|&value| self.0[usize::from(value)]);
        let (mode, samples) = if self.0.iter().all(|colour| colour[3] == 255) {
            (Channels::Palette, colours.flat_map(|[r, g, b, _]| [r, g, b]).collect())
        } else {
            (Channels::PaletteAlpha, colours.flatten().collect())
        };
        Picture { width, height, mode, samples, ..Picture::default() }
    }
}

/// Unpacks rows of samples of `bits` bits, the first in the highest bits; every row begins with a new byte.
pub(super) fn unpack(rows: &[u8], width: usize, bits: usize) -> Vec<u8> {
    if bits == 8 {
        return rows.to_vec();
    }
    let (per_byte, mask) = (8 / bits, (1u8 << bits) - 1);
    let sample = |row: &[u8], x: usize| (row[x / per_byte] >> (8 - bits - x % per_byte * bits)) & mask;
    let rows = rows.chunks_exact((width * bits).div_ceil(8));
    rows.flat_map(|row| (0..width).map(move |x| sample(row, x))).collect()
}

/// Returns the high bytes of big-endian samples of 16 bits.
pub(super) fn high_bytes(samples: &[u8]) -> Vec<u8> {
    samples.iter().step_by(2).copied().collect()
}

/// Adds an opacity that is 0 where a pixel has the transparent colour and 255 elsewhere.
pub(super) fn keyed<const C: usize>(samples: &[u8], transparent: [u8; C]) -> Vec<u8> {
    let opacity = |pixel: &[u8; C]| if *pixel == transparent { 0 } else { 255 };
    samples.as_chunks::<C>().0.iter().flat_map(|pixel| pixel.iter().copied().chain([opacity(pixel)])).collect()
}
