//! The program `train`, started by `cargo run --release --bin train`.

use clap::Parser;
use clipwright::app::hint::explain;
use clipwright::app::train::{Cli, Outcome, run};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code that a shell reports for a program that Ctrl-C ended. SIGTERM and SIGHUP end a run in the same way.
const INTERRUPTED: u8 = 130;

static STOP: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let handler = || {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(INTERRUPTED.into());
        }
        eprintln!("\nfinishing this step and saving; a second signal or Ctrl-C stops at once");
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        eprintln!("warning: Ctrl-C will not save: {error}");
    }
    match run(cli, &|| STOP.load(Ordering::SeqCst)) {
        Ok(Outcome::Finished(_)) => ExitCode::SUCCESS,
        Ok(Outcome::Interrupted(folder)) => {
            println!("interrupted and saved; go on with --resume {}", folder.display());
            ExitCode::from(INTERRUPTED)
        }
        Ok(Outcome::Stopped(folder)) => {
            println!("stopped and saved; go on with --resume {}", folder.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}", explain(&error));
            ExitCode::FAILURE
        }
    }
}
