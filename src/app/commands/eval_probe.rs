//! `clipwright eval --linear-probe`: what the linear classifier reached, and how it was fitted.

use crate::counted::counted;
use crate::eval::zero_shot::TopK;
use serde::Serialize;
use std::fmt;

/// The scores of a linear probe.
#[derive(Serialize)]
pub(super) struct Probe {
    pub classes: usize,
    /// Number of training pictures.
    pub train: usize,
    pub test: usize,
    pub score: TopK,
    pub chance: TopK,
    pub c: f64,
    pub steps: usize,
    pub converged: bool,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Probe { classes, train, test, score, chance, c, steps, converged } = self;
        let [top1, top5, by_chance1, by_chance5] =
            [score.top1, score.top5, chance.top1, chance.top5].map(|share| 100.0 * share);
        writeln!(f, "linear probe  top-1 {top1:.1}, top-5 {top5:.1} (by chance {by_chance1:.2}, {by_chance5:.2})")?;
        let (classes, train) = (counted(*classes, "class"), counted(*train, "picture"));
        writeln!(f, "              {classes}, {train} to learn from, {test} asked")?;
        let steps = counted(*steps, "step");
        write!(f, "              C = {c:.3e}, {steps}{}", if *converged { "" } else { ", not converged" })
    }
}
