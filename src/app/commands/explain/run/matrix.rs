//! The matrix of the cosines of pictures and captions.

use super::report::{Report, Shot};
use htmlize::escape_all_quotes;

pub(super) const STYLE: &str = "\
.grid th img { width: 2.1rem; height: 2.1rem; object-fit: contain; background: #fff; display: block; margin: auto; }
#cosines td { min-width: 2.3rem; font-size: .72rem; }
#cosines th:first-child { text-align: right; width: 11rem; min-width: 7rem; overflow-wrap: anywhere; position: sticky; \
left: 0; background: var(--paper); color: var(--ink); }
.grid .best { font-weight: 700; }
";

/// Returns the matrix at the last checkpoint: a column a picture, a row a caption.
pub(super) fn html(report: &Report, small: &[String]) -> String {
    let Report { pictures, captions, .. } = report;
    let head: String = small
        .iter()
        .enumerate()
        .map(|(i, small)| format!("<th><img alt=\"picture {number}\" src=\"{small}\">{number}", number = i + 1))
        .collect();
    let row = |(j, caption): (usize, &String)| {
        let cells: String = pictures.iter().enumerate().map(|(i, shot)| cell(report, (i, shot), j)).collect();
        format!("<tr><th>{} <small>T{}</small>{cells}</tr>\n", escape_all_quotes(caption), j + 1)
    };
    let rows: String = captions.iter().enumerate().map(row).collect();
    format!(
        "<h2>Cosines</h2>\n<p class=\"said\">A column is a picture, a row a caption T. Framed is a picture's own \
         caption, bold the nearest of all. Blue is below 0; colours are the same at all checkpoints.</p>\n\
         <div class=\"scroll\"><table class=\"grid\" id=\"cosines\"><tr><th>{head}</tr>\n{rows}</table></div>\n"
    )
}

fn cell(report: &Report, (i, shot): (usize, &Shot), j: usize) -> String {
    let row = &report.last().cosines[i];
    let (cosine, best) = (row[j], row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sign = if cosine < 0.0 { "minus" } else { "plus" };
    let fits = if shot.own == j { " fits" } else { "" };
    let mark = if cosine == best { " best" } else { "" };
    let share = cosine.abs() / largest(report);
    // A 0 is added because −0 + 0 is 0: what rounds to nothing has no sign.
    let cosine = (100.0 * cosine).round() / 100.0 + 0.0;
    format!("<td class=\"{sign}{fits}{mark}\" style=\"--a:{share:.3}\">{cosine:.2}")
}

/// Returns the size of the largest cosine of all checkpoints.
pub(super) fn largest(report: &Report) -> f32 {
    let cosines = report.checkpoints.iter().flat_map(|point| &point.cosines).flatten();
    cosines.fold(f32::MIN_POSITIVE, |largest, cosine| largest.max(cosine.abs()))
}
