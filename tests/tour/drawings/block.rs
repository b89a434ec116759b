use super::Anchor::Middle;
use super::Drawing;
use super::Stroke::{Dashed, Thick, Thin};

/// The way of x through a block, and its two branches.
pub fn branches() -> String {
    let label = "A straight line leads from x through two plus signs to y. Before each plus a branch leaves the line and \
                 comes back at the plus: first through ln_1 and attention, then through ln_2 and the MLP. Below, a \
                 dashed arrow leads from dy straight back to dx.";
    let mut d = Drawing::new((560.0, 220.0), label);
    let line = 150.0;
    for (left, name) in [(60.0, ["ln_1", "attention"]), (310.0, ["ln_2", "MLP"])] {
        let (norm, layer, plus) = (left + 10.0, left + 84.0, left + 172.0);
        d.frame((norm, 30.0), (54.0, 40.0), Thin);
        d.frame((layer, 30.0), (88.0, 40.0), Thin);
        d.text((norm + 27.0, 55.0), Middle, name[0]);
        d.text((layer + 44.0, 55.0), Middle, name[1]);
        d.line(&[(left, line), (left, 50.0)], Thin);
        d.arrow((left, 50.0), (norm - 1.0, 50.0), Thin);
        d.arrow((norm + 54.0, 50.0), (layer - 1.0, 50.0), Thin);
        d.line(&[(layer + 88.0, 50.0), (plus + 11.0, 50.0)], Thin);
        d.arrow((plus + 11.0, 50.0), (plus + 11.0, line - 12.0), Thin);
        d.labelled((plus, line - 11.0), (22.0, 22.0), Thick, "+");
    }
    d.arrow((30.0, line), (231.0, line), Thick);
    d.arrow((255.0, line), (481.0, line), Thick);
    d.arrow((505.0, line), (534.0, line), Thick);
    d.text((18.0, line + 5.0), Middle, "x");
    d.text((546.0, line + 5.0), Middle, "y");
    d.text((278.0, line - 8.0), Middle, "mid");
    d.arrow((530.0, 196.0), (34.0, 196.0), Dashed);
    d.text((544.0, 201.0), Middle, "dy");
    d.text((18.0, 201.0), Middle, "dx");
    d.figure(
        "x goes straight through. Each branch reads it and adds something at the plus. On the way back dy goes straight \
         through as well (dashed), and each branch adds its part.",
    )
}
