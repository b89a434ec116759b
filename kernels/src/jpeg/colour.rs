//! Luminance and colour differences, as JFIF defines them, to red, green and blue.
//!
//! Y is the luminance; B and R are the differences of blue and red from it, less 128.
//!
//! ```text
//! red = Y + 1.402 R,  green = Y − 0.34414 B − 0.71414 R,  blue = Y + 1.772 B
//! ```
//!
//! The products are in fixed point with 16 bits after the point; those of green are added before they are rounded.

use crate::isa::{Isa, multiversion};

/// Number of bits after the point.
const BITS: u32 = 16;
const HALF: i32 = 1 << (BITS - 1);

/// rgb ← the pixels of luminances and of the differences of blue and of red
///
/// # Panics
/// Panics unless the lengths fit.
#[track_caller]
pub fn rgb(y: &[u8], blue: &[u8], red: &[u8], rgb: &mut [u8]) {
    rgb_on(Isa::best(), y, blue, red, rgb);
}

/// Computes [`rgb`] on a given instruction set.
#[track_caller]
pub fn rgb_on(isa: Isa, y: &[u8], blue: &[u8], red: &[u8], rgb: &mut [u8]) {
    let n = y.len();
    assert!(blue.len() == n && red.len() == n && rgb.len() == 3 * n, "colour: rows of other lengths");
    convert(isa, y, blue, red, rgb);
}

multiversion! {
    fn convert(y: &[u8], blue: &[u8], red: &[u8], rgb: &mut [u8]) {
        let pixels = rgb.as_chunks_mut::<3>().0.iter_mut();
        for (pixel, ((&y, &blue), &red)) in pixels.zip(y.iter().zip(blue).zip(red)) {
            *pixel = pixel_of(y, blue, red);
        }
    }
}

/// Converts one pixel.
#[inline(always)]
pub fn pixel_of(y: u8, blue: u8, red: u8) -> [u8; 3] {
    let [y, blue, red] = [i32::from(y), i32::from(blue) - 128, i32::from(red) - 128];
    let sums = [91881 * red + HALF, -22554 * blue - 46802 * red + HALF, 116130 * blue + HALF];
    sums.map(|sum| (y + (sum >> BITS)).clamp(0, 255) as u8)
}
