//! Pages that are one file: their pictures are inside, and nothing is fetched from elsewhere.

use crate::app::plot::write_png;
use crate::files::write_atomic;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use htmlize::escape_all_quotes;
use image::{RgbImage, codecs::jpeg::JpegEncoder};
use std::{io, path::Path};

const QUALITY: u8 = 82;

/// The style of all pages, in the colours that the reader's system prefers.
const STYLE: &str = "\
:root { color-scheme: light dark; --ink: light-dark(#26262b, #e6e6ea); --faint: light-dark(#6a6a72, #a0a0a8); \
--rule: light-dark(#e4e4e8, #3a3a40); --ground: light-dark(#f4f4f6, #232327); --paper: light-dark(#fff, #18181b); }
body { font: 15px/1.4 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem; }
h1 { font-size: 1.3rem; margin: 0; }
h1 + p { color: var(--faint); margin: .2rem 0 1.5rem; }
@media (max-width: 40rem) { body { margin: 1rem; } }
";

/// Returns a page. The title is text; the body is HTML, and `style` what it needs beyond the style of all pages.
pub(crate) fn page(title: &str, style: &str, body: &str) -> String {
    let title = escape_all_quotes(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>\n{STYLE}{style}</style>\n<h1>{title}</h1>\n{body}</html>\n"
    )
}

/// Writes a page to a file, whole or not at all.
///
/// # Errors
/// Returns an error, without the name of the file, if it cannot be written.
pub(crate) fn save(path: &Path, page: &str) -> io::Result<()> {
    write_atomic(path, |out| out.write_all(page.as_bytes()))
}

/// Returns a picture as the address of an `img`: JPEG, for photographs.
pub(crate) fn jpeg(picture: &RgbImage) -> String {
    format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg_file(picture)))
}

/// Returns a picture as the bytes of a JPEG file.
pub(crate) fn jpeg_file(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = vec![];
    let encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    picture.write_with_encoder(encoder).expect("memory takes everything");
    bytes
}

/// Returns a picture as the address of an `img`: PNG, for drawings whose every pixel counts.
pub(crate) fn png(picture: &RgbImage) -> String {
    let mut bytes = vec![];
    write_png(&mut bytes, picture).expect("memory takes everything");
    png_file(&bytes)
}

/// Returns a PNG file as the address of an `img`.
pub(crate) fn png_file(bytes: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(bytes))
}
