//! Parts of embeddings, as `clipwright embed` writes them, on their way into an index.

use super::CliError;
use super::arrays::NpyRows;
use super::parts::{Place, Record, Settings, records};
use crate::app::part::Part;
use crate::datasets::BadReport;
use crate::digest::Digest;
use crate::embed::Batch;
use crate::files;
use crate::index::{Entry, IndexError, ModelId, Scan};
use crate::pictures::Reading;
use ndarray::Array2;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Number of rows that are added to the index at a time.
const AT_A_TIME: usize = 8192;
/// Largest number of missing parts that a message names.
const MAX_NAMED: usize = 10;
/// Largest distance of a row's squared length from 1, with room for the rounding of its numbers to f16.
const MAX_DISTANCE: f32 = 0.02;

/// Takes batches. What was embedded elsewhere comes without digests of the files.
type Each<'a> = &'a mut dyn FnMut(Batch<Option<Digest>>) -> Result<(), CliError>;

/// The parts of a folder, all of which are there.
pub(super) struct Parts {
    settings: Settings,
    /// The width e of the embeddings.
    width: usize,
    /// The file of embeddings of each part, with its number of rows.
    arrays: Vec<(PathBuf, usize)>,
    /// The picture of each row, part after part.
    files: Vec<Entry>,
}

impl Parts {
    /// Reads what all parts say of themselves.
    ///
    /// # Errors
    /// Returns an error if a part is missing, damaged, does not belong to the others, or is not of files of pictures.
    pub(super) fn open(folder: &Path) -> Result<Self, CliError> {
        let mut known: BTreeMap<usize, (PathBuf, Record)> = BTreeMap::new();
        for path in records(folder)? {
            let record = Record::read(&path)?;
            let place = Part { place: record.part, of: record.settings.parts };
            if path != Place::of(folder, place).record {
                return Err(refused(&path, format!("it is of part {place}, whose file has another name")));
            }
            if let Some((first, other)) = known.values().next() {
                let with = |what| refused(&path, format!("its {what} is another than that of {}", first.display()));
                record.settings.difference(&other.settings).map_or(Ok(()), |what| Err(with(what)))?;
                if record.width != other.width {
                    return Err(with("width"));
                }
            }
            known.insert(record.part, (path, record));
        }
        let Some((_, first)) = known.values().next() else {
            return Err(refused(folder, "no part of embeddings in it, as embed --shard writes them".into()));
        };
        let (settings, width) = (first.settings.clone(), first.width);
        check_all(folder, settings.parts, &known)?;
        if !settings.images {
            return Err(refused(folder, "embeddings of texts, and an index is one of pictures".into()));
        }
        let (mut arrays, mut all) = (vec![], vec![]);
        for (part, (path, record)) in known {
            all.extend(entries(&path, record.rows)?);
            let array = Place::of(folder, Part { place: part, of: settings.parts }).images;
            if record.rows > 0 {
                NpyRows::open(&array, [record.rows, width], settings.dtype)?;
            }
            arrays.push((array, record.rows));
        }
        Ok(Parts { settings, width, arrays, files: all })
    }

    pub(super) fn model(&self) -> &ModelId {
        &self.settings.model
    }

    /// Returns how pictures were read.
    pub(super) fn reading(&self) -> Reading {
        Reading { exif: self.settings.exif, fast_decode: self.settings.fast_decode }
    }

    /// Returns e, the width of the embeddings.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Returns the pictures as files below a folder, with the row of each.
    ///
    /// # Errors
    /// Returns an error if a picture is not below the folder.
    pub(super) fn scan(&self, root: &Path) -> Result<(Scan, Vec<usize>), IndexError> {
        Scan::of_files(root, self.files.iter().cloned())
    }

    /// Reads these rows, in ascending order, and passes them to `each`, batch by batch.
    ///
    /// # Errors
    /// Returns the error of `each`, or one that names a file that cannot be read or the row in it that is no embedding.
    pub(super) fn stream(&self, rows: &[usize], each: Each) -> Result<(), CliError> {
        let mut reader = Reader { parts: self, part: 0, start: 0, array: None };
        let mut report = BadReport::default();
        for (batch, first) in rows.chunks(AT_A_TIME).zip((0..).step_by(AT_A_TIME)) {
            let mut matrix = Array2::zeros((batch.len(), self.width));
            for (&row, mut out) in batch.iter().zip(matrix.rows_mut()) {
                reader.read(row, out.as_slice_mut().expect("a row of a new matrix"))?;
            }
            report.seen += batch.len() as u64;
            let read = (first..first + batch.len()).map(|place| (place, None)).collect();
            each(Batch { rows: matrix, read, bad: vec![], report: &report })?;
        }
        Ok(())
    }
}

/// A reader of ascending rows, which has the file of one part open.
struct Reader<'a> {
    parts: &'a Parts,
    part: usize,
    /// The first row of the part.
    start: usize,
    array: Option<NpyRows>,
}

impl Reader<'_> {
    fn read(&mut self, row: usize, out: &mut [f32]) -> Result<(), CliError> {
        let Parts { arrays, settings, width, .. } = self.parts;
        while row >= self.start + arrays[self.part].1 {
            self.start += arrays[self.part].1;
            self.part += 1;
            self.array = None;
        }
        let (path, rows) = &arrays[self.part];
        let array = match self.array.take() {
            Some(array) => array,
            None => NpyRows::open(path, [*rows, *width], settings.dtype)?,
        };
        let row = row - self.start;
        array.read(row, out)?;
        self.array = Some(array);
        let square: f32 = out.iter().map(|x| x * x).sum();
        // What is no number is left to the index, which skips it and names the picture.
        if (square - 1.0).abs() > MAX_DISTANCE {
            return Err(refused(path, format!("row {row} is not of unit length: its square is {square}")));
        }
        Ok(())
    }
}

/// Checks that no part is missing.
fn check_all(folder: &Path, parts: usize, known: &BTreeMap<usize, (PathBuf, Record)>) -> Result<(), CliError> {
    let missing = parts - known.len();
    if missing == 0 {
        return Ok(());
    }
    let named = (0..parts).filter(|part| !known.contains_key(part)).take(MAX_NAMED);
    let mut names = named.map(|place| Part { place, of: parts }.to_string()).collect::<Vec<_>>().join(", ");
    if missing > MAX_NAMED {
        names += &format!(" and {} more", missing - MAX_NAMED);
    }
    Err(refused(folder, format!("parts are missing: {names}; embed --shard writes one")))
}

/// Reads the pictures of a part, one for each row.
fn entries(path: &Path, rows: usize) -> Result<Vec<Entry>, CliError> {
    let bytes = files::read(path).map_err(CliError::file(path))?;
    let lines = (1..).zip(bytes.split_inclusive(|&byte| byte == b'\n')).skip(1);
    let entry = |(number, line)| {
        let reason = |error| CliError::line(path, number, &format!("not what embed writes: {error}"));
        serde_json::from_slice(line).map_err(reason)
    };
    let entries: Vec<Entry> = lines.map(entry).collect::<Result<_, _>>()?;
    match entries.len() {
        0 if rows > 0 => Err(refused(path, "its pictures are in shards, and an index is one of files".into())),
        lines if lines != rows => Err(refused(path, format!("{lines} lines behind the first for {rows} rows"))),
        _ => Ok(entries),
    }
}

fn refused(path: &Path, reason: String) -> CliError {
    CliError::file(path)(io::Error::other(reason))
}

#[cfg(test)]
mod tests {
    use super::super::parts::{Folder, Rows};
    use super::super::pictures::Tally;
    use super::*;
    use crate::checkpoint::Precision;
    use proptest::prelude::*;
    use std::fs;

    const WIDTH: usize = 4;
    /// The files that are damaged. The second part has no array.
    const FILES: [&str; 4] =
        ["img_emb/img_emb_0.npy", "img_emb/img_emb_2.npy", "parts/part_0.jsonl", "parts/part_1.jsonl"];

    fn entry(row: usize) -> Entry {
        Entry { path: format!("photos/{row}.png"), size: row as u64, modified: -5 }
    }

    /// Writes three parts of unit vectors along the axes, the second of them without a row.
    fn folder(dtype: Precision) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let model = ModelId { path: "m".into(), quick_gelu: true, fingerprint: "0".into(), ..ModelId::default() };
        let settings = Settings::new(3, model, dtype, Reading::default(), "list".into(), (true, false));
        let parts = Folder::open(folder.path(), settings).unwrap();
        for (part, numbers) in [(0, 0..3), (1, 3..3), (2, 3..8)] {
            let axis = |row: usize| (0..WIDTH).map(move |i| if row % WIDTH == i { 1.0 } else { 0.0 });
            let rows = Rows {
                count: numbers.len(),
                images: numbers.clone().flat_map(axis).collect(),
                paths: numbers.clone().map(|row| entry(row).path).collect(),
                files: numbers.clone().map(entry).collect(),
                ..Rows::default()
            };
            parts.write(part, WIDTH, Tally { seen: 5, bad: 5 - rows.count }, &rows).unwrap();
        }
        folder
    }

    /// Reads all rows, as an index does.
    fn read(folder: &Path) -> Result<Vec<Vec<f32>>, CliError> {
        let parts = Parts::open(folder)?;
        let (scan, rows) = parts.scan(Path::new("photos"))?;
        let mut all = vec![];
        parts.stream(&rows, &mut |batch| {
            all.extend(batch.rows.rows().into_iter().map(|row| row.to_vec()));
            Ok(())
        })?;
        assert_eq!(all.len(), scan.found.len());
        Ok(all)
    }

    #[test]
    fn rows_come_back_in_order_and_some_can_be_left_out() {
        for dtype in [Precision::F32, Precision::F16] {
            let folder = folder(dtype);
            let rows = read(folder.path()).unwrap();
            assert!(rows.len() == 8 && rows.iter().enumerate().all(|(row, axis)| axis[row % WIDTH] == 1.0), "{rows:?}");
            let mut some = vec![];
            let parts = Parts::open(folder.path()).unwrap();
            let taken = parts.stream(&[2, 6, 7], &mut |batch| {
                some.extend(batch.read.iter().zip(batch.rows.rows()).map(|(read, row)| (read.0, row.to_vec())));
                Ok(())
            });
            taken.unwrap();
            assert_eq!(some, [2, 6, 7].map(|row| rows[row].clone()).into_iter().enumerate().collect::<Vec<_>>());
        }
    }

    #[test]
    fn paths_lead_below_the_folder_and_count_once() {
        let names = |paths: &[&str]| {
            let files = paths.iter().map(|path| Entry { path: (*path).into(), size: 0, modified: 0 });
            Scan::of_files(Path::new("photos"), files).map(|(scan, places)| {
                let found = scan.found.into_iter().map(|found| found.entry.path).zip(places).collect::<Vec<_>>();
                (found, scan.skipped.len())
            })
        };
        let found = names(&["photos/a.png", "photos/sub/../b", "photos/a.png"]);
        assert!(found.is_err(), "{found:?}");
        let (found, skipped) = names(&["photos/a.png", "./photos//b/c.png", "photos/a.png", "file:a%FF.png"]).unwrap();
        assert_eq!((found, skipped), (vec![("a.png".into(), 0), ("b/c.png".into(), 1)], 1));
        for path in ["", "photos", "photos/..", "photos/../a.png", "/etc/passwd", "a.png", "photosx/a.png"] {
            assert!(names(&[path]).is_err(), "{path}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn damaged_files_are_survived(
            file in prop::sample::select(&FILES[..]),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
            is_cut: bool,
        ) {
            let folder = folder(Precision::F32);
            let path = folder.path().join(file);
            let mut bytes = fs::read(&path).unwrap();
            edits.iter().for_each(|(place, byte)| { let i = place.index(bytes.len()); bytes[i] = *byte; });
            if is_cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            fs::write(&path, bytes).unwrap();
            if let Err(error) = read(folder.path()) {
                let said = error.to_string();
                prop_assert!(["part_", "img_emb_", "photos"].iter().any(|name| said.contains(name)), "{}", said);
            }
        }

        /// Well-formed numbers may promise more than any file can hold.
        #[test]
        fn monstrous_records_are_survived(
            field in prop::sample::select(&["part", "seen", "bad", "rows", "width", "settings"][..]),
            number in prop::sample::select(&[0, 1, 3, 4, 8, 1 << 40, u64::MAX][..]),
        ) {
            let folder = folder(Precision::F16);
            for part in 0..3 {
                let path = folder.path().join(format!("parts/part_{part}.jsonl"));
                let text = fs::read_to_string(&path).unwrap();
                let (record, files) = text.split_once('\n').unwrap();
                let mut record: serde_json::Value = serde_json::from_str(record).unwrap();
                match field {
                    "settings" => record["settings"]["parts"] = number.into(),
                    field => record[field] = number.into(),
                }
                fs::write(&path, format!("{record}\n{files}")).unwrap();
            }
            let _ = read(folder.path());
        }
    }
}
