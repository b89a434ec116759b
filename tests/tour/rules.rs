//! What a chapter's text has to keep to.

use crate::book::{Chapter, Entry};

/// The longest line of a text block, in characters. More is out of sight in a window 900 pixels wide.
const MAX_LINE: usize = 62;

/// The widest drawing, in pixels.
const MAX_WIDTH: f64 = 560.0;

/// On a phone, rustdoc breaks code within a word. Here it does so in the first and the last column of a table only.
const STYLE: &str = "<style>.docblock td:not(:first-child, :last-child) code { overflow-wrap: normal; }</style>";

/// Returns a chapter's text with fresh links: the line under its title, the last line, and after it the style and the
/// targets of `[chapter 4]`.
pub fn linked(chapter: &Chapter, contents: &[Entry]) -> String {
    let there: Vec<_> = contents.iter().filter(|entry| entry.module.is_some()).collect();
    let at = there.iter().position(|entry| entry.module.as_deref() == Some(&chapter.name)).expect("is there");
    let target = |entry: &Entry| format!("super::{}", entry.module.as_deref().expect("is there"));
    let link = |entry: &&Entry| format!("[{}. {}]({})", entry.number, entry.title, target(entry));
    let previous = at.checked_sub(1).map_or("[The tour](super)".to_string(), |at| link(&there[at]));
    let next = there.get(at + 1).map_or(String::new(), |entry| format!(" · Next: {}", link(entry)));
    let chain = format!("Previous: {previous}{next}");

    let text = &chapter.text;
    let (title, rest) = text.split_once("\nPrevious: ").expect("a line `Previous: …` under the title");
    let (_, rest) = rest.split_once('\n').expect("a text");
    let (body, _) = rest.rsplit_once("\nPrevious: ").expect("a last line `Previous: …`");
    let small = body.to_lowercase();
    let named = there.iter().filter(|entry| small.contains(&format!("[chapter {}]", entry.number)));
    let targets: Vec<_> = named.map(|entry| format!("[chapter {}]: {}\n", entry.number, target(entry))).collect();
    let gap = if targets.is_empty() { "" } else { "\n" };
    format!("{title}\n{chain}\n{body}\n{chain}\n\n{STYLE}\n{gap}{}", targets.concat())
}

/// Returns a chapter's text with a drawing in its place, between `<!-- drawing name -->` and `<!-- end -->`.
pub fn drawn(text: &str, drawing: &str, svg: &str) -> String {
    let start = format!("<!-- drawing {drawing} -->\n");
    let (before, rest) = text.split_once(&start).unwrap_or_else(|| panic!("no line {start:?}"));
    let (_, after) =
        rest.split_once("<!-- end -->\n").unwrap_or_else(|| panic!("no line `<!-- end -->` after {start:?}"));
    format!("{before}{start}{svg}<!-- end -->\n{after}")
}

/// Returns the lines that are too long for a text block, and those that have a formula and a list of shapes.
pub fn lines(chapter: &Chapter) -> Vec<String> {
    let mut faults = vec![];
    let mut block = None;
    for (i, line) in chapter.text.lines().enumerate() {
        let place = format!("{}.md:{}", chapter.name, i + 1);
        if let Some(language) = line.strip_prefix("```") {
            block = if block.is_none() { Some(language) } else { None };
        } else if block == Some("text") && length(line) > MAX_LINE {
            faults.push(format!("{place}: {} characters in a text block, at most {MAX_LINE}", length(line)));
        } else if matches!(block, None | Some("text")) && is_formula(line) && has_shape(line) {
            faults.push(format!("{place}: a formula and a list of shapes on one line"));
        }
    }
    let comments = chapter.code.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("///"));
    let mixed = comments.filter(|(_, line)| is_formula(line) && has_shape(line));
    faults.extend(mixed.map(|(i, _)| format!("{}.rs:{}: a formula and a list of shapes", chapter.name, i + 1)));
    faults
}

/// Counts characters as they are seen: the hat of T̂ takes no place of its own.
fn length(line: &str) -> usize {
    line.chars().filter(|c| !('\u{300}'..='\u{36f}').contains(c)).count()
}

fn is_formula(line: &str) -> bool {
    [" = ", " += ", "Σ", "∂"].iter().any(|sign| line.contains(sign))
}

/// Whether a line has a list like (N,d): letters or numbers, commas, no spaces.
fn has_shape(line: &str) -> bool {
    line.split('(').skip(1).filter_map(|rest| rest.split_once(')')).any(|(inside, _)| {
        inside.contains(',') && inside.split(',').all(|size| !size.is_empty() && size.chars().all(is_of_size))
    })
}

fn is_of_size(c: char) -> bool {
    c.is_alphanumeric() || "+−·/_²".contains(c)
}

/// Returns what hinders readers of a drawing.
pub fn drawing(svg: &str) -> Vec<String> {
    let width: f64 =
        svg.split_once("viewBox=\"0 0 ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok()).unwrap();
    let mut faults = vec![];
    if width > MAX_WIDTH {
        faults.push(format!("{width} pixels wide, at most {MAX_WIDTH}"));
    }
    if svg.lines().any(|line| line.trim().is_empty()) {
        faults.push("a blank line, which ends HTML in Markdown".into());
    }
    for part in ["role=\"img\"", "aria-label=\"", "currentColor", "<figcaption>"] {
        if !svg.contains(part) {
            faults.push(format!("no {part}"));
        }
    }
    faults
}
