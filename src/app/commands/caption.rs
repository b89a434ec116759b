//! `clipwright caption`: writes captions for pictures.

use super::arrays::{Format, write_line};
use super::partial::Partial;
use super::pictures::{Images, Named, Tally};
use super::texts::STDIN;
use super::writing::{Writing, check_room};
use super::{CliError, Context};
use crate::datasets::Columns;
use crate::embed::blip::published::PROMPT;
use crate::embed::{Batch, Blip, Task, Written};
use crate::files::{folder_of, write_atomic};
use crate::generate::Options;
use crate::models::blip::model::Source;
use crate::pictures::folder::PassedOver;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Write captions for pictures, with a BLIP
///
/// The defaults are the settings of BLIP's published captions: the prompt "a picture of", which is not part of the
/// caption, 3 beams, and 5 to 20 tokens. Salesforce/blip-image-captioning-base and -large are models for it. Pictures
/// that cannot be read are named and left out. The others are captioned nevertheless, and the exit code is then 1 unless
/// --skip-unreadable is given.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  clipwright caption photo.jpg --model Salesforce/blip-image-captioning-base
  clipwright caption photos/ --model blip/ --output photos/captions.csv
  clipwright caption photos/ --model blip/ --sample --seed 1 --json
  clipwright caption photo.jpg --model blip/ --prompt \"\" --greedy

As JSON: {\"image\", \"caption\", \"score\"}, a line for each picture; the score is
the logarithm of the caption's probability, in a beam search divided by its
length.

A file is written whole or not at all:
  .csv    columns filepath and title, which `train --train-data` reads
  .jsonl  the same lines as --json
Until it is complete, what is done stands in NAME.partial beside it. After an
interruption the same command goes on from there, and the result is the same to
the byte; other options, another model or other pictures are then an error.")]
pub(crate) struct Caption {
    #[command(flatten)]
    images: Images,
    /// Beginning of every caption, which is left out of the result; "" for none
    #[arg(long, value_name = "TEXT", default_value = PROMPT)]
    prompt: String,
    #[command(flatten)]
    writing: Writing,
    /// File to write: .csv or .jsonl [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Exit with code 0 even if some of the pictures cannot be read
    #[arg(long)]
    skip_unreadable: bool,
}

impl Caption {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        self.writing.options(0)?;
        let known = [("csv", Format::Csv), ("jsonl", Format::JsonLines)];
        let format = self.output.as_deref().map(|path| Format::of(path, &known)).transpose()?;
        let named = self.images.find()?;
        let blip = context.blip(Task::Caption)?;
        let options = self.writing.options(blip.config().text.ids.end)?;
        check_room(&blip, &self.prompt, &options)?;
        let captioner = Captioner { blip, prompt: self.prompt, options, named };
        let tally = match self.output.as_deref().zip(format) {
            None => captioner.show(context)?,
            Some((path, format)) => captioner.write(context, path, format)?,
        };
        tally.verdict(self.skip_unreadable)
    }
}

/// A caption of a picture, in the form of a line of JSON.
#[derive(Serialize, Deserialize)]
struct Captioned {
    image: String,
    caption: String,
    /// `None` if it is no number, which JSON cannot express.
    score: Option<f32>,
}

impl fmt::Display for Captioned {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.image, self.caption)
    }
}

/// A batch of pictures that is done.
#[derive(Serialize, Deserialize)]
struct Step {
    /// The names of all its pictures.
    pictures: Vec<String>,
    captions: Vec<Captioned>,
    /// What is said of the pictures that cannot be read.
    unreadable: Vec<String>,
}

/// Everything that captions depend on.
struct Captioner {
    blip: Blip,
    prompt: String,
    options: Options,
    named: Named,
}

impl Captioner {
    /// Writes captions for the pictures of a batch, whose places are counted from `first`.
    fn captions(&self, first: usize, batch: &Batch<(), Source>) -> Result<Vec<Captioned>, CliError> {
        let place = |i: usize| first + batch.read[i].0;
        let written = self.blip.caption_seen(&batch.rows, &self.prompt, &self.options, |i| place(i) as u64);
        let error = |source| CliError::Blip { path: self.blip.path().into(), source };
        let captioned = |(i, Written { text, score, .. })| Captioned {
            image: self.named.name(place(i)),
            caption: text,
            score: Some(score).filter(|score| score.is_finite()),
        };
        Ok(written.map_err(error)?.into_iter().enumerate().map(captioned).collect())
    }

    /// Shows captions as they come.
    fn show(&self, context: &Context) -> Result<Tally, CliError> {
        self.named.warn_passed_over();
        let bar = context.output.progress(self.named.paths.len(), "pictures");
        self.named.look(&self.blip, 0, &bar, |batch| {
            let captions = self.captions(0, batch)?;
            bar.suspend(|| captions.iter().try_for_each(|caption| context.output.show(caption)))
        })
    }

    /// Writes a file of captions, or none if no picture could be read. It goes on from what an interrupted run left.
    fn write(&self, context: &Context, output: &Path, format: Format) -> Result<Tally, CliError> {
        self.check_names(output)?;
        let (mut partial, mut steps) = Partial::open::<Step>(output, &self.settings()?)?;
        let done = self.check_steps(partial.path(), &steps)?;
        let total = self.named.paths.len();
        if done > 0 {
            note!("{}: goes on behind {done} of {total} pictures", partial.path().display());
        }
        let unreadable = steps.iter().flat_map(|step| &step.unreadable);
        unreadable.for_each(|bad| note!("skipped {bad}"));
        let bar = context.output.progress(total, "pictures");
        bar.set_position(done as u64);
        let bad_before: usize = steps.iter().map(|step| step.unreadable.len()).sum();
        let mut next = done;
        let tally = self.named.look(&self.blip, done, &bar, |batch| {
            let (captions, end) = (self.captions(done, batch)?, next + batch.read.len() + batch.bad.len());
            let unreadable = batch.bad.iter().map(|(_, bad)| bad.to_string()).collect();
            let step = Step { pictures: self.names(next..end), captions, unreadable };
            next = end;
            partial.push(&step)?;
            steps.push(step);
            Ok::<(), CliError>(())
        })?;
        let tally = Tally { seen: tally.seen + done, bad: tally.bad + bad_before };
        let captions: Vec<&Captioned> = steps.iter().flat_map(|step| &step.captions).collect();
        if !captions.is_empty() {
            write_captions(output, format, &captions).map_err(CliError::file(output))?;
            context.output.show(&Report {
                output: output.display().to_string(),
                captions: captions.len(),
                skipped: tally.bad,
                passed_over: self.named.passed_over.clone(),
            })?;
        }
        partial.remove()?;
        Ok(tally)
    }

    fn names(&self, places: Range<usize>) -> Vec<String> {
        places.map(|i| self.named.name(i)).collect()
    }

    /// Checks that a file can hold the pictures' names, and that all pictures would be there again.
    fn check_names(&self, output: &Path) -> Result<(), CliError> {
        if fs::metadata(output).is_ok_and(|found| !found.is_file()) {
            return Err(CliError::Usage(format!("--output {}: it is no file", output.display())));
        }
        match self.named.paths.iter().find(|path| path.to_str().is_none() || *path == Path::new(STDIN)) {
            Some(path) if path == Path::new(STDIN) => {
                Err(CliError::Usage("a file of captions needs the names of pictures, and `-` has none".into()))
            }
            Some(path) => Err(CliError::file(path)(io::Error::other("its name is not UTF-8; rename it"))),
            None => Ok(()),
        }
    }

    /// Returns the settings that a run must share with the one that it goes on from.
    fn settings(&self) -> Result<Map<String, Value>, CliError> {
        let path = self.blip.path();
        let file = CliError::file;
        let weights = fs::metadata(path).map_err(file(path))?;
        let modified = weights.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let mut settings = Map::new();
        let model = std::path::absolute(path).map_err(file(path))?;
        settings.insert("model".into(), json!([model.to_string_lossy(), weights.len(), modified.map(|t| t.as_secs())]));
        settings.insert("prompt".into(), json!(self.prompt));
        settings.insert("search".into(), json!(format!("{:?}", self.options)));
        let reading = self.named.reading();
        settings.insert("exif".into(), json!(reading.exif));
        if reading.fast_decode {
            settings.insert("fast_decode".into(), json!(true));
        }
        Ok(settings)
    }

    /// Returns the number of pictures that are done.
    ///
    /// # Errors
    /// Returns an error if they are not the first pictures of this run.
    fn check_steps(&self, partial: &Path, steps: &[Step]) -> Result<usize, CliError> {
        let done: Vec<&String> = steps.iter().flat_map(|step| &step.pictures).collect();
        let names = self.named.paths.iter().map(|path| path.display().to_string());
        if done.len() <= self.named.paths.len() && names.zip(&done).all(|(name, done)| name == **done) {
            return Ok(done.len());
        }
        Err(CliError::OtherRun { path: partial.into(), what: "list of pictures".into() })
    }
}

/// Writes captions to a file, whole or not at all.
fn write_captions(path: &Path, format: Format, captions: &[&Captioned]) -> io::Result<()> {
    write_atomic(path, |out| {
        if format == Format::JsonLines {
            return captions.iter().try_for_each(|caption| write_line(out, caption));
        }
        let columns = Columns::default();
        writeln!(out, "{},{}", columns.picture, columns.caption)?;
        captions.iter().try_for_each(|Captioned { image, caption, .. }| {
            let image = from_table(Path::new(image), path)?;
            writeln!(out, "{},{}", field(&image.to_string_lossy()), field(caption))
        })
    })
}

/// Returns the path of a picture as a table names it: paths in a table start from the table's folder.
fn from_table(picture: &Path, table: &Path) -> io::Result<PathBuf> {
    if folder_of(table) == Path::new(".") { Ok(picture.into()) } else { std::path::absolute(picture) }
}

/// Puts a field into quotes where it needs them.
fn field(text: &str) -> Cow<'_, str> {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\"")).into()
    } else {
        text.into()
    }
}

#[derive(Serialize)]
struct Report {
    output: String,
    captions: usize,
    skipped: usize,
    #[serde(skip_serializing_if = "PassedOver::is_empty")]
    passed_over: PassedOver,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Report { output, captions, skipped, passed_over } = self;
        write!(f, "{output}: {captions} {}", if *captions == 1 { "caption" } else { "captions" })?;
        if *skipped > 0 {
            write!(f, ", {skipped} skipped")?;
        }
        if passed_over.is_empty() { Ok(()) } else { write!(f, "\n{passed_over}") }
    }
}
