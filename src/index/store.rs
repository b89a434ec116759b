//! Writing of an index: rows are appended, then committed.

use super::data::{DERIVED, Data};
use super::entry::{Entry, lines};
use super::{IndexError, IndexFileError, Manifest, ModelId};
use crate::digest::Digest;
use crate::files::read_exact_at;
use crate::pictures::{PathPattern, Reading};
use half::f16;
use kernels::codes;
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
    /// The files, in the order of [`Data::ALL`].
    files: Vec<File>,
    /// The lock is held as long as this file is open; the system releases it however the process ends.
    _lock: File,
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
                create(folder, &manifest, manifest.data())?;
                manifest.write(folder)?;
                manifest
            }
            manifest => manifest?,
        };
        manifest.check_model(folder, &model)?;
        Self::resume(folder, manifest, lock)
    }

    /// Opens the files, removes what a killed run has left, and makes the codes and the places of lines of an index that
    /// has none, or not those of its other files. Without digests, it gets an empty place for each.
    fn resume(folder: &Path, manifest: Manifest, lock: File) -> Result<Store, IndexError> {
        let is_whole = manifest.has_codes() && open(folder, &manifest, &DERIVED).is_ok();
        let has_digests = manifest.has_digests() && open(folder, &manifest, &[Data::Digests]).is_ok();
        let manifest = match (is_whole, has_digests) {
            (true, true) => manifest,
            (true, false) => manifest.with_codes(),
            (false, _) => manifest.without_codes(),
        };
        let files = open(folder, &manifest, manifest.data())?;
        let mut store = Store { folder: folder.into(), manifest, files, _lock: lock };
        if is_whole && !store.knows_its_lines()? {
            store.manifest = store.manifest.without_codes();
            store.files.truncate(store.manifest.data().len());
        }
        store.remove_remains()?;
        if !store.manifest.has_codes() {
            store.add_codes()?;
        }
        if !store.manifest.has_digests() {
            store.add_digests()?;
        }
        Ok(store)
    }

    /// Returns whether the places of lines are those of the table.
    fn knows_its_lines(&self) -> Result<bool, IndexError> {
        let path = self.manifest.path(&self.folder, Data::Lines);
        let mut known = vec![0; self.manifest.bytes(Data::Lines) as usize];
        read_exact_at(&self.files[Data::Lines as usize], &mut known, 0).map_err(IndexError::io(path))?;
        Ok(known == self.places()?)
    }

    /// Returns where each line of the table begins.
    fn places(&self) -> Result<Vec<u8>, IndexError> {
        let (path, table) = (self.manifest.path(&self.folder, Data::Entries), self.table()?);
        let lines = lines(&table, self.manifest.rows).map_err(IndexError::broken(path))?;
        Ok(places(0, lines.iter().map(|line| line.len() + 1)))
    }

    /// Makes the codes and the places of lines from the other files.
    fn add_codes(&mut self) -> Result<(), IndexError> {
        let manifest = self.manifest.with_codes();
        let mut added = create(&self.folder, &manifest, &DERIVED)?;
        let (width, [from, to]) =
            (manifest.embed_dim, [Data::Matrix, Data::Codes].map(|data| manifest.row_bytes(data)));
        let rows = (COPY_BYTES / from).max(1);
        let (mut matrix, mut coded) = (vec![0; rows * from], vec![0; rows * to]);
        let io = |data| IndexError::io(manifest.path(&self.folder, data));
        for start in (0..manifest.rows).step_by(rows) {
            let n = rows.min(manifest.rows - start);
            let (matrix, coded) = (&mut matrix[..n * from], &mut coded[..n * to]);
            read_exact_at(&self.files[0], matrix, (start * from) as u64).map_err(io(Data::Matrix))?;
            codes::encode(matrix, width, coded);
            added[0].write_all(coded).map_err(io(Data::Codes))?;
        }
        added[1].write_all(&self.places()?).map_err(io(Data::Lines))?;
        for (file, data) in added.iter().zip(DERIVED) {
            file.sync_data().map_err(io(data))?;
        }
        self.commit(manifest)?;
        self.files.extend(added);
        Ok(())
    }

    /// Makes a place for the digest of each file, with zeros in it.
    fn add_digests(&mut self) -> Result<(), IndexError> {
        let manifest = self.manifest.with_digests();
        let added = create(&self.folder, &manifest, &[Data::Digests])?;
        let made = added[0].set_len(manifest.bytes(Data::Digests)).and_then(|()| added[0].sync_data());
        made.map_err(IndexError::io(manifest.path(&self.folder, Data::Digests)))?;
        self.commit(manifest)?;
        self.files.extend(added);
        Ok(())
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

    /// Remembers what updates leave out.
    ///
    /// # Errors
    /// Returns an error if the manifest cannot be written.
    pub fn set_exclude(&mut self, exclude: Vec<PathPattern>) -> Result<(), IndexError> {
        if exclude == self.manifest.exclude {
            return Ok(());
        }
        self.commit(Manifest { exclude, ..self.manifest.clone() })
    }

    /// Reads the entries of all pictures that are not dropped, with their rows.
    ///
    /// # Errors
    /// Returns an error if the table cannot be read.
    pub fn entries(&self) -> Result<Vec<(usize, Entry)>, IndexError> {
        let path = self.manifest.path(&self.folder, Data::Entries);
        let entries = Entry::parse_table(&self.table()?, self.manifest.rows).map_err(IndexError::broken(path))?;
        let is_live = |(row, _): &(usize, Entry)| self.manifest.dropped.binary_search(row).is_err();
        Ok(entries.into_iter().enumerate().filter(is_live).collect())
    }

    /// Reads the whole table of entries.
    fn table(&self) -> Result<Vec<u8>, IndexError> {
        let mut table = vec![0; self.manifest.entry_bytes as usize];
        let read = read_exact_at(&self.files[Data::Entries as usize], &mut table, 0);
        read.map_err(IndexError::io(self.manifest.path(&self.folder, Data::Entries))).map(|()| table)
    }

    /// Returns the digest of each row's file, where it is known.
    ///
    /// # Errors
    /// Returns an error if they cannot be read.
    pub fn digests(&self) -> Result<Vec<Option<Digest>>, IndexError> {
        let mut bytes = vec![[0; Digest::BYTES]; self.manifest.rows];
        let read = read_exact_at(&self.files[Data::Digests as usize], bytes.as_flattened_mut(), 0);
        read.map_err(IndexError::io(self.manifest.path(&self.folder, Data::Digests)))?;
        Ok(bytes.into_iter().map(Digest::from_bytes).collect())
    }

    /// Writes the digests of the files of some rows to their places.
    ///
    /// # Errors
    /// Returns an error if they cannot be written.
    pub fn set_digests(&mut self, digests: &[(usize, Digest)]) -> Result<(), IndexError> {
        let path = self.manifest.path(&self.folder, Data::Digests);
        let file = &mut self.files[Data::Digests as usize];
        let write = |&(row, digest): &(usize, Digest)| {
            file.seek(SeekFrom::Start((row * Digest::BYTES) as u64))?;
            file.write_all(&digest.to_bytes())
        };
        let written = digests.iter().try_for_each(write);
        written.and_then(|()| self.files[Data::Digests as usize].sync_data()).map_err(IndexError::io(path))
    }

    /// Adds n pictures with their embeddings. When this returns, they are in the index even if the process is killed.
    ///
    /// `embeddings` (N,e)
    ///
    /// # Errors
    /// Returns an error if a file cannot be written; the index is then unchanged.
    #[track_caller]
    pub fn append(&mut self, entries: &[Entry], embeddings: ArrayView2<f32>) -> Result<(), IndexError> {
        self.append_known(entries, &vec![None; entries.len()], embeddings)
    }

    /// Adds n pictures with the digests of their files, as [`append`](Self::append) does.
    ///
    /// `embeddings` (N,e)
    ///
    /// # Errors
    /// Returns an error if a file cannot be written; the index is then unchanged.
    #[track_caller]
    pub fn append_known(
        &mut self,
        entries: &[Entry],
        digests: &[Option<Digest>],
        embeddings: ArrayView2<f32>,
    ) -> Result<(), IndexError> {
        let (n, shape, e) = (entries.len(), embeddings.dim(), self.manifest.embed_dim);
        assert_eq!(shape, (n, e), "{n} entries, embeddings {shape:?}, an index of width {e}");
        assert_eq!(digests.len(), n, "digests of {n} entries");
        let matrix: Vec<u8> = embeddings.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
        self.extend(entries, digests, &matrix, [])
    }

    /// Adds pictures that have the embeddings of these rows, which may be dropped, and drops others, all in one step.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or written; the index is then unchanged.
    #[track_caller]
    pub fn append_again(
        &mut self,
        rows: &[usize],
        entries: &[Entry],
        digests: &[Option<Digest>],
        drop: impl IntoIterator<Item = usize>,
    ) -> Result<(), IndexError> {
        let width = self.manifest.row_bytes(Data::Matrix);
        let mut matrix = vec![0; rows.len() * width];
        for (&row, out) in rows.iter().zip(matrix.chunks_exact_mut(width)) {
            let read = read_exact_at(&self.files[Data::Matrix as usize], out, (row * width) as u64);
            read.map_err(IndexError::io(self.manifest.path(&self.folder, Data::Matrix)))?;
        }
        self.extend(entries, digests, &matrix, drop)
    }

    /// `matrix` (N,e) in two bytes each
    fn extend(
        &mut self,
        entries: &[Entry],
        digests: &[Option<Digest>],
        matrix: &[u8],
        drop: impl IntoIterator<Item = usize>,
    ) -> Result<(), IndexError> {
        let (n, e) = (entries.len(), self.manifest.embed_dim);
        let lines: Vec<Vec<u8>> = entries.iter().map(Entry::line).collect();
        let mut coded = vec![0; n * self.manifest.row_bytes(Data::Codes)];
        codes::encode(matrix, e, &mut coded);
        let digests: Vec<u8> =
            digests.iter().flat_map(|digest| digest.map_or(Digest::NONE, Digest::to_bytes)).collect();
        let entry_bytes = self.manifest.entry_bytes;
        let (places, lines) = (places(entry_bytes, lines.iter().map(Vec::len)), lines.concat());
        for (data, bytes) in Data::ALL.into_iter().zip([matrix, &lines, &coded, &places, &digests]) {
            let written = write_at(&mut self.files[data as usize], self.manifest.bytes(data), bytes);
            written.map_err(IndexError::io(self.manifest.path(&self.folder, data)))?;
        }
        let entry_bytes = entry_bytes + lines.len() as u64;
        let (rows, dropped) = (self.manifest.rows + n, self.dropped_with(drop));
        self.commit(Manifest { rows, entry_bytes, dropped, ..self.manifest.clone() })
    }

    /// Returns the rows that are dropped, and these.
    fn dropped_with(&self, rows: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let mut dropped = self.manifest.dropped.clone();
        dropped.extend(rows);
        dropped.sort_unstable();
        dropped.dedup();
        dropped
    }

    /// Drops the pictures of these rows. Rows that have been dropped before stay dropped.
    ///
    /// # Errors
    /// Returns an error if the manifest cannot be written; the index is then unchanged.
    pub fn drop_rows(&mut self, rows: impl IntoIterator<Item = usize>) -> Result<(), IndexError> {
        let dropped = self.dropped_with(rows);
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
        let lines: Vec<Vec<u8>> = live.iter().map(|(_, entry)| entry.line()).collect();
        let (places, lines) = (places(0, lines.iter().map(Vec::len)), lines.concat());
        let manifest = Manifest {
            generation: self.manifest.generation + 1,
            rows: live.len(),
            entry_bytes: lines.len() as u64,
            dropped: vec![],
            ..self.manifest.clone()
        };
        let mut files = create(&self.folder, &manifest, &Data::ALL)?;
        for (data, file) in Data::ALL.into_iter().zip(&mut files) {
            let written = match data {
                Data::Entries => write_at(file, 0, &lines),
                Data::Lines => write_at(file, 0, &places),
                _ => self.copy_rows(data, live.iter().map(|&(row, _)| row), file),
            };
            written.map_err(IndexError::io(manifest.path(&self.folder, data)))?;
        }
        self.commit(manifest)?;
        self.files = files;
        self.remove_remains()
    }

    fn copy_rows(&self, data: Data, rows: impl Iterator<Item = usize>, to: &mut File) -> io::Result<()> {
        let bytes = self.manifest.row_bytes(data);
        let mut row_of = vec![0; bytes];
        let mut out = BufWriter::with_capacity(COPY_BYTES, &mut *to);
        for row in rows {
            read_exact_at(&self.files[data as usize], &mut row_of, (row * bytes) as u64)?;
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
        let ours: Vec<PathBuf> =
            self.manifest.data().iter().map(|&data| self.manifest.path(&self.folder, data)).collect();
        for entry in fs::read_dir(&self.folder).map_err(IndexError::io(&self.folder))? {
            let path = entry.map_err(IndexError::io(&self.folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_data = |start: &str, end: &str| name.starts_with(start) && name.ends_with(end);
            let is_ours = Data::ALL.iter().any(|data| is_data(data.name().0, data.name().1));
            if is_data(".index.json.", ".part") || is_ours && !ours.contains(&path) {
                fs::remove_file(&path).map_err(IndexError::io(&path))?;
            }
        }
        Ok(())
    }
}

/// Creates empty files in place of what a killed run may have left.
fn create(folder: &Path, manifest: &Manifest, data: &[Data]) -> Result<Vec<File>, IndexError> {
    let create = |&data: &Data| {
        let path = manifest.path(folder, data);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
        options.map_err(IndexError::io(path))
    };
    data.iter().map(create).collect()
}

/// Opens the files of an index and cuts them to their valid length.
fn open(folder: &Path, manifest: &Manifest, data: &[Data]) -> Result<Vec<File>, IndexError> {
    let open = |&data: &Data| {
        let (path, promised) = (manifest.path(folder, data), manifest.bytes(data));
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(IndexError::io(&path))?;
        check_length(&path, &file, promised)?;
        file.set_len(promised).map_err(IndexError::io(path))?;
        Ok(file)
    };
    data.iter().map(open).collect()
}

/// Returns where each of neighbouring lines begins in the table, the first of them at `start`.
fn places(start: u64, lengths: impl Iterator<Item = usize>) -> Vec<u8> {
    let begin = |place: &mut u64, length: usize| {
        *place += length as u64;
        Some(*place - length as u64)
    };
    lengths.scan(start, begin).flat_map(u64::to_le_bytes).collect()
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
