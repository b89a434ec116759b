//! The program `clipwright`, started for example by `cargo run --release --bin clipwright -- info`.

use clap::Parser;
use clipwright::app::commands::{Cli, run};
use clipwright::app::hint::explain;
use clipwright::app::{check_environment, complain};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = check_environment() {
        complain(&format!("error: {error}"));
        return ExitCode::from(2);
    }
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is_silent() {
                complain(&explain(&error));
            }
            ExitCode::from(error.exit_code())
        }
    }
}
