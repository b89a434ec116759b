//! What the first rank writes down while a run goes on: its log, what other programs read of it, and the page.

use super::error::TrainError;
use super::options::{Options, ReportTo};
use super::page::{self, Facts};
use crate::train::log::{Line, Log, Metrics};
use crate::train::run_folder::{METRICS, RunFolder, TENSORBOARD};
use crate::train::tensorboard::Events;

/// The records of a run on its first rank; those of another stay empty.
#[derive(Default)]
pub(super) struct Records {
    log: Option<Log>,
    events: Option<Events>,
}

impl Records {
    /// Opens the records of a run that goes on after so many steps.
    pub fn open(folder: &RunFolder, options: &Options, steps: u64) -> Result<Self, TrainError> {
        let log = Log::open(folder.file(METRICS))?;
        let events = match options.report_to {
            ReportTo::None => None,
            ReportTo::Tensorboard => {
                let metrics = Metrics::read(folder.file(METRICS))?;
                let evaluated = metrics.evaluations.iter().rfind(|evaluation| evaluation.step <= steps);
                let evaluated = evaluated.map(|evaluation| evaluation.step);
                Some(Events::create(&folder.file(TENSORBOARD), steps, evaluated)?)
            }
        };
        Ok(Records { log: Some(log), events })
    }

    /// Adds a line to the records.
    pub fn append(&mut self, line: &Line) -> Result<(), TrainError> {
        let Records { log, events } = self;
        log.as_mut().map_or(Ok(()), |log| log.append(line))?;
        Ok(events.as_mut().map_or(Ok(()), |events| events.append(line))?)
    }

    /// Returns the whole log, which is empty on another rank.
    pub fn metrics(&self, folder: &RunFolder) -> Result<Metrics, TrainError> {
        if self.log.is_some() { Ok(Metrics::read(folder.file(METRICS))?) } else { Ok(Metrics::default()) }
    }

    /// Writes the page, on the first rank. It has pictures if the run is `finished`.
    pub fn write_page(
        &self,
        folder: &RunFolder,
        facts: Facts,
        metrics: &Metrics,
        finished: bool,
    ) -> Result<(), TrainError> {
        if self.log.is_some() { page::write(folder, metrics, facts, finished) } else { Ok(()) }
    }
}
