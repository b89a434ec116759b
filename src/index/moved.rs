//! Pictures whose embeddings are in the index already, under another name.
//!
//! A picture that was moved or renamed has the bytes that it had, so it keeps its embedding: its row is written once more
//! with the new path, and the old row is dropped in the same step. A copy takes the row of its twin in the same way, and a
//! file of which only the time of change is new keeps its own.
//!
//! **What is read.** Files are told apart by a digest of their bytes, but only a file of the same size can be the same. So
//! of all new and changed files, those are read here whose size is that of a picture in the index. A file without a twin
//! among these is read again to be embedded; all other new files are read once, and their digests are computed from the
//! bytes that are decoded ([`Hashed`](crate::embed::source::Hashed)). The digest of an unchanged picture is not computed,
//! unless the index comes from a version without digests: then each is read once.

use super::{Entry, Found, IndexError, Scan, Store};
use crate::digest::{Digest, digest_of};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::Path;

/// Number of files that are read between two calls of the progress hook.
const AT_A_TIME: usize = 64;
/// Number of files whose digests are written at a time: an interrupted run repeats no more than this.
const COMMIT: usize = 4096;

/// The numbers of pictures that took a row of the index, by what had become of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// The picture was under another path, and is no longer there.
    pub moved: usize,
    /// It is a copy, under a path that was not in the index.
    pub copied: usize,
    /// It is a copy that has taken the place of another picture.
    pub replaced: usize,
}

/// The pictures of the index, by what they are found by.
struct Known<'a> {
    scan: &'a Scan,
    /// The picture of each row, where it is not dropped.
    entries: HashMap<usize, &'a Entry>,
    rows: HashMap<&'a str, usize>,
    digests: &'a [Option<Digest>],
    contents: HashMap<(u64, Digest), usize>,
    sizes: HashSet<u64>,
    found: HashMap<&'a str, &'a Found>,
}

/// Gives the rows of the index to pictures that were moved or copied, and digests to those without.
pub(super) fn keep_rows(store: &mut Store, scan: &Scan, progress: &impl Fn(usize, usize)) -> Result<Kept, IndexError> {
    let (entries, digests) = (store.entries()?, store.digests()?);
    let known = Known::new(scan, &entries, &digests);
    let is_asked = |found: &&Found| match known.rows.get(found.entry.path.as_str()) {
        Some(&row) if *known.entries[&row] == found.entry => digests[row].is_none(),
        _ => known.sizes.contains(&found.entry.size),
    };
    let asked: Vec<&Found> = scan.found.iter().filter(is_asked).collect();
    let (mut kept, mut left, mut done) = (Kept::default(), HashSet::new(), 0);
    for part in asked.chunks(COMMIT) {
        let mut read = Vec::with_capacity(part.len());
        for some in part.chunks(AT_A_TIME) {
            progress(done, asked.len());
            read.par_extend(some.par_iter().map(|found| digest_at(&found.file)));
            done += some.len();
        }
        known.keep(store, part, &read, &mut left, &mut kept)?;
    }
    Ok(kept)
}

/// Returns the digest of a file, if it can be read. Opening a pipe could wait for ever.
fn digest_at(path: &Path) -> Option<Digest> {
    let is_file = path.metadata().is_ok_and(|metadata| metadata.is_file());
    if is_file { File::open(path).and_then(digest_of).ok() } else { None }
}

impl<'a> Known<'a> {
    fn new(scan: &'a Scan, entries: &'a [(usize, Entry)], digests: &'a [Option<Digest>]) -> Self {
        let content = |(row, entry): &(usize, Entry)| Some(((entry.size, digests[*row]?), *row));
        let contents: HashMap<_, _> = entries.iter().filter_map(content).collect();
        let mut known = Known {
            scan,
            entries: entries.iter().map(|(row, entry)| (*row, entry)).collect(),
            rows: entries.iter().map(|(row, entry)| (entry.path.as_str(), *row)).collect(),
            digests,
            sizes: contents.keys().map(|(size, _)| *size).collect(),
            contents,
            found: scan.found.iter().map(|found| (found.entry.path.as_str(), found)).collect(),
        };
        // Of copies, the one that is gone is the one that has moved.
        let gone: Vec<_> = entries.iter().filter(|(row, _)| known.is_gone(*row)).filter_map(content).collect();
        known.contents.extend(gone);
        known
    }

    /// Writes what the digests of some files say. `left` are the rows whose pictures have turned up elsewhere.
    fn keep(
        &self,
        store: &mut Store,
        files: &[&Found],
        digests: &[Option<Digest>],
        left: &mut HashSet<usize>,
        kept: &mut Kept,
    ) -> Result<(), IndexError> {
        let (mut known, mut rows, mut entries, mut drop) = (vec![], vec![], vec![], vec![]);
        let mut noted = vec![];
        for (found, digest) in files.iter().zip(digests).filter_map(|(found, digest)| Some((found, (*digest)?))) {
            let own = self.rows.get(found.entry.path.as_str()).copied();
            if let Some(row) = own.filter(|row| *self.entries[row] == found.entry) {
                known.push((row, digest));
                continue;
            }
            let is_its_own = |row: &usize| self.digests[*row] == Some(digest);
            let twin = own.filter(is_its_own).or_else(|| self.contents.get(&(found.entry.size, digest)).copied());
            let Some(twin) = twin else { continue };
            rows.push(twin);
            entries.push(found.entry.clone());
            noted.push(Some(digest));
            drop.extend(own);
            let count = match own {
                Some(own) if own == twin => continue,
                _ if self.has_left(twin) && left.insert(twin) => &mut kept.moved,
                Some(_) => &mut kept.replaced,
                None => &mut kept.copied,
            };
            *count += 1;
            drop.extend(Some(twin).filter(|&twin| self.is_gone(twin)));
        }
        if !known.is_empty() {
            store.set_digests(&known)?;
        }
        if rows.is_empty() { Ok(()) } else { store.append_again(&rows, &entries, &noted, drop) }
    }

    /// Returns whether a row's picture is no longer where it was.
    fn has_left(&self, row: usize) -> bool {
        let entry = self.entries[&row];
        self.is_gone(row) || self.found.get(entry.path.as_str()).is_some_and(|found| found.entry != *entry)
    }

    /// Returns whether there is no picture any more where a row's was.
    fn is_gone(&self, row: usize) -> bool {
        let path = self.entries[&row].path.as_str();
        !self.found.contains_key(path) && !self.scan.is_unknown(path)
    }
}
