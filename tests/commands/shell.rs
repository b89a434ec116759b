//! What packages of the programs bring along: completions, manual pages, and the version.

use clap::CommandFactory;
use clipwright::app::{commands, train};
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
    let (clipwright, train) = (commands::Cli::command(), train::Cli::command());
    let names = clipwright.get_subcommands().map(|command| command.get_name().to_owned());
    let mut helps: Vec<(&str, Vec<String>)> = vec![(env!("CARGO_BIN_EXE_clipwright"), vec![])];
    helps.extend(names.map(|name| (env!("CARGO_BIN_EXE_clipwright"), vec![name])));
    helps.push((env!("CARGO_BIN_EXE_train"), vec![]));
    assert!(helps.len() > 12);
    for (program, args) in helps {
        for flag in ["--help", "-h"] {
            let output = Command::new(program).args(&args).arg(flag).output().unwrap();
            assert!(output.status.success(), "{args:?}");
            let help = String::from_utf8(output.stdout).unwrap();
            let longest = help.lines().max_by_key(|line| line.chars().count()).unwrap();
            assert!(longest.chars().count() <= 80, "{program} {args:?}: {longest}");
        }
    }
    // A text that is set by hand is not broken once more, which would leave ragged lines.
    for command in clipwright.get_subcommands().chain([&train]) {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for paragraph in text.split("\n\n").filter(|paragraph| paragraph.contains('\n')) {
            let longest = paragraph.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(80), "{}: {paragraph}", command.get_name());
        }
    }
}
