use super::Anchor::{End, Middle};
use super::Drawing;
use super::Stroke::Thin;
use clipwright::tour::softmax::softmax;

/// The scores of two pictures, and the shares that they become.
pub fn shares() -> String {
    let label = "Two bars of the same length, cut into shares. The cat gives 0.66 to \"a cat\", 0.29 to \"a dog\" and \
                 0.05 to \"a car\". The dog gives 0.25, 0.19 and 0.56.";
    let mut d = Drawing::new((560.0, 234.0), label);
    let scores = [[2.1, 1.3, -0.5], [0.9, 0.6, 1.7]];
    let (left, length) = (70.0, 470.0);
    for (n, p) in softmax(&scores.map(Vec::from).to_vec()).into_iter().enumerate() {
        let (top, mut start) = (34.0 + 116.0 * n as f64, left);
        d.text((left - 12.0, top + 27.0), End, ["cat", "dog"][n]);
        for (j, share) in p.into_iter().enumerate() {
            let width = (length * share).round();
            if j == n {
                d.shade((start, top), (width, 42.0), 0.3);
            }
            d.frame((start, top), (width, 42.0), Thin);
            let middle = start + width / 2.0;
            let name = ["\"a cat\"", "\"a dog\"", "\"a car\""][j];
            d.text((middle.min(512.0), top - 8.0), Middle, &format!("{:.1}", scores[n][j]).replace('-', "−"));
            if width > 50.0 {
                d.text((middle, top + 27.0), Middle, &format!("{share:.2}"));
            }
            d.text((middle.min(510.0), top + 61.0), Middle, name);
            start += width;
        }
    }
    d.text((left - 12.0, 26.0), End, "S");
    d.text((left - 12.0, 142.0), End, "S");
    d.figure(
        "Above the bars the scores S, in the bars the shares P. Each picture has the same length to give away. Shaded is \
         the share of the right caption: the dog gives most of its length to a wrong one.",
    )
}
