//! The output of a run: a progress bar on a terminal, and lines that are also readable in a log file.

use crate::app::{WIDTH, is_quiet};
use crate::train::log::Step;
use crate::train::metric::Metric;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::{Duration, Instant};

/// The progress display of a run.
pub(crate) struct Progress {
    bar: ProgressBar,
    total: u64,
    started: Instant,
    first: u64,
}

impl Progress {
    /// Shows a bar from step `done` to step `total`.
    pub(crate) fn new(done: u64, total: u64) -> Self {
        let bar = ProgressBar::new(total).with_position(done);
        if is_quiet() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style =
            ProgressStyle::with_template("{bar:32} {pos}/{len} steps  {per_sec:>9}  {msg}").expect("a valid template");
        bar.set_style(style);
        Progress { bar, total, started: Instant::now(), first: done }
    }

    /// Advances the bar; call it after every step.
    pub(crate) fn step(&self, step: u64) {
        self.bar.set_position(step);
        self.bar.set_message(format!("{} left", clock(self.left(step))));
    }

    /// Prints the numbers of a step on as many lines as they need.
    pub(crate) fn log(&self, epoch: u64, step: &Step) {
        let first = [format!("step {:>5}/{}", step.step, self.total), format!("epoch {epoch:>3}")];
        let left = format!("{} left", clock(self.left(step.step)));
        let parts: Vec<String> = first.into_iter().chain(step.metrics.iter().map(number)).chain([left]).collect();
        self.say(&lines(&parts));
    }

    /// Prints a text above the bar.
    pub(crate) fn say(&self, text: &str) {
        self.bar.suspend(|| say!("{text}"));
    }

    fn left(&self, step: u64) -> Duration {
        let done = step.saturating_sub(self.first).max(1) as u32;
        let rest = self.total.saturating_sub(step) as f64;
        (self.started.elapsed() / done).mul_f64(rest)
    }
}

/// Joins parts to lines of at most [`WIDTH`] columns. All lines but the first are indented.
fn lines(parts: &[String]) -> String {
    let (mut text, mut columns) = (String::new(), 0);
    for part in parts {
        let n = part.chars().count();
        let (gap, before) = match columns {
            0 => ("", 0),
            columns if columns + 2 + n <= WIDTH => ("  ", columns + 2),
            _ => ("\n        ", 8),
        };
        text = text + gap + part;
        columns = before + n;
    }
    text
}

/// Formats a metric: `loss 4.213 (chance 4.852)`, `lr 1.0e-3`, `145 pairs/s`.
fn number(metric: &Metric) -> String {
    let value = metric.value;
    let label = match &*metric.name {
        "pairs_per_second" => return format!("{value:.0} pairs/s"),
        "logit_scale" => "scale".into(),
        "logit_bias" => "bias".into(),
        "grad_norm" => "grad".into(),
        _ => metric.label(),
    };
    match metric.chance {
        Some(chance) => format!("{label} {value:.3} (chance {chance:.3})"),
        None if metric.is_loss() => format!("{label} {value:.3}"),
        None if value.abs() < 0.01 => format!("{label} {value:.1e}"),
        None if value.abs() < 100.0 => format!("{label} {value:.2}"),
        None => format!("{label} {value:.0}"),
    }
}

/// Removes the bar, however the run ends; the printed lines stay.
impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Formats a duration: `1h02m`, `3m09s`, `12s`.
pub(crate) fn clock(duration: Duration) -> String {
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
    fn lines_are_full_and_not_longer() {
        let parts =
            ["step     10/132", "loss 4.652 (chance 4.159)", "image→text 4.620", "text→image 4.684", "1m06s left"];
        let text = lines(&parts.map(String::from));
        assert_eq!(
            text,
            "step     10/132  loss 4.652 (chance 4.159)  image→text 4.620  text→image 4.684\n        1m06s left"
        );
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
    }

    #[test]
    fn times_are_short() {
        let clocks = [5, 189, 3720].map(|seconds| clock(Duration::from_secs(seconds)));
        assert_eq!(clocks, ["5s", "3m09s", "1h02m"]);
    }
}
