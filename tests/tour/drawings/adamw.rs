use super::Anchor::{End, Middle, Start};
use super::Drawing;
use super::Stroke::{Dashed, Thick, Thin};
use clipwright::tour::adamw::learning_rate;

/// From the gradient over both running means to the step.
pub fn step() -> String {
    let label = "The clipped gradient goes into mean, which keeps 0.9 of itself, and its square into square, which keeps \
                 0.98 of itself. Direction and size make the share, and the share moves w. Decay moves w as well.";
    let mut d = Drawing::new((560.0, 210.0), label);
    for (corner, width, text) in [
        ((10.0, 85.0), 105.0, "dw, clipped"),
        ((190.0, 20.0), 90.0, "mean"),
        ((190.0, 150.0), 90.0, "square"),
        ((385.0, 85.0), 70.0, "share"),
        ((505.0, 85.0), 45.0, "w"),
    ] {
        d.labelled(corner, (width, 40.0), Thick, text);
    }
    d.arrow((117.0, 97.0), (187.0, 48.0), Thin);
    d.arrow((117.0, 113.0), (187.0, 164.0), Thin);
    d.arrow((283.0, 48.0), (383.0, 97.0), Thin);
    d.arrow((283.0, 164.0), (383.0, 113.0), Thin);
    d.arrow((457.0, 105.0), (502.0, 105.0), Thick);
    d.text((143.0, 56.0), End, "dw");
    d.text((143.0, 160.0), End, "dw²");
    d.text((235.0, 80.0), Middle, "keeps 0.9");
    d.text((235.0, 142.0), Middle, "keeps 0.98");
    d.text((325.0, 58.0), Start, "direction");
    d.text((338.0, 158.0), Start, "size");
    d.text((479.0, 95.0), Middle, "lr");
    d.line(&[(542.0, 128.0), (542.0, 160.0), (515.0, 160.0)], Dashed);
    d.arrow((515.0, 160.0), (515.0, 129.0), Dashed);
    d.text((528.0, 180.0), Middle, "decay");
    d.figure("One step of AdamW. All boxes are lists of the same length, one number for each parameter.")
}

/// The learning rate over a run.
pub fn rate() -> String {
    let label = "The learning rate rises in a straight line for the first fifth of the steps, and then falls along half a \
                 wave of the cosine down to 0.";
    let mut d = Drawing::new((560.0, 180.0), label);
    let at = |n: usize| (60.0 + 4.6 * n as f64, 140.0 - (110.0 * learning_rate(1.0, 20, 100, n)).round());
    d.line(&[(60.0, 20.0), (60.0, 140.0), (540.0, 140.0)], Thin);
    d.line(&(0..=100).map(at).collect::<Vec<_>>(), Thick);
    d.line(&[(152.0, 30.0), (152.0, 140.0)], Dashed);
    d.text((52.0, 35.0), End, "lr");
    d.text((52.0, 145.0), End, "0");
    d.text((106.0, 165.0), Middle, "warm-up");
    d.text((335.0, 165.0), Middle, "half a cosine");
    d.text((540.0, 130.0), End, "steps");
    d.figure("The learning rate of a run with a warm-up of 20 steps and 100 steps in all.")
}
