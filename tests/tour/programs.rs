//! Programs compiled and run as readers do it: `rustc --edition 2024 main.rs`.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

/// A program, and the message with which it has to stop. Without one it has to pass.
pub struct Run<'a> {
    pub name: String,
    pub program: String,
    pub message: Option<&'a str>,
}

/// Runs all programs, as many at once as there are cores, and returns what went otherwise than it should.
pub fn run_all(runs: &[Run]) -> Vec<String> {
    let folder = std::env::temp_dir().join(format!("clipwright-tour-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (queue, faults) = (Mutex::new(runs.iter().enumerate()), Mutex::new(vec![]));
    let next = || queue.lock().unwrap().next();
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some((i, run)) = next() {
                    let fault = fault(run, &folder.join(format!("program_{i}.rs")));
                    faults.lock().unwrap().extend(fault.map(|fault| format!("{}: {fault}", run.name)));
                }
            });
        }
    });
    fs::remove_dir_all(&folder).unwrap();
    faults.into_inner().unwrap()
}

fn fault(run: &Run, source: &Path) -> Option<String> {
    fs::write(source, &run.program).unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let program = source.with_extension("exe");
    let compiler =
        Command::new(&rustc).args(["--edition=2024", "--cap-lints=allow", "-o"]).arg(&program).arg(source).output();
    let compiler =
        compiler.unwrap_or_else(|error| panic!("these tests compile programs, and {rustc:?} cannot be run: {error}"));
    if !compiler.status.success() {
        return Some(format!("does not compile\n{}", String::from_utf8_lossy(&compiler.stderr)));
    }
    let output = Command::new(&program).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    match run.message {
        None if !output.status.success() => Some(format!("fails\n{said}")),
        Some(_) if output.status.success() => Some("passes in spite of the fault".into()),
        Some(message) if !said.contains(message) => Some(format!("has to say {message:?}, and says\n{said}")),
        _ => None,
    }
}
