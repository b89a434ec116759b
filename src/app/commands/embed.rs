//! `clipwright embed`: writes the embeddings of pictures, of texts, or of pairs of both.

use super::arrays::{Format, write_array, write_line, write_safetensors};
use super::convert::Dtype;
use super::embed_source::{Input, Pairs, Row, Source, Texts};
use super::parts::{Folder, Rows, Settings};
use super::pictures::{Images, Tally};
use super::texts::STDIN;
use super::{CliError, Context};
use crate::app::hint;
use crate::app::part::Part;
use crate::app::train::data_options::Storage;
use crate::checkpoint::Precision;
use crate::counted::counted;
use crate::datasets::{BadLimit, OwnPairs};
use crate::files::{self, write_atomic};
use crate::index::{Entry, ModelId};
use crate::pictures::folder::PassedOver;
use clap::Args;
use ndarray::ArrayView2;
use serde::Serialize;
use std::convert::Infallible;
use std::fmt;
use std::io::{self, Write, stdout};
use std::path::{Path, PathBuf};

/// The extension of the file of names beside a file of rows.
pub(super) const NAMES: &str = "names.jsonl";

/// Write the embeddings of pictures or texts
///
/// The result has one row of unit length for each picture or line of text, in the given order; the dot product of a
/// picture's row with a text's is their cosine. Pictures that cannot be read are named and left out. The rest is
/// written nevertheless, and the exit code is then 1 unless --skip-unreadable is given.
#[derive(Debug, Args)]
#[command(
    override_usage = "clipwright embed [OPTIONS] IMAGE…\n       clipwright embed [OPTIONS] --texts FILE\n       \
                      clipwright embed [OPTIONS] --pairs DATA --output DIR",
    after_help = "\
Without --output, or if it ends in .jsonl, each row is a line of JSON:
{\"image\" or \"text\", \"embedding\"}. Rows are written as they come, so any number
of pictures fits the memory. A file is written whole or not at all:
  .npy          an array (n, e); beside it, in NAME.names.jsonl, a line of JSON
                for each row: {\"image\" or \"text\"}
  .faiss        the same for faiss.read_index: an IndexFlatIP, and the names
  .safetensors  the same as \"embeddings\"; the metadata's \"names\" is a JSON list
                of the pictures or texts

An --output without an extension is a folder of parts, in the layout that
clip-retrieval writes and that clip-retrieval index, autofaiss and FAISS read:
  img_emb/img_emb_0.npy        rows of the pictures
  text_emb/text_emb_0.npy      rows of the texts
  metadata/metadata_0.parquet  image_path (in shards the key) and caption of
                               each row
  parts/part_0.jsonl           what the part was made of, written last
--shard I/N divides the work: each of N processes, on any machines, embeds a run
of neighbours in the list and writes a part of its own. On equal CPUs the parts
have the same rows to the bit for every N. A part that is there is not made
again, so that after an interruption the same command goes on; a part is in
memory until it is written. With other options, another model or other data the
folder is refused. `clipwright index DIR --from PARTS` makes an index of all
parts together.

In JSON and in tables, here and elsewhere, a path that is not UTF-8 (or begins
with `file:`) is `file:` and its bytes in percent-encoding: file:a%FF.png.

Examples:
  clipwright embed photos/ --output photos.npy
  clipwright embed --texts captions.txt --output captions.safetensors
  clipwright embed photo.jpg | jq .embedding
  clipwright embed photos --output parts --dtype f16 --shard 3/16
  clipwright embed --pairs 'web/{000..099}.tar' --output parts --shard 0/100"
)]
pub(crate) struct Embed {
    #[command(flatten)]
    images: Images,
    /// Text file with one text per line, `-` for standard input
    ///
    /// A blank line is an error, since rows and lines would no longer match.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["exif", "fast_decode", "images", "files_from"])]
    texts: Option<PathBuf>,
    /// Pictures with captions, both of which are embedded: what `train --train-data` reads
    #[arg(long, value_name = "DATA", conflicts_with_all = ["images", "files_from", "texts"], requires = "output")]
    pairs: Option<String>,
    /// File to write: .npy, .faiss, .safetensors or .jsonl; without an extension a folder of parts [default: JSON lines on
    /// standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// File for the names of the rows of a .npy or .faiss [default: NAME.names.jsonl beside it]
    #[arg(long, value_name = "FILE", requires = "output")]
    ids: Option<PathBuf>,
    /// Write only part I of N, counted from 0, of a folder of parts
    #[arg(long, value_name = "I/N", requires = "output")]
    shard: Option<Part>,
    /// Type of the stored numbers
    #[arg(long, value_enum, default_value_t)]
    dtype: Dtype,
    /// Exit with code 0 even if some of the pictures cannot be read
    #[arg(long)]
    skip_unreadable: bool,
    #[command(flatten, next_help_heading = "Tables")]
    storage: Storage,
}

impl Embed {
    pub(crate) fn run(mut self, context: &Context) -> Result<(), CliError> {
        let output = self.output.take();
        let known = [
            ("npy", Format::Npy),
            ("faiss", Format::Faiss),
            ("safetensors", Format::Safetensors),
            ("jsonl", Format::JsonLines),
        ];
        let format = match &output {
            Some(path) if path.extension().is_none() => return self.part(context, path),
            path => path.as_deref().map(|path| Format::of(path, &known)).transpose()?,
        };
        let of_parts = [("--shard", self.shard.is_some()), ("--pairs", self.pairs.is_some())];
        if let Some((flag, _)) = of_parts.iter().find(|(_, given)| *given) {
            let reason = "its --output is a folder of parts, whose name has no extension";
            return Err(CliError::Usage(format!("{flag}: {reason}")));
        }
        let dtype = Precision::from(self.dtype);
        if dtype == Precision::F16 && matches!(format, None | Some(Format::JsonLines)) {
            return Err(CliError::Usage("--dtype f16: JSON has no types of numbers".into()));
        }
        let ids = match output.as_deref().zip(format) {
            Some((path, format)) => {
                // What no header can be made for is said before the work, not after it.
                format.header(path, [0, 0], dtype)?;
                self.ids_of(path, format)?
            }
            None => None,
        };
        let skip_unreadable = self.skip_unreadable;
        let source = self.input()?.open(context.open_either()?)?;
        let Some((path, format)) = output.as_deref().zip(format) else {
            if let Source::Pictures(named, _) = &source {
                named.warn_passed_over();
            }
            let mut out = stdout().lock();
            let tally = source.for_each(context, |row| write_line(&mut out, &Line::of(&source, &row)));
            let tally = tally.map_err(CliError::Output)?;
            out.flush().map_err(CliError::Output)?;
            return tally.verdict(skip_unreadable);
        };
        let tally = write(&source, context, path, format, dtype, ids.as_deref())?;
        if tally.bad < tally.seen {
            let (rows, skipped) = (tally.seen - tally.bad, tally.bad);
            context.output.show(&Report {
                output: files::name(path).into_owned(),
                part: None,
                rows,
                width: source.width(),
                skipped,
                ids: ids.map(|ids| files::name(&ids).into_owned()),
                passed_over: source.passed_over(),
            })?;
        }
        tally.verdict(skip_unreadable)
    }

    /// Finds what is to be embedded.
    fn input(self) -> Result<Input, CliError> {
        Ok(match (&self.texts, &self.pairs) {
            (Some(path), _) => Input::Texts(Texts::read(path)?),
            (None, Some(data)) => {
                let data = OwnPairs::open(data, &self.storage.layout(), BadLimit::default())?;
                hint::say(&data);
                Input::Pairs(Pairs::new(data, self.images.reading()))
            }
            (None, None) => Input::Pictures(self.images.find()?),
        })
    }

    /// Writes a part of a folder of parts, unless it is finished.
    fn part(self, context: &Context, path: &Path) -> Result<(), CliError> {
        if let Some(ids) = &self.ids {
            let reason = "a folder of parts has the names in its metadata";
            return Err(CliError::Usage(format!("--ids {}: {reason}", ids.display())));
        }
        let (part, dtype, skip_unreadable) = (Part::of_process(self.shard), self.dtype.into(), self.skip_unreadable);
        let input = self.input()?;
        if let Input::Pictures(named) = &input
            && named.paths.iter().any(|path| path == Path::new(STDIN))
        {
            return Err(CliError::Usage(format!(
                "{STDIN}: a part is of pictures in files, which an index finds again"
            )));
        }
        let opened = context.open_either()?;
        let (list, kinds) = (input.digest().to_string(), input.kinds());
        let settings = Settings::new(part.of, ModelId::of(&opened)?, dtype, input.reading(), list, kinds);
        let folder = Folder::open(path, settings)?;
        let mut passed_over = PassedOver::default();
        let record = match folder.finished(part.place)? {
            Some(record) => {
                note!("{}: part {part} is finished already", path.display());
                record
            }
            None => {
                let places = part.range(input.len(), input.block());
                let source = input.part(places).open(opened)?;
                passed_over = source.passed_over();
                let (tally, rows) = rows(&source, context);
                // A disk that is not there must not end as a part without rows.
                if rows.count == 0 && !skip_unreadable {
                    tally.verdict(false)?;
                }
                folder.write(part.place, source.width(), tally, &rows)?
            }
        };
        context.output.show(&Report {
            output: files::name(path).into_owned(),
            part: Some(part.to_string()),
            rows: record.rows,
            width: record.width,
            skipped: record.bad,
            ids: None,
            passed_over,
        })?;
        if skip_unreadable { Ok(()) } else { record.tally().verdict(false) }
    }

    /// Returns the file for the rows' names, for the formats that have no place for names themselves.
    fn ids_of(&self, output: &Path, format: Format) -> Result<Option<PathBuf>, CliError> {
        let needed = matches!(format, Format::Npy | Format::Faiss);
        match &self.ids {
            None => Ok(needed.then(|| output.with_extension(NAMES))),
            Some(ids) if !needed || ids == output => {
                let why = if ids == output { "it is the --output too" } else { "this file has its names inside" };
                Err(CliError::Usage(format!("--ids {}: {why}", ids.display())))
            }
            ids => Ok(ids.clone()),
        }
    }
}

/// The source of a row, as JSON names it.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Name {
    Image(String),
    Text(String),
}

impl Name {
    fn of(source: &Source, row: &Row) -> Self {
        match row.text {
            Some((text, _)) => Name::Text(text.into()),
            None => Name::Image(source.name(row.place)),
        }
    }

    fn as_str(&self) -> &str {
        let (Self::Image(name) | Self::Text(name)) = self;
        name
    }
}

/// A row of pictures or texts in the form of a line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    name: Name,
    embedding: &'a [f32],
}

impl<'a> Line<'a> {
    fn of(source: &Source, row: &Row<'a>) -> Self {
        Line { name: Name::of(source, row), embedding: embedding(row) }
    }
}

/// Returns the one embedding of a picture or a text.
fn embedding<'a>(row: &Row<'a>) -> &'a [f32] {
    row.image.or(row.text.map(|(_, embedding)| embedding)).expect("a picture or a text")
}

/// Embeds a part of a folder of parts.
fn rows(source: &Source, context: &Context) -> (Tally, Rows) {
    // They are described before they are read: an index then takes a file that changes meanwhile for a changed one.
    let describe = |place| source.file(place).map(|file| entry(source.name(place), file));
    let files: Vec<Option<Entry>> = (0..source.len()).map(describe).collect();
    let mut rows = Rows::default();
    let Ok(tally) = source.for_each(context, |row| {
        rows.count += 1;
        if let Some(image) = row.image {
            rows.images.extend_from_slice(image);
            rows.paths.push(source.name(row.place));
        }
        if let Some((text, embedding)) = row.text {
            rows.texts.extend_from_slice(embedding);
            rows.captions.push(text.into());
        }
        rows.files.extend(files[row.place].clone());
        Ok::<_, Infallible>(())
    });
    (tally, rows)
}

/// Describes a file or, if that fails, says what no file is like.
fn entry(path: String, file: &Path) -> Entry {
    match file.metadata() {
        Ok(metadata) => Entry::new(path, &metadata),
        Err(_) => Entry { path, size: 0, modified: 0 },
    }
}

/// Writes a file of JSON lines, or none if no picture could be read.
fn write_lines(source: &Source, context: &Context, path: &Path) -> Result<Tally, CliError> {
    let mut tally = Tally::default();
    let written = write_atomic(path, |out| {
        tally = source.for_each(context, |row| write_line(out, &Line::of(source, &row)))?;
        // The error ensures that no file is left; the verdict on the tally reports the reason.
        if tally.bad < tally.seen { Ok(()) } else { Err(io::Error::other("no picture could be read")) }
    });
    match written {
        Err(error) if tally.bad < tally.seen || tally.seen == 0 => Err(CliError::file(path)(error)),
        _ => Ok(tally),
    }
}

/// Writes a file in this format, or none if no picture could be read. The names are written to `ids` if it is given,
/// and otherwise into the file itself.
fn write(
    source: &Source,
    context: &Context,
    path: &Path,
    format: Format,
    dtype: Precision,
    ids: Option<&Path>,
) -> Result<Tally, CliError> {
    if format == Format::JsonLines {
        return write_lines(source, context, path);
    }
    let (mut flat, mut names) = (Vec::new(), Vec::new());
    let Ok(tally) = source.for_each(context, |row| {
        flat.extend_from_slice(embedding(&row));
        names.push(Name::of(source, &row));
        Ok::<_, Infallible>(())
    });
    if names.is_empty() {
        return Ok(tally);
    }
    let rows = ArrayView2::from_shape((names.len(), source.width()), &flat).expect("rows of one width");
    if let Some(header) = format.header(path, [names.len(), source.width()], dtype)? {
        write_array(path, &header, rows, dtype)?;
    }
    if let Some(ids) = ids {
        write_atomic(ids, |out| names.iter().try_for_each(|name| write_line(out, name)))
            .map_err(CliError::file(ids))?;
    } else {
        let names: Vec<&str> = names.iter().map(Name::as_str).collect();
        let names = serde_json::to_string(&names).expect("a list of strings");
        write_safetensors(path, &[("embeddings", rows.into_dyn())], dtype, [("names", names.as_str())])?;
    }
    Ok(tally)
}

#[derive(Serialize)]
struct Report {
    output: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<String>,
    rows: usize,
    width: usize,
    skipped: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    ids: Option<String>,
    #[serde(skip_serializing_if = "PassedOver::is_empty")]
    passed_over: PassedOver,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Report { output, part, rows, width, skipped, passed_over, .. } = self;
        write!(f, "{output}")?;
        part.iter().try_for_each(|part| write!(f, ", part {part}"))?;
        write!(f, ": {} of {width}", counted(*rows, "row"))?;
        if *skipped > 0 {
            write!(f, ", {skipped} skipped")?;
        }
        if passed_over.is_empty() { Ok(()) } else { write!(f, "\n{passed_over}") }
    }
}
