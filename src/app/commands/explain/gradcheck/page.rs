//! The page of `clipwright explain gradcheck`: a table of the gradients, and the errors by step on logarithmic axes.

use super::check::{AtStep, Gradient, STEP};
use super::report::Report;
use htmlize::escape_all_quotes;
use std::ops::Range;

pub(super) const STYLE: &str = "\
h2 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .2rem .7rem .2rem 0; text-align: right; border-bottom: 1px solid var(--rule); }
td:first-child, th:first-child { text-align: left; overflow-wrap: anywhere; }
.wrong { color: light-dark(#b3261e, #ff8a80); font-weight: 600; }
pre { white-space: pre-wrap; font: inherit; margin: .6rem 0; }
svg { width: 100%; max-width: 36rem; display: block; font: 11px system-ui, sans-serif; }
svg text { fill: var(--ink); }
.grid { stroke: var(--rule); }
.tour { stroke: light-dark(#0072b2, #56b4e9); fill: none; stroke-width: 2; }
.library { stroke: light-dark(#b85c00, #e69f00); fill: none; stroke-width: 2; stroke-dasharray: 5 3; }
.key svg { display: inline; width: 2rem; height: .7rem; vertical-align: baseline; }
.key { margin-right: 1.2rem; white-space: nowrap; }
.said { color: var(--faint); max-width: 44rem; }
";

/// The sizes of the chart, in units of the drawing, and where its plane is.
const SIZE: (f64, f64) = (400.0, 290.0);
const X: Range<f64> = 40.0..392.0;
const Y: Range<f64> = 8.0..250.0;
/// The powers of ten of both axes.
const STEPS: Range<i32> = -12..-1;
const ERRORS: Range<i32> = -14..4;

/// Returns the body of the page.
pub(super) fn body(report: &Report) -> String {
    let rows: String = report.checked.gradients.iter().map(row).collect();
    let left_out = report.term.map_or(String::new(), |term| format!("Left out: {}\n", escape_all_quotes(term)));
    let verdict = report.verdict().join("\n");
    let class = if report.checked.gradients.iter().all(|gradient| gradient.right) { "" } else { " class=\"wrong\"" };
    format!(
        "<p>chapter {}</p>\n<pre>{}\n{left_out}</pre>\n\
         <table><tr><th>gradient<th>shape<th>tour, f64<th>library, f32</tr>\n{rows}</table>\n\
         <pre{class}>{}</pre>\n<h2>The largest error by step</h2>\n{}{}\n{}\n<p class=\"said\">A step that is too large \
         is off by what the loss bends: the error falls with h². One that is too small is off by the digits that a \
         difference of two nearly equal numbers loses: the error rises with 1/h. In f32 the lowest point is far too \
         high to judge a gradient by, so differences are taken in f64. What is wrong stays wrong at every step.</p>\n",
        escape_all_quotes(report.chapter),
        escape_all_quotes(report.formula),
        escape_all_quotes(&verdict),
        key("tour", "the chapter, in f64"),
        key("library", "the library, in f32"),
        chart(&report.checked.steps),
    )
}

fn row(gradient: &Gradient) -> String {
    let Gradient { name, shape: [rows, columns], tour_error, library_error, right, library_right, .. } = gradient;
    let class = |right: &bool| if *right { "" } else { " class=\"wrong\"" };
    format!(
        "<tr><td>{}<td>{rows}×{columns}<td{}>{tour_error:.1e}<td{}>{library_error:.1e}</tr>\n",
        escape_all_quotes(name),
        class(right),
        class(library_right)
    )
}

fn key(class: &str, text: &str) -> String {
    format!(
        "<span class=\"key\"><svg viewBox=\"0 0 32 10\" aria-hidden=\"true\"><path class=\"{class}\" d=\"M0 5h32\"/></svg> \
         {text}</span>"
    )
}

/// Returns where a power of ten is on an axis.
fn place(power: f64, powers: &Range<i32>, axis: &Range<f64>) -> f64 {
    let share = (power - f64::from(powers.start)) / f64::from(powers.end - powers.start);
    axis.start + share.clamp(0.0, 1.0) * (axis.end - axis.start)
}

/// Returns where an error is, from the top. An error of 0 is at the lower end.
fn height(power: f64) -> f64 {
    Y.start + Y.end - place(power, &ERRORS, &Y)
}

fn chart(steps: &[AtStep]) -> String {
    let (width, tall) = SIZE;
    let mut parts = String::new();
    for power in ERRORS.step_by(2) {
        let y = height(f64::from(power));
        parts += &format!(
            "<path class=\"grid\" d=\"M{:.1} {y:.1}H{:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">1e{power}</text>\n",
            X.start,
            X.end,
            X.start - 5.0,
            y + 4.0
        );
    }
    for power in (STEPS.start..=STEPS.end).step_by(2) {
        let x = place(f64::from(power), &STEPS, &X);
        parts += &format!("<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">1e{power}</text>\n", Y.end + 16.0);
    }
    let judge = place(STEP.log10(), &STEPS, &X);
    parts += &format!(
        "<path class=\"grid\" d=\"M{judge:.1} {:.1}V{:.1}\"/><text x=\"{judge:.1}\" y=\"{:.1}\" \
         text-anchor=\"middle\">step h; the tests take 1e-5</text>\n",
        Y.start,
        Y.end,
        Y.end + 34.0
    );
    parts += &line("tour", steps, |at| at.tour_error);
    parts += &line("library", steps, |at| at.library_error);
    format!(
        "<svg viewBox=\"0 0 {width} {tall}\" role=\"img\" aria-label=\"The largest relative error by the step of the \
         differences, both on logarithmic axes\">\n{parts}</svg>"
    )
}

fn line(class: &str, steps: &[AtStep], error: fn(&AtStep) -> f64) -> String {
    let point = |at: &AtStep| format!("{:.1} {:.1}", place(at.step.log10(), &STEPS, &X), height(error(at).log10()));
    let points: Vec<String> = steps.iter().map(point).collect();
    format!("<path class=\"{class}\" d=\"M{}\"/>\n", points.join("L"))
}
