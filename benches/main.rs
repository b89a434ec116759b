//! Times of layers, losses, whole models, pictures and search, each after its result was checked, and at the end a
//! table of all. Products, convolutions and vectors by themselves are in `kernels/benches`.
//!
//! ```sh
//! cargo bench                      # all, some twenty minutes
//! cargo bench -- --quick           # all, each as few times as will do
//! cargo bench -- layers models     # of these files
//! cargo bench -- attention         # whatever has this in its name
//! ```

mod blip;
mod layers;
mod models;
mod pictures;
#[path = "../kernels/benches/support/rates.rs"]
mod rates;
mod resnet;
mod search;
mod vectors;

extern crate kernels as clipwright_kernels;

use criterion::Criterion;
use rates::{Rates, Times};

/// Times one group or more.
type Bench = fn(&mut Criterion<Rates>);

const FILES: [(&str, &[Bench]); 7] = [
    ("layers", layers::BENCHES),
    ("resnet", resnet::BENCHES),
    ("vectors", vectors::BENCHES),
    ("blip", blip::BENCHES),
    ("models", models::BENCHES),
    ("pictures", pictures::BENCHES),
    ("search", search::BENCHES),
];

/// Runs all files or those that are named. Names of groups begin with their file's, so that criterion takes them all.
fn main() {
    let named = |file: &str| std::env::args().any(|argument| argument == file);
    let some = FILES.iter().any(|(file, _)| named(file));
    let wanted = FILES.iter().filter(|(file, _)| !some || named(file));
    let benches: Vec<Bench> = wanted.flat_map(|(_, benches)| benches.iter().copied()).collect();
    rates::run(Times { samples: 100, warm_up: 3000, measured: 5000 }, &benches);
}
