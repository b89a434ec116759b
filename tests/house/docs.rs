//! The comments of a source file, cut into the paragraphs that rustdoc makes of them.

/// Lines that are shown as one. A line of a block of text is one by itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Paragraph {
    /// The number of its first line, from 1.
    pub line: usize,
    pub text: String,
}

/// What a comment is in: `//!` and `///` are documentation, `//` is not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Inner,
    Outer,
    Plain,
}

/// The block of code that a line is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fence {
    None,
    /// Formulas, drawings, what a program prints.
    Text,
    /// Code, which is left out.
    Rust,
}

/// Returns the paragraphs of all comments that have lines of their own. Items of a list, rows of a table, headings, and
/// comments that are no documentation, are paragraphs of one line or more as well.
pub fn paragraphs(source: &str) -> Vec<Paragraph> {
    let (mut paragraphs, mut fence, mut last) = (vec![], Fence::None, None);
    for (i, line) in source.lines().enumerate() {
        let Some((kind, text)) = comment(line) else {
            (fence, last) = (Fence::None, None);
            continue;
        };
        if let Some(language) = text.trim().strip_prefix("```") {
            fence = match (fence, language) {
                (Fence::None, "text") => Fence::Text,
                (Fence::None, _) => Fence::Rust,
                _ => Fence::None,
            };
            last = None;
        } else if text.trim().is_empty() || fence == Fence::Rust {
            last = None;
        } else if last == Some(kind) && fence == Fence::None && !begins(text) {
            let Paragraph { text: before, .. } = paragraphs.last_mut().expect("the paragraph of the last line");
            *before = format!("{before}\n{}", text.trim());
        } else {
            paragraphs.push(Paragraph { line: i + 1, text: text.trim().into() });
            last = Some(kind).filter(|_| !text.trim_start().starts_with('#'));
        }
    }
    paragraphs
}

fn comment(line: &str) -> Option<(Kind, &str)> {
    let text = line.trim_start().strip_prefix("//")?;
    Some(match (text.strip_prefix('!'), text.strip_prefix('/')) {
        (Some(text), _) => (Kind::Inner, text),
        (_, Some(text)) if !text.starts_with('/') => (Kind::Outer, text),
        _ => (Kind::Plain, text),
    })
}

/// Returns whether a line begins a paragraph even without an empty line before it.
fn begins(text: &str) -> bool {
    let text = text.trim_start();
    let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
    ["* ", "- ", "|", "# "].iter().any(|mark| text.starts_with(mark))
        || number.len() < text.len() && number.starts_with(". ")
}
