//! Tells the two programs which commit they are built from, for `--version`.

use std::path::Path;
use std::process::Command;

fn main() {
    // Cargo looks at these files alone, and not for a change of any file of the package. The second one grows with each
    // commit.
    for file in ["src/build.rs", ".git/HEAD", ".git/logs/HEAD"] {
        if Path::new(file).exists() {
            println!("cargo::rerun-if-changed={file}");
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    let version = commit().map_or(version.to_owned(), |commit| format!("{version} ({commit})"));
    println!("cargo::rustc-env=CLIPWRIGHT_VERSION={version}");
}

/// Returns the short name of the commit, or nothing outside of the package's own repository.
fn commit() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && Path::new(".git").exists()).then(|| commit.trim().to_owned())
}
