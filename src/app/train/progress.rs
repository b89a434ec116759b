//! What a person sees while a model trains: a bar on a terminal, and lines that also read well in a log file.

use crate::train::log::Step;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// Shows the steps of a run.
pub struct Progress {
    bar: ProgressBar,
    total: u64,
    started: Instant,
    first: u64,
}

impl Progress {
    /// From step `done` to step `total`.
    pub fn new(done: u64, total: u64) -> Self {
        let bar = ProgressBar::new(total).with_position(done);
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len}  {msg}").expect("a valid template");
        bar.set_style(style);
        Progress { bar, total, started: Instant::now(), first: done }
    }

    /// After every step.
    pub fn step(&self, step: u64) {
        self.bar.set_position(step);
        self.bar.set_message(format!("{} left", clock(self.left(step))));
    }

    /// Prints a line of numbers.
    pub fn log(&self, epoch: u64, s: &Step) {
        self.say(&format!(
            "step {:>5}/{}  epoch {epoch:>3}  loss {:.3} (chance {:.3})  i→t {:.3}  t→i {:.3}  scale {:.1}  lr {:.1e}  \
             grad {:.2}  {:.0} pairs/s  {} left",
            s.step,
            self.total,
            s.loss,
            s.loss_chance,
            s.loss_image_to_text,
            s.loss_text_to_image,
            s.logit_scale,
            s.lr,
            s.grad_norm,
            s.pairs_per_second,
            clock(self.left(s.step)),
        ));
    }

    /// Prints anything, above the bar.
    pub fn say(&self, text: &str) {
        self.bar.suspend(|| println!("{text}"));
    }

    fn left(&self, step: u64) -> Duration {
        let done = step.saturating_sub(self.first).max(1) as u32;
        let rest = self.total.saturating_sub(step) as f64;
        (self.started.elapsed() / done).mul_f64(rest)
    }
}

/// However a run ends, the bar goes and the lines stay.
impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// `1h02m`, `3m09s`, `12s`
pub fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let clocks = [5, 189, 3720].map(|seconds| clock(Duration::from_secs(seconds)));
        assert_eq!(clocks, ["5s", "3m09s", "1h02m"]);
    }
}
