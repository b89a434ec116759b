//! Hints on errors. The library says what is wrong and knows no flags; the flag or command that helps is said here.

use super::commands::CliError;
use super::train::TrainError;
use crate::batches::LoaderError;
use crate::checkpoint::CheckpointError;
use crate::datasets::{BadReport, DatasetError};
use crate::embed::LoadError;
use crate::index::IndexError;
use std::fmt::Display;

/// An error that may come with a hint.
pub trait Hint {
    /// Returns what to do about the error on the command line, where that is known.
    fn hint(&self) -> Option<&'static str>;
}

/// Returns the error as it is printed: what is wrong and, on a line of its own, what to do.
pub fn explain(error: &(impl Display + Hint)) -> String {
    match error.hint() {
        Some(hint) => format!("error: {error}\nhelp: {hint}"),
        None => format!("error: {error}"),
    }
}

impl Hint for CliError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            CliError::NoModel { .. } => Some("say --model PATH, or make one: cargo run --release --bin train"),
            CliError::Checkpoint(error) | CliError::Load(LoadError::Checkpoint(error)) => checkpoint(error),
            CliError::Index(error) => index(error),
            CliError::Data(error) => data(error),
            CliError::Unreadable { bad, seen } if bad < seen => Some("--skip-unreadable makes this no error"),
            _ => None,
        }
    }
}

impl Hint for TrainError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            TrainError::Model(_) | TrainError::Vocabulary(_) => {
                Some("--model takes a preset or an open_clip_config.json")
            }
            TrainError::RunExists { .. } => Some("choose another --name, or go on with --resume"),
            TrainError::Data(error @ DatasetError::TooManyBad { .. }) => {
                data(error).or(Some("--bad-share SHARE allows more"))
            }
            TrainError::Data(error) => data(error),
            TrainError::Loader(LoaderError::TooFew { .. }) => Some("choose a smaller --batch-size"),
            _ => None,
        }
    }
}

fn data(error: &DatasetError) -> Option<&'static str> {
    match error {
        DatasetError::Column { .. } => Some(
            "--csv-separator says what separates columns, --csv-img-key and --csv-caption-key name those of pictures and captions",
        ),
        DatasetError::OpenQuote { .. } => {
            Some("close the quote, or write one that belongs to a caption twice within quotes: \"5\"\" nails\"")
        }
        DatasetError::Empty { report, .. } | DatasetError::TooManyBad { report, .. } => rows(report),
        DatasetError::NoNames { .. } => Some("--labels-file FILE names the classes"),
        _ => None,
    }
}

/// Returns what to do about rows that do not fit the headings of their table.
pub fn rows(report: &BadReport) -> Option<&'static str> {
    report.has_misfits().then_some(
        "put captions that hold separators or quotes into quotes (\"a photo, and more\"), or say --csv-separator",
    )
}

fn checkpoint(error: &CheckpointError) -> Option<&'static str> {
    matches!(error, CheckpointError::Activation { .. })
        .then_some("say --activation quick_gelu (all of OpenAI's) or --activation gelu (most of OpenCLIP's)")
}

fn index(error: &IndexError) -> Option<&'static str> {
    match error {
        IndexError::None { .. } => Some("make one: clipwright index DIR"),
        IndexError::OtherModel { .. } => {
            Some("name the model of the index with --model, or delete the index and make it again")
        }
        IndexError::OtherPictures { .. } => Some("say --output for another index"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_stands_on_a_line_of_its_own() {
        let error = CliError::Index(IndexError::None { path: "photos".into() });
        assert_eq!(explain(&error), "error: photos: no index here\nhelp: make one: clipwright index DIR");
        assert_eq!(explain(&CliError::Usage("no".into())), "error: no");
    }

    #[test]
    fn flags_that_are_hinted_at_exist() {
        use crate::app::{commands, train};
        use clap::CommandFactory;
        let command = commands::Cli::command();
        let eval = command.find_subcommand("eval").unwrap().clone();
        let (path, reason) = (std::path::PathBuf::from("a"), String::new());
        let column = DatasetError::Column { path: path.clone(), wanted: reason, columns: vec![], separator: ',' };
        let mut report = BadReport::default();
        report.count::<()>(&Err(crate::datasets::BadExample::misfit("a", "b")));
        let misfits = DatasetError::Empty { place: "a".into(), report };
        for error in [column, misfits, DatasetError::NoNames { path }] {
            let said = data(&error).unwrap();
            for flag in said.split([' ', ',']).filter_map(|word| word.strip_prefix("--")) {
                let has = |command: &clap::Command| command.get_arguments().any(|arg| arg.get_long() == Some(flag));
                assert!(has(&eval) && (has(&train::Cli::command()) || flag == "labels-file"), "{flag}");
            }
        }
    }
}
