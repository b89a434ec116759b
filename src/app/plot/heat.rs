//! Heat over pictures and in matrices, and the sheet that shows such drawings side by side.

use super::canvas::{Area, COLOURS, Drawn, FAINT, INK, RULE, draw, fill, thumbnail};
use super::text::{Anchor, ellipsise, text, wrap};
use crate::pictures::picture::luminance;
use image::{Rgb, RgbImage};
use ndarray::Array2;
use plotters::style::{Color, RGBColor};

/// The colour of the largest heat. That of none is the paper's, or a pale grey picture.
const HOT: RGBColor = COLOURS[1];
/// The share of the largest heat's colour in its pixel; the picture has the rest.
const COVER: f32 = 0.85;
/// The share of white in a picture under its heat, and where the model does not see it.
const PALE: [f32; 2] = [0.35, 0.8];

/// Number of drawings in a row. The lengths below are in points.
const COLUMNS: usize = 5;
const SIDE: f64 = 150.0;
const GAP: f64 = 18.0;
const LINE: f64 = 17.0;
const LINES: usize = 2;
const MARGIN: f64 = 22.0;
const HEAD: f64 = 50.0;
const TEXT: f64 = 12.0;

/// A drawing and what it shows.
#[derive(Clone, Debug)]
pub struct Drawing {
    pub image: RgbImage,
    pub title: String,
    /// Numbers that belong to it.
    pub note: String,
}

/// Draws the sheet: a title, what there is to know, and the drawings, five in a row.
pub(crate) fn sheet(title: &str, about: &str, drawings: &[Drawing]) -> RgbImage {
    let columns = drawings.len().clamp(3, COLUMNS);
    let width = 2.0 * MARGIN + columns as f64 * (SIDE + GAP) - GAP;
    let about = wrap(about, TEXT, width - 2.0 * MARGIN, 6);
    let (top, row) = (HEAD + about.len() as f64 * LINE + GAP, SIDE + (LINES + 1) as f64 * LINE + GAP);
    let height = top + drawings.len().div_ceil(columns) as f64 * row - GAP + MARGIN;
    draw((width, height), |area| {
        text(area, &ellipsise(title, 17.0, width - 2.0 * MARGIN), (MARGIN, 28.0), Anchor::Left, 17.0, &INK)?;
        for (i, line) in about.iter().enumerate() {
            text(area, line, (MARGIN, HEAD + (i as f64 + 0.5) * LINE), Anchor::Left, TEXT, &FAINT)?;
        }
        for (i, drawing) in drawings.iter().enumerate() {
            let place = |i: usize, step: f64| i as f64 * step;
            draw_one(area, (MARGIN + place(i % columns, SIDE + GAP), top + place(i / columns, row)), drawing)?;
        }
        Ok(())
    })
}

fn draw_one(area: &Area, (x, y): (f64, f64), Drawing { image, title, note }: &Drawing) -> Drawn {
    thumbnail(area, image, (x, y), SIDE)?;
    let title = wrap(title, TEXT, SIDE, LINES);
    let middle = |line: usize| y + SIDE + (line as f64 + 0.6) * LINE;
    for (i, line) in title.iter().enumerate() {
        text(area, line, (x, middle(i)), Anchor::Left, TEXT, &INK)?;
    }
    text(area, &ellipsise(note, TEXT, SIDE), (x, middle(title.len())), Anchor::Left, TEXT, &FAINT)
}

/// Returns a grey picture with the heat of a grid over it, as a share of `full`. The grid lies over the `square` of the
/// picture (left, top, right, bottom, in pixels) and is interpolated linearly between the middles of its cells. What is
/// outside the square is paler.
pub(crate) fn over(picture: &RgbImage, square: [f64; 4], grid: &Array2<f32>, full: f32) -> RgbImage {
    let [left, top, right, bottom] = square;
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let at = [(f64::from(y) + 0.5 - top) / (bottom - top), (f64::from(x) + 0.5 - left) / (right - left)];
        let light = luminance(picture.get_pixel(x, y).0);
        let [seen, unseen] = PALE.map(|white| light + white * (255.0 - light));
        if at.iter().any(|at| !(0.0..1.0).contains(at)) {
            return Rgb([unseen as u8; 3]);
        }
        let heat = COVER * (between(grid, at) / full.max(f32::MIN_POSITIVE)).clamp(0.0, 1.0);
        let RGBColor(r, g, b) = HOT;
        Rgb([r, g, b].map(|hot| (seen + heat * (f32::from(hot) - seen)).round() as u8))
    })
}

/// Returns the value at a place in a grid, whose height and width are 1, by bilinear interpolation between the middles
/// of cells.
fn between(grid: &Array2<f32>, at: [f64; 2]) -> f32 {
    let (rows, columns) = grid.dim();
    let [(top, bottom, down), (left, right, across)] = [(rows, at[0]), (columns, at[1])].map(|(cells, at)| {
        let place = (at * cells as f64 - 0.5).clamp(0.0, (cells - 1) as f64);
        let first = place as usize;
        (first, (first + 1).min(cells - 1), (place - first as f64) as f32)
    });
    let mix = |a: f32, b: f32, share: f32| a + share * (b - a);
    let row = |y: usize| mix(grid[[y, left]], grid[[y, right]], across);
    mix(row(top), row(bottom), down)
}

/// Draws a matrix of shares between the same names from the top to the bottom and from the left to the right. The names
/// stand on the left.
pub(crate) fn matrix(names: &[String], shares: &Array2<f32>) -> RgbImage {
    let label = 0.34 * SIDE;
    let cell = (SIDE - label) / names.len() as f64;
    // Names that would be too small to read are left out, all but every so manyth.
    let (size, step) = (cell.clamp(6.0, TEXT), (7.0 / cell).ceil().max(1.0) as usize);
    draw((SIDE, SIDE), |area| {
        for (i, name) in names.iter().enumerate() {
            let y = label / 2.0 + i as f64 * cell;
            if i % step == 0 {
                let name = ellipsise(name, size, label - 4.0);
                text(area, &name, (label - 3.0, y + cell / 2.0), Anchor::Right, size, &INK)?;
            }
            for j in 0..names.len() {
                let x = label + j as f64 * cell;
                fill(area, [(x, y), (x + cell, y + cell)], RULE)?;
                let inside = [(x + 0.4, y + 0.4), (x + cell, y + cell)];
                fill(area, inside, plotters::style::WHITE)?;
                fill(area, inside, HOT.mix(f64::from(shares[[i, j]].clamp(0.0, 1.0))))?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn grids_are_interpolated_between_the_middles_of_cells() {
        let grid = array![[0.0, 1.0], [2.0, 3.0]];
        let at = |y, x| between(&grid, [y, x]);
        assert_eq!([at(0.25, 0.25), at(0.25, 0.75), at(0.75, 0.25), at(0.75, 0.75)], [0.0, 1.0, 2.0, 3.0]);
        assert_eq!([at(0.5, 0.5), at(0.25, 0.5), at(0.5, 0.25)], [1.5, 0.5, 1.0]);
        assert_eq!([at(0.0, 0.0), at(1.0, 1.0), at(0.0, 1.0)], [0.0, 3.0, 1.0], "beyond the middles nothing changes");
        assert_eq!(between(&array![[7.0]], [0.9, 0.1]), 7.0);
    }

    #[test]
    fn heat_lies_over_the_square_and_nowhere_else() {
        let picture = RgbImage::from_pixel(8, 4, Rgb([100; 3]));
        let drawn = over(&picture, [2.0, 0.0, 6.0, 4.0], &array![[1.0, 0.0]], 1.0);
        let is_grey = |x| drawn.get_pixel(x, 2).0.iter().all(|&v| v == drawn.get_pixel(x, 2).0[0]);
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(is_grey), [true, true, false, false, false, true, true, true]);
        let none = over(&picture, [0.0, 0.0, 8.0, 4.0], &array![[0.0]], 0.0);
        assert!(none.pixels().all(|pixel| pixel == none.get_pixel(0, 0)), "no heat at all is no division by zero");
    }
}
