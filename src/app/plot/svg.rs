//! The diagrams of a figure for a page: SVG, and below it a key with the values of the last step. Where scripts run, the
//! key shows those of the step that is pointed at.

use super::chart::{Curve, Figure, Panel, number, ticks, value};
use htmlize::escape_all_quotes;
use std::fmt::Write;

/// The size of a diagram, and the edges of its plane, in units of the SVG.
const SIZE: (f64, f64) = (440.0, 250.0);
const LEFT: f64 = 50.0;
const RIGHT: f64 = 430.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 212.0;

/// The style of the diagrams. Lines are a little lighter on a dark ground.
pub(crate) const STYLE: &str = "\
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.6rem 2rem; }
.curves figure { margin: 0; max-width: 42rem; }
figcaption span { color: var(--faint); float: right; }
svg { display: block; width: 100%; touch-action: pan-y; }
svg text { font-size: 12px; fill: var(--ink); }
svg .name { fill: var(--faint); }
svg line { stroke: var(--rule); }
svg .hair { stroke: var(--faint); visibility: hidden; }
.line { --shown: light-dark(var(--colour), color-mix(in oklab, var(--colour), white 25%)); }
polyline.line { fill: none; stroke: var(--shown); stroke-linejoin: round; }
circle.line { fill: var(--shown); }
.key { display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; list-style: none; margin: .2rem 0 0; padding: 0; }
.key i { display: inline-block; width: 1.2rem; border-top: 2px solid var(--shown); vertical-align: middle; }
.key i.dashed { border-top-style: dashed; }
output { font-variant-numeric: tabular-nums; font-weight: 600; }
";

/// Shows the values of the step that is pointed at, and a vertical line there.
pub(crate) const SCRIPT: &str = "\
for (const figure of document.querySelectorAll('.curves figure')) {
  const [svg, hair, step] = ['svg', '.hair', 'figcaption span'].map(name => figure.querySelector(name));
  const curves = [...figure.querySelectorAll('li')].map(item => ({
    shown: item.querySelector('output'), points: item.dataset.points.split('|').map(point => point.split(' '))
  }));
  const last = [step.textContent, ...curves.map(curve => curve.shown.textContent)];
  const { left, right, steps } = svg.dataset;
  svg.addEventListener('pointermove', event => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    const near = at => (a, b) => Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a;
    const at = curves[0].points.reduce(near((x - left) / (right - left) * steps))[0];
    const place = +left + at / steps * (right - left);
    hair.setAttribute('x1', place);
    hair.setAttribute('x2', place);
    hair.style.visibility = 'visible';
    step.textContent = `step ${at}`;
    for (const { shown, points } of curves) shown.textContent = points.reduce(near(at))[1];
  });
  svg.addEventListener('pointerleave', () => {
    hair.style.visibility = 'hidden';
    [step, ...curves.map(curve => curve.shown)].forEach((element, i) => element.textContent = last[i]);
  });
}
";

impl Figure {
    /// Returns each panel as an HTML figure, for a container of class `curves`.
    pub(crate) fn html(&self) -> String {
        self.panels.iter().map(|panel| self.panel(panel)).collect()
    }

    fn panel(&self, panel: &Panel) -> String {
        let title = if panel.title.is_empty() { self.title } else { panel.title };
        let (steps, (width, height)) = (self.steps, SIZE);
        let lines: String = panel.curves.iter().map(|curve| line(curve, steps, panel.top())).collect();
        let mut keyed: Vec<_> =
            panel.curves.iter().filter(|curve| curve.end.is_some() && !curve.shown().is_empty()).collect();
        keyed.sort_by_key(|curve| (curve.dashed, self.keys.iter().position(|(_, colour, _)| *colour == curve.colour)));
        let key: String = keyed.into_iter().map(|curve| self.key(curve)).collect();
        format!(
            "<figure><figcaption><b>{}</b> <span>step {steps}</span></figcaption>\n\
             <svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{0}\" data-left=\"{LEFT}\" \
             data-right=\"{RIGHT}\" data-steps=\"{steps}\">\n{}{lines}\
             <line class=\"hair\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/></svg>\n<ul class=\"key\">\n{key}</ul></figure>\n",
            escape_all_quotes(title),
            axes(steps, panel.top()),
        )
    }

    /// Returns an entry of the key, with all values of its curve.
    fn key(&self, curve: &Curve) -> String {
        let same = |(_, colour, dashed): &&(String, _, bool)| *colour == curve.colour && !dashed;
        let named = self.keys.iter().find(same).map(|(name, ..)| name.as_str());
        let parts = [named, curve.end].into_iter().flatten().filter(|part| !part.is_empty());
        let name = parts.collect::<Vec<_>>().join(": ");
        let points: Vec<(f64, String)> = curve.shown().into_iter().map(|(step, v)| (step.round(), value(v))).collect();
        let last = points.last().map_or("–", |(_, value)| value);
        let all: Vec<String> = points.iter().map(|(step, value)| format!("{step} {value}")).collect();
        format!(
            "<li class=\"line\" style=\"--colour: {}\" data-points=\"{}\"><i{}></i> {} <output>{last}</output></li>\n",
            colour(curve),
            all.join("|"),
            if curve.dashed { " class=\"dashed\"" } else { "" },
            escape_all_quotes(&name),
        )
    }
}

fn colour(curve: &Curve) -> String {
    let plotters::style::RGBColor(r, g, b) = curve.colour;
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Returns the position of a value in the plane.
fn place((step, value): (f64, f64), steps: f64, top: f64) -> (f64, f64) {
    (LEFT + step / steps * (RIGHT - LEFT), BOTTOM - value / top * (BOTTOM - TOP))
}

/// Returns a curve, or a dot if it has one point alone.
fn line(curve: &Curve, steps: f64, top: f64) -> String {
    let points: Vec<_> = curve.shown().into_iter().map(|point| place(point, steps, top)).collect();
    let (colour, opacity) = (colour(curve), curve.opacity);
    if let [(x, y)] = points[..] {
        return format!(
            "<circle class=\"line\" style=\"--colour: {colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>\n"
        );
    }
    let points: Vec<String> = points.into_iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    format!(
        "<polyline class=\"line\" style=\"--colour: {colour}\" opacity=\"{opacity}\" stroke-width=\"{}\"{} points=\"{}\"/>\n",
        curve.width,
        if curve.dashed { " stroke-dasharray=\"5 4\"" } else { "" },
        points.join(" "),
    )
}

/// Returns the rules of the plane and their labels.
fn axes(steps: f64, top: f64) -> String {
    let mut svg = String::new();
    let mut add = |part: std::fmt::Arguments| svg.write_fmt(part).expect("a string takes everything");
    for value in ticks(top) {
        let (_, y) = place((0.0, value), steps, top);
        add(format_args!("<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"));
        add(format_args!(
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            LEFT - 6.0,
            y + 4.0,
            number(value)
        ));
    }
    for value in ticks(steps).into_iter().filter(|step| step.fract() == 0.0) {
        let (x, _) = place((value, 0.0), steps, top);
        let anchor = if x > RIGHT - 12.0 { "end" } else { "middle" };
        add(format_args!("<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{BOTTOM}\" y2=\"{}\"/>", BOTTOM + 4.0));
        add(format_args!(
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>\n",
            BOTTOM + 18.0,
            number(value)
        ));
    }
    let middle = (LEFT + RIGHT) / 2.0;
    add(format_args!(
        "<text class=\"name\" x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">step</text>\n",
        BOTTOM + 34.0
    ));
    svg
}

#[cfg(test)]
mod tests {
    use crate::app::plot::curves;
    use crate::train::log::{Metrics, Step};
    use crate::train::metric::Metric;

    #[test]
    fn a_diagram_holds_its_values_and_escapes_names() {
        let step = |step: u64| {
            let loss = Metric::new("loss", 4.0 / step as f64).against_chance(4.5);
            let part = Metric { name: "loss_<i>\"x\"".into(), value: 1.0, chance: None };
            Step { step, metrics: vec![loss, part] }
        };
        let metrics = Metrics { steps: (1..=4).map(step).collect(), evaluations: vec![] };
        let html = curves::loss(&metrics).unwrap().html();
        assert!(html.contains("data-points=\"1 4.00|2 2.00|3 1.33|4 1.00\"") && html.contains("Loss (nats)"), "{html}");
        assert!(html.contains("chance <output>4.50</output>") && html.contains("stroke-dasharray"), "{html}");
        assert!(html.contains("&lt;i&gt;&quot;x&quot;") && !html.contains("<i>\""), "{html}");
        assert!(html.find("> loss <output>").unwrap() < html.find("&lt;i&gt;").unwrap(), "{html}");
    }
}
