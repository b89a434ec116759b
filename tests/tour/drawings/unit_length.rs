use super::Anchor::{End, Middle, Start};
use super::Drawing;
use super::Stroke::{Dashed, Thick, Thin};
use std::f64::consts::TAU;

/// Rows become unit length, and of a gradient the part along the row is taken out.
pub fn turn() -> String {
    let label = "A circle with radius 1. The row x of the cat reaches beyond it and is cut back to y on the circle. The \
                 row of the dog ends inside and is drawn out to the circle. At the cat's y, minus dy is the sum of a part \
                 along the row and a part that touches the circle.";
    let mut d = Drawing::new((560.0, 330.0), label);
    let at = |x: f64, y: f64| (170.0 + 130.0 * x, 152.0 - 130.0 * y);
    let circle: Vec<_> = (0..=72).map(|i| f64::from(i) * TAU / 72.0).map(|turn| at(turn.cos(), turn.sin())).collect();
    d.line(&circle, Thin);
    d.line(&[at(-1.1, 0.0), at(1.1, 0.0)], Thin);
    d.line(&[at(0.0, -1.1), at(0.0, 1.1)], Thin);
    d.arrow(at(0.0, 0.0), at(1.6, -1.2), Thin);
    d.arrow(at(0.0, 0.0), at(0.8, -0.6), Thick);
    d.arrow(at(0.0, 0.0), at(0.6, 0.8), Thick);
    d.arrow(at(0.0, 0.0), at(0.3, 0.4), Thin);
    let from = (0.8, -0.6);
    let (whole, rest) = ((1.68, -0.44), (1.1936, -0.0752));
    d.arrow(at(from.0, from.1), at(whole.0, whole.1), Dashed);
    d.arrow(at(from.0, from.1), at(rest.0, rest.1), Thick);
    d.line(&[at(rest.0, rest.1), at(whole.0, whole.1)], Dashed);
    d.text((at(1.6, -1.2).0 + 10.0, at(1.6, -1.2).1 + 4.0), Start, "x, cat");
    d.text(at(0.54, -0.62), End, "y, cat");
    d.text((at(0.6, 0.8).0 + 10.0, at(0.6, 0.8).1 - 2.0), Start, "y, dog");
    d.text((at(0.3, 0.4).0 - 12.0, at(0.3, 0.4).1 + 4.0), End, "x");
    d.text((at(1.68, -0.44).0 + 8.0, at(1.68, -0.44).1 + 5.0), Start, "−dy");
    d.text((at(1.1936, -0.0752).0 + 6.0, at(1.1936, -0.0752).1 - 10.0), Start, "turns the row");
    d.text((at(1.437, -0.258).0 + 10.0, at(1.437, -0.258).1 - 2.0), Start, "along the row");
    d.text((at(-0.72, 0.72).0 - 8.0, at(-0.72, 0.72).1), End, "|y| = 1");
    d.text((at(1.0, 0.0).0 - 10.0, at(1.0, 0.0).1 - 8.0), Middle, "1");
    d.figure(
        "A long row and a short row end on the circle. At the cat's y the step −dy has two parts: one along the row, \
         which cannot change y, and one that touches the circle.",
    )
}
