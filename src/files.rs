//! Files written whole or not at all, read anywhere, and told apart by their first bytes.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// UTF-8's byte order mark, with which some programs begin a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The first bytes of gzip.
pub(crate) const GZIP: &[u8] = b"\x1f\x8b";

/// The first bytes of files that are taken for text or for a tar file by mistake, and what they are. UTF-32's mark
/// begins with UTF-16's.
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

/// Number of bytes at the start of a file among which no text has a zero.
const HEAD: usize = 1024;

/// Returns what the first bytes say a file is, if it is neither UTF-8 nor a tar file.
pub(crate) fn kind(bytes: &[u8]) -> Option<&'static str> {
    KINDS.iter().find(|(start, _)| bytes.starts_with(start)).map(|&(_, kind)| kind)
}

/// Returns the bytes of a text without a byte order mark.
///
/// # Errors
/// Returns an error that says what the bytes are if they are no text in UTF-8, which the whole of them need not be.
pub fn text(bytes: &[u8]) -> io::Result<&[u8]> {
    let invalid =
        |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, format!("{what}, and not text in UTF-8")));
    match kind(bytes) {
        Some(kind) => invalid(&format!("it is {kind}")),
        None if bytes[..bytes.len().min(HEAD)].contains(&0) => invalid("it has zero bytes, as binary files have"),
        None => Ok(bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)),
    }
}

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
