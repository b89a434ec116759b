//! What the benches print: GFLOP/s and GB/s with their shares of what this machine was seen to reach, and at the end
//! one table. In a [`Throughput`], an element is a floating-point operation that the formula needs, and a byte is one
//! that is read or written.

use clipwright_kernels::gemm::peak::fma_peak_gflops;
use clipwright_kernels::isa::Isa;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput};
use rayon::prelude::*;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Floats that are read to see how fast memory is: a gigabyte, more than any cache holds.
const MEMORY: usize = 1 << 28;

/// Wall time, with rates beside what the machine reaches.
#[derive(Clone, Copy)]
pub struct Rates {
    peak_gflops: f64,
    memory_gbps: f64,
}

impl Rates {
    /// Measures the machine with all threads. A reading is low if the system starts the threads on one core.
    fn measure() -> Self {
        let threads = rayon::current_num_threads();
        let peak_gflops = (0..10).map(|_| fma_peak_gflops(Isa::best(), threads)).fold(0.0, f64::max);
        let floats = vec![1.0_f32; MEMORY];
        let memory_gbps = (0..3).map(|_| read_gbps(&floats)).fold(0.0, f64::max);
        Rates { peak_gflops, memory_gbps }
    }

    /// Returns what was done a second, with its unit, and its share of what the machine reaches.
    fn rate(&self, throughput: &Throughput, ns: f64) -> Option<(f64, &'static str, f64)> {
        match *throughput {
            Throughput::Elements(flops) => Some((flops as f64 / ns, "GFLOP/s", flops as f64 / ns / self.peak_gflops)),
            Throughput::Bytes(bytes) => Some((bytes as f64 / ns, "GB/s", bytes as f64 / ns / self.memory_gbps)),
            _ => None,
        }
    }
}

/// Returns how many gigabytes a second all threads read together.
fn read_gbps(floats: &[f32]) -> f64 {
    let start = Instant::now();
    let sum: f32 = floats.par_chunks(1 << 16).map(sum).sum();
    assert!(sum == floats.len() as f32, "a sum of ones is {sum}");
    size_of_val(floats) as f64 / start.elapsed().as_nanos() as f64
}

/// Sums in 64 lanes, so that additions do not wait for each other.
fn sum(chunk: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 64];
    for part in chunk.as_chunks::<64>().0 {
        lanes.iter_mut().zip(part).for_each(|(lane, x)| *lane += x);
    }
    lanes.iter().sum()
}

impl ValueFormatter for Rates {
    fn format_throughput(&self, throughput: &Throughput, ns: f64) -> String {
        match self.rate(throughput, ns) {
            Some((rate, unit, share)) => format!("{rate:.1} {unit}, {:.0} %", 100.0 * share),
            None => WallTime.formatter().format_throughput(throughput, ns),
        }
    }

    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_values(typical, values)
    }

    fn scale_throughputs(&self, typical: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        let Some((_, unit, _)) = self.rate(throughput, typical) else {
            return WallTime.formatter().scale_throughputs(typical, throughput, values);
        };
        values.iter_mut().for_each(|ns| *ns = self.rate(throughput, *ns).map_or(0.0, |(rate, ..)| rate));
        unit
    }

    fn scale_for_machines(&self, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_for_machines(values)
    }
}

impl Measurement for Rates {
    type Intermediate = Instant;
    type Value = Duration;

    fn start(&self) -> Instant {
        WallTime.start()
    }

    fn end(&self, start: Instant) -> Duration {
        WallTime.end(start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        WallTime.add(a, b)
    }

    fn zero(&self) -> Duration {
        WallTime.zero()
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

/// How long each bench is timed.
pub struct Times {
    pub samples: usize,
    /// In milliseconds.
    pub warm_up: u64,
    /// In milliseconds.
    pub measured: u64,
}

/// Runs benches from inside the pool, as a model runs what they time (see `in_pool`), and prints a table of all that
/// was timed.
pub fn run(times: Times, benches: &[fn(&mut Criterion<Rates>)]) {
    clipwright_kernels::in_pool(|| {
        let (rates, threads, began) = (Rates::measure(), rayon::current_num_threads(), SystemTime::now());
        let machine = format!(
            "{threads} threads, {}: multiply-adds at {:.0} GFLOP/s, memory read at {:.0} GB/s",
            Isa::best().name(),
            rates.peak_gflops,
            rates.memory_gbps
        );
        println!("{machine}");
        let folder = results_folder();
        let mut criterion = Criterion::default()
            .sample_size(times.samples)
            .warm_up_time(Duration::from_millis(times.warm_up))
            .measurement_time(Duration::from_millis(times.measured))
            .output_directory(&folder);
        if std::env::args().any(|argument| argument == "--quick") {
            // Plots take as long as the times that they show.
            criterion = criterion.without_plots().measurement_time(Duration::from_secs(2));
        }
        let mut criterion = criterion.with_measurement(rates).configure_from_args();
        benches.iter().for_each(|bench| bench(&mut criterion));
        criterion.final_summary();
        let rows: Vec<_> = results(&folder, began).iter().filter_map(|at| row(at, &rates)).collect();
        if !rows.is_empty() {
            println!("\n{machine}\nmedian times; shares are of these; what fits a cache is faster than memory\n");
            rows.iter().for_each(|row| println!("{row}"));
        }
    });
}

/// Returns where cargo keeps what benches find out: beside the folder that this program was built in.
fn results_folder() -> PathBuf {
    let program = std::env::current_exe().expect("a program has a path");
    program.ancestors().nth(3).expect("target/release/deps").join("criterion")
}

/// Returns the folders of the results that were written since then, in the order of time.
fn results(folder: &Path, since: SystemTime) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.metadata().and_then(|metadata| metadata.modified()) {
                _ if path.is_dir() => folders.push(path),
                Ok(time) if path.ends_with("new/benchmark.json") && time >= since => found.push((time, folder.clone())),
                _ => {}
            }
        }
    }
    found.sort();
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// Returns a line of the table, from the files that criterion wrote.
fn row(folder: &Path, rates: &Rates) -> Option<String> {
    let json = |name: &str| serde_json::from_slice::<Value>(&fs::read(folder.join(name)).ok()?).ok();
    let (benchmark, estimates) = (json("benchmark.json")?, json("estimates.json")?);
    let ns = estimates["median"]["point_estimate"].as_f64()?;
    let throughput = match &benchmark["throughput"] {
        done if done["Elements"].is_u64() => Some(Throughput::Elements(done["Elements"].as_u64()?)),
        done if done["Bytes"].is_u64() => Some(Throughput::Bytes(done["Bytes"].as_u64()?)),
        _ => None,
    };
    let rate = throughput.map_or(String::new(), |throughput| rates.format_throughput(&throughput, ns));
    Some(format!("{:<74}{:>12}   {rate}", benchmark["full_id"].as_str()?, rates.format_value(ns)))
}
