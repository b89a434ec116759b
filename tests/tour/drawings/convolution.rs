use super::Anchor::{End, Middle, Start};
use super::Stroke::{Dashed, Thick, Thin};
use super::{CELL, Drawing};

/// The window at two of its four places.
pub fn window() -> String {
    let label = "A picture of 3 times 4 pixels with a dashed border of padding. The window of 3 times 3 pixels stands with \
                 its middle on the upper left pixel, and one step of two pixels further right. Each place makes one pixel \
                 of y, which is 2 times 2 pixels large.";
    let mut d = Drawing::new((560.0, 236.0), label);
    let (left, top) = (66.0, 60.0);
    let pixels = [["0", "1", "5", "6"], ["0", "2", "6", "2"], ["2", "1", "3", "5"]];
    d.frame((left - CELL, top - CELL), (6.0 * CELL, 5.0 * CELL), Dashed);
    d.shade((left - CELL, top - CELL), (3.0 * CELL, 3.0 * CELL), 0.15);
    d.grid((left, top), 3, 4);
    d.frame((left - CELL, top - CELL), (3.0 * CELL, 3.0 * CELL), Thick);
    d.frame((left + CELL, top - CELL + 4.0), (3.0 * CELL, 3.0 * CELL - 8.0), Dashed);
    for (i, row) in pixels.iter().enumerate() {
        for (j, pixel) in row.iter().enumerate() {
            let (x, y) = (left + (j as f64 + 0.5) * CELL, top + (i as f64 + 0.5) * CELL + 5.0);
            d.text((x, y), Middle, pixel);
        }
    }
    d.arrow((290.0, 110.0), (390.0, 110.0), Thick);
    d.text((340.0, 98.0), Middle, "· W, sum");
    d.frame((400.0, 70.0), (120.0, 80.0), Thin);
    d.line(&[(460.0, 70.0), (460.0, 150.0)], Thin);
    d.line(&[(400.0, 110.0), (520.0, 110.0)], Thin);
    d.shade((400.0, 70.0), (60.0, 40.0), 0.15);
    for (i, value) in ["7.0", "7.5", "4.0", "9.5"].into_iter().enumerate() {
        d.text((430.0 + 60.0 * (i % 2) as f64, 95.0 + 40.0 * (i / 2) as f64), Middle, value);
    }
    d.text((460.0, 172.0), Middle, "y, channel 1");
    d.text((left + 2.0 * CELL, 228.0), Middle, "x, with padding");
    d.figure("The window at its first place (thick) and at its second (dashed). Five of the nine numbers under the first place are outside \
         of the picture and count as 0.")
}

/// What LayerNorm and BatchNorm take their mean over.
pub fn norms() -> String {
    let label = "Two tables with a row for each pixel and a column for each channel. LayerNorm takes mean and variance of a \
                 row, BatchNorm of a column.";
    let mut d = Drawing::new((560.0, 226.0), label);
    for (left, name) in [(100.0, "LayerNorm"), (350.0, "BatchNorm")] {
        d.grid((left, 40.0), 4, 3);
        d.text((left + 1.5 * CELL, 28.0), Middle, name);
        d.text((left + 1.5 * CELL, 206.0), Middle, "channels");
    }
    d.shade((100.0, 40.0 + CELL), (3.0 * CELL, CELL), 0.35);
    d.frame((100.0, 40.0 + CELL), (3.0 * CELL, CELL), Thick);
    d.shade((350.0 + CELL, 40.0), (CELL, 4.0 * CELL), 0.35);
    d.frame((350.0 + CELL, 40.0), (CELL, 4.0 * CELL), Thick);
    d.text((92.0, 117.0), End, "pixels");
    d.text((342.0, 117.0), End, "pixels");
    d.figure("What is brought to mean 0 and variance 1: a row by itself, or a channel of all pixels of all pictures.")
}

/// The mean asks, all answer.
pub fn pool() -> String {
    let label = "Four pixels and their mean are five tokens. The mean makes the query, all five make keys and values. The \
                 shares 0.187, 0.190, 0.229, 0.186 and 0.209 weigh the values, and one row comes out.";
    let mut d = Drawing::new((560.0, 240.0), label);
    let names = ["mean", "upper left", "upper right", "lower left", "lower right"];
    let shares = ["0.187", "0.190", "0.229", "0.186", "0.209"];
    for (i, (name, share)) in names.into_iter().zip(shares).enumerate() {
        let y = 20.0 + 42.0 * i as f64;
        d.labelled((20.0, y), (100.0, 32.0), if i == 0 { Thick } else { Thin }, name);
        d.text((172.0, y + 21.0), End, share);
        d.arrow((180.0, y + 16.0), (348.0, 106.0 + 4.0 * i as f64), Thin);
    }
    d.labelled((350.0, 90.0), (70.0, 48.0), Thin, "P·v");
    d.arrow((422.0, 114.0), (478.0, 114.0), Thick);
    d.labelled((480.0, 98.0), (60.0, 32.0), Thick, "y");
    d.line(&[(70.0, 20.0), (70.0, 8.0), (385.0, 8.0)], Dashed);
    d.arrow((385.0, 8.0), (385.0, 87.0), Dashed);
    d.text((393.0, 50.0), Start, "q, the question");
    d.figure("The attention pool. The mean of the pixels asks, and all tokens answer; their values are weighed by the shares P.")
}
