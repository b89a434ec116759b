//! Output of results on standard output, for people or for programs.

use super::CliError;
use super::arrays::write_line;
use crate::progress::{Progress, Watch};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::fmt::Display;
use std::io::{Write, stdout};
use std::sync::Mutex;

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

    /// Does work with a progress bar for whatever it counts.
    pub(crate) fn watching<R>(self, work: impl FnOnce(Watch) -> R) -> R {
        let shown: Mutex<Option<(&str, ProgressBar)>> = Mutex::new(None);
        let watch = |Progress { what, done, todo }: Progress| {
            let mut shown = shown.lock().expect("no thread panics here");
            if shown.as_ref().is_none_or(|(before, _)| *before != what) {
                let before = shown.replace((what, self.progress(todo, what)));
                before.inspect(|(_, bar)| bar.finish_and_clear());
            }
            shown.iter().for_each(|(_, bar)| bar.set_position(done as u64));
            Ok(())
        };
        let result = work(&watch);
        shown.into_inner().expect("no thread panics here").inspect(|(_, bar)| bar.finish_and_clear());
        result
    }
}
