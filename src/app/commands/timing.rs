//! How a piece of work is timed, and what is said of it.

use clap::ValueEnum;
use indicatif::ProgressBar;
use kernels::gemm::peak::fma_peak_gflops;
use kernels::isa::Isa;
use ndarray::{ArrayView2, Axis};
use serde::Serialize;
use std::time::Instant;

/// The kinds of work that can be timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Work {
    EncodeImage,
    EncodeText,
    TrainStep,
    InfoNce,
    Match,
    Caption,
    Answer,
}

impl Work {
    pub(super) const OF_CLIPS: [Work; 4] = [Work::EncodeImage, Work::EncodeText, Work::TrainStep, Work::InfoNce];
    pub(super) const OF_BLIPS: [Work; 6] =
        [Work::EncodeImage, Work::EncodeText, Work::TrainStep, Work::Match, Work::Caption, Work::Answer];

    pub(super) fn name(self) -> &'static str {
        match self {
            Work::EncodeImage => "encode_image",
            Work::EncodeText => "encode_text",
            Work::TrainStep => "train_step",
            Work::InfoNce => "info_nce",
            Work::Match => "match",
            Work::Caption => "caption",
            Work::Answer => "answer",
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Measurement {
    pub(super) work: Work,
    pub(super) median_seconds: f64,
    pub(super) fastest_seconds: f64,
    /// Number of pictures, captions, or pairs of both per second.
    pub(super) per_second: f64,
    pub(super) gflop: f64,
    pub(super) gflops: f64,
    pub(super) share_of_peak: f64,
    /// The largest memory of the process during this work in MiB, where the system reports it.
    pub(super) peak_memory_mib: Option<f64>,
}

/// A timer, which repeats each work and measures its time, its memory and the machine's peak.
pub(super) struct Timer {
    pub(super) repeats: usize,
    pub(super) peak_gflops: f64,
    pub(super) progress: ProgressBar,
}

/// The times of all repeats of one work.
pub(super) struct Timing {
    seconds: Vec<f64>,
    peak_memory_mib: Option<f64>,
}

impl Timer {
    /// Times all repeats. A first run, in which the memory is touched, does not count.
    pub(super) fn repeat(&mut self, mut work: impl FnMut()) -> Timing {
        let mut seconds = vec![];
        for run in 0..=self.repeats {
            self.peak_gflops = self.peak_gflops.max(fma_peak_gflops(Isa::best(), rayon::current_num_threads()));
            let start = Instant::now();
            work();
            if run > 0 {
                seconds.push(start.elapsed().as_secs_f64());
            }
            self.progress.inc(1);
        }
        Timing { seconds, peak_memory_mib: peak_memory_mib() }
    }
}

impl Timing {
    pub(super) fn measurement(mut self, work: Work, batch: usize, flops: f64, peak_gflops: f64) -> Measurement {
        self.seconds.sort_by(f64::total_cmp);
        let median_seconds = self.seconds[self.seconds.len() / 2];
        let (gflop, gflops) = (flops / 1e9, flops / 1e9 / median_seconds);
        Measurement {
            work,
            median_seconds,
            fastest_seconds: self.seconds[0],
            per_second: batch as f64 / median_seconds,
            gflop,
            gflops,
            share_of_peak: gflops / peak_gflops,
            peak_memory_mib: self.peak_memory_mib,
        }
    }
}

pub(super) fn check(features: ArrayView2<f32>) {
    let norms = features.map_axis(Axis(1), |row| row.dot(&row));
    assert!(norms.iter().all(|norm| (norm - 1.0).abs() < 1e-4), "embeddings of length {norms}");
}

/// Resets Linux's count of the largest memory that the process has held.
pub(super) fn forget_peak_memory() {
    // If this fails, the largest memory is that of the whole run.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Returns the largest memory that the process has held in MiB, where the system reports it.
fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
