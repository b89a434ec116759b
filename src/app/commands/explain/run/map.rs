//! The map of the embeddings, on the same axes at all checkpoints.

use super::report::{Point, Report};
use htmlize::escape_all_quotes;

pub(super) const STYLE: &str = "\
#map { display: block; width: 100%; max-width: 40rem; border: 1px solid var(--rule); border-radius: .3rem; }
#map line { stroke: var(--faint); stroke-width: .7; }
#map circle { fill: light-dark(#0072b2, #56b4e9); stroke: var(--paper); stroke-width: .6; }
#map text { font: 600 10.5px system-ui, sans-serif; fill: light-dark(#fff, #18181b); text-anchor: middle; }
";

/// The longer edge of the map, and the room around its places, in units of the drawing.
const SIZE: f64 = 440.0;
const MARGIN: f64 = 18.0;
/// The edge of a picture on the map.
const EDGE: f64 = 24.0;

/// Where places are on the drawing: equal distances look equal in all directions, and all checkpoints fit.
pub(super) struct Map {
    low: [f64; 2],
    high: [f64; 2],
    /// Units of the drawing for a distance of 1.
    unit: f64,
}

impl Map {
    pub fn new(report: &Report) -> Self {
        let points = || report.checkpoints.iter().flat_map(|point| &point.points);
        let [low, high] = [f64::min as fn(f64, f64) -> f64, f64::max]
            .map(|choose| [0, 1].map(|axis| points().map(|point| point[axis]).reduce(choose).unwrap_or(0.0)));
        let span = (high[0] - low[0]).max(high[1] - low[1]);
        Map { low, high, unit: if span > 0.0 { (SIZE - 2.0 * MARGIN) / span } else { 0.0 } }
    }

    /// Returns the places of a checkpoint's pictures and captions on the drawing. The second axis points upwards.
    pub fn places(&self, point: &Point) -> Vec<[f64; 2]> {
        let place = |distance: f64| ((MARGIN + distance * self.unit) * 10.0).round() / 10.0;
        point.points.iter().map(|[x, y]| [place(x - self.low[0]), place(self.high[1] - y)]).collect()
    }

    /// Returns the map at the last checkpoint.
    pub fn html(&self, report: &Report, small: &[String]) -> String {
        let (n, places) = (report.pictures.len(), self.places(report.last()));
        let [width, height] = [0, 1].map(|axis| 2.0 * MARGIN + (self.high[axis] - self.low[axis]) * self.unit);
        let own = report.pictures.iter().enumerate();
        let lines: String = own.map(|(i, shot)| line(i, places[i], places[n + shot.own])).collect();
        let picture = |(i, small): (usize, &String)| {
            let half = -EDGE / 2.0;
            let image =
                format!("<image x=\"{half}\" y=\"{half}\" width=\"{EDGE}\" height=\"{EDGE}\" href=\"{small}\"/>");
            placed(i, places[i], &report.pictures[i].caption, &image)
        };
        let caption = |(j, caption): (usize, &String)| {
            let dot = format!("<circle r=\"8\"/><text y=\"3.7\">{}</text>", j + 1);
            placed(n + j, places[n + j], caption, &dot)
        };
        let pictures: String = small.iter().enumerate().map(picture).collect();
        let captions: String = report.captions.iter().enumerate().map(caption).collect();
        let [first, second] = [0, 1].map(|axis| 100.0 * report.shares[axis]);
        format!(
            "<h2>A map of the embeddings</h2>\n<p class=\"said\">Pictures, and captions T as dots, each joined to its \
             picture. The axes are the two directions in which the embeddings of the last checkpoint differ most \
             (principal components), with {first:.0} % and {second:.0} % of their variance. All checkpoints are shown \
             on these same axes, so that places can be compared; what an earlier one has in other directions is not \
             seen.</p>\n<svg id=\"map\" viewBox=\"0 0 {width:.1} {height:.1}\" role=\"img\" aria-label=\"A map of the \
             embeddings\">\n{lines}{pictures}{captions}</svg>\n"
        )
    }
}

fn line(i: usize, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2]) -> String {
    format!("<line id=\"line{i}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>\n")
}

/// Puts a drawing at its place, under a name that appears when it is pointed at.
fn placed(k: usize, [x, y]: [f64; 2], name: &str, drawing: &str) -> String {
    let name = escape_all_quotes(name);
    format!("<g id=\"place{k}\" transform=\"translate({x} {y})\"><title>{name}</title>{drawing}</g>\n")
}
