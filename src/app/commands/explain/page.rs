//! The option `--output`, and what the pages share.

use crate::app::commands::CliError;
use crate::app::html;
use crate::files::has_extension;
use clap::Args;
use std::path::PathBuf;

/// The page that a topic writes if it is asked to.
#[derive(Debug, Args)]
pub(super) struct Page {
    /// Page to write, one .html file that needs no network
    #[arg(long, value_name = "FILE", value_parser = named)]
    output: Option<PathBuf>,
}

/// Refuses a file that is named like something else than a page.
fn named(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match ["html", "htm"].iter().any(|ending| has_extension(&path, ending)) {
        true => Ok(path),
        false => Err("must end in .html".into()),
    }
}

impl Page {
    /// Writes the page, whole or not at all, if there is to be one. `body` is HTML, and so is what it returns.
    pub(super) fn write(&self, title: &str, style: &str, body: impl FnOnce() -> String) -> Result<(), CliError> {
        let Some(path) = &self.output else { return Ok(()) };
        html::save(path, &html::page(title, style, &body())).map_err(CliError::file(path))
    }
}
