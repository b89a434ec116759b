//! The program `clipwright`, which puts trained models to use. Every command has a file of its own.
//!
//! A command is a struct of arguments and a `run(self, &Context)`. It takes its model from the [`Context`], which reads
//! only the tower that is asked for, and passes its result to `Output::show` as one value, which is written as text
//! or, with `--json`, as one line of JSON. Progress and errors go to standard error.
//!
//! The exit code is 0 on success, 1 if something is wrong with a file or its content, and 2 if something is wrong with
//! the command line.

mod arrays;
mod ask;
mod bench;
mod bench_blip;
mod bench_clip;
mod capfilt;
mod capfilt_folder;
mod capfilt_models;
mod capfilt_report;
mod caption;
mod caption_match;
mod classify;
mod context;
mod convert;
mod duplicates;
mod duplicates_page;
mod embed;
mod embed_source;
mod error;
mod eval;
mod eval_emoji;
mod eval_precision;
mod eval_probe;
mod eval_rerank;
mod eval_texts;
mod explain;
mod export;
pub(super) mod filters;
mod health;
mod index;
mod index_parts;
mod info;
mod info_blip;
mod map;
mod matching;
mod output;
pub(super) mod page;
mod parquet_writer;
mod partial;
mod parts;
mod pictures;
pub(super) mod ranking;
mod scene_files;
mod scenes;
mod search;
mod serve;
mod shard_writer;
mod shell;
mod text_states;
pub(super) mod texts;
mod timing;
mod wanted;
mod wanted_embeddings;
mod writing;

pub use context::{Context, Global};
pub use error::CliError;
pub use output::Output;

use super::{VERSION, WIDTH};
use clap::{CommandFactory, Parser, Subcommand};

/// Use trained CLIP and BLIP models: OpenAI's, OpenCLIP's, Salesforce's, Hugging Face's, and those of `train`
#[derive(Debug, Parser)]
#[command(name = "clipwright", version = VERSION, max_term_width = WIDTH, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Info(info::Info),
    Convert(convert::Convert),
    Classify(classify::Classify),
    CaptionMatch(caption_match::CaptionMatch),
    Caption(caption::Caption),
    Ask(ask::Ask),
    Match(matching::Match),
    Capfilt(capfilt::Capfilt),
    Embed(embed::Embed),
    TextStates(text_states::TextStatesCommand),
    Eval(eval::Eval),
    Explain(explain::Explain),
    Bench(bench::Bench),
    Index(index::Index),
    Search(search::Search),
    Serve(serve::Serve),
    Health(health::HealthCommand),
    Duplicates(duplicates::Duplicates),
    Map(map::MapCommand),
    Export(export::Export),
    Scenes(scenes::ScenesCommand),
    Completions(shell::Completions),
    Man(shell::Man),
}

/// Runs a command.
pub fn run(cli: Cli) -> Result<(), CliError> {
    let context = Context::new(cli.global);
    match cli.command {
        Command::Info(command) => command.run(&context),
        Command::Convert(command) => command.run(&context),
        Command::Classify(command) => command.run(&context),
        Command::CaptionMatch(command) => command.run(&context),
        Command::Caption(command) => command.run(&context),
        Command::Ask(command) => command.run(&context),
        Command::Match(command) => command.run(&context),
        Command::Capfilt(command) => command.run(&context),
        Command::Embed(command) => command.run(&context),
        Command::TextStates(command) => command.run(&context),
        Command::Eval(command) => command.run(&context),
        Command::Explain(command) => command.run(&context),
        Command::Bench(command) => command.run(&context),
        Command::Index(command) => command.run(&context),
        Command::Search(command) => command.run(&context),
        Command::Serve(command) => command.run(&context),
        Command::Health(command) => command.run(&context),
        Command::Duplicates(command) => command.run(&context),
        Command::Map(command) => command.run(&context),
        Command::Export(command) => command.run(&context),
        Command::Scenes(command) => command.run(&context),
        Command::Completions(command) => command.run(Cli::command()),
        Command::Man(command) => command.run(Cli::command()),
    }
}
