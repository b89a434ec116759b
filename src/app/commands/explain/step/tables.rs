//! The tables S, P, Q and dS of the page, and the temperature that moves them.
//!
//! The page shows the numbers of the step without any script. With one, a slider appears that computes the tables anew
//! from the cosines, by the same formulas.

use super::taken::Contrast;
use crate::models::clip::model::MAX_LOGIT_SCALE;
use crate::tour::chain_rule::Matrix;
use serde_json::json;

pub(super) const STYLE: &str = "\
.tables { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 0 2rem; }
";

/// How the cells of a table are written and coloured.
struct Table {
    id: &'static str,
    title: &'static str,
    said: &'static str,
    digits: usize,
}

const S: Table =
    Table { id: "s", title: "S = s Î T̂ᵀ", said: "the logits: cosines times s = exp(logit_scale)", digits: 2 };
const P: Table = Table {
    id: "p",
    title: "P, softmax of each row of S",
    said: "how a picture chooses among the captions; each row adds up to 1",
    digits: 3,
};
const Q: Table = Table {
    id: "q",
    title: "Q, softmax of each column of S",
    said: "how a caption chooses among the pictures; each column adds up to 1",
    digits: 3,
};
const DS: Table = Table {
    id: "ds",
    title: "dS = (P + Q − hard) / 2N",
    said: "hard is 2 where a picture and a caption fit each other alone, 0 where they do not fit; of several that \
           fit, each has its share. Below 0, a step down the gradient pulls picture and caption together; above 0 it \
           pushes them apart. All cells add up to 0",
    digits: 4,
};

/// Returns the slider, the tables and the script.
pub(super) fn tables(contrast: &Contrast) -> String {
    let Contrast { fits, logits, p, q, dlogits, .. } = contrast;
    let shown = [(S, logits), (P, p), (Q, q), (DS, dlogits)].map(|(table, cells)| table.html(cells, fits)).concat();
    format!("{}\n<div class=\"tables\">\n{shown}</div>\n{}", slider(contrast), script(contrast))
}

impl Table {
    fn html(&self, cells: &Matrix, fits: &Matrix) -> String {
        let Table { id, title, said, digits } = *self;
        let largest = cells.iter().flatten().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        let head: String = (1..=cells.len()).map(|j| format!("<th>T{j}")).collect();
        let cell = |(&x, &fits): (&f64, &f64)| {
            let sign = if x < 0.0 { "minus" } else { "plus" };
            let fits = if fits > 0.0 { " fits" } else { "" };
            let share = if largest > 0.0 { x.abs() / largest } else { 0.0 };
            format!("<td class=\"{sign}{fits}\" style=\"--a:{share:.3}\">{x:.digits$}{}", self.word(x))
        };
        let rows = cells.iter().zip(fits).enumerate();
        let rows: String = rows
            .map(|(i, (row, fits))| {
                let cells: String = row.iter().zip(fits).map(cell).collect();
                format!("<tr><th>I{}{cells}</tr>\n", i + 1)
            })
            .collect();
        format!(
            "<section><h3>{title}</h3>\n<p class=\"said\">{said}.</p>\n<div class=\"scroll\"><table class=\"grid\" \
             id=\"{id}\"><tr><th>{head}</tr>\n{rows}</table></div></section>\n"
        )
    }

    /// Returns what a gradient does, below it.
    fn word(&self, x: f64) -> &'static str {
        match self.id == DS.id {
            true if x < 0.0 => "<small>pull</small>",
            true if x > 0.0 => "<small>push</small>",
            _ => "",
        }
    }
}

/// Returns the slider, which a script makes visible.
fn slider(contrast: &Contrast) -> String {
    let (scale, loss) = (contrast.scale, contrast.loss_by_tour);
    let at = scale.ln();
    let max = at.max(f64::from(MAX_LOGIT_SCALE));
    format!(
        "<div id=\"heat\" class=\"slider\" hidden><label>temperature: logit_scale <b id=\"at\">{at:.3}</b>, s = <b id=\"by\">{scale:.2}\
         </b>, loss <b id=\"loss\">{loss:.5}</b>\n<input type=\"range\" min=\"0\" max=\"{max:.4}\" step=\"any\" \
         value=\"{at}\"></label></div>"
    )
}

/// Returns the script with its numbers. There is no text of the user's in it.
fn script(contrast: &Contrast) -> String {
    let digits = json!({ S.id: S.digits, P.id: P.digits, Q.id: Q.digits, DS.id: DS.digits });
    let numbers = json!({ "cosines": contrast.cosines, "fits": contrast.fits, "digits": digits });
    format!("<script>\nconst {{ cosines, fits, digits }} = {numbers};\n{SCRIPT}</script>\n")
}

const SCRIPT: &str = "\
const by = id => document.getElementById(id), n = cosines.length, all = [...Array(n).keys()];
const sum = f => all.reduce((total, k) => total + f(k), 0);
const table = f => all.map(i => all.map(j => f(i, j)));
const lse = f => { const max = Math.max(...all.map(f)); return max + Math.log(sum(k => Math.exp(f(k) - max))); };
function show(id, x) {
  const largest = Math.max(...x.flat().map(Math.abs)) || 1, rows = by(id).rows;
  table((i, j) => {
    const cell = rows[i + 1].cells[j + 1], value = x[i][j];
    cell.className = (value < 0 ? 'minus' : 'plus') + (fits[i][j] ? ' fits' : '');
    cell.style.setProperty('--a', Math.abs(value) / largest);
    cell.textContent = value.toFixed(digits[id]);
    if (id == 'ds' && value != 0) {
      cell.append(Object.assign(document.createElement('small'), { textContent: value < 0 ? 'pull' : 'push' }));
    }
  });
}
function move(at) {
  const s = table((i, j) => Math.exp(at) * cosines[i][j]);
  const rows = all.map(i => lse(k => s[i][k])), columns = all.map(j => lse(k => s[k][j]));
  const fitting = all.map(i => sum(k => fits[i][k]));
  const p = table((i, j) => Math.exp(s[i][j] - rows[i])), q = table((i, j) => Math.exp(s[i][j] - columns[j]));
  const hard = (i, j) => fits[i][j] * (1 / fitting[i] + 1 / fitting[j]);
  const loss = sum(i => rows[i] + columns[i] - sum(j => fits[i][j] * (s[i][j] + s[j][i])) / fitting[i]) / (2 * n);
  const ds = table((i, j) => (p[i][j] + q[i][j] - hard(i, j)) / (2 * n));
  Object.entries({ s, p, q, ds }).forEach(([id, x]) => show(id, x));
  by('at').textContent = at.toFixed(3);
  by('by').textContent = Math.exp(at).toFixed(2);
  by('loss').textContent = loss.toFixed(5);
}
by('heat').hidden = false;
by('heat').querySelector('input').addEventListener('input', event => move(Number(event.target.value)));
";
