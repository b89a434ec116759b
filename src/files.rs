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
    remove_remains(path);
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

/// Writes the file. It is locked meanwhile, so that others see that its process lives.
fn fill(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let file = File::create(path)?;
    // Where a file system has no locks, remains of killed processes are only not told apart from files in use.
    let _ = file.lock();
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    out.into_inner()?.sync_all()
}

/// Removes what killed processes left of files that were to take the place of `path`: temporary files that nobody has
/// locked. What cannot be removed stays; it does no harm.
fn remove_remains(path: &Path) {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let start = format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy());
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let process = name.strip_prefix(&start).and_then(|rest| rest.strip_suffix(".part"));
        let ours = process.is_some_and(|process| process.bytes().all(|byte| byte.is_ascii_digit()));
        if ours && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_others_write_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        for name in [".model.1.part", ".model.2.part", ".model.x.part", ".other.1.part"] {
            fs::write(file(name), "half").unwrap();
        }
        let in_use = File::open(file(".model.2.part")).unwrap();
        in_use.lock().unwrap();
        write_atomic(file("model"), |out| out.write_all(b"whole")).unwrap();
        let left = |name: &str| file(name).exists();
        assert_eq!(
            [".model.1.part", ".model.2.part", ".model.x.part", ".other.1.part"].map(left),
            [false, true, true, true]
        );
        assert_eq!(fs::read(file("model")).unwrap(), b"whole");
    }
}
