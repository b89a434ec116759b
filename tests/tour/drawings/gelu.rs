use super::Anchor::{End, Middle, Start};
use super::Drawing;
use super::Stroke::{Dashed, Thick, Thin};
use clipwright::tour::gelu::{gelu, gelu_slope, normal_cdf};

/// The GELU, its gate and its slope.
pub fn curves() -> String {
    let label = "Three curves from −3 to 3. The gate Φ rises from 0 to 1. The GELU is near 0 on the left, a little below \
                 0 around −0.75, and near the line y = x on the right. Its slope is a little negative on the left, ½ at \
                 0, more than 1 around 1.4, and near 1 on the right.";
    let mut d = Drawing::new((560.0, 330.0), label);
    let tenths = |x: f64| (10.0 * x).round() / 10.0;
    let at = |x: f64, y: f64| (tenths(40.0 + 70.0 * (x + 3.0)), tenths(36.0 + 80.0 * (3.0 - y)));
    let curve = |f: fn(f64) -> f64| (-30..=30).map(|i| f64::from(i) / 10.0).map(|x| at(x, f(x))).collect::<Vec<_>>();
    d.arrow(at(-3.2, 0.0), at(3.3, 0.0), Thin);
    d.arrow(at(0.0, -0.3), at(0.0, 3.3), Thin);
    for tick in [-3.0, -2.0, -1.0, 1.0, 2.0, 3.0] {
        let (x, y) = at(tick, 0.0);
        d.line(&[(x, y), (x, y + 6.0)], Thin);
        d.text((x, y + 40.0), Middle, &format!("{tick}").replace('-', "−"));
    }
    for tick in [1.0, 2.0, 3.0] {
        let (x, y) = at(0.0, tick);
        d.line(&[(x - 6.0, y), (x, y)], Thin);
        d.text((x - 10.0, y + 5.0), End, &format!("{tick}"));
    }
    d.line(&curve(gelu), Thick);
    d.line(&curve(normal_cdf), Dashed);
    d.line(&curve(gelu_slope), Thin);
    for x in [1.9, -0.3, 0.4, -1.8] {
        let (x, y) = at(x, gelu(x));
        d.shade((x - 5.0, y - 5.0), (10.0, 10.0), 1.0);
    }
    d.text((at(2.3, 0.0).0, at(0.0, 2.55).1), End, "GELU(x)");
    d.text((at(3.05, 0.0).0, at(0.0, 1.1).1), Start, "GELU′(x)");
    d.text((at(3.05, 0.0).0, at(0.0, 0.8).1), Start, "Φ(x)");
    d.text((at(3.35, 0.0).0, at(0.0, -0.05).1), Start, "x");
    d.figure(
        "The gate Φ (dashed) opens from 0 to 1. The GELU (thick) is x times the gate. Its slope (thin) is negative on \
         the left and a little more than 1 on the right. The squares are the four numbers of the example.",
    )
}
