//! Hints on errors. The library says what is wrong and knows no flags; this file says which flag or command helps.

use super::commands::CliError;
use super::train::TrainError;
use crate::batches::LoaderError;
use crate::checkpoint::CheckpointError;
use crate::datasets::{BadReport, DatasetError, OwnPairs};
use crate::embed::{BlipError, LoadError, Task};
use crate::index::{IndexError, IndexFileError};
use crate::train::run_folder::RunFolderError;
use std::fmt::Display;
use std::io::ErrorKind;

/// Says which models do a task, behind what is to be done with one.
macro_rules! blips {
    ($begin:literal, named $name:literal) => {
        concat!(
            $begin,
            "a folder or a file, or a name in the Hugging Face cache, such as ",
            $name,
            " (fetched by: hf download ",
            $name,
            ")"
        )
    };
    ($begin:literal, $task:expr) => {
        match $task {
            Task::Caption => blips!($begin, named "Salesforce/blip-image-captioning-base"),
            Task::Answer => blips!($begin, named "Salesforce/blip-vqa-base"),
            Task::Match => blips!($begin, named "Salesforce/blip-itm-base-coco"),
        }
    };
}

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
            CliError::NoRun { .. } => Some("name the folder of a run, such as one in runs/"),
            CliError::Train(error) => error.hint(),
            CliError::NoBlip { task } => Some(blips!("say --model PATH, ", task)),
            CliError::Blip { source: BlipError::Lacks { task, .. }, .. }
            | CliError::Load(LoadError::Task { source: BlipError::Lacks { task, .. }, .. }) => {
                Some(blips!("name another, ", task))
            }
            CliError::OtherRun { .. } => Some("the same command as then goes on from it; delete it to begin anew"),
            CliError::OtherFolder { .. } => {
                Some("the same options as then go on with it; with others, choose another folder by --out or --output")
            }
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
            TrainError::NeedsBlip(_) => Some("say --model Emoji-BLIP-S, or --pretrained PATH of a BLIP"),
            TrainError::TwoModels => Some("leave --model out"),
            TrainError::NoAnswers { .. } => Some("say --train-answers FILE and, for --val-data, --val-answers FILE"),
            TrainError::NoVocabulary { .. } => Some("without --tokenizer a new model has BERT's vocabulary"),
            TrainError::OtherTokens { .. } => {
                Some("--distill-model takes a CLIP that reads the same tokens, such as OpenAI's and OpenCLIP's")
            }
            TrainError::NoParameter(_) => Some(
                "names are a checkpoint's, such as visual.transformer.resblocks.0.mlp.c_fc.weight; * stands for any text",
            ),
            TrainError::OtherModel { .. } => Some("leave --model out: the weights say what they are"),
            TrainError::RunFolder(RunFolderError::OtherPairs { .. }) => {
                Some("begin a new run with the weights of this one: --pretrained RUN")
            }
            TrainError::RunFolder(RunFolderError::OtherVersion { .. }) => {
                Some("if the pairs are those that the run was begun with, delete this file and resume again")
            }
            TrainError::LastSize { .. } => Some("the last part of the run is for the size that the model is to have"),
            TrainError::ImageSizes(_) => Some("say larger shares, or more --epochs"),
            TrainError::TooLong { .. } => Some("say more --epochs"),
            TrainError::RunExists { .. } => Some("choose another --name, or go on with --resume"),
            TrainError::NotLearnt { .. } => Some(
                "if the loss was still falling, say more --epochs; if not, try another --lr: more data would not help",
            ),
            TrainError::Data(error @ DatasetError::TooManyBad { .. }) => {
                data(error).or(Some("--bad-share SHARE allows more"))
            }
            TrainError::Data(error) => data(error),
            TrainError::Loader(LoaderError::TooFew { .. }) => Some("choose a smaller --batch-size"),
            TrainError::Checkpoint(error) => pretrained(error),
            _ => None,
        }
    }
}

/// Returns what to do about an error in data.
fn data(error: &DatasetError) -> Option<&'static str> {
    match error {
        DatasetError::Column { .. } => Some(
            "--csv-separator says what separates columns, --csv-img-key and --csv-caption-key name those of pictures and captions",
        ),
        DatasetError::OpenQuote { .. } => {
            Some("close the quote, or write one that belongs to a caption twice within quotes: \"5\"\" nails\"")
        }
        DatasetError::Empty { report, .. } | DatasetError::TooManyBad { report, .. } => rows(report),
        DatasetError::NoStream { .. } => {
            Some("leave --dataset-resampled out, which is for shards, or write the pairs as tar shards")
        }
        DatasetError::Factors { .. } => {
            Some("--train-data-upsampling-factors takes a number above 0 for each source of --train-data, joined by ::")
        }
        DatasetError::NoNames { .. } => Some("--labels-file FILE names the classes"),
        _ => None,
    }
}

/// Returns what to do about rows that do not fit the headings of their table.
pub(crate) fn rows(report: &BadReport) -> Option<&'static str> {
    report.has_misfits().then_some(
        "put captions that hold separators or quotes into quotes (\"a photo, and more\"), or say --csv-separator",
    )
}

/// Prints what was guessed and left out when pairs were opened.
pub(crate) fn say(pairs: &OwnPairs) {
    if pairs.guess().is_some() || pairs.bad().bad > 0 {
        note!("note: {pairs}");
        rows(pairs.bad()).iter().for_each(|help| note!("help: {help}"));
    }
}

/// Returns what to do about a checkpoint that cannot be opened.
fn checkpoint(error: &CheckpointError) -> Option<&'static str> {
    match error {
        CheckpointError::Activation { .. } => {
            Some("say --activation quick_gelu (all of OpenAI's) or --activation gelu (most of OpenCLIP's)")
        }
        error if is_without(error, "logit_scale") => {
            Some("say --logit-scale NUMBER: 4.6052 multiplies cosines by 100, as nearly all trained models do")
        }
        error if is_without(error, "logit_bias") => Some(NO_BIAS),
        CheckpointError::OtherModel { what: "a BLIP", .. } => Some(
            "commands for BLIPs are caption, ask, match, capfilt, embed, index, search, serve, classify, eval, info and \
             convert",
        ),
        CheckpointError::OtherModel { what: "a CLIP", .. } => Some(
            "commands for CLIPs are classify, caption-match, embed, index, search, serve, text-states, eval, info and \
             convert",
        ),
        CheckpointError::Architecture { .. } => Some(
            "--model takes a folder or a file of weights, or the name of a model in the Hugging Face cache; \
             train --model NAME trains one",
        ),
        _ => None,
    }
}

/// Returns what to do about a checkpoint that training cannot start from. Training takes a model as it is, so what the
/// checkpoint leaves open must be settled before.
fn pretrained(error: &CheckpointError) -> Option<&'static str> {
    match error {
        CheckpointError::Activation { .. } => {
            Some("write a folder that says it: clipwright convert --activation NAME SRC DST; then --pretrained DST")
        }
        error if is_without(error, "logit_scale") => {
            Some("write a folder that has it: clipwright convert --logit-scale 4.6052 SRC DST; then --pretrained DST")
        }
        error if is_without(error, "logit_bias") => Some(NO_BIAS),
        CheckpointError::Architecture { .. } => {
            Some("--pretrained takes weights; an architecture with random weights is --model NAME alone")
        }
        _ => None,
    }
}

/// What to do about a configuration that promises a bias which the weights do not have.
const NO_BIAS: &str = "the configuration says init_logit_bias; take it out if the model was trained without a bias";

/// Whether the error is that a checkpoint does not have this tensor.
fn is_without(error: &CheckpointError, name: &str) -> bool {
    matches!(error, CheckpointError::Missing { tensor, .. } if tensor.ends_with(name))
}

/// Returns what to do about an error of an index.
fn index(error: &IndexError) -> Option<&'static str> {
    match error {
        IndexError::Broken { source: IndexFileError::Older, .. } => {
            Some("delete the index and make it again: clipwright index DIR")
        }
        IndexError::None { .. } => Some("make one: clipwright index DIR"),
        IndexError::Io { source, .. }
            if matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
        {
            Some("clipwright index --output FOLDER puts an index elsewhere")
        }
        IndexError::OtherModel { .. } => {
            Some("name the model of the index with --model, or delete the index and make it again")
        }
        IndexError::AsStored { .. } => Some("leave out --exif, or delete the index and make it again with --exif"),
        IndexError::Exact { .. } => {
            Some("leave out --fast-decode, or delete the index and make it again with --fast-decode")
        }
        IndexError::OtherPictures { .. } => Some("say --output for another index"),
        IndexError::Outside { .. } => {
            Some("paths start from where embed was run: run index there too, for a folder that holds all pictures")
        }
        IndexError::Broken { source: IndexFileError::OtherCodes { .. }, .. } => {
            Some("remove this file: clipwright index DIR makes it again from the others")
        }
        error if error.is_of_derived_file() => Some("clipwright index DIR makes this file again from the others"),
        IndexError::Broken { .. } => {
            Some("delete the folder of the index (its pictures are elsewhere) and make it again: clipwright index DIR")
        }
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
