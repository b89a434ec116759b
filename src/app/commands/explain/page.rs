//! The option `--output` of topics that write a page, and the names of files by which topics tell what to write.

use crate::app::commands::CliError;
use crate::app::html;
use clap::Args;
use std::path::{Path, PathBuf};

/// The page that a topic writes if it is asked to.
#[derive(Debug, Args)]
pub(super) struct Page {
    /// Page to write, one .html file that needs no network
    #[arg(long, value_name = "FILE", value_parser = named)]
    output: Option<PathBuf>,
}

/// Refuses a file that is named like something else than a page.
fn named(text: &str) -> Result<PathBuf, String> {
    ending_in(text, &["html", "htm"], "must end in .html")
}

/// Returns the path that a text names, or else `otherwise`, if it ends in one of these extensions.
pub(super) fn ending_in(text: &str, extensions: &[&str], otherwise: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if extensions.iter().any(|extension| ends_in(&path, extension)) { Ok(path) } else { Err(otherwise.into()) }
}

/// Returns whether a path has this extension, in capitals or not.
pub(super) fn ends_in(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|own| own.eq_ignore_ascii_case(extension))
}

impl Page {
    /// Writes the page, whole or not at all, if there is to be one. `body` is HTML, and so is what it returns.
    pub(super) fn write(&self, title: &str, style: &str, body: impl FnOnce() -> String) -> Result<(), CliError> {
        let Some(path) = &self.output else { return Ok(()) };
        html::save(path, &html::page(title, style, &body())).map_err(CliError::file(path))
    }
}
