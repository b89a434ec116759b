//! The option `--output` of topics that write a page, and the names of files by which topics tell what to write.

use crate::app::commands::CliError;
use crate::app::html;
use crate::app::plot::canvas;
use crate::pictures::Picture;
use clap::Args;
use image::RgbImage;
use image::imageops::thumbnail;
use std::path::{Path, PathBuf};

/// The style of pages with pairs, with tables whose cells are coloured by sign and size, and with a slider that moves
/// them.
pub(super) const PAIRS: &str = "\
h2 { font-size: 1.1rem; margin: 2rem 0 .4rem; }
h3 { font-size: .95rem; margin: 1rem 0 .2rem; }
.said { color: var(--faint); max-width: 46rem; margin: .2rem 0 .6rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 16rem), 1fr)); gap: 1rem; }
.pair { display: flex; gap: .8rem; align-items: flex-start; }
.pair img { width: 5rem; height: 5rem; object-fit: contain; background: #fff; border: 1px solid var(--rule); \
flex: none; }
.pair div { min-width: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
.grid td, .grid th { padding: .25rem .2rem; text-align: center; font-size: .8rem; border: 1px solid var(--rule); }
.grid th { color: var(--faint); font-weight: 500; }
.grid small { display: block; font-size: .68rem; }
.grid td { background: color-mix(in srgb, var(--hue) calc(55% * var(--a)), transparent); }
.grid .fits { outline: 2px solid var(--ink); outline-offset: -2px; }
.plus { --hue: light-dark(#e69f00, #d55e00); }
.minus { --hue: light-dark(#56b4e9, #0072b2); }
.slider { background: var(--ground); padding: .6rem .8rem; border-radius: .4rem; position: sticky; top: 0; z-index: 1; }
.slider[hidden] { display: none; }
.slider input { width: 100%; max-width: 30rem; display: block; accent-color: light-dark(#0072b2, #56b4e9); }
";

/// The longest edge of a small picture, in pixels.
const EDGE: u32 = 160;

/// The page that a topic writes if it is asked to.
#[derive(Debug, Args)]
pub(super) struct Page {
    /// Page to write, one .html file that needs no network
    #[arg(long, short, value_name = "FILE", value_parser = named)]
    output: Option<PathBuf>,
}

/// Refuses a file that is named like something else than a page.
fn named(text: &str) -> Result<PathBuf, String> {
    ending_in(text, &["html"], "must end in .html: this topic writes a page, and no picture alone")
}

/// Returns the path that a text names, or else `otherwise`, if it ends in one of these extensions.
pub(super) fn ending_in(text: &str, extensions: &[&str], otherwise: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if extensions.iter().any(|extension| ends_in(&path, extension)) { Ok(path) } else { Err(otherwise.into()) }
}

/// Returns whether a path has this extension, in capitals or not.
pub(super) fn ends_in(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|own| own.eq_ignore_ascii_case(extension))
}

impl Page {
    /// Writes the page, whole or not at all, if there is to be one. `body` is HTML, and so is what it returns.
    pub(super) fn write(&self, title: &str, style: &str, body: impl FnOnce() -> String) -> Result<(), CliError> {
        let Some(path) = &self.output else { return Ok(()) };
        html::save(path, &html::page(title, style, &body())).map_err(CliError::file(path))
    }
}

/// Returns a picture, upright, whose longest edge is no longer than it is shown.
pub(super) fn small(picture: &Picture) -> RgbImage {
    let picture = canvas::image(picture);
    let (width, height) = picture.dimensions();
    let longest = width.max(height);
    if longest <= EDGE {
        return picture;
    }
    let edge = |edge: u32| (u64::from(edge) * u64::from(EDGE)).div_ceil(u64::from(longest)) as u32;
    thumbnail(&picture, edge(width), edge(height))
}

/// Returns a text without its line breaks, which would look like another text's.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
