//! Curves over the steps of a run, drawn from its log, which [`crate::train::log::Metrics::read`] reads.

use super::canvas::{Area, COLOURS, Drawn, FAINT, INK, RULE, draw, fill, pt};
use super::text::{Anchor, text, text_width};
use crate::eval::report::Row;
use crate::train::log::{Metrics, Step};
use crate::train::metric::Metric;
use image::RgbImage;
use plotters::coord::ranged1d::{BoldPoints, Ranged};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::error::Error;

/// Most points of a curve; more could not be told apart at this width.
const MAX_POINTS: usize = 800;
/// Most points of a smoothed curve, each the mean over its share of the steps.
const MAX_SMOOTH_POINTS: usize = 80;

/// Absolute values that a curve shows. A log can hold any number, and near the limits of f64 the drawing of ticks and
/// lines would not end.
const SHOWN: std::ops::RangeInclusive<f64> = 1e-30..=1e30;

/// Margin of a plot in points.
const MARGIN: f64 = 18.0;
const LABEL: f64 = 12.5;

/// An entry of the key: name, colour, and whether the line is dashed.
type Key = (String, RGBColor, bool);

/// A line through (step, value).
struct Curve {
    points: Vec<(f64, f64)>,
    colour: RGBAColor,
    /// Width of the line in points.
    width: f64,
    dashed: bool,
}

impl Curve {
    fn solid(points: Vec<(f64, f64)>, colour: RGBColor) -> Self {
        Curve { points, colour: colour.to_rgba(), width: 1.6, dashed: false }
    }

    /// Returns a faint curve of all values and a smoothed one over it.
    fn noisy(points: &[(f64, f64)], colour: RGBColor) -> [Self; 2] {
        let noise = Curve { colour: colour.mix(0.3), width: 0.7, ..Curve::solid(means(points, MAX_POINTS), colour) };
        [noise, Curve { width: 2.0, ..Curve::solid(means(points, MAX_SMOOTH_POINTS), colour) }]
    }

    /// Returns a horizontal line over the whole width of the plot.
    fn level(steps: f64, value: f64, colour: RGBColor) -> Self {
        Curve { points: vec![(0.0, value), (steps, value)], colour: colour.to_rgba(), width: 1.0, dashed: true }
    }
}

/// Draws the loss and its parts, each with its chance line where it has one.
pub fn loss(metrics: &Metrics) -> RgbImage {
    let steps = last_step(metrics);
    let losses: Vec<Metric> = metrics.steps.last().map_or(vec![], |s| s.losses().cloned().collect());
    let (mut curves, mut levels, mut keys) = (vec![], vec![], Vec::<Key>::new());
    for (loss, colour) in losses.iter().zip(COLOURS.into_iter().cycle()) {
        let points = series(metrics, &loss.name);
        if curves.is_empty() {
            curves.extend(Curve::noisy(&points, colour));
        } else {
            // The part is drawn below the smoothed line of the whole loss.
            let part = Curve { width: 1.2, ..Curve::solid(means(&points, MAX_SMOOTH_POINTS), colour) };
            curves.insert(curves.len() - 1, part);
        }
        let same = |metric: &&Metric| metric.name == loss.name;
        let chances = metrics.steps.iter().filter_map(|s| s.metrics.iter().find(same)?.chance);
        if let Some(chance) = chances.reduce(f64::max) {
            let colour = if losses.iter().filter(|loss| loss.chance.is_some()).count() > 1 { colour } else { FAINT };
            levels.push(Curve::level(steps, chance, colour));
        }
        keys.push((loss.label(), colour, false));
    }
    if !levels.is_empty() {
        keys.push(("chance".into(), FAINT, true));
    }
    curves.extend(levels);
    draw((720.0, 420.0), |area| {
        let rest = heading(area, "Loss (nats)", &keys)?;
        panel(&rest, "", steps, &curves)
    })
}

/// Returns the metric of this name at the steps that have it.
fn series(metrics: &Metrics, name: &str) -> Vec<(f64, f64)> {
    let of = |step: &Step| Some((step.step as f64, step.metrics.iter().find(|metric| metric.name == name)?.value));
    metrics.steps.iter().filter_map(of).collect()
}

/// Draws zero-shot accuracy and retrieval recall of every cut with flags, evaluation by evaluation.
pub fn recall(metrics: &Metrics) -> RgbImage {
    let steps = last_step(metrics);
    let rows = metrics.evaluations.last().map_or(&[][..], |e| &e.eval.rows);
    let cuts: Vec<&Row> = rows.iter().filter(|row| !row.without_flags).collect();
    let colours = || COLOURS.into_iter().cycle();
    let mut keys: Vec<Key> = cuts
        .iter()
        .zip(colours())
        .map(|(row, colour)| (format!("{}, {}", row.concepts, row.pictures), colour, false))
        .collect();
    keys.push(("pixel floor".into(), FAINT, true));

    type Score = fn(&Row) -> Option<f64>;
    let score = |of: Score| -> Vec<Curve> {
        let history = |cut: &&Row, colour| {
            let same =
                |row: &&Row| (&row.concepts, &row.pictures, row.without_flags) == (&cut.concepts, &cut.pictures, false);
            let points = metrics
                .evaluations
                .iter()
                .filter_map(|e| Some((e.step as f64, 100.0 * of(e.eval.rows.iter().find(same)?)?)));
            Curve::solid(points.collect(), colour)
        };
        cuts.iter().zip(colours()).map(|(cut, colour)| history(cut, colour)).collect()
    };
    let with_floor = |of: Score, floor: Score| {
        let levels =
            cuts.iter().zip(colours()).filter_map(|(cut, c)| Some(Curve::level(steps, 100.0 * floor(cut)?, c)));
        score(of).into_iter().chain(levels).collect::<Vec<_>>()
    };
    let panels = [
        ("Zero-shot top-1 (%)", with_floor(|r| Some(r.zero_shot?.score.top1), |r| Some(r.zero_shot?.floor?.top1))),
        ("Zero-shot top-5 (%)", with_floor(|r| Some(r.zero_shot?.score.top5), |r| Some(r.zero_shot?.floor?.top5))),
        ("Picture to caption, R@5 (%)", score(|r| Some(r.retrieval.image_to_text.at5))),
        ("Caption to picture, R@5 (%)", score(|r| Some(r.retrieval.text_to_image.at5))),
    ];
    draw((840.0, 620.0), |area| {
        let rest = heading(area, "Evaluation", &keys)?;
        for (place, (title, curves)) in rest.split_evenly((2, 2)).iter().zip(&panels) {
            panel(place, title, steps, curves)?;
        }
        Ok(())
    })
}

/// Draws learning rate, logit scale, gradient norm and speed.
pub fn schedule(metrics: &Metrics) -> RgbImage {
    let steps = last_step(metrics);
    let smooth =
        |name, colour| vec![Curve { width: 2.0, ..Curve::solid(means(&series(metrics, name), MAX_POINTS), colour) }];
    let noisy = |name, colour| Curve::noisy(&series(metrics, name), colour).into();
    let panels = [
        ("Learning rate", smooth("lr", COLOURS[0])),
        ("Logit scale", smooth("logit_scale", COLOURS[1])),
        ("Gradient norm, before clipping", noisy("grad_norm", COLOURS[2])),
        ("Pairs per second", noisy("pairs_per_second", COLOURS[3])),
    ];
    draw((840.0, 560.0), |area| {
        for (place, (title, curve)) in area.split_evenly((2, 2)).iter().zip(&panels) {
            panel(place, title, steps, curve)?;
        }
        Ok(())
    })
}

fn last_step(metrics: &Metrics) -> f64 {
    let trained = metrics.steps.last().map_or(0, |s| s.step);
    let evaluated = metrics.evaluations.last().map_or(0, |e| e.step);
    trained.max(evaluated).max(1) as f64
}

/// Returns at most `n` points, each the mean of neighbours. Values that are not finite are left out.
fn means(points: &[(f64, f64)], n: usize) -> Vec<(f64, f64)> {
    let finite: Vec<(f64, f64)> = points.iter().copied().filter(|p| p.1.is_finite()).collect();
    let mean =
        |share: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| share.iter().map(of).sum::<f64>() / share.len() as f64;
    finite.chunks(finite.len().div_ceil(n).max(1)).map(|share| (mean(share, |p| p.0), mean(share, |p| p.1))).collect()
}

/// Draws a title with a key below it and returns the rest of the area.
fn heading<'a>(area: &Area<'a>, title: &str, keys: &[Key]) -> Result<Area<'a>, Box<dyn Error>> {
    let (head, rest) = area.split_vertically(pt(58.0));
    text(&head, title, (MARGIN, 20.0), Anchor::Left, 17.0, &INK)?;
    let (mut x, y) = (MARGIN, 44.0);
    for (name, colour, dashed) in keys {
        let dashes: &[(f64, f64)] = if *dashed { &[(0.0, 7.0), (11.0, 18.0)] } else { &[(0.0, 18.0)] };
        for &(from, to) in dashes {
            fill(&head, [(x + from, y - 1.0), (x + to, y + 1.0)], *colour)?;
        }
        text(&head, name, (x + 23.0, y), Anchor::Left, LABEL, &INK)?;
        x += 23.0 + text_width(name, LABEL) + 18.0;
    }
    Ok(rest)
}

/// Returns the points that can be shown, with those outside of the diagram moved to its edge.
fn shown(points: &[(f64, f64)], top: f64) -> Vec<(f64, f64)> {
    let is_shown = |p: &&(f64, f64)| p.1 == 0.0 || SHOWN.contains(&p.1.abs());
    points.iter().filter(is_shown).map(|p| (p.0, p.1.clamp(0.0, top))).collect()
}

/// Draws one diagram over the steps, whose values begin at zero.
fn panel(area: &Area, title: &str, steps: f64, curves: &[Curve]) -> Drawn {
    let (head, rest) = area.split_vertically(pt(if title.is_empty() { 4.0 } else { 32.0 }));
    text(&head, title, (MARGIN, 18.0), Anchor::Left, 14.0, &INK)?;
    let top = curves.iter().flat_map(|c| shown(&c.points, f64::INFINITY)).map(|p| p.1).fold(0.0, f64::max);
    let top = if top > 0.0 { 1.06 * top } else { 1.0 };
    let mut chart = ChartBuilder::on(&rest)
        .margin_right(pt(24.0))
        .x_label_area_size(pt(40.0))
        .y_label_area_size(pt(54.0))
        .build_cartesian_2d(0.0..steps, 0.0..top)?;

    // The labels of the axes are placed here, in points of `rest`.
    let (corner, plot) = (rest.get_base_pixel(), chart.plotting_area());
    let points = |pixel: i32| f64::from(pixel) / f64::from(pt(1.0));
    let at = |x: f64, y: f64| {
        let (x, y) = plot.map_coordinate(&(x, y));
        (points(x - corner.0), points(y - corner.1))
    };
    let ((left, bottom), (right, _)) = (at(0.0, 0.0), at(steps, 0.0));
    for value in ticks(top) {
        let (_, y) = at(0.0, value);
        fill(&rest, [(left, y - 0.3), (right, y + 0.3)], if value == 0.0 { FAINT } else { RULE })?;
        text(&rest, &number(value), (left - 7.0, y), Anchor::Right, LABEL, &INK)?;
    }
    for value in ticks(steps).into_iter().filter(|step| step.fract() == 0.0) {
        let (x, _) = at(value, 0.0);
        fill(&rest, [(x - 0.3, bottom), (x + 0.3, bottom + 4.0)], FAINT)?;
        text(&rest, &number(value), (x, bottom + 13.0), Anchor::Centre, LABEL, &INK)?;
    }
    text(&rest, "step", ((left + right) / 2.0, bottom + 29.0), Anchor::Centre, LABEL, &FAINT)?;

    for Curve { points, colour, width, dashed } in curves {
        let points = shown(points, top);
        let style = colour.stroke_width(pt(*width) as u32);
        if *dashed {
            chart.draw_series(DashedLineSeries::new(points.iter().copied(), pt(5.0) as u32, pt(4.0) as u32, style))?;
        } else {
            chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
        }
        // A line of one point would be invisible.
        if let [point] = points[..] {
            chart.draw_series([Circle::new(point, pt(2.5), colour.filled())])?;
        }
    }
    Ok(())
}

/// Returns round numbers from 0 to `top` for the axis.
fn ticks(top: f64) -> Vec<f64> {
    RangedCoordf64::from(0.0..top).key_points(BoldPoints(6))
}

/// Formats a number as shortly as possible: 0.0005 → 5e-4, 1200 → 1,200, 2.50 → 2.5.
fn number(v: f64) -> String {
    if v != 0.0 && v.abs() < 0.01 {
        return format!("{:.1e}", v).replace(".0e", "e");
    }
    if v.abs() < 1000.0 {
        let text = format!("{v:.2}");
        return text.trim_end_matches('0').trim_end_matches('.').into();
    }
    let digits = format!("{v:.0}");
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).expect("digits")).collect();
    groups.join(",")
}
