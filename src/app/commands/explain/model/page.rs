//! The page of `clipwright explain model`: a box for every part, and between the boxes what goes from one to the next.

use super::report::{KEPT, Report, adds, bytes, grouped, parameters, sizes};
use super::towers::{Row, Tower};
use htmlize::escape_all_quotes;

pub(super) const STYLE: &str = "\
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); gap: 1.5rem 2rem; \
align-items: start; }
h2 { font-size: 1.05rem; margin: 0; }
section > small { color: var(--faint); display: block; margin: .1rem 0 .5rem; }
.box { border: 1px solid var(--rule); border-radius: .4rem; background: var(--ground); padding: .5rem .7rem; }
.flow { text-align: center; color: var(--faint); margin: .15rem 0; font-variant-numeric: tabular-nums; }
dl { display: grid; grid-template-columns: 6.2rem 1fr; gap: .1rem .6rem; margin: .3rem 0 0; font-size: .87rem; \
font-variant-numeric: tabular-nums; }
dt { color: var(--faint); } dd { margin: 0; }
.bar { height: .3rem; border-radius: .15rem; background: light-dark(#0072b2, #56b4e9); min-width: 1px; }
.adds { background: light-dark(#b85c00, #e69f00); } .kept { background: light-dark(#008060, #3fbf9b); }
.said { color: var(--faint); max-width: 44rem; }
";

/// Returns the body of the page.
pub(super) fn body(report: &Report) -> String {
    let towers: String = report.towers.iter().map(tower).collect();
    format!(
        "<p>{}</p>\n<main>\n{towers}</main>\n<p class=\"said\">Each bar is the part's share of its column. A backward \
         pass takes twice the multiply-adds of the forward pass. {KEPT}</p>\n",
        escape_all_quotes(report.scope())
    )
}

fn tower(tower: &Tower) -> String {
    let (mut boxes, mut before) = (String::new(), &vec![]);
    for row in &tower.parts {
        // Not everything comes from the box above: keys and values are a picture's, and a projection takes one row.
        if row.input != *before {
            boxes += &flow(&row.input);
        }
        boxes += &part(tower, row);
        boxes += &flow(&row.output);
        before = &row.output;
    }
    format!(
        "<section><h2>{}</h2><small>{}, {} multiply-adds, {} kept</small>\n{boxes}</section>\n",
        escape_all_quotes(&tower.name),
        parameters(tower.parameters),
        adds(tower.multiply_adds),
        bytes(tower.kept_bytes)
    )
}

/// Shows what goes from one box to the next.
fn flow(shape: &[usize]) -> String {
    format!("<div class=\"flow\">↓ {}</div>\n", sizes(shape))
}

fn part(tower: &Tower, row: &Row) -> String {
    let Row { parameters, shared, multiply_adds, kept_bytes, .. } = row;
    let also = if *shared > 0 { format!("; {} shared", grouped(*shared)) } else { String::new() };
    let numbers = [
        ("parameters", grouped(*parameters) + &also, share(*parameters as f64, tower.parameters as f64), ""),
        ("multiply-adds", adds(*multiply_adds), share(*multiply_adds, tower.multiply_adds), " adds"),
        ("kept", bytes(*kept_bytes), share(*kept_bytes as f64, tower.kept_bytes as f64), " kept"),
    ];
    let numbers: String = numbers
        .into_iter()
        .map(|(name, text, share, class)| {
            let bar = if share > 0.0 {
                format!("<div class=\"bar{class}\" style=\"width:{share:.1}%\"></div>")
            } else {
                String::new()
            };
            format!("<dt>{name}<dd>{text}{bar}")
        })
        .collect();
    format!("<div class=\"box\"><b>{}</b><dl>{numbers}</dl></div>\n", escape_all_quotes(row.title()))
}

/// Returns a share in percent.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { 100.0 * part / whole } else { 0.0 }
}
