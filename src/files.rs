//! Writes files as a whole or not at all, reads files at any offset, and tells files apart by their first bytes.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// UTF-8's byte order mark, with which some programs begin a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The first bytes of a gzip file.
pub(crate) const GZIP: &[u8] = b"\x1f\x8b";

/// The first bytes of files that are taken for text or for a tar file by mistake, and what these files are. UTF-32's
/// mark comes before UTF-16's, since it begins with it.
const KINDS: [(&[u8], &str); 11] = [
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
    (GZIP, "compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ", "compressed with xz"),
    (b"PK\x03\x04", "a ZIP archive, as .xlsx files are"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\x89HDF", "an HDF5 file"),
];

/// The number of bytes at the start of a file that are searched for zero bytes, which no text has.
const HEAD: usize = 1024;

/// Returns what the first bytes say a file is, if it is neither UTF-8 nor a tar file.
pub(crate) fn kind(bytes: &[u8]) -> Option<&'static str> {
    KINDS.iter().find(|(start, _)| bytes.starts_with(start)).map(|&(_, kind)| kind)
}

/// Returns the bytes of a text without a byte order mark. Only the first bytes are checked.
///
/// # Errors
/// Returns an error that says what the bytes are if their beginning is not that of a text in UTF-8.
pub fn text(bytes: &[u8]) -> io::Result<&[u8]> {
    let invalid =
        |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, format!("{what}, and not text in UTF-8")));
    match kind(bytes) {
        Some(kind) => invalid(&format!("it is {kind}")),
        None if bytes[..bytes.len().min(HEAD)].contains(&0) => invalid("it has zero bytes, as binary files have"),
        None => Ok(bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)),
    }
}

/// Writes a file so that readers see either the old content or the new, never a part, even if the process is killed
/// half way.
///
/// `write` fills a temporary file in the same folder, which reaches the disk before it takes the place of `path` by a
/// rename (atomic within a file system). If anything fails, `path` is as it was and the temporary file is gone.
///
/// # Errors
/// Returns the error of `write` or of the file system unchanged. It does not name the file: the caller does, once.
pub fn write_atomic(path: impl AsRef<Path>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    // A link stays, and leads to the new content.
    let path = &path.as_ref().canonicalize().unwrap_or_else(|_| path.as_ref().to_owned());
    if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return stream(path, write);
    }
    remove_remains(path);
    let temporary = beside(path);
    fill(&temporary, write).and_then(|()| fs::rename(&temporary, path)).and_then(|()| sync_folder(path)).inspect_err(
        |_| {
            // An error of the removal is ignored, since the first error is the one worth reporting.
            let _ = fs::remove_file(&temporary);
        },
    )
}

/// Returns the temporary file `dir/.name.PID.part` for `dir/name`. It is in the same folder, so that the rename stays
/// within one file system. Its name holds the number of the process, so that two runs do not write into each other's
/// file.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.part", std::process::id()))
}

/// Writes to a device or a pipe, which no file can take the place of.
fn stream(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(File::options().write(true).open(path)?);
    write(&mut out)?;
    out.flush()
}

/// Writes the file. It is locked meanwhile, so that other processes see that this one still lives.
fn fill(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let file = File::create(path)?;
    // An error is ignored: where a file system has no locks, the only loss is that the remains of killed processes
    // cannot be told apart from files in use.
    let _ = file.lock();
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    out.into_inner()?.sync_all()
}

/// Returns the folder that a path names a file in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes the temporary files for `path` that killed processes have left, which are those that nobody has locked. A
/// file that cannot be removed stays and does no harm.
fn remove_remains(path: &Path) {
    let start = format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy());
    for entry in fs::read_dir(folder_of(path)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let process = name.strip_prefix(&start).and_then(|rest| rest.strip_suffix(".part"));
        let ours = process.is_some_and(|process| process.bytes().all(|byte| byte.is_ascii_digit()));
        if ours && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Syncs the folder that holds `path`: a rename is durable only once the folder is on the disk. Only Unix can open a
/// folder to sync it.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder_of(path))?.sync_all() } else { Ok(()) }
}

/// Fills `out` from the bytes at `offset`. A shared file can be read from several threads at once.
///
/// # Errors
/// Returns the error of the file system, which is [`io::ErrorKind::UnexpectedEof`] if the file ends too early.
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

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_a_device_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_atomic(&link, |out| out.write_all(b"new")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        let device = folder.path().join("device");
        std::os::unix::fs::symlink("/dev/null", &device).unwrap();
        write_atomic(&device, |out| out.write_all(b"gone")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
