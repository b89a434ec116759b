//! The canvas of all plots: its units, its colours and simple shapes.
//!
//! Lengths are in points, which [`pt`] turns into pixels of the canvas. A point is [`SHARPNESS`] pixels of the finished
//! picture. The canvas is drawn [`OVERSAMPLING`] times finer, so that averaging smooths every edge and text is placed
//! to a fraction of a pixel.

use crate::pictures::Picture;
use image::{Rgb, RgbImage, imageops};
use plotters::backend::BitMapBackend;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::error::Error;

const SHARPNESS: u32 = 2;
const OVERSAMPLING: u32 = 2;

/// The colour of text: dark grey instead of black, so that the curves stay the strongest element of a plot.
pub(super) const INK: RGBColor = RGBColor(0x26, 0x26, 0x2b);
/// The colour of secondary text and lines.
pub(super) const FAINT: RGBColor = RGBColor(0x80, 0x80, 0x88);
/// The colour of rules and frames.
pub(super) const RULE: RGBColor = RGBColor(0xe4, 0xe4, 0xe8);
/// Okabe & Ito's colours, which people with any kind of colour vision can tell apart.
pub(super) const COLOURS: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
];

/// A part of the canvas to draw on.
pub(super) type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
/// The outcome of drawing.
pub(super) type Drawn = Result<(), Box<dyn Error>>;

/// Converts points to pixels of the canvas.
pub(super) fn pt(points: f64) -> i32 {
    (points * f64::from(SHARPNESS * OVERSAMPLING)).round() as i32
}

/// Draws a picture whose size is given in points.
pub(super) fn draw((width, height): (f64, f64), paint: impl FnOnce(&Area) -> Drawn) -> RgbImage {
    let (w, h) = (pt(width) as u32, pt(height) as u32);
    let mut pixels = vec![0xff; (w * h * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (w, h)).into_drawing_area();
        paint(&area).expect("drawing into memory cannot fail");
        area.present().expect("the canvas is in memory");
    }
    let canvas = RgbImage::from_raw(w, h, pixels).expect("three bytes per pixel");
    // `thumbnail` averages boxes of pixels.
    imageops::thumbnail(&canvas, w / OVERSAMPLING, h / OVERSAMPLING)
}

/// Fills the axis-parallel rectangle between two corners in points.
pub(super) fn fill(area: &Area, [(x0, y0), (x1, y1)]: [(f64, f64); 2], colour: impl Color) -> Drawn {
    Ok(area.draw(&Rectangle::new([(pt(x0), pt(y0)), (pt(x1), pt(y1))], colour.filled()))?)
}

/// Converts a picture to the type that the plots take, and turns it upright.
pub(crate) fn image(picture: &Picture) -> RgbImage {
    rgb(picture.clone().upright())
}

/// Converts a picture to the type that the plots take, as it lies.
pub(crate) fn rgb(picture: Picture) -> RgbImage {
    let picture = picture.into_rgb();
    let (width, height) = (picture.width as u32, picture.height as u32);
    RgbImage::from_raw(width, height, picture.samples).expect("three samples a pixel")
}

/// Draws a picture in the middle of a square of `side` points with a thin frame. It is shown whole and keeps its
/// proportions.
pub(super) fn thumbnail(area: &Area, picture: &RgbImage, (x, y): (f64, f64), side: f64) -> Drawn {
    let line = 0.5;
    fill(area, [(x - line, y - line), (x + side + line, y + side + line)], RULE)?;
    let pixels = pt(side) as u32;
    let scaled = imageops::resize(&square(picture), pixels, pixels, imageops::FilterType::CatmullRom);
    let element = BitMapElement::with_owned_buffer((pt(x), pt(y)), scaled.dimensions(), scaled.into_raw());
    Ok(area.draw(&element.expect("three bytes per pixel"))?)
}

/// Returns the picture in the middle of a white square.
fn square(picture: &RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    let side = width.max(height);
    let mut square = RgbImage::from_pixel(side, side, Rgb([255; 3]));
    imageops::replace(&mut square, picture, i64::from((side - width) / 2), i64::from((side - height) / 2));
    square
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_neither_squeezed_nor_cropped() {
        let side = 8.0;
        let black = |width, height| {
            let picture = RgbImage::new(width, height);
            let drawn = draw((side, side), |area| thumbnail(area, &picture, (0.0, 0.0), side));
            let (middle, last) = (drawn.width() / 2, drawn.width() - 2);
            [(middle, middle), (1, middle), (last, middle), (middle, 1), (middle, last)]
                .map(|(x, y)| drawn[(x, y)][0] < 99)
        };
        assert_eq!(black(8, 8), [true; 5]);
        assert_eq!(black(16, 4), [true, true, true, false, false]);
        assert_eq!(black(4, 16), [true, false, false, true, true]);
    }
}
