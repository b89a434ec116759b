//! Curves over the steps of a run, made from its log, which [`crate::train::log::Metrics::read`] reads. Curves without
//! values are left out, and for a figure without curves the functions return `None`.

use super::canvas::{COLOURS, FAINT};
use super::chart::{Curve, Figure, Key, Panel};
use crate::eval::report::Row;
use crate::train::log::{Metrics, Step};
use crate::train::metric::Metric;
use plotters::style::RGBColor;

/// Shows the loss and its parts, each with its chance line where it has one.
pub fn loss(metrics: &Metrics) -> Option<Figure> {
    let steps = last_step(metrics);
    let losses: Vec<Metric> = metrics.steps.last().map_or(vec![], |s| s.losses().cloned().collect());
    let (mut curves, mut levels, mut keys) = (vec![], vec![], Vec::<Key>::new());
    for (loss, colour) in losses.iter().zip(COLOURS.into_iter().cycle()) {
        let points = series(metrics, &loss.name);
        if curves.is_empty() {
            curves.extend(Curve::noisy(&points, colour));
        } else {
            // The part is drawn below the smoothed line of the whole loss.
            curves.insert(curves.len() - 1, Curve::smoothed(&points, colour));
        }
        let same = |metric: &&Metric| metric.name == loss.name;
        let chances = metrics.steps.iter().filter_map(|s| s.metrics.iter().find(same)?.chance);
        if let Some(chance) = chances.reduce(f64::max) {
            let colour = if losses.iter().filter(|loss| loss.chance.is_some()).count() > 1 { colour } else { FAINT };
            levels.push(Curve::level(steps, chance, colour, "chance"));
        }
        keys.push((loss.label(), colour, false));
    }
    curves.extend(levels);
    let panels = vec![Panel { title: "", curves }];
    Figure { title: "Loss (nats)", keys, size: (720.0, 362.0), steps, panels }.with_data()
}

/// Returns the metric of this name at the steps that have it.
fn series(metrics: &Metrics, name: &str) -> Vec<(f64, f64)> {
    let of = |step: &Step| Some((step.step as f64, step.metrics.iter().find(|metric| metric.name == name)?.value));
    metrics.steps.iter().filter_map(of).collect()
}

/// A score of a row in [0, 1].
type Score = fn(&Row) -> Option<f64>;

/// Shows zero-shot accuracy and retrieval recall of every cut with flags, evaluation by evaluation, beside chance and,
/// where it was measured, beside the baseline on raw pixels.
pub fn recall(metrics: &Metrics) -> Option<Figure> {
    let rows = metrics.evaluations.last().map_or(&[][..], |e| &e.eval.rows);
    let cuts: Vec<(&Row, RGBColor)> =
        rows.iter().filter(|row| !row.without_flags).zip(COLOURS.into_iter().cycle()).collect();
    let mut keys: Vec<Key> = cuts.iter().map(|(row, colour)| (name(row), *colour, false)).collect();
    if cuts.iter().any(|(row, _)| row.zero_shot.is_some_and(|z| z.raw_pixels.is_some())) {
        keys.push(("raw pixels without a network".into(), FAINT, true));
    }
    let panel =
        |title, score, chance, raw_pixels| Panel { title, curves: scores(metrics, &cuts, score, chance, raw_pixels) };
    let panels = vec![
        panel(
            "Zero-shot top-1 (%)",
            |r| Some(r.zero_shot?.score.top1),
            |r| Some(r.zero_shot?.chance.top1),
            |r| Some(r.zero_shot?.raw_pixels?.top1),
        ),
        panel(
            "Zero-shot top-5 (%)",
            |r| Some(r.zero_shot?.score.top5),
            |r| Some(r.zero_shot?.chance.top5),
            |r| Some(r.zero_shot?.raw_pixels?.top5),
        ),
        panel(
            "Picture to caption, R@5 (%)",
            |r| Some(r.retrieval.image_to_text.at5),
            |r| Some(r.retrieval_chance.image_to_text.at5),
            |_| None,
        ),
        panel(
            "Caption to picture, R@5 (%)",
            |r| Some(r.retrieval.text_to_image.at5),
            |r| Some(r.retrieval_chance.text_to_image.at5),
            |_| None,
        ),
    ];
    Figure { title: "Evaluation", keys, size: (450.0, 285.0), steps: last_step(metrics), panels }.with_data()
}

/// Returns the name of a cut: "seen concepts, twemoji, held out", or "validation pairs".
fn name(row: &Row) -> String {
    if row.concepts == "own" { row.pictures.clone() } else { format!("{} concepts, {}", row.concepts, row.pictures) }
}

/// Returns the curve of each cut in percent, its baseline, and one line of chance: that of the cut that is easiest to
/// guess.
fn scores(metrics: &Metrics, cuts: &[(&Row, RGBColor)], score: Score, chance: Score, raw_pixels: Score) -> Vec<Curve> {
    let steps = last_step(metrics);
    let history = |(cut, colour): &(&Row, RGBColor)| {
        let same =
            |row: &&Row| (&row.concepts, &row.pictures, row.without_flags) == (&cut.concepts, &cut.pictures, false);
        let evaluations = metrics.evaluations.iter();
        let points = evaluations.filter_map(|e| Some((e.step as f64, 100.0 * score(e.eval.rows.iter().find(same)?)?)));
        Curve::solid(&points.collect::<Vec<_>>(), *colour)
    };
    let baselines =
        cuts.iter().filter_map(|(cut, c)| Some(Curve::level(steps, 100.0 * raw_pixels(cut)?, *c, "raw pixels")));
    let chances: Vec<f64> = cuts.iter().filter_map(|(cut, _)| Some(100.0 * chance(cut)?)).collect();
    let highest = chances.iter().copied().reduce(f64::max);
    let one = chances.iter().all(|chance| Some(*chance) == highest);
    let chance = highest.map(|value| Curve::level(steps, value, FAINT, if one { "chance" } else { "chance, at most" }));
    cuts.iter().map(history).chain(baselines).chain(chance).collect()
}

/// Shows learning rate, logit scale and bias or temperature, gradient norm and speed.
pub fn schedule(metrics: &Metrics) -> Option<Figure> {
    let smooth = |title, name, colour| Panel { title, curves: vec![Curve::solid(&series(metrics, name), colour)] };
    let noisy = |title, name, colour| Panel { title, curves: Curve::noisy(&series(metrics, name), colour).into() };
    let panels = vec![
        smooth("Learning rate", "lr", COLOURS[0]),
        smooth("Logit scale", "logit_scale", COLOURS[1]),
        smooth("Logit bias", "logit_bias", COLOURS[1]),
        smooth("Temperature", "temperature", COLOURS[1]),
        noisy("Gradient norm, before clipping", "grad_norm", COLOURS[2]),
        noisy("Pairs per second", "pairs_per_second", COLOURS[3]),
    ];
    Figure { title: "", keys: vec![], size: (450.0, 280.0), steps: last_step(metrics), panels }.with_data()
}

fn last_step(metrics: &Metrics) -> f64 {
    let trained = metrics.steps.last().map_or(0, |s| s.step);
    let evaluated = metrics.evaluations.last().map_or(0, |e| e.step);
    trained.max(evaluated).max(1) as f64
}
