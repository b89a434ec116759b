//! What packages of the programs bring along: completions, manual pages, and the version.

use std::process::{Command, Output};

fn clipwright(args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_clipwright")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn completions_know_both_programs_and_their_flags() {
    for shell in ["bash", "zsh", "fish"] {
        let script = String::from_utf8(clipwright(&["completions", shell]).stdout).unwrap();
        for word in ["caption-match", "labels-file", "accum-freq"] {
            assert!(script.contains(word), "{word} for {shell}");
        }
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    clipwright(&["man", folder.path().to_str().unwrap()]);
    for page in ["clipwright.1", "clipwright-classify.1", "clipwright-search.1", "train.1"] {
        assert!(std::fs::read_to_string(folder.path().join(page)).unwrap().contains("SYNOPSIS"), "{page}");
    }
}

#[test]
fn the_version_is_the_package_and_the_commit() {
    let said = String::from_utf8(clipwright(&["--version"]).stdout).unwrap();
    assert!(said.starts_with(concat!("clipwright ", env!("CARGO_PKG_VERSION"))), "{said}");
}

/// Help is wrapped for terminals of 80 columns, in a pipe too.
#[test]
fn help_fits_a_narrow_terminal() {
    for args in [&["--help"][..], &["classify", "--help"], &["eval", "--help"], &["search", "--help"]] {
        let help = String::from_utf8(clipwright(args).stdout).unwrap();
        let longest = help.lines().max_by_key(|line| line.chars().count()).unwrap();
        assert!(longest.chars().count() <= 80, "{args:?}: {longest}");
    }
}
