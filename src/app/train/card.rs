//! The model card of a finished run, which other programs read with the model.

use super::error::TrainError;
use super::learner::Learner;
use super::options::Options;
use super::page::Facts;
use crate::app::card::{Card, source, writer};
use crate::checkpoint::hub_name;
use crate::eval::Report;
use crate::train::run_folder::{OPTIONS, PAGE, RunFolder, RunFolderError};

/// Writes the card into the folder of a run that took so many steps, unless it has one.
pub(super) fn write(
    folder: &RunFolder,
    learner: &dyn Learner,
    options: &Options,
    run: &Facts,
    report: &Report,
) -> Result<(), TrainError> {
    let (form, facts) = learner.described();
    let pretrained = options.pretrained.as_deref();
    let base = pretrained.and_then(hub_name);
    let begun = match pretrained {
        Some(path) => format!("the weights of {}", source(base.as_deref(), path)),
        None => "random weights".into(),
    };
    let lines: String = run.lines.iter().map(|(name, line)| format!("| {name} | {line} |\n")).collect();
    let origin = format!(
        "Trained by {} from {begun}. All options are in [{OPTIONS}]({OPTIONS}), the curves in [{PAGE}]({PAGE}).\n\n\
         | | |\n|---|---|\n{lines}\nAfter step {}:\n\n{}",
        writer(),
        learner.steps(),
        report.markdown()
    );
    let failed = |source| RunFolderError::File { path: folder.path.clone(), source };
    Ok(Card { form, facts, base, origin }.write(&folder.path).map_err(failed)?)
}
