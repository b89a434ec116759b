//! Pages of duplicates: one HTML file with the small pictures of each group side by side.

use super::CliError;
use super::page::item;
use crate::app::html;
use crate::app::thumbnail::{THUMBNAIL, thumbnail};
use crate::counted::counted;
use crate::files::folder_of;
use htmlize::escape_all_quotes;
use image::RgbImage;
use rayon::prelude::*;
use std::collections::HashMap;
use std::fmt::{Arguments, Write};
use std::path::Path;

/// Largest number of pictures of one group that are shown, and of all.
const MAX_IN_GROUP: usize = 12;
const MAX_PICTURES: usize = 600;

const STYLE: &str = "\
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: 1rem; list-style: none; \
padding: 1rem 0; margin: 0; border-top: 1px solid var(--rule); }
a { display: flex; height: 9rem; align-items: center; justify-content: center; background: var(--ground); \
color: var(--faint); }
img { max-width: 100%; max-height: 100%; }
small { display: block; overflow-wrap: anywhere; color: var(--faint); }
.kept li:first-child a { outline: 2px solid light-dark(#1d5fc4, #7fb0ff); outline-offset: -2px; }
";

/// Groups of one kind.
pub(super) struct Section<'a> {
    pub title: &'a str,
    /// Whether the first picture of each group is to be kept.
    pub keeps: bool,
    pub groups: Vec<Vec<Tile>>,
}

/// A picture, and what is said of it.
pub(super) struct Tile {
    pub path: String,
    pub note: String,
}

/// Writes the page to a file, whole or not at all. What was found is said below the title.
pub(super) fn write(path: &Path, title: &str, said: &str, sections: &[Section]) -> Result<(), CliError> {
    let folder = folder_of(path).canonicalize().map_err(CliError::file(path))?;
    let mut room = MAX_PICTURES;
    let shown: Vec<Vec<&[Tile]>> = sections.iter().map(|section| shown(&section.groups, &mut room)).collect();
    let paths: Vec<&str> =
        shown.iter().flatten().flat_map(|tiles| tiles.iter().map(|tile| tile.path.as_str())).collect();
    let small = paths.into_par_iter().map(|path| (path, thumbnail(Path::new(path), THUMBNAIL)));
    let small: HashMap<&str, Option<RgbImage>> = small.collect();
    let mut body = format!("<p>{}. Nothing was deleted.</p>\n", escape_all_quotes(said));
    for (section, shown) in sections.iter().zip(&shown) {
        add(&mut body, &folder, section, shown, &small);
    }
    html::save(path, &html::page(title, STYLE, &body)).map_err(CliError::file(path))
}

/// Returns the first pictures of the first groups, as many as there is room for.
fn shown<'a>(groups: &'a [Vec<Tile>], room: &mut usize) -> Vec<&'a [Tile]> {
    let fits = |group: &'a Vec<Tile>| {
        let tiles = &group[..group.len().min(MAX_IN_GROUP)];
        *room = room.checked_sub(tiles.len())?;
        Some(tiles)
    };
    groups.iter().map_while(fits).collect()
}

fn add(
    body: &mut String,
    folder: &Path,
    section: &Section,
    shown: &[&[Tile]],
    small: &HashMap<&str, Option<RgbImage>>,
) {
    let all = section.groups.len();
    if all == 0 {
        return;
    }
    let title = escape_all_quotes(section.title);
    let mut add = |text: Arguments| body.write_fmt(text).expect("a string takes everything");
    add(format_args!("<h2>{title}: {}</h2>\n", counted(all, "group")));
    let class = if section.keeps { " class=\"kept\"" } else { "" };
    for (group, shown) in section.groups.iter().zip(shown) {
        add(format_args!("<ol{class}>\n"));
        for Tile { path, note } in *shown {
            let said = format!("<b>{}</b>", escape_all_quotes(note));
            add(format_args!("{}", item(folder, Path::new(path), small[path.as_str()].as_ref(), &said)));
        }
        add(format_args!("</ol>\n"));
        if shown.len() < group.len() {
            add(format_args!("<p>and {} more of this group</p>\n", group.len() - shown.len()));
        }
    }
    if shown.len() < all {
        add(format_args!("<p>and {} more; all of them with --json</p>\n", counted(all - shown.len(), "group")));
    }
}
