//! Pages of hits: one HTML file with the small pictures in it and links to the large ones.

use super::CliError;
use crate::app::html;
use crate::counted::counted;
use crate::files::folder_of;
use htmlize::escape_all_quotes;
use image::RgbImage;
use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

const STYLE: &str = "\
ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1.2rem; list-style: none; padding: 0; }
a { display: flex; height: 11rem; align-items: center; justify-content: center; background: var(--ground); color: var(--faint); }
img { max-width: 100%; max-height: 100%; }
small { display: block; overflow-wrap: anywhere; color: var(--faint); }
";

/// How the names of pages end.
pub(super) const ENDINGS: [&str; 2] = ["html", "htm"];

/// Refuses a file to write that is named like something else.
pub(super) fn check_ending(flag: &str, path: &Path, endings: &[&str]) -> Result<(), CliError> {
    let is = |extension: &OsStr| endings.iter().any(|ending| extension.eq_ignore_ascii_case(ending));
    if path.extension().is_some_and(is) {
        return Ok(());
    }
    Err(CliError::Usage(format!("{flag} {}: must end in .{}", path.display(), endings[0])))
}

/// One picture of the page.
pub(crate) struct Row<'a> {
    pub path: &'a Path,
    pub score: f32,
    /// The small picture. Without one, only the link is shown.
    pub thumbnail: Option<&'a RgbImage>,
    /// Whether this is a picture of the query.
    pub is_query: bool,
}

/// Writes the page to a file, whole or not at all. `scores` says what the scores are.
pub(crate) fn write(path: &Path, query: &str, pictures: usize, scores: &str, rows: &[Row]) -> Result<(), CliError> {
    let folder = folder_of(path).canonicalize().map_err(|source| CliError::File { path: path.into(), source })?;
    html::save(path, &page(&folder, query, pictures, scores, rows)).map_err(CliError::file(path))
}

fn page(folder: &Path, query: &str, pictures: usize, scores: &str, rows: &[Row]) -> String {
    let mut body = format!("<p>{} of {}; {scores}</p>\n<ol>\n", rows.len(), counted(pictures, "picture"));
    for (i, Row { path, score, thumbnail, is_query }) in rows.iter().enumerate() {
        let mark = if *is_query { " (the query)" } else { "" };
        let said = format!("<b>{}</b> {score:.4}{mark}", i + 1);
        body += &item(folder, path, *thumbnail, &said);
    }
    html::page(query, STYLE, &(body + "</ol>\n"))
}

/// Returns an item of a list of pictures: a small one, or without it the link alone, then what is said of it, which is
/// HTML, and its path.
pub(super) fn item(folder: &Path, path: &Path, thumbnail: Option<&RgbImage>, said: &str) -> String {
    let name = path.display().to_string();
    let (name, link) = (escape_all_quotes(&name), link(folder, path));
    let shown = thumbnail
        .map_or("cannot be read".into(), |thumbnail| format!("<img alt=\"{name}\" src=\"{}\">", html::jpeg(thumbnail)));
    format!("<li><a href=\"{link}\">{shown}</a>{said}<small>{name}</small></li>\n")
}

/// Returns the relative link from the page's folder to the file.
pub(in crate::app) fn link(folder: &Path, file: &Path) -> String {
    // A file that no longer exists has no canonical path, so its absolute path is used.
    let absolute = || std::path::absolute(file).unwrap_or_else(|_: io::Error| file.into());
    let file = file.canonicalize().unwrap_or_else(|_| absolute());
    let shared = folder.components().zip(file.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    let way: PathBuf = up.chain(file.components().skip(shared)).collect();
    let parts = way.iter().map(|part| encode(&part.to_string_lossy()));
    // Without "./", a name like "a:b" would be taken for an address with a scheme.
    format!("./{}", parts.collect::<Vec<_>>().join("/"))
}

/// Percent-encodes all characters that RFC 3986 does not call unreserved. Nothing is left that HTML would have to
/// escape.
fn encode(part: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    part.bytes().map(|byte| if is_plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn nothing_of_a_name_or_query_is_markup() {
        let name = "/p/a \"b\" <i>'&.png";
        let rows = [Row { path: Path::new(name), score: 0.5, thumbnail: None, is_query: true }];
        let html = page(Path::new("/q"), "<script>alert(\"x\")</script>", 7, "scores are cosines", &rows);
        assert!(
            html.contains("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;") && !html.contains("<script"),
            "{html}"
        );
        assert!(html.contains("href=\"./../p/a%20%22b%22%20%3Ci%3E%27%26.png\""), "{html}");
        assert!(
            !html.contains("<i>") && html.contains("1 of 7 pictures") && html.contains("0.5000 (the query)<"),
            "{html}"
        );
    }

    #[test]
    fn small_pictures_are_inside() {
        let picture = RgbImage::from_pixel(4, 3, image::Rgb([200, 10, 10]));
        let rows = [Row { path: Path::new("/p/a.png"), score: 0.5, thumbnail: Some(&picture), is_query: false }];
        let html = page(Path::new("/p"), "q", 1, "scores are cosines", &rows);
        let data = html.split("base64,").nth(1).unwrap().split('"').next().unwrap();
        let decoded = image::load_from_memory(&STANDARD.decode(data).unwrap()).unwrap();
        assert_eq!((decoded.width(), decoded.height()), (4, 3));
        assert!(html.contains("href=\"./a.png\""), "{html}");
    }
}
