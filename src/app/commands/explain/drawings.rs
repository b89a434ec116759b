//! The file of drawings of a topic: a picture, or a page.

use super::page::{ending_in, ends_in};
use crate::app::commands::CliError;
use crate::app::commands::pictures::Turning;
use crate::app::commands::texts::{STDIN, stdin_bytes};
use crate::app::html;
use crate::app::plot::canvas::rgb;
use crate::app::plot::heat::{Drawing, sheet};
use crate::app::plot::save;
use crate::files;
use crate::pictures::{Picture, PictureError, Preprocess, decode};
use clap::Args;
use htmlize::escape_all_quotes;
use image::RgbImage;
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

const STYLE: &str = "\
p { max-width: 46rem; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1.2rem; }
figure { margin: 0; }
img { width: 100%; background: #fff; border-radius: .2rem; }
figcaption { overflow-wrap: anywhere; }
small { display: block; color: var(--faint); }
";

/// The largest number of rows and columns of a grid in a terminal.
const MAX_SHADES: usize = 28;

/// Where drawings go.
#[derive(Debug, Args)]
pub(super) struct Drawn {
    /// File to draw: a picture (.png), or a page (.html) that needs no network
    #[arg(long, short, value_name = "FILE", value_parser = named)]
    output: Option<PathBuf>,
}

/// Refuses a file that is named like something else.
fn named(text: &str) -> Result<PathBuf, String> {
    ending_in(text, &["png", "html"], "must end in .png or .html")
}

impl Drawn {
    /// Writes the drawings, whole or not at all, if they are asked for. `about` says what there is to know of them.
    pub(super) fn write(&self, title: &str, about: &str, tiles: impl FnOnce() -> Vec<Drawing>) -> Result<(), CliError> {
        let Some(path) = &self.output else { return Ok(()) };
        let tiles = tiles();
        let written = match ends_in(path, "png") {
            true => save(path, &sheet(title, about, &tiles)),
            false => html::save(path, &html::page(title, STYLE, &body(about, &tiles))),
        };
        written.map_err(CliError::file(path))
    }

    /// Writes one drawing that is a whole sheet by itself.
    pub(super) fn write_whole(&self, title: &str, draw: impl FnOnce() -> RgbImage) -> Result<(), CliError> {
        let Some(path) = &self.output else { return Ok(()) };
        let drawing = draw();
        let alt = escape_all_quotes(title);
        let page = || format!("<p><img alt=\"{alt}\" src=\"{}\"></p>\n", html::png(&drawing));
        let written = match ends_in(path, "png") {
            true => save(path, &drawing),
            false => html::save(path, &html::page(title, "img { max-width: 100%; }\n", &page())),
        };
        written.map_err(CliError::file(path))
    }
}

fn body(about: &str, tiles: &[Drawing]) -> String {
    let mut body = format!("<p>{}</p>\n<main>\n", escape_all_quotes(about));
    for Drawing { image, title, note } in tiles {
        let (title, note, address) = (escape_all_quotes(title), escape_all_quotes(note), html::png(image));
        writeln!(
            body,
            "<figure><img alt=\"{title}\" src=\"{address}\"><figcaption>{title}<small>{note}</small></figcaption></figure>"
        )
        .expect("a string takes everything");
    }
    body + "</main>\n"
}

/// The picture of a topic.
pub(super) struct Seen {
    /// The name by which results know it.
    pub name: String,
    pub picture: Picture,
}

impl Seen {
    /// Reads a picture; `-` is standard input.
    pub(super) fn read(path: &Path, reading: Turning) -> Result<Self, CliError> {
        let picture = match path == Path::new(STDIN) {
            true => {
                let bytes = stdin_bytes().map_err(CliError::file(path))?;
                decode::decode(&bytes).map_err(|source| PictureError::Format { path: path.into(), source })?
            }
            false => decode::open(path)?,
        };
        let picture = if reading.exif { picture.upright() } else { picture };
        Ok(Seen { name: files::name(path).into_owned(), picture })
    }

    /// Returns the picture in the colours that the tower sees, and the part of it that it sees.
    pub(super) fn shown(&self, preprocess: &Preprocess) -> (RgbImage, [f64; 4]) {
        let mut on_white = Picture::default();
        let picture = preprocess.flatten(&self.picture, &mut on_white).clone();
        let square = preprocess.square(picture.width, picture.height);
        (rgb(picture), square)
    }
}

/// Writes a grid in shades, a line for each of its rows, as shares of `full`. Of a grid that is too large for a terminal
/// it is the largest value of so many cells along each edge.
pub(super) fn shades(f: &mut fmt::Formatter, grid: &[Vec<f32>], full: f32) -> fmt::Result {
    let step = grid.len().div_ceil(MAX_SHADES);
    grid.chunks(step).try_for_each(|rows| {
        f.write_str("\n         ")?;
        (0..rows[0].len()).step_by(step).try_for_each(|from| {
            let cells = rows.iter().flat_map(|row| row.iter().skip(from).take(step));
            let shade = (cells.fold(0.0, |a: f32, &b| a.max(b)) / full.max(f32::MIN_POSITIVE) * 4.0).round() as usize;
            f.write_str(["··", "░░", "▒▒", "▓▓", "██"][shade.min(4)])
        })
    })
}
