//! Writing of WebDataset shards: tar files of samples, whose members belong together by name.

use crate::files::write_atomic;
use std::io::{self, Write};
use std::path::Path;

/// A shard that is being written.
pub(super) struct Shard<'a>(tar::Builder<&'a mut dyn Write>);

impl Shard<'_> {
    /// Adds a sample: a member `KEY.EXTENSION` for each extension with its bytes.
    ///
    /// # Errors
    /// Returns the error of the file system.
    pub(super) fn sample(&mut self, key: &str, members: &[(&str, &[u8])]) -> io::Result<()> {
        members.iter().try_for_each(|&(extension, bytes)| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            self.0.append_data(&mut header, format!("{key}.{extension}"), bytes)
        })
    }
}

/// Writes a shard, whole or not at all. Its bytes depend on the samples alone.
///
/// # Errors
/// Returns the error of `samples` or of the file system.
pub(super) fn write_shard(path: &Path, samples: impl FnOnce(&mut Shard) -> io::Result<()>) -> io::Result<()> {
    write_atomic(path, |out| {
        let mut shard = Shard(tar::Builder::new(out));
        samples(&mut shard)?;
        shard.0.finish()
    })
}
