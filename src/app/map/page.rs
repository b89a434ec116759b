//! A map as a page that is one file.

use super::{CHART, CHART_STYLE, Map};
use crate::app::commands::page::link;
use crate::app::html;
use crate::app::thumbnail::thumbnail;
use crate::counted::counted;
use crate::embed::rows::evenly_spread;
use crate::files::{folder_of, serialize_name};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};

/// Longer side of the small pictures in pixels, and how many there are at most: two megabytes.
const SIDE: u32 = 128;
const MAX_PICTURES: usize = 500;

/// What is to be seen on the map.
const NEIGHBOURS: &str = "What lies beside a picture is like it; how far regions are apart says little.";
const LINEAR: &str = "These are the two directions in which the pictures differ most.";

/// Fills the page. What is opened is the picture itself.
const SCRIPT: &str = "
const map = JSON.parse(document.querySelector('#map').textContent);
chart(document.querySelector('main'), map, {
  fill: (img, { small }) => { if (small) img.src = small; return Boolean(small); },
  open: ({ link }) => { window.open(link, '_blank', 'noopener'); },
});
";

/// A picture with its place.
#[derive(Serialize)]
pub(crate) struct Point {
    #[serde(serialize_with = "serialize_name")]
    pub path: PathBuf,
    pub x: f32,
    pub y: f32,
    pub cluster: usize,
}

/// Writes the page to a file, whole or not at all.
///
/// # Errors
/// Returns an error, without the name of the file, if it cannot be written.
pub(crate) fn write(path: &Path, title: &str, map: &Map, is_linear: bool, points: &[Point]) -> io::Result<()> {
    let folder = folder_of(path).canonicalize()?;
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|&i| points[i].cluster);
    let mut small: Vec<Option<String>> = vec![None; points.len()];
    let shown: Vec<usize> = evenly_spread(order.len(), MAX_PICTURES).map(|i| order[i]).collect();
    let pictures: Vec<(usize, Option<String>)> = shown
        .into_par_iter()
        .map(|i| (i, thumbnail(&points[i].path, SIDE).map(|picture| html::jpeg(&picture))))
        .collect();
    pictures.into_iter().for_each(|(i, picture)| small[i] = picture);
    let point = |(point, small): (&Point, Option<String>)| -> Value {
        let Point { path, x, y, cluster } = point;
        let (path, link) = (path.display().to_string(), link(&folder, path));
        json!({"path": path, "link": link, "x": x, "y": y, "cluster": cluster, "small": small})
    };
    let points: Vec<Value> = points.iter().zip(small).map(point).collect();
    let left_out = if map.left_out > 0 { format!("; {} left out", map.left_out) } else { String::new() };
    let (pictures, regions) = (counted(points.len(), "picture"), counted(map.regions.len(), "region"));
    let said = format!("{pictures} in {regions}{left_out}. {}", if is_linear { LINEAR } else { NEIGHBOURS });
    let page = page(title, &said, &json!({"clusters": map.regions, "points": points}));
    html::save(path, &page)
}

fn page(title: &str, said: &str, map: &Value) -> String {
    // Nothing of a name ends the element.
    let map = map.to_string().replace('<', "\\u003c");
    let body = format!(
        "<p>{said}</p>\n<main></main>\n\
         <noscript>The map needs its script.</noscript>\n<script type=\"application/json\" id=\"map\">{map}</script>\n\
         <script type=\"module\">\n{CHART}{SCRIPT}</script>\n"
    );
    html::page(title, CHART_STYLE, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_name_is_markup_and_nothing_is_fetched() {
        let name = "</script><script>alert(1)</script>&\"'.png";
        let html = page("<b>", "1 picture in 1 region", &json!({"clusters": [], "points": [{"path": name}]}));
        assert!(!html.contains("alert(1)</script>") && !html.contains("<b>") && !html.contains("http"), "{html}");
        let told = html.split("id=\"map\">").nth(1).unwrap().split("</script>").next().unwrap();
        assert_eq!(serde_json::from_str::<Value>(told).unwrap()["points"][0]["path"], name);
    }
}
