//! What a long command has done so far, in a file from which it can go on after an interruption.

use super::CliError;
use super::arrays::write_line;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// A file of JSON lines beside the one that is to be written: first the settings of the run, then its steps in order. A
/// line that was cut off by the interruption counts as never written.
#[derive(Debug)]
pub(crate) struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    /// Opens the file `NAME.partial` for the output `NAME`, and returns the steps that are done. Without the file, or if
    /// it is empty, a run begins.
    ///
    /// # Errors
    /// Returns an error if the file is of a run with other settings or of a run that is still under way, or if it cannot
    /// be read or written.
    pub(crate) fn open<T: DeserializeOwned>(
        output: &Path,
        settings: &Map<String, Value>,
    ) -> Result<(Self, Vec<T>), CliError> {
        let mut name = output.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let path = output.with_file_name(name);
        let io = || CliError::file(&path);
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(io())?;
        // Where a file system has no locks, nothing guards against two runs at the same time.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(io()(io::Error::other("another run is writing it")));
        }
        let mut bytes = vec![];
        file.read_to_end(&mut bytes).map_err(io())?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).and_then(|()| file.seek(io::SeekFrom::End(0))).map_err(io())?;
        let mut lines = (1..).zip(bytes[..whole].split_inclusive(|&byte| byte == b'\n'));
        let mut partial = Partial { path: path.clone(), file };
        let Some((_, first)) = lines.next() else {
            partial.push(settings)?;
            return Ok((partial, vec![]));
        };
        check(&path, &parse(&path, 1, first)?, settings)?;
        let steps = lines.map(|(number, line)| parse(&path, number, line)).collect::<Result<_, _>>()?;
        Ok((partial, steps))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a step.
    ///
    /// # Errors
    /// Returns the error of the file system.
    pub(crate) fn push(&mut self, step: &impl Serialize) -> Result<(), CliError> {
        let mut line = vec![];
        write_line(&mut line, step).and_then(|()| self.file.write_all(&line)).map_err(CliError::file(&self.path))
    }

    /// Removes the file, once the output is there.
    ///
    /// # Errors
    /// Returns the error of the file system.
    pub(crate) fn remove(self) -> Result<(), CliError> {
        std::fs::remove_file(&self.path).map_err(CliError::file(&self.path))
    }
}

fn parse<T: DeserializeOwned>(path: &Path, number: usize, line: &[u8]) -> Result<T, CliError> {
    let reason = |error| CliError::line(path, number, &format!("not what an interrupted run leaves: {error}"));
    serde_json::from_slice(line).map_err(reason)
}

/// Checks that both runs have the same settings.
fn check(path: &Path, found: &Map<String, Value>, settings: &Map<String, Value>) -> Result<(), CliError> {
    let names = settings.keys().chain(found.keys());
    match names.into_iter().find(|&name| found.get(name) != settings.get(name)) {
        Some(name) => Err(CliError::OtherRun { path: path.into(), what: name.clone() }),
        None => Ok(()),
    }
}
