use super::Anchor::{End, Middle, Start};
use super::Drawing;
use super::Stroke::{self, Dashed, Thick, Thin};
use clipwright::tour::adamw::learning_rate;
use clipwright::tour::chain_rule::Matrix;
use clipwright::tour::loss_curve::{noise, pairs, train};

type Curve = Vec<[f64; 5]>;

fn rate(n: usize) -> f64 {
    learning_rate(0.01, 60, 300, n)
}

fn fresh(n: usize) -> [Matrix; 2] {
    pairs(1000 + n as u64, 16, 0.1)
}

fn held_out() -> [Matrix; 2] {
    pairs(77, 16, 0.1)
}

fn mixed([x, mut t]: [Matrix; 2]) -> [Matrix; 2] {
    t.rotate_left(1);
    [x, t]
}

fn marked([mut x, mut t]: [Matrix; 2], seed: u64) -> [Matrix; 2] {
    let marks = noise(seed, 16, 1);
    (0..16).for_each(|i| (x[i][0], t[i][3]) = (2.0 * marks[i][0], 2.0 * marks[i][0]));
    [x, t]
}

/// A part of a drawing in which curves are drawn: its corner, its size, the highest value.
struct Panel {
    corner: (f64, f64),
    size: (f64, f64),
    highest: f64,
}

impl Panel {
    /// The point of a step and a value, in whole pixels.
    fn at(&self, n: usize, value: f64) -> (f64, f64) {
        let ((x, y), (width, height)) = (self.corner, self.size);
        let down = height * (1.0 - value.min(self.highest) / self.highest);
        (x + (width * n as f64 / 300.0).round(), y + down.round())
    }

    fn axes(&self, d: &mut Drawing) {
        let ((x, y), (width, height)) = (self.corner, self.size);
        d.line(&[(x, y), (x, y + height), (x + width, y + height)], Thin);
    }

    /// Draws the line of chance, which all curves begin at.
    fn chance(&self, d: &mut Drawing) {
        d.line(&[self.at(0, 16f64.ln()), self.at(300, 16f64.ln())], Thin);
    }

    /// Draws every so manyth value, and between two of them one that is higher by more than 1.
    fn curve(&self, d: &mut Drawing, curve: &Curve, place: usize, every: usize, stroke: Stroke) {
        let value = |n: usize| curve[n][place];
        let jump = |n: usize| (n..n + every).find(|&later| later < 300 && value(later) > value(n) + 1.0);
        let drawn = (0..300).step_by(every).flat_map(|n| [Some(n), jump(n)]).flatten().chain([299]);
        let points: Vec<_> = drawn.map(|n| self.at(n, value(n))).collect();
        d.line(&points, stroke);
    }
}

/// The run as it should be.
pub fn healthy() -> String {
    let label = "The loss stays at ln 16 for some 40 steps, then falls quickly to about 1 at step 90, and slowly to 0.3 at \
                 step 300. The loss held out goes the same way, and ends at 0.2.";
    let mut d = Drawing::new((560.0, 262.0), label);
    let panel = Panel { corner: (50.0, 20.0), size: (500.0, 200.0), highest: 3.2 };
    let curve = train(rate, fresh, &held_out());
    panel.axes(&mut d);
    panel.chance(&mut d);
    panel.curve(&mut d, &curve, 0, 3, Thin);
    panel.curve(&mut d, &curve, 1, 3, Thick);
    for value in [0, 1, 2, 3] {
        d.text((42.0, panel.at(0, value as f64).1 + 5.0), End, &value.to_string());
    }
    for step in [0, 100, 200, 300] {
        d.text((panel.at(step, 0.0).0, 240.0), if step == 300 { End } else { Middle }, &step.to_string());
    }
    d.text((548.0, panel.at(0, 16f64.ln()).1 - 8.0), End, "ln 16, the chance line");
    d.text((panel.at(30, 0.0).0, panel.at(0, 2.4).1), Middle, "plateau");
    d.text((300.0, 256.0), Middle, "step");
    d.figure("A run as it should be. Thin: the loss of each batch. Thick: the loss of the pairs held out.")
}

/// Six runs with one fault each.
pub fn faults() -> String {
    let label = "Six small charts of the loss held out. All captions alike: flat at ln 16. Pairs mixed up: flat, a little \
                 above ln 16. Three long steps: falls, jumps up at step 150, then flat. Rate far too high: flat. Few pairs: \
                 falls and rises again, while the loss goes on falling. A leak: falls although the pairs are mixed up.";
    let mut d = Drawing::new((560.0, 420.0), label);
    let few = pairs(5, 32, 0.3);
    let part = |n: usize, side: usize| few[side][n * 16 % 32..][..16].to_vec();
    let one_caption = |n: usize| {
        let [x, t] = fresh(n);
        let first = t[0].clone();
        [x, vec![first; 16]]
    };
    let long = |n: usize| if (150..153).contains(&n) { 10.0 } else { rate(n) };
    let leak = train(rate, |n| marked(mixed(fresh(n)), 5000 + n as u64), &marked(mixed(held_out()), 4999));
    let runs = [
        ("captions alike", train(rate, one_caption, &held_out())),
        ("pairs mixed up", train(rate, |n| mixed(fresh(n)), &held_out())),
        ("three long steps", train(long, fresh, &held_out())),
        ("rate far too high", train(|n| learning_rate(10.0, 60, 300, n), fresh, &held_out())),
        ("few pairs", train(rate, |n| [part(n, 0), part(n, 1)], &pairs(77, 16, 0.3))),
        ("mixed up, with marks", leak),
    ];
    for (i, (name, curve)) in runs.iter().enumerate() {
        let corner = (12.0 + 185.0 * (i % 3) as f64, 30.0 + 205.0 * (i / 3) as f64);
        let panel = Panel { corner, size: (165.0, 150.0), highest: 6.0 };
        panel.axes(&mut d);
        panel.chance(&mut d);
        panel.curve(&mut d, curve, 0, 6, Thin);
        panel.curve(&mut d, curve, 1, 6, Thick);
        d.text((corner.0, corner.1 - 10.0), Start, name);
    }
    d.text((12.0, 412.0), Start, "Each chart: 300 steps, losses from 0 to 6; the straight line is ln 16.");
    d.figure(
        "One fault each. Thin: the loss of each batch. Thick: the loss of the pairs held out. A loss above 6 is cut.",
    )
}

/// s in three runs.
pub fn scale() -> String {
    let label = "The scale s over 300 steps. In the run as it should be it rises from 14 to 37. With a rate ten times as \
                 high it reaches 100 at step 90 and stays there. With all captions alike it sinks to 12.";
    let mut d = Drawing::new((560.0, 222.0), label);
    let panel = Panel { corner: (50.0, 20.0), size: (500.0, 160.0), highest: 110.0 };
    let high = train(|n| learning_rate(0.1, 60, 300, n), fresh, &held_out());
    let one_caption = |n: usize| {
        let [x, t] = fresh(n);
        let first = t[0].clone();
        [x, vec![first; 16]]
    };
    panel.axes(&mut d);
    panel.curve(&mut d, &high, 2, 3, Thick);
    panel.curve(&mut d, &train(rate, fresh, &held_out()), 2, 6, Thin);
    panel.curve(&mut d, &train(rate, one_caption, &held_out()), 2, 6, Dashed);
    for value in [0, 50, 100] {
        d.text((42.0, panel.at(0, value as f64).1 + 5.0), End, &value.to_string());
    }
    for step in [0, 100, 200, 300] {
        d.text((panel.at(step, 0.0).0, 200.0), if step == 300 { End } else { Middle }, &step.to_string());
    }
    d.text((300.0, 216.0), Middle, "step");
    d.text((548.0, panel.at(0, 88.0).1), End, "highest rate 0.1");
    d.text((548.0, panel.at(0, 44.0).1), End, "0.01, as it should be");
    d.text((548.0, panel.at(0, 18.0).1), End, "captions alike");
    d.figure("The scale s in three runs.")
}
