//! What the server counts, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// The type of the text.
pub(super) const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper ends of the ranges in which the seconds of requests are counted.
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Upper ends of the ranges in which the sizes of passes are counted.
const SIZES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// Numbers, each counted in the first range that reaches it.
struct Histogram {
    ends: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    fn new(ends: &'static [f64]) -> Self {
        Histogram { ends, counts: vec![0; ends.len() + 1], sum: 0.0 }
    }

    fn count(&mut self, value: f64) {
        self.counts[self.ends.partition_point(|&end| end < value)] += 1;
        self.sum += value;
    }

    /// Writes how many numbers are within each end, which in this format includes all ranges before it.
    fn write(&self, out: &mut String, name: &str, label: &str) -> fmt::Result {
        let mut all = 0;
        for (i, count) in self.counts.iter().enumerate() {
            all += count;
            let end = self.ends.get(i).map_or("+Inf".into(), f64::to_string);
            writeln!(out, "{name}_bucket{{{label},le=\"{end}\"}} {all}")?;
        }
        writeln!(out, "{name}_sum{{{label}}} {}\n{name}_count{{{label}}} {all}", self.sum)
    }
}

/// All counts since the server started.
#[derive(Default)]
pub(super) struct Metrics {
    /// Answers by route and status.
    answers: Mutex<BTreeMap<(&'static str, u16), u64>>,
    /// Seconds by route.
    seconds: Mutex<BTreeMap<&'static str, Histogram>>,
    /// Sizes of passes by what was embedded.
    passes: Mutex<BTreeMap<&'static str, Histogram>>,
    pub connections: AtomicUsize,
    /// Connections that were turned away, since there were too many.
    pub refused: AtomicU64,
}

/// What is measured at the moment of the question.
pub(super) struct Now<'a> {
    pub model: &'a str,
    pub queue: usize,
    pub pictures: usize,
}

impl Metrics {
    /// Counts an answer.
    pub fn answered(&self, route: &'static str, status: u16, took: Duration) {
        *self.answers.lock().expect("no thread panics here").entry((route, status)).or_default() += 1;
        let mut seconds = self.seconds.lock().expect("no thread panics here");
        seconds.entry(route).or_insert_with(|| Histogram::new(&SECONDS)).count(took.as_secs_f64());
    }

    /// Counts a pass of so many texts or pictures.
    pub fn passed(&self, what: &'static str, size: usize) {
        let mut passes = self.passes.lock().expect("no thread panics here");
        passes.entry(what).or_insert_with(|| Histogram::new(&SIZES)).count(size as f64);
    }

    /// Returns all of it as a text.
    pub fn text(&self, now: &Now) -> String {
        let mut out = String::new();
        self.write(&mut out, now).expect("memory takes everything");
        out
    }

    fn write(&self, out: &mut String, now: &Now) -> fmt::Result {
        head(out, "clipwright_model_info", "gauge", "The model that is served.")?;
        writeln!(out, "clipwright_model_info{{model=\"{}\"}} 1", escaped(now.model))?;
        for (name, help, value) in [
            ("clipwright_queue_length", "Texts and pictures that wait for the model.", now.queue),
            ("clipwright_connections", "Open connections.", self.connections.load(Relaxed)),
            ("clipwright_pictures", "Pictures that can be found.", now.pictures),
        ] {
            head(out, name, "gauge", help)?;
            writeln!(out, "{name} {value}")?;
        }
        head(out, "clipwright_connections_refused_total", "counter", "Connections that were turned away.")?;
        writeln!(out, "clipwright_connections_refused_total {}", self.refused.load(Relaxed))?;
        head(out, "clipwright_requests_total", "counter", "Requests by route and status.")?;
        for ((route, status), count) in &*self.answers.lock().expect("no thread panics here") {
            writeln!(out, "clipwright_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}")?;
        }
        head(out, "clipwright_request_seconds", "histogram", "Seconds from a request's header to its answer.")?;
        for (route, histogram) in &*self.seconds.lock().expect("no thread panics here") {
            histogram.write(out, "clipwright_request_seconds", &format!("route=\"{route}\""))?;
        }
        head(out, "clipwright_batch_size", "histogram", "Texts or pictures in a pass of the model.")?;
        for (what, histogram) in &*self.passes.lock().expect("no thread panics here") {
            histogram.write(out, "clipwright_batch_size", &format!("kind=\"{what}\""))?;
        }
        Ok(())
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// Writes a text as the value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_those_before_them() {
        let metrics = Metrics::default();
        [1, 2, 3, 200].iter().for_each(|&size| metrics.passed("text", size));
        metrics.answered("/health", 200, Duration::from_millis(30));
        let text = metrics.text(&Now { model: "a\"b", queue: 7, pictures: 0 });
        for line in [
            "clipwright_batch_size_bucket{kind=\"text\",le=\"1\"} 1",
            "clipwright_batch_size_bucket{kind=\"text\",le=\"2\"} 2",
            "clipwright_batch_size_bucket{kind=\"text\",le=\"4\"} 3",
            "clipwright_batch_size_bucket{kind=\"text\",le=\"128\"} 3",
            "clipwright_batch_size_bucket{kind=\"text\",le=\"+Inf\"} 4",
            "clipwright_batch_size_sum{kind=\"text\"} 206",
            "clipwright_request_seconds_bucket{route=\"/health\",le=\"0.05\"} 1",
            "clipwright_request_seconds_bucket{route=\"/health\",le=\"0.025\"} 0",
            "clipwright_requests_total{route=\"/health\",status=\"200\"} 1",
            "clipwright_queue_length 7",
            "clipwright_model_info{model=\"a\\\"b\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }
}
