//! The nearest of all rows, exactly.

use super::entry::{at_line, lines};
use super::store::check_length;
use super::{Entry, IndexError, Manifest};
use crate::files::read_exact_at;
use kernels::half;
use rayon::prelude::*;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Bytes of the matrix in a thread's hands: they stay in the second-level cache between being read and multiplied.
const BLOCK: usize = 1 << 18;
/// The largest cosine of unit vectors of which one is rounded to f16, with room.
const LARGEST: f32 = 1.01;

/// A picture that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Cosine of its embedding and the query's.
    pub score: f32,
    pub entry: Entry,
}

/// An index to search.
#[derive(Debug)]
pub struct Index {
    folder: PathBuf,
    manifest: Manifest,
    matrix: File,
    entries: File,
}

impl Index {
    /// The index in this folder, or in the folder of pictures with this name.
    ///
    /// # Errors
    /// If there is none, or its files are not what it says.
    pub fn open(path: &Path) -> Result<Index, IndexError> {
        let inside = path.join(super::FOLDER);
        let folder = if inside.is_dir() { inside } else { path.into() };
        let mut manifest = Manifest::read(&folder)?;
        loop {
            let opened = Self::open_files(&folder, &manifest);
            // Somebody else may have written the files anew since.
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

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A picture's file.
    pub fn file(&self, entry: &Entry) -> PathBuf {
        self.manifest.root(&self.folder).join(&entry.path)
    }

    /// The k pictures whose embeddings have the largest cosines with the query (e), of unit length; the largest first,
    /// and of equal ones what was indexed first. All of them if there are no more than k.
    ///
    /// # Errors
    /// If a file cannot be read, or holds anything else than unit vectors and entries.
    ///
    /// # Panics
    /// If the query is not e numbers.
    #[track_caller]
    pub fn search(&self, query: &[f32], k: usize) -> Result<Vec<Hit>, IndexError> {
        let (len, e) = (query.len(), self.manifest.embed_dim);
        assert_eq!(len, e, "a query of {len}, an index of width {e}");
        let best = self.nearest(query, k.min(self.manifest.live()))?;
        let entries = self.entries(&best)?;
        Ok(best.iter().zip(entries).map(|(near, entry)| Hit { score: near.score, entry }).collect())
    }

    /// Blocks of rows on all threads. How they are shared out does not show: the order of rows is total, so the first k
    /// are the same however the parts were joined.
    fn nearest(&self, query: &[f32], k: usize) -> Result<Vec<Near>, IndexError> {
        let rows = (BLOCK / self.manifest.row_bytes()).max(1);
        let start = || Worker { best: Best::new(k), bytes: vec![], scores: vec![] };
        let blocks = (0..self.manifest.rows.div_ceil(rows)).into_par_iter();
        let best = blocks
            .try_fold(start, |mut worker, block| {
                let from = block * rows;
                self.scan(from..self.manifest.rows.min(from + rows), query, &mut worker)?;
                Ok(worker)
            })
            .map(|worker| worker.map(|worker: Worker| worker.best))
            .try_reduce(|| Best::new(k), |a, b| Ok(a.join(b)))?;
        Ok(best.sorted())
    }

    fn scan(&self, rows: std::ops::Range<usize>, query: &[f32], worker: &mut Worker) -> Result<(), IndexError> {
        let Worker { best, bytes, scores } = worker;
        let width = self.manifest.row_bytes();
        let path = || self.manifest.matrix(&self.folder);
        bytes.resize(rows.len() * width, 0);
        scores.resize(rows.len(), 0.0);
        read_exact_at(&self.matrix, bytes, (rows.start * width) as u64).map_err(|e| IndexError::io(path())(e))?;
        half::products(bytes, query, scores);
        let dropped = &self.manifest.dropped;
        let mut dropped = dropped[dropped.partition_point(|&row| row < rows.start)..].iter().peekable();
        for (row, &score) in rows.zip(&*scores) {
            if dropped.next_if_eq(&&row).is_some() {
                continue;
            }
            // Also if it is no number.
            if !(-LARGEST..=LARGEST).contains(&score) {
                let reason = format!("row {row} is not a vector of unit length: its product with one is {score}");
                return Err(IndexError::broken(path(), reason));
            }
            best.offer(Near { score, row });
        }
        Ok(())
    }

    /// Of these rows, in this order. The table is read whole and only the wanted lines are understood.
    fn entries(&self, rows: &[Near]) -> Result<Vec<Entry>, IndexError> {
        let path = self.manifest.entries(&self.folder);
        let mut table = vec![0; self.manifest.entry_bytes as usize];
        read_exact_at(&self.entries, &mut table, 0).map_err(IndexError::io(&path))?;
        let broken = |reason| IndexError::broken(&path, reason);
        let lines = lines(&table).map_err(broken)?;
        if lines.len() != self.manifest.rows {
            return Err(broken(format!("{} lines, {} rows", lines.len(), self.manifest.rows)));
        }
        let entry = |near: &Near| Entry::parse(lines[near.row]).map_err(|reason| broken(at_line(near.row, &reason)));
        rows.iter().map(entry).collect()
    }
}

/// What a thread uses from block to block.
struct Worker {
    best: Best,
    bytes: Vec<u8>,
    scores: Vec<f32>,
}

/// A row and its score. The larger is the nearer: a higher score, or an earlier row.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Near {
    score: f32,
    row: usize,
}

impl Eq for Near {}

impl Ord for Near {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.row.cmp(&self.row))
    }
}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The k nearest so far, the farthest of them on top.
struct Best {
    k: usize,
    heap: BinaryHeap<Reverse<Near>>,
}

impl Best {
    fn new(k: usize) -> Self {
        Best { k, heap: BinaryHeap::new() }
    }

    fn offer(&mut self, near: Near) {
        if self.heap.len() < self.k {
            self.heap.push(Reverse(near));
        } else if let Some(mut farthest) = self.heap.peek_mut()
            && farthest.0 < near
        {
            farthest.0 = near;
        }
    }

    fn join(mut self, other: Self) -> Self {
        other.heap.into_iter().for_each(|near| self.offer(near.0));
        self
    }

    fn sorted(self) -> Vec<Near> {
        self.heap.into_sorted_vec().into_iter().map(|near| near.0).collect()
    }
}
