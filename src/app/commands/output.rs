//! Output of results on standard output, for people or for programs.

use super::CliError;
use super::arrays::write_line;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::fmt::Display;
use std::io::{Write, stdout};

/// The form in which results are written.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Output { json }
    }

    /// Returns whether results are written as JSON.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Writes a result as text or as one line of JSON.
    ///
    /// # Errors
    /// Returns an error if standard output cannot be written to.
    pub(crate) fn show(self, result: &(impl Serialize + Display)) -> Result<(), CliError> {
        let write = |out: &mut dyn Write| {
            if self.json { write_line(out, result) } else { writeln!(out, "{result}") }?;
            out.flush()
        };
        write(&mut stdout().lock()).map_err(CliError::Output)
    }

    /// Returns a progress bar over `total` steps on standard error, which is hidden if that is no terminal.
    pub(crate) fn progress(self, total: usize, what: &'static str) -> ProgressBar {
        let style = ProgressStyle::with_template("{msg} {bar:32} {pos}/{len}  {per_sec:>9}  {eta} left")
            .expect("a valid template");
        ProgressBar::new(total as u64).with_style(style).with_message(what)
    }
}
