use super::Anchor::{End, Middle, Start};
use super::Stroke::{Dashed, Thick, Thin};
use super::{CELL, Drawing};

/// x and Wᵀ meet in y, and every two of x, W and y share one size.
pub fn products() -> String {
    let label = "On the left x times W transposed gives y: a row of x and a column of Wᵀ make one score. On the right a \
                 triangle of x, W and y. x and W share the size I, W and y share O, x and y share N.";
    let mut d = Drawing::new((560.0, 276.0), label);
    let (x, weight, y) = ((100.0, 164.0), (232.0, 34.0), (232.0, 164.0));
    d.shade((x.0, x.1 + CELL), (3.0 * CELL, CELL), 0.12);
    d.shade((weight.0, weight.1), (CELL, 3.0 * CELL), 0.12);
    d.shade((y.0, y.1 + CELL), (CELL, CELL), 0.35);
    d.grid(x, 2, 3);
    d.grid(weight, 3, 2);
    d.grid(y, 2, 2);
    d.frame((x.0, x.1 + CELL), (3.0 * CELL, CELL), Thick);
    d.frame(weight, (CELL, 3.0 * CELL), Dashed);
    d.text((92.0, 223.0), End, "picture n");
    d.text((250.0, 24.0), Middle, "score o");
    d.text((224.0, 93.0), End, "Wᵀ (I,O)");
    d.text((154.0, 256.0), Middle, "x (N,I)");
    d.text((268.0, 256.0), Middle, "y (N,O)");

    let corners = [("W", (428.0, 60.0)), ("x", (352.0, 214.0)), ("y", (504.0, 214.0))];
    for (name, (x, y)) in corners {
        d.labelled((x - 22.0, y - 18.0), (44.0, 36.0), Thick, name);
    }
    d.line(&[(419.0, 78.0), (361.0, 196.0)], Thin);
    d.line(&[(437.0, 78.0), (495.0, 196.0)], Thin);
    d.line(&[(374.0, 214.0), (482.0, 214.0)], Thin);
    d.text((382.0, 132.0), End, "I, for y");
    d.text((474.0, 132.0), Start, "O, for dx");
    d.text((428.0, 240.0), Middle, "N, for dW");
    d.figure(
        "Left: row n of x and column o of Wᵀ make one score, drawn for N = 2, I = 3 and O = 2. Right, for the end of the \
         chapter: any two of x, W and y share one size. Where their product sums that size away, the third \
         comes out, or its gradient.",
    )
}
