use super::Anchor::{End, Middle, Start};
use super::Stroke::{Thick, Thin};
use super::{CELL, Drawing};
use clipwright::tour::patches::{Grid, cut};

/// The picture, its four patches as rows, and the five rows that come out.
pub fn flag() -> String {
    let label = "A picture of 4 by 4 pixels, a flag on a pole, is cut into four patches A to D. Each becomes a row of four \
                 numbers, and by W and b a row of two. The class token stands in front, and each row gets its position.";
    let mut d = Drawing::new((560.0, 286.0), label);
    let grid = Grid { channels: 1, height: 4, width: 4, patch: 2 };
    let pixels = vec![0.9, 0.5, 0.6, 0.2, 0.9, 0.4, 0.7, 0.1, 0.9, 0.0, 0.0, 0.0, 0.9, 0.0, 0.0, 0.0];
    let ink = |pixel: f64| (70.0 * pixel).round() / 100.0;
    let (left, top, rows, out) = (10.0, 76.0, 206.0, 414.0);
    for (i, pixel) in pixels.iter().enumerate() {
        let corner = (left + (i % 4) as f64 * CELL, top + (i / 4) as f64 * CELL);
        d.shade(corner, (CELL, CELL), ink(*pixel));
    }
    d.grid((left, top), 4, 4);
    let height = |t: usize| 8.0 + 54.0 * t as f64;
    for (t, patch) in cut(grid, &vec![pixels]).iter().enumerate() {
        let name = ["A", "B", "C", "D"][t];
        let (x, y) = (left + (t % 2) as f64 * 72.0, top + (t / 2) as f64 * 72.0);
        d.frame((x, y), (72.0, 72.0), Thick);
        patch.iter().enumerate().for_each(|(j, pixel)| {
            d.shade((rows + j as f64 * CELL, height(t + 1)), (CELL, CELL), ink(*pixel));
        });
        d.grid((rows, height(t + 1)), 1, 4);
        d.text((rows - 8.0, height(t + 1) + 23.0), End, name);
        d.arrow((354.0, height(t + 1) + 18.0), (out - 6.0, height(t + 1) + 18.0), Thin);
    }
    d.arrow((158.0, 148.0), (182.0, 148.0), Thick);
    d.text((out - 10.0, height(0) + 23.0), End, "class");
    for (t, position) in ["+ pos₀", "+ pos₁", "+ pos₂", "+ pos₃", "+ pos₄"].into_iter().enumerate() {
        d.grid((out, height(t)), 1, 2);
        d.text((out + 80.0, height(t) + 23.0), Start, position);
    }
    d.text((82.0, 240.0), Middle, "picture");
    d.text((rows + 72.0, 50.0), Middle, "patches as rows");
    d.text((380.0, 278.0), Middle, "W, b");
    d.figure(
        "The flag flies; the stronger the shade, the larger the number. The picture is cut into four patches, each becomes \
         a row of d numbers (here 2), and the class token goes in front. The lowered flag has the same patches in the \
         order C, D, A, B.",
    )
}
