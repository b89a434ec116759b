//! `clipwright completions` and `clipwright man`: write the shell completions and manual pages that packages of both
//! programs contain. Neither command is listed in the help.

use super::CliError;
use crate::app::train;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use std::io::{Write, stdout};
use std::path::PathBuf;

/// Print the completions of `clipwright` and `train` for a shell
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct Completions {
    /// Shell to complete commands in
    shell: Shell,
}

/// Write the manual pages of `clipwright`, its commands and `train`
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct Man {
    /// Folder to write to, which must exist
    folder: PathBuf,
}

impl Completions {
    /// Prints the completions of the given command `clipwright` and of `train`.
    pub(crate) fn run(self, clipwright: Command) -> Result<(), CliError> {
        let mut scripts = Vec::new();
        for mut program in [clipwright, train::Cli::command()] {
            let name = program.get_name().to_owned();
            clap_complete::generate(self.shell, &mut program, name, &mut scripts);
        }
        stdout().lock().write_all(&scripts).map_err(CliError::Output)
    }
}

impl Man {
    /// Writes the pages of the given command `clipwright` and of `train`.
    pub(crate) fn run(self, clipwright: Command) -> Result<(), CliError> {
        [clipwright, train::Cli::command()].into_iter().try_for_each(|program| {
            clap_mangen::generate_to(program, &self.folder).map_err(CliError::file(&self.folder))
        })
    }
}
