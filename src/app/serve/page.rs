//! The page for people, whose files are in the program. Everything it shows it asks the other routes for.

use super::call::Call;
use super::reply::{Answer, Fault};
use crate::app::map::{CHART, CHART_STYLE};
use hyper::header::{CACHE_CONTROL, HeaderValue};

/// Names of files, their types and their contents.
const FILES: [(&str, &str, &str); 12] = [
    ("", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    ("icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("main.js", "text/javascript; charset=utf-8", include_str!("page/main.js")),
    ("query.js", "text/javascript; charset=utf-8", include_str!("page/query.js")),
    ("hits.js", "text/javascript; charset=utf-8", include_str!("page/hits.js")),
    ("views.js", "text/javascript; charset=utf-8", include_str!("page/views.js")),
    ("map.js", "text/javascript; charset=utf-8", include_str!("page/map.js")),
    ("duplicates.js", "text/javascript; charset=utf-8", include_str!("page/duplicates.js")),
    ("chart.js", "text/javascript; charset=utf-8", CHART),
    ("chart.css", "text/css; charset=utf-8", CHART_STYLE),
    ("server.js", "text/javascript; charset=utf-8", include_str!("page/server.js")),
];
/// A browser asks anew each time, since another version of the program may be at the address.
const ASK_ANEW: HeaderValue = HeaderValue::from_static("no-cache");

pub(super) async fn file(call: Call) -> Result<Answer, Fault> {
    let file = FILES.iter().find(|(name, ..)| *name == call.id);
    let Some((_, kind, content)) = file else { return Err(Fault::missing(format!("the page has no {}", call.id))) };
    Ok(Answer::bytes(kind, *content).with(CACHE_CONTROL, ASK_ANEW))
}
