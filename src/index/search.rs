//! Exact search for the nearest rows.

use super::entry::{at_line, lines};
use super::store::check_length;
use super::{Entry, Filter, IndexError, IndexFileError, Manifest};
use crate::best::{Best, Scored};
use crate::files::read_exact_at;
use kernels::half;
use rayon::prelude::*;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Number of bytes of the matrix that a thread reads at a time. They stay in the second-level cache until they are
/// multiplied.
const BLOCK: usize = 1 << 18;
/// Largest accepted cosine: that of two unit vectors, with room for the rounding of one of them to f16.
const MAX_COSINE: f32 = 1.01;

/// A picture that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The cosine of its embedding and the query's.
    pub score: f32,
    pub entry: Entry,
}

/// The pictures of an index that a search is among.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The rows of the other pictures, and those that are dropped, ascending.
    excluded: Vec<usize>,
    count: usize,
}

impl Selection {
    /// Returns the number of pictures.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns which of neighbouring rows are excluded.
    fn excluded_of(&self, rows: &Range<usize>) -> &[usize] {
        let [start, end] = [rows.start, rows.end].map(|end| self.excluded.partition_point(|&row| row < end));
        &self.excluded[start..end]
    }
}

/// An index that is open for searching.
#[derive(Debug)]
pub struct Index {
    folder: PathBuf,
    manifest: Manifest,
    matrix: File,
    entries: File,
}

impl Index {
    /// Opens the index in this folder, or the one inside this folder of pictures.
    ///
    /// # Errors
    /// Returns an error if there is no index or its files do not match its manifest.
    pub fn open(path: &Path) -> Result<Index, IndexError> {
        let inside = path.join(super::FOLDER);
        let folder = if inside.is_dir() { inside } else { path.into() };
        let mut manifest = Manifest::read(&folder)?;
        loop {
            let opened = Self::open_files(&folder, &manifest);
            // Another process may have rewritten the files meanwhile.
            let now = Manifest::read(&folder)?;
            if opened.is_ok() || now.generation == manifest.generation {
                let (matrix, entries) = opened?;
                return Ok(Index { folder, manifest, matrix, entries });
            }
            manifest = now;
        }
    }

    fn open_files(folder: &Path, manifest: &Manifest) -> Result<(File, File), IndexError> {
        let open = |path: PathBuf, counted| {
            let file = File::open(&path).map_err(IndexError::io(&path))?;
            check_length(&path, &file, counted)?;
            Ok(file)
        };
        let matrix = open(manifest.matrix(folder), manifest.matrix_bytes())?;
        Ok((matrix, open(manifest.entries(folder), manifest.entry_bytes)?))
    }

    /// Returns the manifest that the index was opened with.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the folder of the index.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the path of a picture's file.
    pub fn file(&self, entry: &Entry) -> PathBuf {
        self.manifest.root(&self.folder).join(&entry.path)
    }

    /// Returns all pictures that are not dropped.
    pub fn all(&self) -> Selection {
        Selection { excluded: self.manifest.dropped.clone(), count: self.manifest.live() }
    }

    /// Returns the pictures that a filter admits.
    ///
    /// # Errors
    /// Returns an error if the table of entries cannot be read or has a line that is none.
    pub fn select(&self, filter: &Filter) -> Result<Selection, IndexError> {
        if filter.is_empty() {
            return Ok(self.all());
        }
        let (path, dropped) = (self.manifest.entries(&self.folder), &self.manifest.dropped);
        let table = self.table()?;
        let lines = lines(&table, self.manifest.rows).map_err(IndexError::broken(&path))?;
        let is_excluded = |(row, line)| match Entry::parse(line) {
            Ok(entry) if filter.admits(&entry) && dropped.binary_search(&row).is_err() => Ok(None),
            Ok(_) => Ok(Some(row)),
            Err(error) => Err(at_line(row)(error)),
        };
        let excluded: Result<Vec<Option<usize>>, _> = lines.into_par_iter().enumerate().map(is_excluded).collect();
        let excluded: Vec<usize> = excluded.map_err(IndexError::broken(path))?.into_iter().flatten().collect();
        let count = self.manifest.rows - excluded.len();
        Ok(Selection { excluded, count })
    }

    /// Returns the k pictures of a selection whose embeddings have the largest cosines with the query, or all if there
    /// are fewer than k. The largest cosine comes first, and of equal ones the picture that was indexed first.
    ///
    /// `query` (e), of unit length
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or holds anything else than unit vectors and entries.
    ///
    /// # Panics
    /// Panics if the query does not have e numbers.
    #[track_caller]
    pub fn search(&self, among: &Selection, query: &[f32], k: usize) -> Result<Vec<Hit>, IndexError> {
        let (len, e) = (query.len(), self.manifest.embed_dim);
        assert_eq!(len, e, "a query of {len}, an index of width {e}");
        let best = self.nearest(among, query, k.min(among.count))?;
        let entries = self.entries(&best)?;
        Ok(best.iter().zip(entries).map(|(near, entry)| Hit { score: near.score, entry }).collect())
    }

    /// Scans blocks of rows on all threads. The order of rows is total, so the first k do not depend on how the blocks
    /// are shared among threads.
    fn nearest(&self, among: &Selection, query: &[f32], k: usize) -> Result<Vec<Scored>, IndexError> {
        let rows = (BLOCK / self.manifest.row_bytes()).max(1);
        let start = || Worker { best: Best::new(k), bytes: vec![], scores: vec![] };
        let blocks = (0..self.manifest.rows.div_ceil(rows)).into_par_iter();
        let best = blocks
            .try_fold(start, |mut worker, block| {
                let from = block * rows;
                self.scan(from..self.manifest.rows.min(from + rows), among, query, &mut worker)?;
                Ok(worker)
            })
            .map(|worker| worker.map(|worker: Worker| worker.best))
            .try_reduce(|| Best::new(k), |a, b| Ok(a.join(b)))?;
        Ok(best.sorted())
    }

    /// Offers the selected rows of one block to the worker's best.
    fn scan(
        &self,
        rows: Range<usize>,
        among: &Selection,
        query: &[f32],
        worker: &mut Worker,
    ) -> Result<(), IndexError> {
        let excluded = among.excluded_of(&rows);
        if excluded.len() == rows.len() {
            return Ok(());
        }
        let Worker { best, bytes, scores } = worker;
        let width = self.manifest.row_bytes();
        let path = || self.manifest.matrix(&self.folder);
        bytes.resize(rows.len() * width, 0);
        scores.resize(rows.len(), 0.0);
        read_exact_at(&self.matrix, bytes, (rows.start * width) as u64).map_err(|e| IndexError::io(path())(e))?;
        half::products(bytes, query, scores);
        let mut excluded = excluded.iter().peekable();
        for (row, &score) in rows.zip(&*scores) {
            if excluded.next_if_eq(&&row).is_some() {
                continue;
            }
            // NaN is outside of the range as well.
            if !(-MAX_COSINE..=MAX_COSINE).contains(&score) {
                return Err(IndexError::broken(path())(IndexFileError::NotAUnit { row, product: score }));
            }
            best.offer(Scored { score, place: row });
        }
        Ok(())
    }

    /// Returns the entries of these rows, in this order. The whole table is read, but only the wanted lines are parsed.
    fn entries(&self, rows: &[Scored]) -> Result<Vec<Entry>, IndexError> {
        let (path, table) = (self.manifest.entries(&self.folder), self.table()?);
        let lines = lines(&table, self.manifest.rows).map_err(IndexError::broken(&path))?;
        let entry = |near: &Scored| Entry::parse(lines[near.place]).map_err(at_line(near.place));
        rows.iter().map(entry).collect::<Result<_, _>>().map_err(IndexError::broken(path))
    }

    /// Reads the whole table of entries.
    fn table(&self) -> Result<Vec<u8>, IndexError> {
        let mut table = vec![0; self.manifest.entry_bytes as usize];
        let read = read_exact_at(&self.entries, &mut table, 0);
        read.map_err(IndexError::io(self.manifest.entries(&self.folder))).map(|()| table)
    }
}

/// The state that a thread keeps from block to block.
struct Worker {
    best: Best,
    bytes: Vec<u8>,
    scores: Vec<f32>,
}
