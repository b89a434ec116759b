//! The program `train`, started by `cargo run --release --bin train`.

use clap::Parser;
use clipwright::app::hint::explain;
use clipwright::app::train::{Cli, Outcome, launch, launched};
use clipwright::app::{check_environment, complain, is_quiet};
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code that a shell reports for a program that Ctrl-C ended. SIGTERM ends a run in the same way.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = check_environment() {
        complain(&format!("error: {error}"));
        return ExitCode::from(2);
    }
    let stop = Arc::new(AtomicBool::new(false));
    if let Err(error) = stop_by_signals(&stop) {
        complain(&format!("warning: signals will not save: {error}"));
    }
    let (said, code) = match launch(cli, &|| stop.load(Ordering::SeqCst)) {
        Ok(Outcome::Finished(_)) => return ExitCode::SUCCESS,
        Ok(Outcome::Interrupted(folder)) => {
            (format!("interrupted and saved; go on with --resume {}", folder.display()), ExitCode::from(INTERRUPTED))
        }
        Ok(Outcome::Stopped(folder)) => {
            (format!("stopped and saved; go on with --resume {}", folder.display()), ExitCode::SUCCESS)
        }
        Err(error) => {
            complain(&explain(&error));
            return ExitCode::FAILURE;
        }
    };
    if !is_quiet() {
        // Whoever read the output may be gone; the run is saved nevertheless.
        let _ = writeln!(stdout(), "{said}");
    }
    code
}

/// Sets `stop` at Ctrl-C, at SIGTERM, which ends machines that are lent, and at SIGUSR1, which launchers pass on to all
/// ranks. A second Ctrl-C ends the program at once, unless a launcher started it, which passes on what the terminal has
/// sent already. SIGHUP is left alone: `nohup` ignores it, and a run goes on.
fn stop_by_signals(stop: &Arc<AtomicBool>) -> Result<(), Box<dyn std::error::Error>> {
    let interrupted = Arc::clone(stop);
    ctrlc::set_handler(move || {
        let again = interrupted.swap(true, Ordering::SeqCst);
        match (again, launched().is_some()) {
            (true, false) => std::process::exit(INTERRUPTED.into()),
            (false, false) => complain("\nfinishing this step and saving; Ctrl-C again stops at once"),
            (false, true) if !is_quiet() => complain("\nfinishing this step and saving"),
            (_, true) => {}
        }
    })?;
    #[cfg(unix)]
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGUSR1] {
        signal_hook::flag::register(signal, Arc::clone(stop))?;
    }
    Ok(())
}
