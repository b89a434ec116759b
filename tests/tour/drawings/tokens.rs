use super::Anchor::{Middle, Start};
use super::Drawing;
use super::Stroke::{Dashed, Thick, Thin};

/// Two captions as packed rows, the row of the table that both read, and the rows that leave.
pub fn packed() -> String {
    let label = "Nine boxes in a line: start, a, c, hat, end of the first caption, and start, a, cat, end of the second. \
                 Below them their places, 0 to 4 and 0 to 3. Both boxes start have an arrow from row 14 of the table. \
                 Both boxes end have an arrow upwards: they leave.";
    let mut d = Drawing::new((560.0, 250.0), label);
    let (width, top) = (56.0, 88.0);
    let tokens = ["start", "a", "c", "hat", "end", "start", "a", "cat", "end"];
    let places = [0, 1, 2, 3, 4, 0, 1, 2, 3];
    for (n, (token, place)) in tokens.into_iter().zip(places).enumerate() {
        let left = 8.0 + width * n as f64 + if n > 4 { 32.0 } else { 0.0 };
        let middle = left + width / 2.0;
        let is_end = token == "end";
        if is_end {
            d.shade((left, top), (width, 36.0), 0.2);
            d.arrow((middle, top - 4.0), (middle, top - 34.0), Thick);
            d.text((middle, top - 42.0), Middle, "leaves");
        }
        if token == "start" {
            d.arrow((if n == 0 { 190.0 } else { 314.0 }, 196.0), (middle, 154.0), Dashed);
        }
        d.labelled((left, top), (width, 36.0), if is_end { Thick } else { Thin }, token);
        d.text((middle, top + 56.0), Middle, &place.to_string());
    }
    d.labelled((164.0, 196.0), (176.0, 36.0), Thin, "table, row 14: start");
    d.text((8.0, 20.0), Start, "rows 0 to 4: \"a chat\"");
    d.text((320.0, 20.0), Start, "rows 5 to 8: \"a cat\"");
    d.figure(
        "Packed rows: one caption behind the other, with the place of each token below it. Row 14 of the table is read \
         twice, and its gradient is the sum of both. Of each caption the last row leaves the tower.",
    )
}
