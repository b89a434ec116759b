//! Tells the two programs which commit they are built from, for `--version`.

use std::process::Command;

fn main() {
    // Without these lines a build would look for changes in every file of the package.
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/index");
    let version = env!("CARGO_PKG_VERSION");
    let version = match commit() {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    };
    println!("cargo::rustc-env=CLIPWRIGHT_VERSION={version}");
}

/// Returns the short name of the commit, with a mark if files differ from it, or nothing outside of a repository.
fn commit() -> Option<String> {
    let output = Command::new("git").args(["describe", "--always", "--dirty", "--exclude=*"]).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && std::path::Path::new(".git").exists()).then(|| commit.trim().to_owned())
}
