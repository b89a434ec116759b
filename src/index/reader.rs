//! Reading an index: its files, and which of its pictures a filter admits.

use super::data::Data;
use super::entry::{at_line, lines};
use super::store::check_length;
use super::{Entry, Filter, IndexError, IndexFileError, Manifest};
use crate::digest::Digest;
use crate::files::read_exact_at;
use half::f16;
use half::slice::HalfFloatSliceExt;
use ndarray::Array2;
use rayon::prelude::*;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The pictures of an index that a search is among.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The rows of the other pictures, and those that are dropped, ascending.
    excluded: Vec<usize>,
    pub(super) count: usize,
}

impl Selection {
    /// Returns the number of pictures.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns which of neighbouring rows are excluded.
    pub(super) fn excluded_of(&self, rows: &Range<usize>) -> &[usize] {
        let [start, end] = [rows.start, rows.end].map(|end| self.excluded.partition_point(|&row| row < end));
        &self.excluded[start..end]
    }
}

/// An index that is open for searching.
#[derive(Debug)]
pub struct Index {
    pub(super) folder: PathBuf,
    pub(super) manifest: Manifest,
    /// The files, in the order of [`Data::ALL`].
    files: Vec<File>,
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
                return Ok(Index { files: opened?, folder, manifest });
            }
            manifest = now;
        }
    }

    fn open_files(folder: &Path, manifest: &Manifest) -> Result<Vec<File>, IndexError> {
        let open = |&data: &Data| {
            let path = manifest.path(folder, data);
            let file = File::open(&path).map_err(IndexError::io(&path))?;
            check_length(&path, &file, manifest.bytes(data))?;
            Ok(file)
        };
        manifest.data().iter().map(open).collect()
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
        self.root().join(&entry.path)
    }

    /// Returns the folder of pictures.
    pub fn root(&self) -> PathBuf {
        self.manifest.root(&self.folder)
    }

    /// Returns the entry of a row, or `None` if there is no such row or its picture was dropped.
    ///
    /// # Errors
    /// Returns an error if the table of entries cannot be read or has a line that is none.
    pub fn entry(&self, row: usize) -> Result<Option<Entry>, IndexError> {
        if row >= self.manifest.rows || self.manifest.dropped.binary_search(&row).is_ok() {
            return Ok(None);
        }
        Ok(self.entries_at(std::iter::once(row))?.pop())
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
        let (path, dropped) = (self.path(Data::Entries), &self.manifest.dropped);
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

    /// Returns the entries of a selection with their rows, in order.
    ///
    /// # Errors
    /// Returns an error if the table of entries cannot be read or has a line that is none.
    pub fn entries(&self, among: &Selection) -> Result<Vec<(usize, Entry)>, IndexError> {
        let (path, table) = (self.path(Data::Entries), self.table()?);
        let lines = lines(&table, self.manifest.rows).map_err(IndexError::broken(&path))?;
        let excluded = &among.excluded;
        let selected = lines.into_par_iter().enumerate().filter(|(row, _)| excluded.binary_search(row).is_err());
        let entry = |(row, line)| Entry::parse(line).map(|entry| (row, entry)).map_err(at_line(row));
        selected.map(entry).collect::<Result<_, _>>().map_err(IndexError::broken(path))
    }

    /// Returns the entries of these rows, in this order. Without the places of lines the whole table is read.
    pub(super) fn entries_at(&self, rows: impl Iterator<Item = usize>) -> Result<Vec<Entry>, IndexError> {
        let broken = || IndexError::broken(self.path(Data::Entries));
        if self.manifest.has_codes() {
            let entry = |row| Entry::parse(&self.line(row)?).map_err(at_line(row)).map_err(broken());
            return rows.map(entry).collect();
        }
        let table = self.table()?;
        let lines = lines(&table, self.manifest.rows).map_err(broken())?;
        let entry = |row: usize| Entry::parse(lines[row]).map_err(at_line(row));
        rows.map(entry).collect::<Result<_, _>>().map_err(broken())
    }

    /// Reads the line of a row, without its line feed.
    fn line(&self, row: usize) -> Result<Vec<u8>, IndexError> {
        let is_last = row + 1 == self.manifest.rows;
        let mut places = [[0; size_of::<u64>()]; 2];
        let known = if is_last { &mut places[..1] } else { &mut places[..] };
        self.read(Data::Lines, known.as_flattened_mut(), (row * size_of::<u64>()) as u64)?;
        let [start, end] = places.map(u64::from_le_bytes);
        let end = if is_last { self.manifest.entry_bytes } else { end };
        let misplaced = || IndexError::broken(self.path(Data::Lines))(IndexFileError::Place { row, start, end });
        if start >= end || end > self.manifest.entry_bytes {
            return Err(misplaced());
        }
        let mut line = vec![0; (end - start) as usize];
        self.read(Data::Entries, &mut line, start)?;
        match line.pop() {
            Some(b'\n') if line.contains(&b'\n') => Err(misplaced()),
            Some(b'\n') => Ok(line),
            _ => Err(IndexError::broken(self.path(Data::Entries))(IndexFileError::NoEnd)),
        }
    }

    /// Reads the whole table of entries.
    fn table(&self) -> Result<Vec<u8>, IndexError> {
        let mut table = vec![0; self.manifest.entry_bytes as usize];
        self.read(Data::Entries, &mut table, 0).map(|()| table)
    }

    /// Fills `out` from a place of a file.
    pub(super) fn read(&self, data: Data, out: &mut [u8], start: u64) -> Result<(), IndexError> {
        read_exact_at(&self.files[data as usize], out, start).map_err(|error| IndexError::io(self.path(data))(error))
    }

    /// Returns the path of a file.
    pub(super) fn path(&self, data: Data) -> PathBuf {
        self.manifest.path(&self.folder, data)
    }

    /// Returns the embeddings of these rows, in this order.
    ///
    /// result (N,e)
    ///
    /// # Errors
    /// Returns an error if the matrix cannot be read.
    pub fn embeddings(&self, rows: &[usize]) -> Result<Array2<f32>, IndexError> {
        Ok(self.widened(&self.rows(rows)?))
    }

    /// Returns stored rows as f32.
    ///
    /// result (N,e)
    pub(super) fn widened(&self, bytes: &[u8]) -> Array2<f32> {
        let halves: Vec<f16> = bytes.as_chunks::<2>().0.iter().map(|&half| f16::from_le_bytes(half)).collect();
        let shape = (bytes.len() / self.manifest.row_bytes(Data::Matrix), self.manifest.embed_dim);
        Array2::from_shape_vec(shape, halves.to_f32_vec()).expect("rows of e numbers")
    }

    /// Returns the digest of each row's file, where it is known.
    ///
    /// # Errors
    /// Returns an error if they cannot be read.
    pub fn digests(&self) -> Result<Vec<Option<Digest>>, IndexError> {
        if !self.manifest.has_digests() {
            return Ok(vec![None; self.manifest.rows]);
        }
        let mut bytes = vec![[0; Digest::BYTES]; self.manifest.rows];
        self.read(Data::Digests, bytes.as_flattened_mut(), 0)?;
        Ok(bytes.into_iter().map(Digest::from_bytes).collect())
    }

    /// Reads these rows as they are stored, neighbours in one go.
    pub(super) fn rows(&self, rows: &[usize]) -> Result<Vec<u8>, IndexError> {
        let width = self.manifest.row_bytes(Data::Matrix);
        let mut bytes = vec![0; rows.len() * width];
        let mut rest = &mut bytes[..];
        for run in rows.chunk_by(|a, b| a + 1 == *b) {
            let (out, behind) = rest.split_at_mut(run.len() * width);
            self.read(Data::Matrix, out, (run[0] * width) as u64)?;
            rest = behind;
        }
        Ok(bytes)
    }
}
