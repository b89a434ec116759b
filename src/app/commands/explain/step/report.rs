//! What is printed of a step.

use super::learner::Learner;
use super::pairs::{Pair, Pairs};
use super::taken::{Contrast, Losses, Taken, Tensor};
use crate::app::commands::explain::page::one_line;
use serde::Serialize;
use std::fmt;

/// The number of tensors that are listed in text.
const LISTED: usize = 10;

#[derive(Serialize)]
pub(super) struct Report {
    pub model: String,
    pub lr: f32,
    pub pairs: Vec<Pair>,
    #[serde(flatten)]
    pub contrast: Contrast,
    #[serde(flatten)]
    pub taken: Taken,
}

impl Report {
    /// Lets a model take a step.
    pub fn new(learner: Learner, pairs: Pairs, lr: f32) -> Self {
        let Learner { name, model, .. } = learner;
        let contrast = Contrast::of(&model, &pairs);
        Report { model: name, lr, contrast, taken: Taken::of(model, &pairs, lr), pairs: pairs.shown }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Report { model, lr, pairs, contrast, taken: Taken { before, after, grad_norm, tensors } } = self;
        writeln!(f, "{model}\n\npairs")?;
        for (i, Pair { caption, tokens, .. }) in pairs.iter().enumerate() {
            let ids: Vec<String> = tokens.iter().map(|token| token.id.to_string()).collect();
            writeln!(f, "{:>4}  {}\n      {}", i + 1, one_line(caption), ids.join(" "))?;
        }
        writeln!(f, "\nS = {:.2} Î T̂ᵀ, a row a picture, a column a caption; [what fits]", contrast.scale)?;
        for (i, (row, fits)) in contrast.logits.iter().zip(&contrast.fits).enumerate() {
            let cell = |(s, fits): (&f64, &f64)| if *fits > 0.0 { format!("[{s:.2}]") } else { format!("{s:.2} ") };
            let cells: String = row.iter().zip(fits).map(cell).map(|cell| format!("{cell:>9}")).collect();
            writeln!(f, "{:>4}{}", i + 1, cells.trim_end())?;
        }
        writeln!(f, "\n{:16}{:>10}{:>10}", "loss", "before", "after")?;
        for (name, loss) in LOSSES {
            writeln!(f, "{name:16}{:>10.5}{:>10.5}", loss(before), loss(after))?;
        }
        writeln!(f, "by the tour, in f64, before: {:.5}", contrast.loss_by_tour)?;
        writeln!(f, "\nthe gradient of logit_scale, Σ dS∘S: {:.5}", contrast.dlogit_scale)?;
        writeln!(f, "\nlargest gradients, of norm {grad_norm:.4} all together; moves by AdamW's first step at {lr:e}")?;
        writeln!(f, "{:>10}{:>10}{:>10}  tensor", "gradient", "move", "of norm")?;
        for Tensor { name, grad_norm, move_norm, share, .. } in largest(tensors) {
            writeln!(f, "{grad_norm:>10.2e}{move_norm:>10.2e}{:>10}  {name}", percent(*share))?;
        }
        Ok(())
    }
}

/// A loss and its name.
pub(super) type Named = (&'static str, fn(&Losses) -> f64);

/// The losses by their names.
pub(super) const LOSSES: [Named; 3] = [
    ("image→text", |losses| losses.image_to_text),
    ("text→image", |losses| losses.text_to_image),
    ("mean", |losses| losses.loss),
];

/// Returns the tensors with the largest gradients, the largest first.
fn largest(tensors: &[Tensor]) -> Vec<&Tensor> {
    let mut sorted: Vec<&Tensor> = tensors.iter().collect();
    sorted.sort_by(|a, b| b.grad_norm.total_cmp(&a.grad_norm));
    sorted.truncate(LISTED);
    sorted
}

pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or("from 0".into(), |share| format!("{:.3} %", 100.0 * share))
}
