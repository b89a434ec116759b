//! The drawings of the chapters, made of a few primitives. All is black on white or white on black, as the page is.

mod accumulation;
mod adamw;
mod attention;
mod blip;
mod block;
mod chain_rule;
mod contrast;
mod convolution;
mod gelu;
mod layer_norm;
mod linear;
mod loss_curve;
mod patches;
mod softmax;
mod tokens;
mod unit_length;

/// Chapter, drawing, and the function that draws it.
type Entry = (&'static str, &'static str, fn() -> String);

/// All drawings. The text has each between the lines `<!-- drawing name -->` and `<!-- end -->`.
pub const DRAWINGS: &[Entry] = &[
    ("chain_rule", "paths", chain_rule::paths),
    ("linear", "products", linear::products),
    ("gelu", "curves", gelu::curves),
    ("layer_norm", "rows", layer_norm::rows),
    ("layer_norm", "parts", layer_norm::parts),
    ("softmax", "shares", softmax::shares),
    ("attention", "shapes", attention::shapes),
    ("block", "branches", block::branches),
    ("patches", "flag", patches::flag),
    ("tokens", "packed", tokens::packed),
    ("unit_length", "turn", unit_length::turn),
    ("contrast", "shapes", contrast::shapes),
    ("adamw", "step", adamw::step),
    ("adamw", "rate", adamw::rate),
    ("accumulation", "blocks", accumulation::blocks),
    ("accumulation", "passes", accumulation::passes),
    ("loss_curve", "healthy", loss_curve::healthy),
    ("loss_curve", "faults", loss_curve::faults),
    ("loss_curve", "scale", loss_curve::scale),
    ("convolution", "window", convolution::window),
    ("convolution", "norms", convolution::norms),
    ("convolution", "pool", convolution::pool),
    ("blip", "look", blip::look),
    ("blip", "targets", blip::targets),
];

/// The edge of a matrix's cell, and the size of letters, in pixels.
pub const CELL: f64 = 36.0;
const LETTER: f64 = 15.0;

/// Where a text lies from its point.
#[derive(Clone, Copy, PartialEq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// How a line is drawn.
#[derive(Clone, Copy)]
pub enum Stroke {
    Thin,
    Thick,
    Dashed,
}

/// A drawing to which parts are added. Points are (x, y) in pixels from the upper left.
pub struct Drawing {
    size: (f64, f64),
    label: String,
    parts: Vec<String>,
}

impl Drawing {
    /// Starts a drawing. The label says in words what is drawn, for those who do not see it.
    pub fn new(size: (f64, f64), label: &str) -> Self {
        Drawing { size, label: label.into(), parts: vec![] }
    }

    /// Draws a grid of rows × cols cells from its upper left corner on.
    pub fn grid(&mut self, (x, y): (f64, f64), rows: usize, cols: usize) {
        let (width, height) = (cols as f64 * CELL, rows as f64 * CELL);
        let mut path = format!("M{x} {y}h{width}v{height}h-{width}z");
        (1..cols).for_each(|j| path += &format!("M{} {y}v{height}", x + j as f64 * CELL));
        (1..rows).for_each(|i| path += &format!("M{x} {}h{width}", y + i as f64 * CELL));
        self.path(&path, Stroke::Thin);
    }

    /// Draws a rectangle.
    pub fn frame(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), stroke: Stroke) {
        self.path(&format!("M{x} {y}h{width}v{height}h-{width}z"), stroke);
    }

    /// Draws a rectangle with a text in its middle.
    pub fn labelled(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), stroke: Stroke, text: &str) {
        self.frame((x, y), (width, height), stroke);
        self.text((x + width / 2.0, y + height / 2.0 + 5.0), Anchor::Middle, text);
    }

    /// Shades a rectangle; 0.35 stands out, 0.12 lies behind.
    pub fn shade(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), opacity: f64) {
        let fill = format!("fill=\"currentColor\" fill-opacity=\"{opacity}\"");
        self.parts.push(format!("<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" {fill}/>"));
    }

    /// Draws a line through points.
    pub fn line(&mut self, points: &[(f64, f64)], stroke: Stroke) {
        let points: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        self.path(&format!("M{}", points.join("L")), stroke);
    }

    /// Draws a line with a head at its end.
    pub fn arrow(&mut self, from: (f64, f64), to: (f64, f64), stroke: Stroke) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let (dx, dy) = (dx / dx.hypot(dy), dy / dx.hypot(dy));
        let wing = |side: f64| (to.0 - 8.0 * dx - side * 5.0 * dy, to.1 - 8.0 * dy + side * 5.0 * dx);
        self.line(&[from, to], stroke);
        self.line(&[wing(1.0), to, wing(-1.0)], if let Stroke::Thick = stroke { stroke } else { Stroke::Thin });
    }

    /// Writes a text, whose point is on the line of its letters.
    pub fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        // A letter is about half as wide as it is high, and a hat takes no place.
        let width = text.chars().filter(|c| *c != '\u{302}').count() as f64 * LETTER * 0.5;
        let (start, name) = match anchor {
            Anchor::Start => (x, "start"),
            Anchor::Middle => (x - width / 2.0, "middle"),
            Anchor::End => (x - width, "end"),
        };
        assert!(start >= 0.0 && start + width <= self.size.0 && y <= self.size.1, "{text:?} does not fit");
        let anchor = if anchor == Anchor::Start { String::new() } else { format!(" text-anchor=\"{name}\"") };
        self.parts.push(format!("<text x=\"{x}\" y=\"{y}\"{anchor}>{}</text>", escaped(text)));
    }

    fn path(&mut self, path: &str, stroke: Stroke) {
        let stroke = match stroke {
            Stroke::Thin => "",
            Stroke::Thick => " stroke-width=\"2.5\"",
            Stroke::Dashed => " stroke-width=\"2\" stroke-dasharray=\"6 4\"",
        };
        self.parts.push(format!("<path d=\"{path}\" fill=\"none\" stroke=\"currentColor\"{stroke}/>"));
    }

    /// Returns the figure with its caption, which is HTML.
    pub fn figure(self, caption: &str) -> String {
        let (width, height) = self.size;
        let (label, parts) = (escaped(&self.label), self.parts.join("\n"));
        format!(
            "<figure style=\"margin:1em 0\">\n<svg viewBox=\"0 0 {width} {height}\" width=\"100%\" \
             style=\"max-width:{width}px\" role=\"img\" aria-label=\"{label}\" fill=\"currentColor\" \
             font-size=\"{LETTER}\" font-family=\"sans-serif\">\n{parts}\n</svg>\n<figcaption>{caption}</figcaption>\n\
             </figure>\n"
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
