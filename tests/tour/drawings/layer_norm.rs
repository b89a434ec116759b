use super::Anchor::{End, Middle, Start};
use super::Stroke::{Dashed, Thick, Thin};
use super::{CELL, Drawing};
use clipwright::tour::layer_norm::normalised;

/// What belongs to a row, and what to a column.
pub fn rows() -> String {
    let label = "A matrix of 3 rows and 4 columns. Each row has its own μ and r, on its right. Each column has its own \
                 weight and bias, below.";
    let mut d = Drawing::new((560.0, 220.0), label);
    let (left, top) = (110.0, 30.0);
    d.shade((left, top + CELL), (4.0 * CELL, CELL), 0.12);
    d.shade((left + 2.0 * CELL, top), (CELL, 3.0 * CELL), 0.12);
    d.grid((left, top), 3, 4);
    d.frame((left, top + CELL), (4.0 * CELL, CELL), Thick);
    d.frame((left + 2.0 * CELL, top), (CELL, 3.0 * CELL), Dashed);
    d.arrow((262.0, 84.0), (296.0, 84.0), Thick);
    d.arrow((200.0, 144.0), (200.0, 172.0), Thick);
    d.text((102.0, 89.0), End, "row n");
    d.text((182.0, 22.0), Middle, "x (N,d)");
    d.text((304.0, 79.0), Start, "μ and r of row n,");
    d.text((304.0, 99.0), Start, "computed from the row");
    d.text((200.0, 190.0), Middle, "weight and bias of a column,");
    d.text((200.0, 210.0), Middle, "learnt, the same for all rows");
    d.figure("Drawn for N = 3 and d = 4. What is computed goes along a row, what is learnt goes down a column.")
}

/// dx̂ of row 1, and the three parts that add up to it.
pub fn parts() -> String {
    let label = "Four groups of four bars. dx̂ is the sum of a part that is the same everywhere, a part that is a \
                 multiple of x̂, and what is left.";
    let mut d = Drawing::new((560.0, 236.0), label);
    let x_hat = &normalised(&vec![vec![11.0, 1.0, 14.0, 6.0]], 0.5)[0];
    let dx_hat = [0.9, -0.1, 0.96, -0.32];
    let mean = dx_hat.iter().sum::<f64>() / 4.0;
    let with_x_hat = (0..4).map(|i| dx_hat[i] * x_hat[i]).sum::<f64>() / 4.0;
    let of_each = |part: &dyn Fn(usize) -> f64| [0, 1, 2, 3].map(part);
    let groups = [
        ("dx̂", "", dx_hat),
        ("brightness", "=", [mean; 4]),
        ("contrast", "+", of_each(&|i| with_x_hat * x_hat[i])),
        ("pattern", "+", of_each(&|i| dx_hat[i] - mean - with_x_hat * x_hat[i])),
    ];
    let base = 116.0;
    for (g, (name, sign, values)) in groups.into_iter().enumerate() {
        let left = 12.0 + 146.0 * g as f64;
        for (i, value) in values.into_iter().enumerate() {
            let height = (90.0 * value).round();
            let corner = (left + 24.0 * i as f64, base - height.max(0.0));
            d.shade(corner, (20.0, height.abs()), if g == 3 { 0.6 } else { 0.25 });
            d.frame(corner, (20.0, height.abs()), Thin);
        }
        d.line(&[(left - 4.0, base), (left + 96.0, base)], Thin);
        d.text((left + 46.0, 212.0), Middle, name);
        if g > 0 {
            d.text((left - 27.0, base + 5.0), Middle, sign);
        }
    }
    d.figure(
        "Row 1 of the example, place by place. The loss wishes dx̂. Of its three parts the layer can fulfil only the \
         last, and r times that is dx.",
    )
}
