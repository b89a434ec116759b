//! Diagrams over the steps of a run: lines, axes, a key, and the value at the end of each line.

use super::canvas::{Area, Drawn, FAINT, INK, RULE, draw, fill, pt};
use super::text::{Anchor, text, text_width};
use image::RgbImage;
use plotters::coord::ranged1d::{BoldPoints, Ranged};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::iter::repeat_n;

/// Largest number of points of a curve; more could not be told apart at this width.
const MAX_POINTS: usize = 800;
/// Largest number of points of a smoothed curve; each is the mean over its share of the steps.
const MAX_SMOOTH_POINTS: usize = 80;

/// The range of absolute values that a curve shows. A log can hold any number, and near the limits of f64 the drawing
/// of ticks and lines would not end.
const SHOWN: std::ops::RangeInclusive<f64> = 1e-30..=1e30;

/// Margin of a figure in points.
const MARGIN: f64 = 18.0;
/// Sizes of the text of keys and axes, and of the values at the ends of lines, in points.
const LABEL: f64 = 12.5;
const END: f64 = 12.0;
/// Distance of two values at the ends of lines, and of such a value from its line, in points.
const END_LINE: f64 = 13.5;
const END_GAP: f64 = 9.0;
/// Heights in points: of a figure's title, of a row of its key, of a panel's title, and of the labels below a panel.
const TITLE: f64 = 36.0;
const KEY: f64 = 22.0;
const PANEL_TITLE: f64 = 32.0;
const X_LABELS: f64 = 40.0;

/// An entry of the key: name, colour, and whether the line is dashed.
pub(super) type Key = (String, RGBColor, bool);

/// A line through (step, value).
pub(super) struct Curve {
    points: Vec<(f64, f64)>,
    pub(super) colour: RGBColor,
    pub(super) opacity: f64,
    /// Width of the line in points.
    pub(super) width: f64,
    pub(super) dashed: bool,
    /// The text before the last value, or `None` if the value is not written.
    pub(super) end: Option<&'static str>,
}

impl Curve {
    /// Returns a curve of at most [`MAX_POINTS`] points.
    pub(super) fn solid(points: &[(f64, f64)], colour: RGBColor) -> Self {
        Curve { points: means(points, MAX_POINTS), colour, opacity: 1.0, width: 1.6, dashed: false, end: Some("") }
    }

    /// Returns a thin curve of the means over many steps.
    pub(super) fn smoothed(points: &[(f64, f64)], colour: RGBColor) -> Self {
        Curve { points: means(points, MAX_SMOOTH_POINTS), width: 1.2, ..Curve::solid(&[], colour) }
    }

    /// Returns a faint curve of all values and a smoothed one over it.
    pub(super) fn noisy(points: &[(f64, f64)], colour: RGBColor) -> [Self; 2] {
        let noise = Curve { opacity: 0.3, width: 0.7, end: None, ..Curve::solid(points, colour) };
        [noise, Curve { width: 2.0, ..Curve::smoothed(points, colour) }]
    }

    /// Returns a dashed line over the whole width of the diagram, with a name before its value.
    pub(super) fn level(steps: f64, value: f64, colour: RGBColor, name: &'static str) -> Self {
        let points = vec![(0.0, value), (steps, value)];
        Curve { points, width: 1.0, dashed: true, end: Some(name), ..Curve::solid(&[], colour) }
    }

    /// Returns the points that can be shown.
    pub(super) fn shown(&self) -> Vec<(f64, f64)> {
        shown(&self.points, f64::INFINITY)
    }

    /// Returns the last point and the text beside it.
    fn last(&self) -> Option<((f64, f64), String)> {
        let point = *self.shown().last()?;
        self.end.map(|name| (point, format!("{name} {}", value(point.1)).trim().into()))
    }
}

/// A diagram of a figure.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) curves: Vec<Curve>,
}

impl Panel {
    fn has_data(&self) -> bool {
        self.curves.iter().any(|curve| !curve.dashed && !curve.shown().is_empty())
    }

    fn widest_end(&self) -> f64 {
        self.curves.iter().filter_map(Curve::last).map(|(_, label)| text_width(&label, END)).fold(0.0, f64::max)
    }

    /// Returns the value at the upper edge of the diagram, a little above the highest one.
    pub(super) fn top(&self) -> f64 {
        let highest = self.curves.iter().flat_map(Curve::shown).map(|p| p.1).fold(0.0, f64::max);
        if highest > 0.0 { 1.06 * highest } else { 1.0 }
    }
}

/// Diagrams over the steps of a run, under one title and with one key.
pub struct Figure {
    pub(super) title: &'static str,
    pub(super) keys: Vec<Key>,
    /// Width and height of a panel in points.
    pub(super) size: (f64, f64),
    /// The last step.
    pub(super) steps: f64,
    pub(super) panels: Vec<Panel>,
}

impl Figure {
    /// Keeps the panels that have data; returns `None` if there are none.
    pub(super) fn with_data(mut self) -> Option<Self> {
        self.panels.retain(Panel::has_data);
        (!self.panels.is_empty()).then_some(self)
    }

    /// Draws the panels, two in a row, below the title with the key.
    pub fn draw(&self) -> RgbImage {
        let Figure { title, keys, size: (width, height), steps, panels } = self;
        let columns = panels.len().min(2);
        let rows = panels.len().div_ceil(columns);
        let size = (columns as f64 * width, rows as f64 * height);
        let keys = placed(keys, size.0);
        let head = match keys.last() {
            _ if title.is_empty() => 0.0,
            last => TITLE + last.map_or(0.0, |(_, (_, y))| y + KEY),
        };
        let margin = panels.iter().map(Panel::widest_end).fold(0.0, f64::max) + END_GAP + 10.0;
        draw((size.0, head + size.1), |area| {
            text(area, title, (MARGIN, 20.0), Anchor::Left, 17.0, &INK)?;
            for ((name, colour, dashed), (x, y)) in keys {
                draw_key(area, name, (x, TITLE + y + 8.0), *colour, *dashed)?;
            }
            let (_, rest) = area.split_vertically(pt(head));
            let places = rest.split_evenly((rows, columns));
            places.iter().zip(panels).try_for_each(|(place, panel)| draw_panel(place, panel, *steps, margin))
        })
    }
}

/// Returns the entries of the key with their places, row by row.
fn placed(keys: &[Key], width: f64) -> Vec<(&Key, (f64, f64))> {
    let (mut x, mut y) = (MARGIN, 0.0);
    let place = |key| {
        let (name, ..): &Key = key;
        let end = x + 23.0 + text_width(name, LABEL);
        if x > MARGIN && end > width - MARGIN {
            (x, y) = (MARGIN, y + KEY);
        }
        let place = (x, y);
        x += 23.0 + text_width(name, LABEL) + 18.0;
        (key, place)
    };
    keys.iter().map(place).collect()
}

fn draw_key(area: &Area, name: &str, (x, y): (f64, f64), colour: RGBColor, dashed: bool) -> Drawn {
    let dashes: &[(f64, f64)] = if dashed { &[(0.0, 7.0), (11.0, 18.0)] } else { &[(0.0, 18.0)] };
    for &(from, to) in dashes {
        fill(area, [(x + from, y - 1.0), (x + to, y + 1.0)], colour)?;
    }
    text(area, name, (x + 23.0, y), Anchor::Left, LABEL, &INK)
}

/// Returns at most `n` points, each the mean of neighbours. Values that are not finite are left out.
fn means(points: &[(f64, f64)], n: usize) -> Vec<(f64, f64)> {
    let finite: Vec<(f64, f64)> = points.iter().copied().filter(|p| p.1.is_finite()).collect();
    let mean =
        |share: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| share.iter().map(of).sum::<f64>() / share.len() as f64;
    finite.chunks(finite.len().div_ceil(n).max(1)).map(|share| (mean(share, |p| p.0), mean(share, |p| p.1))).collect()
}

/// Returns the points that can be shown, with those outside of the diagram moved to its edge.
fn shown(points: &[(f64, f64)], top: f64) -> Vec<(f64, f64)> {
    let is_shown = |p: &&(f64, f64)| p.1 == 0.0 || SHOWN.contains(&p.1.abs());
    points.iter().filter(is_shown).map(|p| (p.0, p.1.clamp(0.0, top))).collect()
}

/// Draws one diagram over the steps, whose values begin at zero. `margin` is the width in points of the space for the
/// values at the ends of lines.
fn draw_panel(area: &Area, panel: &Panel, steps: f64, margin: f64) -> Drawn {
    let (Panel { title, curves }, top) = (panel, panel.top());
    let (head, rest) = area.split_vertically(pt(if title.is_empty() { 4.0 } else { PANEL_TITLE }));
    text(&head, title, (MARGIN, 18.0), Anchor::Left, 14.0, &INK)?;
    let mut chart = ChartBuilder::on(&rest)
        .margin_right(pt(margin))
        .x_label_area_size(pt(X_LABELS))
        .y_label_area_size(pt(54.0))
        .build_cartesian_2d(0.0..steps, 0.0..top)?;
    draw_axes(&rest, chart.plotting_area(), steps, top)?;
    for Curve { points, colour, opacity, width, dashed, .. } in curves {
        let points = shown(points, top);
        let style = colour.mix(*opacity).stroke_width(pt(*width) as u32);
        if *dashed {
            chart.draw_series(DashedLineSeries::new(points.iter().copied(), pt(5.0) as u32, pt(4.0) as u32, style))?;
        } else {
            chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
        }
        // A line of one point would be invisible.
        if let [point] = points[..] {
            chart.draw_series([Circle::new(point, pt(2.5), colour.mix(*opacity).filled())])?;
        }
    }
    draw_ends(&rest, chart.plotting_area(), curves, steps)
}

type Plane<'a> = DrawingArea<plotters::backend::BitMapBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Returns the position of a value in points of `area`, which holds the plane.
fn place(area: &Area, plane: &Plane, at: (f64, f64)) -> (f64, f64) {
    let ((x, y), corner) = (plane.map_coordinate(&at), area.get_base_pixel());
    let points = |pixel: i32| f64::from(pixel) / f64::from(pt(1.0));
    (points(x - corner.0), points(y - corner.1))
}

/// Draws the axes and their labels.
fn draw_axes(area: &Area, plane: &Plane, steps: f64, top: f64) -> Drawn {
    let ((left, bottom), (right, _)) = (place(area, plane, (0.0, 0.0)), place(area, plane, (steps, 0.0)));
    for value in ticks(top) {
        let (_, y) = place(area, plane, (0.0, value));
        fill(area, [(left, y - 0.3), (right, y + 0.3)], if value == 0.0 { FAINT } else { RULE })?;
        text(area, &number(value), (left - 7.0, y), Anchor::Right, LABEL, &INK)?;
    }
    for value in ticks(steps).into_iter().filter(|step| step.fract() == 0.0) {
        let (x, _) = place(area, plane, (value, 0.0));
        fill(area, [(x - 0.3, bottom), (x + 0.3, bottom + 4.0)], FAINT)?;
        text(area, &number(value), (x, bottom + 13.0), Anchor::Centre, LABEL, &INK)?;
    }
    text(area, "step", ((left + right) / 2.0, bottom + 29.0), Anchor::Centre, LABEL, &FAINT)
}

/// Writes the last value of each line to the right of the diagram; a thin line leads there from the line's end.
fn draw_ends(area: &Area, plane: &Plane, curves: &[Curve], steps: f64) -> Drawn {
    let mut ends: Vec<_> = curves
        .iter()
        .filter_map(|curve| curve.last().map(|(point, label)| (place(area, plane, point), label, curve.colour)))
        .collect();
    ends.sort_by(|((_, a), ..), ((_, b), ..)| a.total_cmp(b));
    let heights = spread(&ends.iter().map(|((_, y), ..)| *y).collect::<Vec<_>>(), END_LINE);
    let (right, bottom) = place(area, plane, (steps, 0.0));
    let n = heights.len();
    for (i, (((x, y), label, colour), height)) in ends.into_iter().zip(heights).enumerate() {
        // Labels that would come below the axis are stacked upwards from it.
        let middle = height.min(bottom - (n - 1 - i) as f64 * END_LINE);
        let line = [(x, y), (right + 2.0, y), (right + END_GAP - 2.0, middle)].map(|(x, y)| (pt(x), pt(y)));
        area.draw(&PathElement::new(line, colour.mix(0.6).stroke_width(pt(0.5) as u32)))?;
        text(area, &label, (right + END_GAP, middle), Anchor::Left, END, &colour)?;
    }
    Ok(())
}

/// Moves ascending heights apart, so that neighbours have at least this distance, and as little as possible: the
/// isotonic regression of yᵢ − i·distance.
fn spread(heights: &[f64], distance: f64) -> Vec<f64> {
    // Each block of labels that touch is kept as its sum and its number.
    let mut blocks: Vec<(f64, usize)> = vec![];
    let mean = |(sum, n): (f64, usize)| sum / n as f64;
    for (i, y) in heights.iter().enumerate() {
        let mut last = (y - i as f64 * distance, 1);
        while let Some(before) = blocks.pop_if(|before| mean(*before) > mean(last)) {
            last = (last.0 + before.0, last.1 + before.1);
        }
        blocks.push(last);
    }
    let level = blocks.into_iter().flat_map(|block| repeat_n(mean(block), block.1));
    level.enumerate().map(|(i, y)| y + i as f64 * distance).collect()
}

/// Returns round numbers from 0 to `top` for the axis.
pub(super) fn ticks(top: f64) -> Vec<f64> {
    RangedCoordf64::from(0.0..top).key_points(BoldPoints(6))
}

/// Formats a number as shortly as possible: 0.0005 → 5e-4, 1200 → 1,200, 2.50 → 2.5.
pub(super) fn number(v: f64) -> String {
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

/// Formats a value with about three digits: 4.852 → 4.85, 49.23 → 49.2, 213.4 → 213.
pub(super) fn value(v: f64) -> String {
    match v.abs() {
        0.01..10.0 => format!("{v:.2}"),
        10.0..99.95 => format!("{v:.1}"),
        99.95..1000.0 => format!("{v:.0}"),
        1e9.. => format!("{v:.1e}"),
        _ => number(v),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_three_digits() {
        let values = [0.0, 0.00051, 0.064, 4.852, 49.23, 99.97, 213.4, 1234.0, 1e12].map(value);
        assert_eq!(values, ["0", "5.1e-4", "0.06", "4.85", "49.2", "100", "213", "1,234", "1.0e12"]);
    }

    #[test]
    fn labels_that_would_touch_are_moved_apart() {
        assert_eq!(spread(&[0.0, 20.0, 21.0, 60.0], 10.0), [0.0, 15.5, 25.5, 60.0]);
        assert_eq!(spread(&[5.0, 5.0, 5.0], 10.0), [-5.0, 5.0, 15.0]);
        assert_eq!(spread(&[], 10.0), [0.0; 0]);
    }
}
