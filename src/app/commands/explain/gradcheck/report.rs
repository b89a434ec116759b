//! What `clipwright explain gradcheck` prints.

use super::check::{AtStep, Checked, Entry, Gradient};
use super::layer::{Layer, Term};
use serde::Serialize;
use std::fmt;

#[derive(Serialize)]
pub(super) struct Report {
    pub layer: &'static str,
    pub chapter: &'static str,
    pub formula: &'static str,
    /// The term that is left out.
    pub without: Option<&'static str>,
    /// How the chapter writes it.
    pub term: Option<&'static str>,
    #[serde(flatten)]
    pub checked: Checked,
}

impl Report {
    pub(super) fn new(layer: &Layer, without: Option<&Term>, checked: Checked) -> Self {
        let &Layer { name, chapter, formula, .. } = layer;
        let (term, without) = (without.map(|term| term.formula), without.map(|term| term.name));
        Report { layer: name, chapter, formula, without, term, checked }
    }

    pub(super) fn title(&self) -> String {
        match self.without {
            Some(term) => format!("The backward pass of {} without {term}", self.layer),
            None => format!("The backward pass of {}", self.layer),
        }
    }

    /// Says which gradients are wrong, and which entry of each is off by most.
    pub(super) fn verdict(&self) -> Vec<String> {
        let wrong = self.checked.gradients.iter().filter(|gradient| !gradient.right);
        let said = |Gradient { name, worst: Entry { row, column, given, expected }, .. }: &Gradient| {
            format!("{name}[{row}][{column}]: given {given:.6}, expected {expected:.6}")
        };
        match wrong.map(said).collect::<Vec<_>>() {
            none if none.is_empty() => vec!["every gradient is right".into()],
            said => said,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "{}  {}", self.layer, self.formula)?;
        writeln!(f, "chapter {}", self.chapter)?;
        if let Some(term) = self.term {
            writeln!(f, "left out: {term}")?;
        }
        let Checked { gradients, steps } = &self.checked;
        writeln!(f, "\n{:16}{:>8}{:>14}{:>14}", "gradient", "shape", "tour, f64", "library, f32")?;
        for Gradient { name, shape: [rows, columns], tour_error, library_error, right, library_right, .. } in gradients
        {
            let shape = format!("{rows}×{columns}");
            let (tour, library) = (marked(*right), marked(*library_right));
            let line = format!("{name:16}{shape:>8}{tour_error:>12.1e}{tour}{library_error:>12.1e}{library}");
            writeln!(f, "{}", line.trim_end())?;
        }
        for said in self.verdict() {
            writeln!(f, "{said}")?;
        }
        writeln!(f, "\n{:10}{:>14}{:>14}", "step h", "tour, f64", "library, f32")?;
        for AtStep { step, tour_error, library_error } in steps {
            writeln!(f, "{:10}{tour_error:>14.1e}{library_error:>14.1e}", format!("{step:.0e}"))?;
        }
        write!(f, "each error is the largest of all entries, relative to the gradient's largest")
    }
}

fn marked(right: bool) -> &'static str {
    if right { "  " } else { " ✗" }
}
