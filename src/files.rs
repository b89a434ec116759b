//! Reads and writes files as a whole, reads files at any offset, tells files apart by their first bytes, and names them.

use flate2::read::MultiGzDecoder;
use serde::Serializer;
use std::borrow::Cow;
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// UTF-8's byte order mark, with which some programs begin a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Most bytes that are read whole of a file, of a pipe, or of what a gzipped file unpacks to.
pub(crate) const MAX_BYTES: u64 = 4 << 30;

/// The beginning of names of files that stand for bytes in percent-encoding.
const SCHEME: &str = "file:";

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

/// Reads a whole file, or a pipe to its end.
///
/// # Errors
/// Returns the error of the file system, or an error that says the limit if there are more than [`MAX_BYTES`]. A device
/// is refused, since reading it may never end.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, MAX_BYTES)
}

/// Reads a whole file as [`read`] does, with a limit of whole GiB.
pub(crate) fn read_at_most(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if is_device(&metadata) {
        return Err(io::Error::new(ErrorKind::InvalidData, "not a file but a device, which may have no end"));
    }
    if metadata.len() > max {
        return Err(too_large(max));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    fill_from(File::open(path)?, max, &mut bytes).map(|()| bytes)
}

/// Reads a source to its end, or returns an error that says the limit if it has more than `max` bytes.
pub(crate) fn read_to_end(source: impl Read, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    fill_from(source, max, &mut bytes).map(|()| bytes)
}

fn fill_from(source: impl Read, max: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    let read = source.take(max + 1).read_to_end(bytes)?;
    if read as u64 > max { Err(too_large(max)) } else { Ok(()) }
}

fn too_large(max: u64) -> io::Error {
    io::Error::new(ErrorKind::FileTooLarge, format!("larger than {} GiB", max >> 30))
}

#[cfg(unix)]
fn is_device(metadata: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    metadata.file_type().is_char_device() || metadata.file_type().is_block_device()
}

#[cfg(not(unix))]
fn is_device(_: &Metadata) -> bool {
    false
}

/// Reads a whole text, plain or gzipped, without its byte order mark.
///
/// # Errors
/// Returns the errors of [`read`] and of [`text`], or an error if a gzipped text is damaged.
pub(crate) fn read_text(path: &Path) -> io::Result<Vec<u8>> {
    read(path).and_then(unpack_text)
}

/// Returns the bytes of a text without a byte order mark, unpacked if they are gzipped.
///
/// # Errors
/// Returns the errors of [`read_text`].
pub(crate) fn unpack_text(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    let damaged = |error: io::Error| match error.kind() {
        ErrorKind::FileTooLarge => error,
        kind => io::Error::new(kind, format!("it is compressed with gzip, and damaged or cut off: {error}")),
    };
    let mut bytes = match bytes.starts_with(GZIP) {
        true => read_to_end(MultiGzDecoder::new(&bytes[..]), MAX_BYTES).map_err(damaged)?,
        false => bytes,
    };
    let mark = bytes.len() - text(&bytes)?.len();
    bytes.drain(..mark);
    Ok(bytes)
}

/// Returns whether the name of a file, without the `.gz` of a gzipped one, has this extension.
pub(crate) fn has_extension(path: &Path, extension: &str) -> bool {
    let is = |path: &Path, wanted| path.extension().is_some_and(|own| own.eq_ignore_ascii_case(wanted));
    if is(path, "gz") { path.file_stem().is_some_and(|stem| is(stem.as_ref(), extension)) } else { is(path, extension) }
}

/// Returns the name of a file as a text that no other file has. It is the path itself if that is UTF-8. Of any other
/// path, and of one that begins with `file:`, it is `file:` and the bytes of the path in the percent-encoding of URIs.
pub(crate) fn name(path: &Path) -> Cow<'_, str> {
    match path.to_str() {
        Some(text) if !text.starts_with(SCHEME) => Cow::Borrowed(text),
        _ => Cow::Owned(path.as_os_str().as_encoded_bytes().iter().fold(SCHEME.to_owned(), |name, &byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                name + char::from(byte).encode_utf8(&mut [0])
            }
            _ => name + &format!("%{byte:02X}"),
        })),
    }
}

/// Returns whether the [`name`] of a file is not its path.
pub(crate) fn is_encoded(name: &str) -> bool {
    name.starts_with(SCHEME)
}

/// Serializes a path as the [`name`] of the file.
pub(crate) fn serialize_name<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&name(path))
}

/// Returns what the first bytes say a file is, if it is neither UTF-8 nor a tar file.
pub(crate) fn kind(bytes: &[u8]) -> Option<&'static str> {
    KINDS.iter().find(|(start, _)| bytes.starts_with(start)).map(|&(_, kind)| kind)
}

/// Returns the bytes of a text without a byte order mark. Only the first bytes are checked.
///
/// # Errors
/// Returns an error that says what the bytes are if their beginning is not that of a text in UTF-8.
pub fn text(bytes: &[u8]) -> io::Result<&[u8]> {
    let invalid = |what: &str| Err(io::Error::new(ErrorKind::InvalidData, format!("{what}, and not text in UTF-8")));
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
    fn no_two_files_share_a_name() {
        use std::os::unix::ffi::OsStrExt;
        let named = |bytes: &[u8]| name(Path::new(std::ffi::OsStr::from_bytes(bytes))).into_owned();
        assert_eq!(named("ä b.png".as_bytes()), "ä b.png");
        assert_eq!(named(b"a/\xff b.png"), "file:a/%FF%20b.png");
        assert_eq!(named(b"a/\xfe b.png"), "file:a/%FE%20b.png");
        assert_eq!(named(b"file:a/%FF%20b.png"), "file:file%3Aa/%25FF%2520b.png");
    }

    #[test]
    fn what_is_read_whole_has_a_limit() {
        assert_eq!(read_to_end(&b"abc"[..], 3).unwrap(), b"abc");
        let error = read_to_end(io::repeat(b'a'), 1 << 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        let folder = tempfile::tempdir().unwrap();
        let hole = folder.path().join("hole");
        File::create(&hole).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert_eq!(read(&hole).unwrap_err().to_string(), "larger than 4 GiB");
        if cfg!(unix) {
            assert!(read(Path::new("/dev/zero")).unwrap_err().to_string().contains("a device"));
        }
    }

    #[test]
    fn extensions_are_those_below_gz() {
        for (path, is) in [("a.csv", true), ("a.CSV.gz", true), ("a.csv.GZ", true), ("a.gz", false), ("csv.gz", false)]
        {
            assert_eq!(has_extension(Path::new(path), "csv"), is, "{path}");
        }
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
