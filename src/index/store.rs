//! Writing of an index: rows are appended, then committed.

use super::entry::Entry;
use super::{IndexError, IndexFileError, Manifest, ModelId};
use crate::files::read_exact_at;
use crate::pictures::Reading;
use half::f16;
use ndarray::ArrayView2;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const LOCK: &str = "index.lock";
/// Number of bytes that are copied at a time.
const COPY_BYTES: usize = 1 << 20;
/// The files are rewritten once more than one of this many rows is dropped.
const COMPACT_RATIO: usize = 4;

/// An index that is open for writing. No other process can write to it meanwhile.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    manifest: Manifest,
    files: Files,
    /// The lock is held as long as this file is open; the system releases it however the process ends.
    _lock: File,
}

#[derive(Debug)]
struct Files {
    matrix: File,
    entries: File,
}

impl Store {
    /// Opens the index in the folder or makes one there, with `root` as its folder of pictures.
    ///
    /// # Errors
    /// Returns an error if the index is broken, was made by another model, or is being written by another process.
    pub fn open(folder: &Path, root: &str, model: ModelId, embed_dim: usize) -> Result<Store, IndexError> {
        fs::create_dir_all(folder).map_err(IndexError::io(folder))?;
        let lock = lock(folder)?;
        let manifest = match Manifest::read(folder) {
            Err(IndexError::None { .. }) => {
                let manifest = Manifest::new(root.into(), model.clone(), embed_dim);
                Files::create(folder, &manifest)?;
                manifest.write(folder)?;
                manifest
            }
            manifest => manifest?,
        };
        manifest.check_model(folder, &model)?;
        Self::resume(folder, manifest, lock)
    }

    /// Opens the files and removes what a killed run has left.
    fn resume(folder: &Path, manifest: Manifest, lock: File) -> Result<Store, IndexError> {
        let files = Files::open(folder, &manifest)?;
        let store = Store { folder: folder.into(), manifest, files, _lock: lock };
        store.remove_remains()?;
        Ok(store)
    }

    /// Returns the committed state of the index.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Makes the index one of pictures that are turned upright or decoded at a part of their size, if that is asked for.
    ///
    /// # Errors
    /// Returns an error if it has pictures that were read in another way, or if the manifest cannot be written.
    pub fn set_reading(&mut self, asked: Reading) -> Result<(), IndexError> {
        self.manifest.check_reading(&self.folder, asked)?;
        let before = self.manifest.reading();
        let (exif, fast_decode) = (before.exif || asked.exif, before.fast_decode || asked.fast_decode);
        if before == (Reading { exif, fast_decode }) {
            return Ok(());
        }
        self.commit(Manifest { exif, fast_decode, ..self.manifest.clone() })
    }

    /// Reads the entries of all pictures that are not dropped, with their rows.
    ///
    /// # Errors
    /// Returns an error if the table cannot be read.
    pub fn entries(&self) -> Result<Vec<(usize, Entry)>, IndexError> {
        let path = self.manifest.entries(&self.folder);
        let mut table = vec![0; self.manifest.entry_bytes as usize];
        read_exact_at(&self.files.entries, &mut table, 0).map_err(IndexError::io(&path))?;
        let entries = Entry::parse_table(&table, self.manifest.rows).map_err(IndexError::broken(path))?;
        let is_live = |(row, _): &(usize, Entry)| self.manifest.dropped.binary_search(row).is_err();
        Ok(entries.into_iter().enumerate().filter(is_live).collect())
    }

    /// Adds n pictures with their embeddings. When this returns, they are in the index even if the process is killed.
    ///
    /// `embeddings` (N,e)
    ///
    /// # Errors
    /// Returns an error if a file cannot be written; the index is then unchanged.
    #[track_caller]
    pub fn append(&mut self, entries: &[Entry], embeddings: ArrayView2<f32>) -> Result<(), IndexError> {
        let (n, shape, e) = (entries.len(), embeddings.dim(), self.manifest.embed_dim);
        assert_eq!(shape, (n, e), "{n} entries, embeddings {shape:?}, an index of width {e}");
        let rows: Vec<u8> = embeddings.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
        let lines: Vec<u8> = entries.iter().flat_map(Entry::line).collect();
        let Store { folder, manifest, files, .. } = self;
        write_at(&mut files.matrix, manifest.matrix_bytes(), &rows).map_err(IndexError::io(manifest.matrix(folder)))?;
        write_at(&mut files.entries, manifest.entry_bytes, &lines).map_err(IndexError::io(manifest.entries(folder)))?;
        let entry_bytes = manifest.entry_bytes + lines.len() as u64;
        self.commit(Manifest { rows: self.manifest.rows + n, entry_bytes, ..self.manifest.clone() })
    }

    /// Drops the pictures of these rows. Rows that have been dropped before stay dropped.
    ///
    /// # Errors
    /// Returns an error if the manifest cannot be written; the index is then unchanged.
    pub fn drop_rows(&mut self, rows: impl IntoIterator<Item = usize>) -> Result<(), IndexError> {
        let mut dropped = self.manifest.dropped.clone();
        dropped.extend(rows);
        dropped.sort_unstable();
        dropped.dedup();
        if dropped == self.manifest.dropped {
            return Ok(());
        }
        self.commit(Manifest { dropped, ..self.manifest.clone() })
    }

    /// Rewrites the files without the dropped rows, if those have become many.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or written; the index is then unchanged.
    pub fn compact(&mut self) -> Result<(), IndexError> {
        if self.manifest.dropped.len() * COMPACT_RATIO <= self.manifest.rows {
            return Ok(());
        }
        let live = self.entries()?;
        let lines: Vec<u8> = live.iter().flat_map(|(_, entry)| entry.line()).collect();
        let manifest = Manifest {
            generation: self.manifest.generation + 1,
            rows: live.len(),
            entry_bytes: lines.len() as u64,
            dropped: vec![],
            ..self.manifest.clone()
        };
        let mut files = Files::create(&self.folder, &manifest)?;
        let (matrix, entries) = (manifest.matrix(&self.folder), manifest.entries(&self.folder));
        self.copy_rows(live.iter().map(|&(row, _)| row), &mut files.matrix).map_err(IndexError::io(matrix))?;
        write_at(&mut files.entries, 0, &lines).map_err(IndexError::io(entries))?;
        self.commit(manifest)?;
        self.files = files;
        self.remove_remains()
    }

    fn copy_rows(&self, rows: impl Iterator<Item = usize>, to: &mut File) -> io::Result<()> {
        let bytes = self.manifest.row_bytes();
        let mut row_of = vec![0; bytes];
        let mut out = BufWriter::with_capacity(COPY_BYTES, &mut *to);
        for row in rows {
            read_exact_at(&self.files.matrix, &mut row_of, (row * bytes) as u64)?;
            out.write_all(&row_of)?;
        }
        out.flush()?;
        drop(out);
        to.sync_data()
    }

    /// Writes the manifest, which is the one moment at which the index changes.
    fn commit(&mut self, manifest: Manifest) -> Result<(), IndexError> {
        manifest.write(&self.folder)?;
        self.manifest = manifest;
        Ok(())
    }

    /// Removes the files of other generations and the temporary files of processes that have ended.
    fn remove_remains(&self) -> Result<(), IndexError> {
        let ours = [self.manifest.matrix(&self.folder), self.manifest.entries(&self.folder)];
        for entry in fs::read_dir(&self.folder).map_err(IndexError::io(&self.folder))? {
            let path = entry.map_err(IndexError::io(&self.folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_data = |start: &str, end: &str| name.starts_with(start) && name.ends_with(end);
            let is_ours = is_data("embeddings-", ".f16") || is_data("entries-", ".jsonl");
            if is_data(".index.json.", ".part") || is_ours && !ours.contains(&path) {
                fs::remove_file(&path).map_err(IndexError::io(&path))?;
            }
        }
        Ok(())
    }
}

impl Files {
    /// Creates empty files in place of what a killed run may have left.
    fn create(folder: &Path, manifest: &Manifest) -> Result<Files, IndexError> {
        let create = |path: PathBuf| {
            let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
            options.map_err(IndexError::io(path))
        };
        Ok(Files { matrix: create(manifest.matrix(folder))?, entries: create(manifest.entries(folder))? })
    }

    /// Opens the files of an index and cuts them to their valid length.
    fn open(folder: &Path, manifest: &Manifest) -> Result<Files, IndexError> {
        let open = |path: PathBuf, promised: u64| {
            let file = OpenOptions::new().read(true).write(true).open(&path).map_err(IndexError::io(&path))?;
            check_length(&path, &file, promised)?;
            file.set_len(promised).map_err(IndexError::io(path))?;
            Ok(file)
        };
        Ok(Files {
            matrix: open(manifest.matrix(folder), manifest.matrix_bytes())?,
            entries: open(manifest.entries(folder), manifest.entry_bytes)?,
        })
    }
}

/// Checks that a file is not shorter than its valid part.
pub(super) fn check_length(path: &Path, file: &File, promised: u64) -> Result<(), IndexError> {
    let length = file.metadata().map_err(IndexError::io(path))?.len();
    if length < promised {
        return Err(IndexError::broken(path)(IndexFileError::Length { length, promised }));
    }
    Ok(())
}

/// Writes bytes at a position of a file and syncs them to the disk.
fn write_at(file: &mut File, start: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(start))?;
    file.write_all(bytes)?;
    file.sync_data()
}

/// Takes the lock of an index, which only one process can hold.
fn lock(folder: &Path) -> Result<File, IndexError> {
    let path = folder.join(LOCK);
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(IndexError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(IndexError::Busy { path: folder.into() }),
        Err(TryLockError::Error(source)) => Err(IndexError::Io { path, source }),
    }
}
