//! Training that is dead, noticed early and explained.
//!
//! Contrastive training dies in three ways: numbers blow up to NaN; the towers give one embedding to everything, which
//! leaves the loss at ln N for good; or the data cannot be told apart to begin with.

use crate::train::log::Step;
use ndarray::{ArrayView2, Axis};
use std::collections::VecDeque;
use std::mem::{Discriminant, discriminant};

/// Steps that the loss is averaged over: enough to see 2 % of ln N through the noise between batches.
pub const WINDOW: usize = 100;
/// Mean loss over chance loss from which on nothing has been learnt.
const STUCK: f64 = 0.98;
/// Mean loss over chance loss below which something had been learnt.
const LEARNT: f64 = 0.9;
/// Mean cosine from which on embeddings are all alike. Fresh towers reach 0.9 by themselves.
const ALIKE: f64 = 0.99;

/// Whose embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tower {
    Image,
    Text,
    Both,
}

/// What went wrong; its `Display` says what that means and what to try.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Collapse {
    /// A number of a training step is NaN or infinite.
    #[error(
        "step {step}: {what} is {value}. From here on every weight is lost; go back to the last checkpoint. \
         Try a lower --lr, a longer --warmup or stronger gradient clipping"
    )]
    NotFinite { step: u64, what: &'static str, value: f64 },

    /// After the warm-up the loss has been at chance for a whole window, and never was below.
    #[error(
        "step {step}: the loss is stuck at {loss:.3}, the {chance:.3} (ln N) of a model that cannot tell anything apart. \
         Check the data first: are pictures and captions paired rightly, or all captions equal? Then try a lower --lr \
         and a longer --warmup; with a very small --lr, be patient"
    )]
    Stuck { step: u64, loss: f64, chance: f64 },

    /// The loss had fallen and is back at chance.
    #[error(
        "step {step}: the loss had fallen to {best:.3} and is back at {loss:.3}, near the {chance:.3} (ln N) of a model \
         that cannot tell anything apart. A step was too large: go back to a checkpoint from before and try a lower \
         --lr or a longer --warmup"
    )]
    FellBack { step: u64, loss: f64, best: f64, chance: f64 },

    /// Different inputs get the same embedding.
    #[error("{}", alike(*tower, *cosine))]
    Alike { tower: Tower, cosine: f64 },
}

fn alike(tower: Tower, cosine: f64) -> String {
    let (who, advice) = match tower {
        Tower::Image => (
            "all pictures",
            "Are the pictures all alike (blank, or one placeholder)? Otherwise the image tower has collapsed",
        ),
        Tower::Text => (
            "all captions",
            "Are the captions all equal, or cut off before they differ (--context-length)? \
             Otherwise the text tower has collapsed",
        ),
        Tower::Both => ("all pictures, and all captions,", "Both towers have collapsed"),
    };
    format!(
        "{who} get nearly the same embedding (mean cosine {cosine:.4}). {advice}: start again with a lower --lr or a \
         longer --warmup"
    )
}

/// Watches the training steps.
#[derive(Clone, Debug)]
pub struct Watch {
    warmup: u64,
    /// (loss, chance) of the last steps.
    recent: VecDeque<(f64, f64)>,
    /// The lowest mean of loss / chance over a window so far, with its mean loss.
    best: (f64, f64),
    told: Vec<Discriminant<Collapse>>,
}

impl Watch {
    /// `warmup`: steps during which a loss at chance is no cause for alarm.
    pub fn new(warmup: u64) -> Self {
        Watch {
            warmup,
            recent: VecDeque::with_capacity(WINDOW),
            best: (f64::INFINITY, f64::INFINITY),
            told: Vec::new(),
        }
    }

    /// Takes note of a step; what is wrong, if anything. Each kind of complaint is made once.
    pub fn step(&mut self, step: &Step) -> Option<Collapse> {
        let found = not_finite(step).or_else(|| self.loss(step))?;
        let kind = discriminant(&found);
        if self.told.contains(&kind) {
            return None;
        }
        self.told.push(kind);
        Some(found)
    }

    fn loss(&mut self, now: &Step) -> Option<Collapse> {
        // A batch of one has nothing to tell apart: ln 1 = 0.
        if now.step <= self.warmup || now.loss_chance <= 0.0 {
            return None;
        }
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back((now.loss, now.loss_chance));
        if self.recent.len() < WINDOW {
            return None;
        }
        let mean = |f: fn(&(f64, f64)) -> f64| self.recent.iter().map(f).sum::<f64>() / WINDOW as f64;
        let (step, loss, chance) = (now.step, mean(|r| r.0), mean(|r| r.1));
        let (best_ratio, best) = self.best;
        if loss / chance < best_ratio {
            self.best = (loss / chance, loss);
        }
        match (loss / chance > STUCK, best_ratio < LEARNT) {
            (false, _) => None,
            (true, false) => Some(Collapse::Stuck { step, loss, chance }),
            (true, true) => Some(Collapse::FellBack { step, loss, best, chance }),
        }
    }
}

fn not_finite(s: &Step) -> Option<Collapse> {
    let numbers = [("the loss", s.loss), ("the gradient norm", s.grad_norm), ("the logit scale", s.logit_scale)];
    let (what, value) = numbers.into_iter().find(|(_, value)| !value.is_finite())?;
    Some(Collapse::NotFinite { step: s.step, what, value })
}

/// Looks at the embeddings of an evaluation: images (N, d) and texts (M, d) of different things, rows of unit length.
///
/// Ask only after the warm-up: the towers of a fresh model give everything similar embeddings.
pub fn embeddings(images: ArrayView2<f32>, texts: ArrayView2<f32>) -> Option<Collapse> {
    let (image, text) = (mean_cosine(images), mean_cosine(texts));
    let (tower, cosine) = match (image > ALIKE, text > ALIKE) {
        (true, true) => (Tower::Both, image.min(text)),
        (true, false) => (Tower::Image, image),
        (false, true) => (Tower::Text, text),
        (false, false) => return None,
    };
    Some(Collapse::Alike { tower, cosine })
}

/// Mean cosine over all pairs of different rows of z (N, d), rows of unit length; NaN for fewer than two rows.
///
/// |Σᵢ zᵢ|² = Σᵢⱼ ⟨zᵢ, zⱼ⟩ holds the N ones of the diagonal and every pair twice, so the mean is
/// (|Σᵢ zᵢ|² − N) / (N² − N): O(N·d) instead of O(N²·d).
pub fn mean_cosine(z: ArrayView2<f32>) -> f64 {
    let n = z.nrows() as f64;
    let sum = z.mapv(f64::from).sum_axis(Axis(0));
    (sum.dot(&sum) - n) / (n * n - n)
}
