//! The one rule by which folders of picture files are walked.
//!
//! Links are followed, unless they lead back to a folder that they lie in. Names that begin with a dot are left out,
//! since they are waste bins, thumbnails and the like. So are folders that programs leave beside pictures under other
//! names, which are counted, and whatever a pattern of the caller excludes; what is in such a folder is not looked at.
//! The folder itself is walked whatever its name is. The order is that of the names, folder by folder. Paths that cannot
//! be read are listed and skipped; it is an error only if the folder itself cannot be read.
//!
//! A file with the extension of a picture is a picture. With any other extension, its first bytes decide. All other
//! files are counted by extension.

use super::PathPattern;
use super::decode::{HEAD_BYTES, format};
use image::ImageFormat;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// The extensions of picture files. They do not decide the format of a file; its bytes do.
const EXTENSIONS: [&str; 16] = [
    "png", "apng", "jpg", "jpeg", "jpe", "jfif", "jfi", "jif", "pjpeg", "pjpg", "pjp", "webp", "gif", "bmp", "tif",
    "tiff",
];

/// Folders that hold copies, thumbnails or waste: of Synology and QNAP, of Windows, of macOS's archives, of ext4, of
/// desktops and of Git. Case does not matter.
const PROGRAM_FOLDERS: [&str; 11] = [
    "@eaDir",
    "#recycle",
    "#snapshot",
    "@Recycle",
    "$RECYCLE.BIN",
    "System Volume Information",
    "__MACOSX",
    "lost+found",
    ".thumbnails",
    ".Trashes",
    ".git",
];
/// What the names of other folders of waste begin with: `.Trash-1000`.
const TRASH: &str = ".Trash-";

/// The pictures in a folder and in all folders below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Walk {
    /// Every file with the extension or the first bytes of a picture.
    pub pictures: Vec<PathBuf>,
    /// The counts of all other files.
    pub passed_over: PassedOver,
    /// The paths that could not be read, each with the reason: broken links, folders without permission, links that
    /// lead back.
    pub unseen: Vec<(PathBuf, String)>,
}

/// The numbers of files that were passed over, by extension: lower case with the dot, or empty for files without one.
/// Folders that programs left are counted by their names with a `/`, and what was excluded as `excluded by PATTERN`,
/// where a folder counts as one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PassedOver(BTreeMap<String, usize>);

impl PassedOver {
    /// Returns whether no file was passed over.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the files of another folder.
    pub fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|(extension, n)| *self.0.entry(extension).or_default() += n);
    }

    fn count(&mut self, what: String) {
        *self.0.entry(what).or_default() += 1;
    }

    fn count_file(&mut self, path: &Path) {
        self.count(extension(path).map_or(String::new(), |extension| format!(".{extension}")));
    }
}

impl fmt::Display for PassedOver {
    /// Writes the extensions as in `passed over: 213 .heic, 40 .cr2`, the most frequent first.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut counts: Vec<(&str, usize)> = self.0.iter().map(|(extension, &n)| (extension.as_str(), n)).collect();
        counts.sort_by_key(|&(_, n)| std::cmp::Reverse(n));
        let named = |&(extension, n): &(&str, usize)| match extension {
            "" => format!("{n} without an extension"),
            extension => format!("{n} {extension}"),
        };
        let counts: Vec<String> = counts.iter().map(named).collect();
        write!(f, "passed over: {}", counts.join(", "))?;
        let is_photo = [".heic", ".heif", ".avif"].iter().any(|extension| self.0.contains_key(*extension));
        if is_photo { f.write_str(" (HEIC and AVIF have to be converted first)") } else { Ok(()) }
    }
}

/// Walks a folder and all folders below it, without what one of the patterns excludes. The patterns are of paths below
/// the folder.
///
/// # Errors
/// Returns an error if the folder itself cannot be read.
pub(crate) fn walk(folder: &Path, exclude: &[PathPattern]) -> io::Result<Walk> {
    let (mut found, mut left_out) = (Walk::default(), PassedOver::default());
    let pattern = |path: &Path| exclude.iter().find(|pattern| pattern.matches(&name_below(folder, path)));
    let admits = |entry: &DirEntry| match pattern(entry.path()) {
        Some(pattern) if entry.depth() > 0 => {
            left_out.count(format!("excluded by {pattern}"));
            false
        }
        _ => is_walked(entry, |name| left_out.count(format!("{name}/"))),
    };
    for entry in entries(folder, usize::MAX, admits)? {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => {}
            Ok(entry) if is_picture(entry.path()) => found.pictures.push(entry.into_path()),
            Ok(entry) => found.passed_over.count_file(entry.path()),
            // A broken link, which is no entry that could have been left out.
            Err(error) if error.path().is_some_and(|path| path != folder && pattern(path).is_some()) => {}
            Err(error) => found.unseen.push((error.path().unwrap_or(folder).to_owned(), reason(&error))),
        }
    }
    found.passed_over.merge(left_out);
    Ok(found)
}

/// Lists the folders directly in a folder, links to folders included.
///
/// # Errors
/// Returns an error if the folder cannot be read.
pub(crate) fn folders_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let folders = entries(folder, 1, |entry| is_walked(entry, |_| {}))?
        .flatten()
        .filter(|entry| entry.depth() > 0 && entry.file_type().is_dir());
    Ok(folders.map(DirEntry::into_path).collect())
}

/// Returns whether a folder, or one below it, may hold a picture: it does, or a part of it cannot be read.
pub(crate) fn may_hold_picture(folder: &Path) -> bool {
    let counts = |entry: walkdir::Result<DirEntry>| match entry {
        Ok(entry) => !entry.file_type().is_dir() && is_picture(entry.path()),
        Err(_) => true,
    };
    entries(folder, usize::MAX, |entry| is_walked(entry, |_| {})).map_or(true, |mut entries| entries.any(counts))
}

/// Returns what is in a folder and in the folders below it. What is not admitted is left out, and what is in it.
fn entries(
    folder: &Path,
    depth: usize,
    admits: impl FnMut(&DirEntry) -> bool,
) -> io::Result<impl Iterator<Item = walkdir::Result<DirEntry>>> {
    fs::read_dir(folder)?;
    let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().max_depth(depth);
    Ok(walk.into_iter().filter_entry(admits))
}

/// Returns whether an entry is not one to leave out by its name alone. `left` is called with the name of a folder that a
/// program left.
fn is_walked(entry: &DirEntry, left: impl FnOnce(&str)) -> bool {
    if entry.depth() == 0 {
        return true;
    }
    let name = entry.file_name().to_string_lossy();
    if entry.file_type().is_dir() && is_of_program(&name) {
        left(&name);
        return false;
    }
    !name.starts_with('.')
}

fn is_of_program(name: &str) -> bool {
    PROGRAM_FOLDERS.iter().any(|own| name.eq_ignore_ascii_case(own)) || name.starts_with(TRASH)
}

/// Returns the path below a folder as patterns match it, with `/` between its parts.
fn name_below(folder: &Path, path: &Path) -> String {
    let below = path.strip_prefix(folder).unwrap_or(path);
    below.iter().map(OsStr::to_string_lossy).collect::<Vec<_>>().join("/")
}

/// Returns the message without the path, which [`Walk::unseen`] holds beside it.
fn reason(error: &walkdir::Error) -> String {
    match (error.io_error(), error.loop_ancestor()) {
        (Some(error), _) => error.to_string(),
        (None, Some(ancestor)) => format!("a link back to {}", ancestor.display()),
        (None, None) => error.to_string(),
    }
}

/// Returns whether a file is a picture, by its extension or, if it has none of a picture, by its first bytes.
fn is_picture(path: &Path) -> bool {
    match extension(path) {
        Some(extension) if EXTENSIONS.contains(&extension.as_str()) => true,
        // Cameras' raw files begin as TIFF files do.
        Some(_) => first_bytes(path).is_some_and(|format| format != ImageFormat::Tiff),
        None => first_bytes(path).is_some(),
    }
}

/// Returns the extension in lower case.
fn extension(path: &Path) -> Option<String> {
    path.extension().map(OsStr::to_string_lossy).map(|extension| extension.to_lowercase())
}

/// Returns the format that a file's first bytes show, if the file can be read and is a picture.
fn first_bytes(path: &Path) -> Option<ImageFormat> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    // Opening a pipe could wait for ever.
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    File::open(path).ok()?.take(HEAD_BYTES as u64).read_to_end(&mut head).ok()?;
    format(&head)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_and_hidden_names_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join("root").join(name);
        for name in ["a", "b/.bin", "b.png", ".thumbnails"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        for name in
            ["b/2.PNG", "b/1.jpg", "b/notes.txt", "b/.bin/1.jpg", ".thumbnails/1.jpg", ".1.jpg", "c.webp", "../x.gif"]
        {
            fs::write(path(name), "").unwrap();
        }
        symlink(path("b"), path("a/elsewhere")).unwrap();
        symlink(path("../x.gif"), path("a/linked.gif")).unwrap();
        symlink(path(""), path("b/back")).unwrap();
        symlink("nowhere", path("b/broken.png")).unwrap();

        let Walk { pictures, passed_over, unseen } = walk(&path(""), &[]).unwrap();
        let expected = ["a/elsewhere/1.jpg", "a/elsewhere/2.PNG", "a/linked.gif", "b/1.jpg", "b/2.PNG", "c.webp"];
        assert_eq!(pictures, expected.map(path));
        assert!(pictures.is_sorted());
        assert_eq!(passed_over.to_string(), "passed over: 2 .txt, 1 .thumbnails/", "one text by way of a link");
        let named: Vec<&Path> = unseen.iter().map(|(path, _)| path.as_path()).collect();
        assert_eq!(named, ["a/elsewhere/back", "a/elsewhere/broken.png", "b/back", "b/broken.png"].map(path));
        assert!(unseen[0].1.starts_with("a link back to ") && unseen[1].1.contains("No such file"), "{unseen:?}");

        assert_eq!(folders_in(&path("")).unwrap(), ["a", "b", "b.png"].map(path));
        assert_eq!(folders_in(&path("a")).unwrap(), ["a/elsewhere"].map(path));
        assert!(walk(&path("nowhere"), &[]).is_err() && folders_in(&path("c.webp")).is_err());
        assert_eq!(walk(&path(".thumbnails"), &[]).unwrap().pictures, [path(".thumbnails/1.jpg")]);
    }

    #[test]
    fn folders_of_programs_and_what_patterns_exclude_are_counted_and_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join("@eaDir").join(name);
        let closed =
            ["@eaDir", "a/@EADIR", "#recycle", "lost+found", "$RECYCLE.BIN", ".Trash-1000", ".git", "__MACOSX"];
        for name in ["a/drafts/b", "Drafts", ".thumbnails"].iter().chain(&closed) {
            fs::create_dir_all(path(name)).unwrap();
            fs::write(path(name).join("x.png"), "").unwrap();
        }
        for name in ["a/1.png", "a/2.GIF", "a/drafts.png", "a/b.gif", "lost+found.png", "a/drafts/y.txt"] {
            fs::write(path(name), "").unwrap();
        }
        symlink("nowhere", path("a/drafts/b/broken.png")).unwrap();
        symlink("nowhere", path("a/broken.gif")).unwrap();
        let patterns = ["drafts/", "a/*.gif"].map(|text| text.parse().unwrap());
        let Walk { pictures, passed_over, unseen } = walk(&path(""), &patterns).unwrap();
        assert_eq!(pictures, ["a/1.png", "a/drafts.png", "lost+found.png"].map(path));
        assert!(unseen.is_empty(), "{unseen:?}");
        let said = "passed over: 2 excluded by a/*.gif, 2 excluded by drafts/, 1 #recycle/, 1 $RECYCLE.BIN/, \
                    1 .Trash-1000/, 1 .git/, 1 .thumbnails/, 1 @EADIR/, 1 @eaDir/, 1 __MACOSX/, 1 lost+found/";
        assert_eq!(passed_over.to_string(), said);
        assert_eq!(folders_in(&path("")).unwrap(), ["Drafts", "a"].map(path), "no class is one of a program");
    }

    #[test]
    fn bytes_decide_where_extensions_say_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let [jpeg, tiff] = [&b"\xff\xd8\xff\xe0\0\x10JFIF"[..], b"II*\0\x10\0\0\0CR\x02\0"];
        let files: [(&str, &[u8]); 13] = [
            ("1.jfif", b""),
            ("2.PJPEG", b""),
            ("3.jpe", b""),
            ("4", jpeg),
            ("5.jpg_original", jpeg),
            ("6", tiff),
            ("7.cr2", tiff),
            ("8.CR2", tiff),
            ("9.heic", b"\0\0\0\x18ftypheic"),
            ("a.txt", b"BM is no proof of a bitmap with a header"),
            ("b.cr2", b""),
            ("c.txt", b""),
            ("d", b"text"),
        ];
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let Walk { pictures, passed_over, .. } = walk(folder.path(), &[]).unwrap();
        let expected = ["1.jfif", "2.PJPEG", "3.jpe", "4", "5.jpg_original", "6"];
        assert_eq!(pictures, expected.map(|name| folder.path().join(name)));
        let said =
            "passed over: 3 .cr2, 2 .txt, 1 without an extension, 1 .heic (HEIC and AVIF have to be converted first)";
        assert_eq!(passed_over.to_string(), said);
        let json = r#"{"":1,".cr2":3,".heic":1,".txt":2}"#;
        assert_eq!(serde_json::to_string(&passed_over).unwrap(), json);
    }
}
