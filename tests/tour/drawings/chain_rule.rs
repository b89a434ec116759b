use super::Anchor::{End, Middle, Start};
use super::Drawing;
use super::Stroke::{Dashed, Thick, Thin};

/// The weight stands in both rows, and a gradient comes back from each.
pub fn paths() -> String {
    let label = "The weight 0.5 goes into both guesses, 1.7 and 3.2, and both go into the loss 0.25. Back come the \
                 gradients 0.3 and −0.4 of the guesses, and 0.6 and −2.0 for the weight, whose sum is −1.4.";
    let mut d = Drawing::new((560.0, 270.0), label);
    for (corner, text) in [
        ((10.0, 110.0), "w = 0.5"),
        ((215.0, 30.0), "y₁ = 1.7"),
        ((215.0, 190.0), "y₂ = 3.2"),
        ((430.0, 110.0), "loss = 0.25"),
    ] {
        let width = if corner.0 > 400.0 { 120.0 } else { 100.0 };
        d.labelled(corner, (width, 40.0), Thick, text);
    }
    d.arrow((70.0, 106.0), (211.0, 42.0), Thin);
    d.arrow((70.0, 154.0), (211.0, 218.0), Thin);
    d.arrow((319.0, 42.0), (480.0, 106.0), Thin);
    d.arrow((319.0, 218.0), (480.0, 154.0), Thin);
    d.arrow((211.0, 62.0), (114.0, 120.0), Dashed);
    d.arrow((211.0, 198.0), (114.0, 140.0), Dashed);
    d.arrow((426.0, 120.0), (319.0, 62.0), Dashed);
    d.arrow((426.0, 140.0), (319.0, 198.0), Dashed);
    d.text((118.0, 72.0), End, "x₁ = 2");
    d.text((118.0, 200.0), End, "x₂ = 5");
    d.text((180.0, 108.0), Start, "0.3 · 2 = 0.6");
    d.text((180.0, 163.0), Start, "−0.4 · 5 = −2.0");
    d.text((360.0, 108.0), Middle, "0.3");
    d.text((356.0, 163.0), Middle, "−0.4");
    d.text((10.0, 262.0), Start, "dw = 0.6 − 2.0 = −1.4");
    d.figure(
        "Forward along the solid arrows: the weight meets a different x in each row. Backward along the dashed ones: each \
         row sends its own gradient (see Backward below), and the weight has the sum of both.",
    )
}
