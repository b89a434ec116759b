//! Notices early that training has collapsed, and explains it.
//!
//! Contrastive training collapses in three ways: numbers grow until they are NaN; the towers give one embedding to
//! everything, which leaves a loss at chance for good; or the data cannot be told apart to begin with.

use super::log::Step;
use super::metric::Metric;
use crate::eval::alike::{Alike, alike};
use ndarray::ArrayView2;
use std::collections::{HashMap, HashSet, VecDeque};
use std::mem::{Discriminant, discriminant};
use std::ops::Range;

/// A loss is averaged over this many steps, enough to see 2 % of chance through the noise between batches.
pub const WINDOW: usize = 100;
/// Nothing has been learnt if the mean loss divided by the loss of chance is above this.
const MIN_STUCK_RATIO: f64 = 0.98;
/// A loss above chance is on its way and not stuck if the second half of the window is below the first half times this.
/// The sigmoid loss begins far above chance, and takes its time to learn how rare positives are.
const MAX_FALLING_RATIO: f64 = 0.99;
/// Something had been learnt if the mean loss divided by the loss of chance was below this.
const MAX_LEARNT_RATIO: f64 = 0.9;

/// What went wrong. Its `Display` says what that means; the program adds what to do about it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Collapse {
    /// A number of a training step is NaN or infinite.
    #[error("step {step}: {name} is {value}. From here on every weight is lost; go back to the last checkpoint")]
    NotFinite { step: u64, name: String, value: f64 },

    /// The first of the losses has been at chance for a whole window after the warm-up, never was below, and does not
    /// fall.
    #[error(
        "step {step}: {name} is stuck at {loss:.3}, near the {chance:.3} of a model that cannot tell anything apart. \
         Check the data first: pictures and captions may be paired wrongly, or all captions equal"
    )]
    Stuck { step: u64, name: String, loss: f64, chance: f64 },

    /// A loss had fallen and is back at chance.
    #[error(
        "step {step}: {name} had fallen to {best:.3} and is back at {loss:.3}, near the {chance:.3} of a model that \
         cannot tell anything apart. A step was too large: go back to a checkpoint from before"
    )]
    FellBack { step: u64, name: String, loss: f64, best: f64, chance: f64 },

    /// Different inputs get the same embedding.
    #[error("{}", explained(*whose, *mean_cosine))]
    Alike { whose: Alike, mean_cosine: f64 },
}

/// Says in a sentence whose embeddings are alike, and what the reason may be.
fn explained(whose: Alike, mean_cosine: f64) -> String {
    let (who, why) = match whose {
        Alike::Pictures => (
            "all pictures",
            "Are the pictures all alike (blank, or one placeholder)? Otherwise the image tower has collapsed",
        ),
        Alike::Captions => (
            "all captions",
            "Are the captions all equal, or do they differ only behind the longest that the model reads? Otherwise the \
             text tower has collapsed",
        ),
        Alike::Both => ("all pictures, and all captions,", "Both towers have collapsed"),
    };
    format!("{who} get nearly the same embedding (mean cosine {mean_cosine:.4}). {why}")
}

/// Watches every loss of the training steps that has a chance line.
#[derive(Clone, Debug)]
pub struct Watch {
    warmup: u64,
    losses: HashMap<String, Recent>,
    told: HashSet<(Discriminant<Collapse>, String)>,
}

/// What one loss was in the last steps.
#[derive(Clone, Debug)]
struct Recent {
    /// The loss and the loss of chance at each of the last steps.
    window: VecDeque<(f64, f64)>,
    /// The lowest mean of loss / chance over a window so far, and the mean loss over that window.
    best: (f64, f64),
}

impl Watch {
    /// Starts a watch, for which a loss at chance during the first `warmup` steps is no cause for alarm.
    pub fn new(warmup: u64) -> Self {
        Watch { warmup, losses: HashMap::new(), told: HashSet::new() }
    }

    /// Takes note of a step and returns what is wrong, if anything is. Each kind of collapse is reported once for a
    /// number.
    pub fn step(&mut self, step: &Step) -> Option<Collapse> {
        let not_finite = step.metrics.iter().find(|metric| !metric.value.is_finite());
        if let Some(Metric { name, value, .. }) = not_finite {
            let found = Collapse::NotFinite { step: step.step, name: name.to_string(), value: *value };
            return self.once(String::new(), found);
        }
        if step.step <= self.warmup {
            return None;
        }
        // A batch of one pair has nothing to tell apart, and its chance line is ln 1 = 0.
        let losses = step.losses().filter_map(|loss| Some((loss, loss.chance.filter(|&chance| chance > 0.0)?)));
        let mut found = vec![];
        for (i, (Metric { name, value, .. }, chance)) in losses.enumerate() {
            let recent = self.losses.entry(name.to_string()).or_insert_with(Recent::new);
            let collapse = recent.push(step.step, name, (*value, chance));
            // The others may have to wait for the first one, as BLIP's ITM does: it is asked about the pairs that ITC cannot
            // tell apart yet.
            let waits = i > 0 && matches!(collapse, Some(Collapse::Stuck { .. }));
            found.extend(collapse.filter(|_| !waits).map(|collapse| (name.to_string(), collapse)));
        }
        found.into_iter().filter_map(|(name, collapse)| self.once(name, collapse)).next()
    }

    /// Passes on what was found unless it has been reported for this number before.
    fn once(&mut self, name: String, found: Collapse) -> Option<Collapse> {
        self.told.insert((discriminant(&found), name)).then_some(found)
    }
}

impl Recent {
    fn new() -> Self {
        Recent { window: VecDeque::with_capacity(WINDOW), best: (f64::INFINITY, f64::INFINITY) }
    }

    /// Takes note of the loss and the loss of chance at a step, and returns what is wrong, if anything is.
    fn push(&mut self, step: u64, name: &str, now: (f64, f64)) -> Option<Collapse> {
        if self.window.len() == WINDOW {
            self.window.pop_front();
        }
        self.window.push_back(now);
        if self.window.len() < WINDOW {
            return None;
        }
        let mean = |f: fn(&(f64, f64)) -> f64| self.window.iter().map(f).sum::<f64>() / WINDOW as f64;
        let (name, loss, chance) = (name.to_string(), mean(|r| r.0), mean(|r| r.1));
        let (best_ratio, best) = self.best;
        if loss / chance < best_ratio {
            self.best = (loss / chance, loss);
        }
        match (loss / chance > MIN_STUCK_RATIO, best_ratio < MAX_LEARNT_RATIO) {
            (false, _) => None,
            (true, false) if self.is_falling() => None,
            (true, false) => Some(Collapse::Stuck { step, name, loss, chance }),
            (true, true) => Some(Collapse::FellBack { step, name, loss, best, chance }),
        }
    }

    /// Whether the loss, as a share of chance, is lower in the second half of the window than in the first.
    fn is_falling(&self) -> bool {
        let sum = |half: Range<usize>| self.window.range(half).map(|(loss, chance)| loss / chance).sum::<f64>();
        sum(WINDOW / 2..WINDOW) < MAX_FALLING_RATIO * sum(0..WINDOW / 2)
    }
}

/// Returns what is wrong with the embeddings of an evaluation, if they are all alike.
pub fn embeddings(pictures: ArrayView2<f32>, captions: ArrayView2<f32>) -> Option<Collapse> {
    alike(pictures, captions).map(|(whose, mean_cosine)| Collapse::Alike { whose, mean_cosine })
}
