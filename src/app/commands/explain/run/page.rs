//! The page of `clipwright explain run`. Without any script it shows the last checkpoint.

use super::look::Said;
use super::map::Map;
use super::matrix;
use super::report::{Point, Report, Shot};
use crate::app::commands::explain::page::small;
use crate::app::html;
use crate::counted::counted;
use htmlize::escape_all_quotes;
use serde::Serialize;

pub(super) const STYLE: &str = "\
.pair p { margin: 0; }
.pair .true { color: light-dark(#007a5a, #3fbf9b); }
";

/// The numbers of a checkpoint that the slider shows. There is no text of the user's among them.
#[derive(Serialize)]
struct Frame<'a> {
    name: String,
    loss: String,
    nearest: usize,
    cosines: &'a [Vec<f32>],
    places: Vec<[f64; 2]>,
}

impl<'a> Frame<'a> {
    fn new(point: &'a Point, map: &Map) -> Self {
        let Point { own_nearest, cosines, .. } = point;
        Frame { name: point.name(), loss: point.loss(), nearest: *own_nearest, cosines, places: map.places(point) }
    }
}

/// Returns the body of the page.
pub(super) fn body(report: &Report) -> String {
    let Report { run, pictures, checkpoints, .. } = report;
    let small: Vec<String> = pictures.iter().map(|shot| html::jpeg(&small(&shot.example.picture))).collect();
    let map = Map::new(report);
    let advice = report.advice().map_or(String::new(), |advice| format!("<p class=\"said\">{advice}</p>\n"));
    let seen = if report.embeds() { matrix::html(report, &small) + &map.html(report, &small) } else { String::new() };
    format!(
        "<p>{}: {}, the same {}</p>\n<p class=\"said\">{}</p>\n{advice}{}\n{seen}{}{}",
        escape_all_quotes(run),
        counted(checkpoints.len(), "checkpoint"),
        counted(pictures.len(), "picture"),
        parts(pictures),
        slider(report),
        told(report, &small),
        script(report, &map),
    )
}

/// Says which pictures are of which kind.
fn parts(pictures: &[Shot]) -> String {
    let mut first = 1;
    let part = |shots: &[Shot]| {
        let last = first + shots.len() - 1;
        let said = format!("Pictures {first} to {last}: {}.", escape_all_quotes(&shots[0].part));
        first = last + 1;
        said
    };
    pictures.chunk_by(|a, b| a.part == b.part).map(part).collect::<Vec<_>>().join(" ")
}

/// Returns what is said of a checkpoint and, where there are several, the slider, which a script makes visible.
fn slider(report: &Report) -> String {
    let (last, n, most) = (report.last(), report.pictures.len(), report.checkpoints.len() - 1);
    let nearest = match report.embeds() {
        true => format!(", own caption nearest for <b id=\"nearest\">{}</b> of {n} pictures", last.own_nearest),
        false => String::new(),
    };
    let input = match most {
        0 => String::new(),
        _ => format!("\n<input id=\"at\" type=\"range\" min=\"0\" max=\"{most}\" value=\"{most}\" hidden>"),
    };
    format!(
        "<div class=\"slider\"><label><b id=\"name\">{}</b>, loss <b id=\"loss\">{}</b>{nearest}{input}</label></div>",
        last.name(),
        last.loss()
    )
}

/// Returns what the model says of each picture, all checkpoints in one place, of which one is visible.
fn told(report: &Report, small: &[String]) -> String {
    if report.last().said.is_empty() {
        return String::new();
    }
    let one = |at: usize, point: &Point, place: usize| {
        let hidden = if at + 1 == report.checkpoints.len() { "" } else { " hidden" };
        let said: String = point.said[place].iter().map(line).collect();
        format!("<div data-at=\"{at}\"{hidden}>{said}</div>")
    };
    let picture = |(place, Shot { caption, .. }): (usize, &Shot)| {
        let said: String = report.checkpoints.iter().enumerate().map(|(at, point)| one(at, point, place)).collect();
        format!(
            "<div class=\"pair\"><img alt=\"picture {number}\" src=\"{}\"><div><small>{number}: {}</small>{said}</div>\
             </div>\n",
            small[place],
            escape_all_quotes(caption),
            number = place + 1,
        )
    };
    let pictures: String = report.pictures.iter().enumerate().map(picture).collect();
    format!(
        "<h2>What the model says</h2>\n<p class=\"said\">Small: the picture's caption. A tick marks what is true.</p>\n\
         <div class=\"pairs\">\n{pictures}</div>\n"
    )
}

fn line(Said { question, text, is_true }: &Said) -> String {
    let question = question.as_ref().map_or(String::new(), |question| format!("{} ", escape_all_quotes(question)));
    let (class, tick) = if *is_true { (" class=\"true\"", " ✓") } else { ("", "") };
    format!("<p{class}>{question}<b>{}</b>{tick}</p>", escape_all_quotes(text))
}

/// Returns the script with its numbers, where there is something to move.
fn script(report: &Report, map: &Map) -> String {
    if report.checkpoints.len() == 1 {
        return String::new();
    }
    let frames: Vec<Frame> = report.checkpoints.iter().map(|point| Frame::new(point, map)).collect();
    let frames = serde_json::to_string(&frames).expect("numbers are plain data");
    let own: Vec<usize> = report.pictures.iter().map(|shot| shot.own).collect();
    let largest = matrix::largest(report);
    format!("<script>\nconst own = {own:?}, largest = {largest}, frames = {frames};\n{SCRIPT}</script>\n")
}

const SCRIPT: &str = "\
const by = id => document.getElementById(id);
function show(at) {
  const { name, loss, nearest, cosines, places } = frames[at];
  by('name').textContent = name;
  by('loss').textContent = loss;
  if (by('nearest')) by('nearest').textContent = nearest;
  cosines.forEach((row, i) => row.forEach((cosine, j) => {
    const cell = by('cosines').rows[j + 1].cells[i + 1], value = cosine ?? NaN;
    const marks = (own[i] == j ? ' fits' : '') + (value == Math.max(...row) ? ' best' : '');
    cell.className = (value < 0 ? 'minus' : 'plus') + marks;
    cell.style.setProperty('--a', Math.abs(value) / largest || 0);
    cell.textContent = (Math.round(100 * value) / 100 + 0).toFixed(2);
  }));
  places.forEach(([x, y], k) => by(`place${k}`).setAttribute('transform', `translate(${x} ${y})`));
  if (places.length) own.forEach((j, i) => {
    const [[x1, y1], [x2, y2]] = [places[i], places[own.length + j]];
    Object.entries({ x1, y1, x2, y2 }).forEach(([name, value]) => by(`line${i}`).setAttribute(name, value));
  });
  document.querySelectorAll('[data-at]').forEach(said => said.hidden = said.dataset.at != at);
}
by('at').hidden = false;
by('at').addEventListener('input', event => show(Number(event.target.value)));
";
