//! The pictures and folders that the command line names.

use super::CliError;
use super::texts::{STDIN, lines, stdin_bytes};
use crate::datasets::{BadExample, BadReport};
use crate::embed::source::{Files, Pictures, ReadAs, Watched};
use crate::embed::{Batch, Blip, Family, ImageEncoder, LoadError, PassingImages};
use crate::index::Manifest;
use crate::models::blip::model::Source;
use crate::pictures::folder::{PassedOver, Walk, walk};
use crate::pictures::{PathPattern, Picture, Reading, View};
use clap::Args;
use indicatif::ProgressBar;
use ndarray::{Array1, ArrayView1};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How pictures are turned.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct Turning {
    /// Turn pictures upright, as their EXIF data says, before they are embedded
    ///
    /// Without this they are embedded as they are stored, which is what OpenCLIP and transformers do. The EXIF tag
    /// Orientation alone is read: one that a program has written into XMP data only is not.
    #[arg(long)]
    pub exif: bool,
}

/// How pictures are read.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct ReadingOptions {
    #[command(flatten)]
    turning: Turning,
    /// Decode large JPEG files at a half, a quarter or an eighth of their size, which is faster and not quite exact
    ///
    /// Their sides are divided by the largest of 8, 4 and 2 that leaves them at least twice as long as the model's pictures
    /// are after the resize, as Pillow's `draft` does it; smaller files are read as ever. Embeddings move a little: the
    /// cosine with the exact one was 0.99995 on average over 23 pictures of 0.1 to 12 megapixels with a trained model of 64
    /// pixels, and 0.9994 at worst among those; small photos with strong compression can lose more. Do not mix the two in one collection; an index remembers which it has.
    #[arg(long)]
    pub fast_decode: bool,
}

impl ReadingOptions {
    pub(crate) fn reading(self) -> Reading {
        Reading { exif: self.turning.exif, fast_decode: self.fast_decode }
    }

    /// Returns how the pictures of an index are read, or of another one. What the index was made with is kept, and said.
    pub(crate) fn or_of_index(self, manifest: &Manifest, folder: &Path) -> Result<Reading, CliError> {
        manifest.check_reading(folder, self.reading())?;
        if manifest.fast_decode && !self.fast_decode {
            note!("{}: made with --fast-decode, so what is read now is decoded in the same way", folder.display());
        }
        Ok(manifest.reading())
    }
}

/// What is left out of folders of pictures.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Exclude {
    /// Leave out files and folders with such a path, in the folders that are named; may be given several times
    ///
    /// As in a .gitignore, a pattern with a / is one of the path below the folder that was named, and one without is one
    /// of any name in it; a folder that matches is left out with all that is in it. * and ? stand for parts of a name, **
    /// for any folders, [ab] for one of these characters. Case does not matter. What was left out is counted. Names that
    /// begin with a dot, and folders like @eaDir, #recycle, lost+found, $RECYCLE.BIN and __MACOSX, are always left out.
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<PathPattern>,
}

/// The pictures of a command.
#[derive(Debug, Args)]
pub(crate) struct Images {
    /// Pictures or folders of pictures: PNG, JPEG, WebP, GIF, BMP, TIFF; `-` is a picture on standard input
    #[arg(value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Text file with the path of a picture or of a folder per line, `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "images")]
    files_from: Option<PathBuf>,
    #[command(flatten)]
    exclude: Exclude,
    #[command(flatten)]
    reading: ReadingOptions,
}

impl Images {
    /// Returns how pictures are read.
    pub(crate) fn reading(&self) -> Reading {
        self.reading.reading()
    }

    /// Takes the last of the arguments, if there is one.
    pub(crate) fn take_last(&mut self) -> Option<PathBuf> {
        self.images.pop()
    }

    /// Finds the pictures.
    ///
    /// # Errors
    /// Returns an error if no picture was named, a folder cannot be read or has no picture, or standard input is not a
    /// picture.
    pub(crate) fn find(self) -> Result<Named, CliError> {
        let reading = self.reading();
        let named = match &self.files_from {
            Some(list) => lines(list)?.into_iter().map(|(_, path)| path.into()).collect(),
            None => self.images,
        };
        if named.is_empty() {
            return Err(CliError::Usage("no picture: name some, or a folder, or --files-from FILE".into()));
        }
        Named::expand(named, &self.exclude.exclude, reading)
    }
}

/// The pictures that were named, and what else was in named folders.
#[derive(Debug, Default)]
pub(crate) struct Named {
    pub paths: Vec<PathBuf>,
    /// The bytes of the picture that is named `-`.
    stdin: Vec<u8>,
    /// The counts of the files in folders that are not pictures.
    pub passed_over: PassedOver,
    /// The paths that could not be read.
    unseen: Vec<BadExample>,
    reading: Reading,
}

impl Named {
    /// Replaces each folder by the pictures in it and in the folders below, without what is excluded.
    ///
    /// # Errors
    /// Returns an error if a folder cannot be read or has no picture.
    fn expand(named: Vec<PathBuf>, exclude: &[PathPattern], reading: Reading) -> Result<Self, CliError> {
        let mut all = Self { reading, ..Self::default() };
        for path in named {
            if path == Path::new(STDIN) {
                all.stdin = stdin_bytes().map_err(CliError::file(&path))?;
            }
            if !path.is_dir() {
                all.paths.push(path);
                continue;
            }
            let Walk { pictures, passed_over, unseen } = match walk(&path, exclude) {
                Ok(found) => found,
                Err(source) => return Err(CliError::File { path, source }),
            };
            if pictures.is_empty() && unseen.is_empty() {
                return Err(CliError::NoPictures { path, passed_over });
            }
            all.passed_over.merge(passed_over);
            all.paths.extend(pictures);
            all.unseen.extend(unseen.into_iter().map(|(path, reason)| BadExample::new(path.display(), reason)));
        }
        Ok(all)
    }

    /// Writes to standard error what was passed over.
    pub(crate) fn warn_passed_over(&self) {
        if !self.passed_over.is_empty() {
            note!("{}", self.passed_over);
        }
    }

    /// Calls `each(i, embedding)` for every picture that can be read, in order. The others are named on standard error.
    ///
    /// # Errors
    /// Returns the error of `each`.
    pub(crate) fn embed<C: AsRef<ImageEncoder>, E>(
        &self,
        encoder: &Family<C>,
        bar: &ProgressBar,
        each: impl FnMut(usize, ArrayView1<f32>) -> Result<(), E>,
    ) -> Result<Tally, E> {
        self.pass(bar, each, |source, each| encoder.stream(source, each))
    }

    /// Returns the embeddings of the pictures that can be read, each with its place, of an image tower that is read in
    /// passing. The others are named on standard error.
    ///
    /// # Errors
    /// Returns an error if the tower cannot be read.
    pub(crate) fn collect_in_passing(&self, tower: &PassingImages) -> Result<(Vec<Placed>, Tally), LoadError> {
        let mut rows = vec![];
        let each = |i, row: ArrayView1<f32>| {
            rows.push((i, row.to_owned()));
            Ok::<(), LoadError>(())
        };
        let tally = self.pass(&ProgressBar::hidden(), each, |source, each| tower.stream(source, each))?;
        Ok((rows, tally))
    }

    /// Passes the pictures through `stream`, and the embedding of each to `each`.
    fn pass<E>(
        &self,
        bar: &ProgressBar,
        mut each: impl FnMut(usize, ArrayView1<f32>) -> Result<(), E>,
        stream: impl FnOnce(&Counted, &mut dyn FnMut(Batch<()>) -> Result<(), E>) -> Result<BadReport, E>,
    ) -> Result<Tally, E> {
        self.name_unseen(bar);
        let files = ReadAs { source: self, reading: self.reading };
        let count: &(dyn Fn() + Sync) = &|| bar.inc(1);
        let source = Watched { source: &files, done: count };
        let report = stream(&source, &mut |batch| {
            batch.bad.iter().for_each(|(_, bad)| skip(bar, bad));
            batch.read.iter().zip(batch.rows.rows()).try_for_each(|(&(i, ()), row)| each(i, row))
        })?;
        bar.finish_and_clear();
        Ok(self.tally(report.seen, report.bad))
    }

    /// Calls `each` with what a BLIP sees in the pictures from the place `first` on, batch by batch, in order. The places
    /// in a batch are counted from there. Pictures that cannot be read are named on standard error.
    ///
    /// # Errors
    /// Returns the error of `each`.
    pub(crate) fn look<E>(
        &self,
        blip: &Blip,
        first: usize,
        bar: &ProgressBar,
        mut each: impl FnMut(&Batch<(), Source>) -> Result<(), E>,
    ) -> Result<Tally, E> {
        self.name_unseen(bar);
        let rest = Rest { named: self, first };
        let source = ReadAs { source: &rest, reading: self.reading };
        let report = blip.stream(&source, |batch| {
            batch.bad.iter().for_each(|(_, bad)| skip(bar, bad));
            let outcome = each(&batch);
            bar.inc((batch.read.len() + batch.bad.len()) as u64);
            outcome
        })?;
        bar.finish_and_clear();
        Ok(self.tally(report.seen, report.bad))
    }

    /// Leaves the pictures at these places. What else was found in folders goes with the first of all pictures.
    pub(crate) fn part(mut self, places: Range<usize>) -> Self {
        if places.start > 0 {
            (self.passed_over, self.unseen) = (PassedOver::default(), vec![]);
        }
        self.paths.truncate(places.end);
        self.paths.drain(..places.start);
        self
    }

    /// Returns the name of a picture, as results name it.
    pub(crate) fn name(&self, i: usize) -> String {
        self.paths[i].display().to_string()
    }

    /// Returns how pictures are read.
    pub(crate) fn reading(&self) -> Reading {
        self.reading
    }

    fn name_unseen(&self, bar: &ProgressBar) {
        self.unseen.iter().for_each(|bad| skip(bar, bad));
    }

    fn tally(&self, seen: u64, bad: u64) -> Tally {
        let unseen = self.unseen.len();
        Tally { seen: seen as usize + unseen, bad: bad as usize + unseen }
    }
}

/// The place of a picture, and its embedding.
pub(crate) type Placed = (usize, Array1<f32>);

/// The pictures that were named, which are counted as they are read.
type Counted<'a> = Watched<'a, ReadAs<'a, Named>, &'a (dyn Fn() + Sync)>;

/// Names a picture that cannot be used, above the progress bar.
pub(super) fn skip(bar: &ProgressBar, bad: &BadExample) {
    bar.suspend(|| note!("skipped {bad}"));
}

/// The pictures from the place `first` on.
struct Rest<'a> {
    named: &'a Named,
    first: usize,
}

impl Pictures for Rest<'_> {
    type Note = ();

    fn len(&self) -> usize {
        self.named.paths.len() - self.first
    }

    fn read(&self, i: usize, view: &View, picture: &mut Picture) -> Result<(), BadExample> {
        self.named.read(self.first + i, view, picture)
    }
}

impl Pictures for Named {
    type Note = ();

    fn len(&self) -> usize {
        self.paths.len()
    }

    fn read(&self, i: usize, view: &View, picture: &mut Picture) -> Result<(), BadExample> {
        if self.paths[i] == Path::new(STDIN) {
            *picture = view.decode(&self.stdin).map_err(|error| BadExample::new("standard input", error))?;
            return Ok(());
        }
        Files(&self.paths).read(i, view, picture)
    }
}

/// The numbers of pictures that were tried and that could not be read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub seen: usize,
    pub bad: usize,
}

impl Tally {
    /// Decides whether the command succeeds.
    ///
    /// # Errors
    /// Returns an error if a picture could not be read, or with `skip_unreadable` if none could be read.
    pub(crate) fn verdict(self, skip_unreadable: bool) -> Result<(), CliError> {
        let Tally { seen, bad } = self;
        if bad == 0 || (skip_unreadable && bad < seen) { Ok(()) } else { Err(CliError::Unreadable { bad, seen }) }
    }
}
