//! `clipwright embed`: writes the embeddings of pictures or texts.

use super::arrays::{Format, write_line, write_npy, write_safetensors};
use super::pictures::{Images, Named, Tally};
use super::texts::{NOTHING_LEFT, is_nothing, lines, warn_long};
use super::{CliError, Context};
use crate::counted::counted;
use crate::embed::{Family, ImageEncoder, TextEncoder};
use crate::eval::templates::PLACE;
use crate::files::{self, write_atomic};
use crate::pictures::folder::PassedOver;
use clap::Args;
use ndarray::{ArrayView1, ArrayView2};
use serde::Serialize;
use std::fmt;
use std::io::{self, Write, stdout};
use std::path::{Path, PathBuf};

/// Number of texts that are embedded at a time.
const AT_A_TIME: usize = 512;

/// Write the embeddings of pictures or texts
///
/// The result has one row of unit length for each picture or line of text, in the given order; the dot product of a
/// picture's row with a text's is their cosine. Pictures that cannot be read are named and left out. The rest is
/// written nevertheless, and the exit code is then 1 unless --skip-unreadable is given.
#[derive(Debug, Args)]
#[command(
    override_usage = "clipwright embed [OPTIONS] IMAGE…\n       clipwright embed [OPTIONS] --texts FILE",
    after_help = "\
Without --output, or if it ends in .jsonl, each row is a line of JSON:
{\"image\" or \"text\", \"embedding\"}. Rows are written as they come, so any number
of pictures fits the memory. A file is written whole or not at all:
  .npy          an array (n, e) of f32; beside it, in NAME.names.jsonl, a line
                of JSON for each row: {\"image\" or \"text\"}
  .safetensors  the same as \"embeddings\"; the metadata's \"names\" is a JSON list
                of the pictures or texts

In JSON, here and elsewhere, a path that is not UTF-8 (or begins with `file:`)
is `file:` and its bytes in percent-encoding: file:a%FF.png.

Examples:
  clipwright embed photos/ --output photos.npy
  clipwright embed --texts captions.txt --output captions.safetensors
  clipwright embed photo.jpg | jq .embedding"
)]
pub(crate) struct Embed {
    #[command(flatten)]
    images: Images,
    /// Text file with one text per line, `-` for standard input
    ///
    /// A blank line is an error, since rows and lines would no longer match.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["exif", "images", "files_from"])]
    texts: Option<PathBuf>,
    /// File to write: .npy, .safetensors or .jsonl [default: JSON lines on standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// File for the names of a .npy's rows [default: NAME.names.jsonl beside NAME.npy]
    #[arg(long, value_name = "FILE", requires = "output")]
    ids: Option<PathBuf>,
    /// Exit with code 0 even if some of the pictures cannot be read
    #[arg(long)]
    skip_unreadable: bool,
}

impl Embed {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        let known = [("npy", Format::Npy), ("safetensors", Format::Safetensors), ("jsonl", Format::JsonLines)];
        let format = self.output.as_deref().map(|path| Format::of(path, &known)).transpose()?;
        let ids = match self.output.as_deref().zip(format) {
            Some((path, format)) => self.ids_of(path, format)?,
            None => None,
        };
        let source = match &self.texts {
            Some(path) => Source::texts(context, path)?,
            None => Source::Pictures(self.images.find()?, Box::new(context.open_either()?.image_encoder()?)),
        };
        let Some((path, format)) = self.output.as_deref().zip(format) else {
            if let Source::Pictures(named, _) = &source {
                named.warn_passed_over();
            }
            let mut out = stdout().lock();
            let tally = source.for_each(context, |row| write_line(&mut out, &row)).map_err(CliError::Output)?;
            out.flush().map_err(CliError::Output)?;
            return tally.verdict(self.skip_unreadable);
        };
        let tally = source.write(context, path, format, ids.as_deref())?;
        if tally.bad < tally.seen {
            let (rows, skipped) = (tally.seen - tally.bad, tally.bad);
            context.output.show(&Report {
                output: files::name(path).into_owned(),
                rows,
                width: source.width(),
                skipped,
                ids: ids.map(|ids| files::name(&ids).into_owned()),
                passed_over: source.passed_over(),
            })?;
        }
        tally.verdict(self.skip_unreadable)
    }

    /// Returns the file for the rows' names. Only a .npy has one, since the other formats have a place for names
    /// themselves.
    fn ids_of(&self, output: &Path, format: Format) -> Result<Option<PathBuf>, CliError> {
        match &self.ids {
            None => Ok((format == Format::Npy).then(|| output.with_extension("names.jsonl"))),
            Some(ids) if format != Format::Npy || ids == output => {
                let why = if ids == output { "it is the --output too" } else { "only a .npy lacks its names" };
                Err(CliError::Usage(format!("--ids {}: {why}", ids.display())))
            }
            ids => Ok(ids.clone()),
        }
    }
}

/// The pictures or texts to embed, with their encoder.
enum Source {
    Pictures(Named, Box<Family<ImageEncoder>>),
    Texts(Vec<String>, Box<Family<TextEncoder>>),
}

/// The source of a row, as JSON names it.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    Image(String),
    Text(String),
}

impl Name {
    fn as_str(&self) -> &str {
        let (Self::Image(name) | Self::Text(name)) = self;
        name
    }
}

/// A row of the result, in the form of a line of JSON.
#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    name: Name,
    embedding: &'a [f32],
}

impl Source {
    fn texts(context: &Context, path: &Path) -> Result<Self, CliError> {
        let texts = lines(path)?;
        if let Some((i, _)) = texts.iter().enumerate().find(|&(i, &(number, _))| number != i + 1) {
            return Err(CliError::line(path, i + 1, "a blank line"));
        }
        let texts: Vec<String> = texts.into_iter().map(|(_, text)| text).collect();
        let encoder = context.open_either()?.text_encoder()?;
        if let Some(i) = texts.iter().position(|text| is_nothing(&encoder, text)) {
            return Err(CliError::line(path, i + 1, NOTHING_LEFT));
        }
        warn_long(&encoder, &texts, &[PLACE]);
        Ok(Source::Texts(texts, Box::new(encoder)))
    }

    fn passed_over(&self) -> PassedOver {
        match self {
            Source::Pictures(named, _) => named.passed_over.clone(),
            Source::Texts(..) => PassedOver::default(),
        }
    }

    fn width(&self) -> usize {
        match self {
            Source::Pictures(_, encoder) => encoder.embed_dim(),
            Source::Texts(_, encoder) => encoder.text_dim(),
        }
    }

    /// Calls `each` for one row after the other.
    fn for_each(&self, context: &Context, mut each: impl FnMut(Row) -> io::Result<()>) -> io::Result<Tally> {
        match self {
            Source::Pictures(named, encoder) => {
                let bar = context.output.progress(named.paths.len(), "pictures");
                named.embed(encoder, &bar, |i, row| {
                    let name = Name::Image(files::name(&named.paths[i]).into_owned());
                    each(Row { name, embedding: floats(&row) })
                })
            }
            Source::Texts(texts, encoder) => {
                let bar = context.output.progress(texts.len(), "texts");
                for texts in texts.chunks(AT_A_TIME) {
                    let rows = encoder.encode_text(texts);
                    for (text, row) in texts.iter().zip(rows.rows()) {
                        each(Row { name: Name::Text(text.clone()), embedding: floats(&row) })?;
                    }
                    bar.inc(texts.len() as u64);
                }
                bar.finish_and_clear();
                Ok(Tally { seen: texts.len(), bad: 0 })
            }
        }
    }

    /// Writes a file of JSON lines, or none if no picture could be read.
    fn write_lines(&self, context: &Context, path: &Path) -> Result<Tally, CliError> {
        let mut tally = Tally::default();
        let written = write_atomic(path, |out| {
            tally = self.for_each(context, |row| write_line(out, &row))?;
            // The error ensures that no file is left; the verdict on the tally reports the reason.
            if tally.bad < tally.seen { Ok(()) } else { Err(io::Error::other("no picture could be read")) }
        });
        match written {
            Err(error) if tally.bad < tally.seen || tally.seen == 0 => Err(CliError::file(path)(error)),
            _ => Ok(tally),
        }
    }

    /// Writes a file in this format, or none if no picture could be read. The names are written to `ids` if it is
    /// given, and otherwise into the file itself.
    fn write(&self, context: &Context, path: &Path, format: Format, ids: Option<&Path>) -> Result<Tally, CliError> {
        if format == Format::JsonLines {
            return self.write_lines(context, path);
        }
        let (mut flat, mut names) = (Vec::new(), Vec::new());
        let tally = self.for_each(context, |row| {
            flat.extend_from_slice(row.embedding);
            names.push(row.name);
            Ok(())
        });
        let tally = tally.expect("memory takes everything");
        if names.is_empty() {
            return Ok(tally);
        }
        let rows = ArrayView2::from_shape((names.len(), self.width()), &flat).expect("rows of one width");
        if let Some(ids) = ids {
            write_npy(path, rows)?;
            write_atomic(ids, |out| names.iter().try_for_each(|name| write_line(out, name)))
                .map_err(CliError::file(ids))?;
        } else {
            let names: Vec<&str> = names.iter().map(Name::as_str).collect();
            let names = serde_json::to_string(&names).expect("a list of strings");
            write_safetensors(path, &[("embeddings", rows.into_dyn())], [("names", names.as_str())])?;
        }
        Ok(tally)
    }
}

fn floats<'a>(row: &'a ArrayView1<f32>) -> &'a [f32] {
    row.as_slice().expect("a row of a matrix in standard layout")
}

#[derive(Serialize)]
struct Report {
    output: String,
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
        let Report { output, rows, width, skipped, passed_over, .. } = self;
        write!(f, "{output}: {} of {width}", counted(*rows, "row"))?;
        if *skipped > 0 {
            write!(f, ", {skipped} skipped")?;
        }
        if passed_over.is_empty() { Ok(()) } else { write!(f, "\n{passed_over}") }
    }
}
