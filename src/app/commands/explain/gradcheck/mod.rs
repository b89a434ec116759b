//! `clipwright explain gradcheck`: how a backward pass is checked, and what the check says of one that lacks a term.
//!
//! | file | what it knows |
//! |---|---|
//! | `layer` | what a layer is here |
//! | `rows`, `looks`, `pictures`, `tokens`, `contrast` | the layers, and the terms of their backward passes |
//! | `layers` | the list of all layers |
//! | `check` | backward passes against central differences |
//! | `report`, `page` | what is printed, and the page with the chart |

mod check;
mod contrast;
mod layer;
mod layers;
mod looks;
mod page;
mod pictures;
mod report;
mod rows;
mod tokens;

use super::page::Page;
use crate::app::commands::{CliError, Context};
use check::check;
use clap::Args;
use clap::builder::PossibleValuesParser;
use layer::{Layer, Term};
use layers::{LAYERS, layer};
use report::Report;
use std::fmt::Write;

/// Check a layer's backward pass against central differences, with a term left out if asked
///
/// The check moves each number of each input and parameter by ±h and sees how the loss ⟨dy, y⟩ changes:
/// (loss(+h) − loss(−h)) / 2h must be the gradient. A large h is off by what the loss bends (truncation, h²), a small
/// one by the digits that the difference loses (rounding, 1/h), so the error by h is a V. In f32 its lowest point is far
/// too high to judge anything by, hence f64. A term that is left out is an error that no h makes small.
#[derive(Debug, Args)]
#[command(after_help = terms(), after_long_help = terms())]
pub(crate) struct Gradcheck {
    /// Layer of the tour
    #[arg(value_parser = PossibleValuesParser::new(LAYERS.iter().map(|layer| layer.name)), hide_possible_values = true)]
    layer: String,
    /// Term to leave out of the chapter's backward pass
    #[arg(long, value_name = "TERM")]
    without: Option<String>,
    #[command(flatten)]
    page: Page,
}

/// Lists the layers with their terms, for the help.
fn terms() -> String {
    let mut list = "Layers, and the terms that can be left out:\n".to_owned();
    for Layer { name, terms, .. } in LAYERS {
        let names: Vec<&str> = terms.iter().map(|term| term.name).collect();
        writeln!(list, "  {name:16} {}", names.join(", ")).expect("a string takes everything");
    }
    list + "\nExamples:\n  clipwright explain gradcheck layer_norm\n  \
            clipwright explain gradcheck layer_norm --without mean --output gradcheck.html\n\n\
            A line of JSON:\n  {\"layer\", \"chapter\", \"formula\", \"without\", \"gradients\": [{\"name\", \"shape\", \
            \"tour_error\", \"library_error\",\n   \"right\", \"library_right\", \"worst\": {\"row\", \"column\", \
            \"given\", \"expected\"}}],\n   \"steps\": [{\"step\", \"tour_error\", \"library_error\"}]}"
}

impl Gradcheck {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        let layer = layer(&self.layer).expect("a name of the list");
        let without = self.term(layer)?;
        let report = Report::new(layer, without, check(layer, without));
        self.page.write(&report.title(), page::STYLE, || page::body(&report))?;
        context.output.show(&report)
    }

    /// Returns the term that is to be left out.
    fn term(&self, layer: &Layer) -> Result<Option<&'static Term>, CliError> {
        let Some(name) = &self.without else { return Ok(None) };
        let unknown = || {
            let known: Vec<&str> = layer.terms.iter().map(|term| term.name).collect();
            CliError::Usage(format!("--without {name}: the terms of {} are {}", layer.name, known.join(", ")))
        };
        layer.term(name).ok_or_else(unknown).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both backward passes of every layer are right.
    #[test]
    fn every_layer_passes() {
        for layer in LAYERS {
            let checked = check(layer, None);
            let wrong = checked.gradients.iter().filter(|gradient| !gradient.right || !gradient.library_right);
            assert_eq!(wrong.count(), 0, "{}: {:?}", layer.name, checked.gradients);
        }
    }

    /// The error by h is a V in f64, and in f32 its lowest point is far higher.
    #[test]
    fn errors_first_fall_and_then_rise() {
        for layer in LAYERS {
            let steps = check(layer, None).steps;
            let lowest = |error: fn(&check::AtStep) -> f64| steps.iter().map(error).fold(f64::INFINITY, f64::min);
            let (in_f64, in_f32) = (lowest(|at| at.tour_error), lowest(|at| at.library_error));
            let last = steps.last().expect("a step").tour_error;
            assert!(in_f64 < 1e-8 && last > 100.0 * in_f64, "{}: {in_f64:.1e}, at last {last:.1e}", layer.name);
            assert!(in_f32 > 100.0 * in_f64, "{}: {in_f64:.1e} in f64, {in_f32:.1e} in f32", layer.name);
        }
    }

    /// What is left out makes exactly the gradients wrong that have it, by more than any h can hide.
    #[test]
    fn every_term_is_missed() {
        let named = [
            ("linear", "outputs", "dx"),
            ("linear", "rows-of-weight", "dweight"),
            ("linear", "rows-of-bias", "dbias"),
            ("gelu", "density", "dx"),
            ("gelu", "area", "dx"),
            ("quick_gelu", "slope-of-gate", "dx"),
            ("quick_gelu", "factor", "dx"),
            ("layer_norm", "mean", "dx"),
            ("layer_norm", "along", "dx"),
            ("layer_norm", "weight", "dx"),
            ("softmax", "mean", "dscores"),
            ("cross_entropy", "right-choice", "dscores"),
            ("cross_entropy", "number", "dscores"),
            ("attention", "mean", "dq dk"),
            ("attention", "root-of-q", "dq"),
            ("attention", "root-of-k", "dk"),
            ("block", "residual-of-mlp", "dx dln_1.weight dln_1.bias din_weight din_bias dout_weight dout_bias"),
            ("block", "residual-of-attention", "dx"),
            ("patches", "pictures-of-positions", "dpositions"),
            ("patches", "pictures-of-class", "dclass"),
            ("tokens", "repeated-tokens", "dtable"),
            ("tokens", "repeated-places", "dpositions"),
            ("unit_length", "along", "dx"),
            ("unit_length", "length", "dx"),
            ("contrast", "columns", "dimages dtexts dlogit_scale"),
            ("contrast", "pairs", "dimages dtexts dlogit_scale"),
            ("contrast", "scale", "dimages"),
            ("convolution", "neighbours", "dx"),
            ("convolution", "pictures", "dweight"),
            ("batch_norm", "mean", "dx"),
            ("batch_norm", "along", "dx"),
            ("attention_pool", "mean", "dx"),
            ("cross_attention", "values", "du"),
            ("cross_attention", "keys", "du"),
        ];
        let all: Vec<_> =
            LAYERS.iter().flat_map(|layer| layer.terms.iter().map(|term| (layer.name, term.name))).collect();
        assert_eq!(all, named.map(|(layer, term, _)| (layer, term)));
        for (name, term, wrong) in named {
            let layer = layer(name).unwrap();
            let checked = check(layer, layer.term(term));
            let names =
                checked.gradients.iter().filter(|gradient| !gradient.right).map(|gradient| gradient.name.as_str());
            assert_eq!(names.collect::<Vec<_>>().join(" "), wrong, "{name} without {term}");
            assert!(
                checked.gradients.iter().all(|gradient| gradient.library_right),
                "{name}: the library has the term"
            );
            let least = checked.steps.iter().map(|at| at.tour_error).fold(f64::INFINITY, f64::min);
            assert!(least > 1e-3, "{name} without {term}: {least:.1e} at some step");
        }
    }

    /// At the point of a chapter, a term that is left out gives the numbers that the chapter's "Break it" quotes.
    #[test]
    fn terms_are_those_of_the_chapters() {
        let left_out = |name: &str, term: &str, at: Vec<Vec<Vec<f64>>>, dy: Vec<Vec<f64>>| {
            let layer = layer(name).unwrap();
            let mut g = (layer.backward)(&at, &dy);
            (layer.term(term).unwrap().leave_out)(&at, &dy, &mut g);
            format!("{:.6}", g[0][0][0])
        };
        let (x, dy) = (vec![vec![1.6, -1.2], vec![0.3, 0.4]], vec![vec![-0.88, -0.16], vec![0.91, 0.11]]);
        assert_eq!(left_out("unit_length", "along", vec![x.clone()], dy.clone()), "-0.440000");
        assert_eq!(left_out("unit_length", "length", vec![x], dy), "-0.393600");
    }
}
