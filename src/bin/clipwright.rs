//! The program `clipwright`, started for example by `cargo run --release --bin clipwright -- info`.

use clap::Parser;
use clipwright::app::commands::{Cli, run};
use clipwright::app::hint::explain;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is_silent() {
                eprintln!("{}", explain(&error));
            }
            ExitCode::from(error.exit_code())
        }
    }
}
