//! Files written whole or not at all, and read anywhere.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes a file so that a reader, or a run that is killed half way, sees the old content or the new, never a part.
///
/// `write` fills a temporary file in the same folder, which reaches the disk before it takes the place of `path` by a
/// rename (atomic within a file system). When anything fails, `path` is as it was and the temporary file is gone.
///
/// # Errors
/// What `write` or the file system says, as it says it: the caller knows which file it is, and names it once.
pub fn write_atomic(path: impl AsRef<Path>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let path = path.as_ref();
    let temporary = beside(path);
    fill(&temporary, write).and_then(|()| fs::rename(&temporary, path)).and_then(|()| sync_folder(path)).inspect_err(
        |_| {
            // Best effort: the first error is the one worth reporting.
            let _ = fs::remove_file(&temporary);
        },
    )
}

/// `dir/name` → `dir/.name.PID.part`: same folder, so that the rename stays within one file system; one name per
/// process, so that two runs do not write into each other's file.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.part", std::process::id()))
}

fn fill(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    write(&mut out)?;
    out.into_inner()?.sync_all()
}

/// The rename itself is only durable once the folder that holds the name is. Only Unix can open a folder to sync it.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Fills `out` from the bytes at `offset`. A shared file can be read from several threads at once.
///
/// # Errors
/// What the file system says; [`io::ErrorKind::UnexpectedEof`] if the file ends before.
#[cfg(unix)]
pub fn read_exact_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

#[cfg(windows)]
pub fn read_exact_at(file: &File, mut out: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => (out, offset) = (&mut out[n..], offset + n as u64),
        }
    }
    Ok(())
}
