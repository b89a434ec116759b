//! The table of letters, and the checks of comments against it.

use crate::docs::{Paragraph, paragraphs};
use crate::graph::Sources;
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The kinds of things that letters stand for.
const KINDS: [&str; 8] = ["size", "array", "tree", "number", "index", "function", "sign", "any"];

/// What each letter stands for, with the letters that only some files have.
pub struct Letters {
    everywhere: BTreeMap<String, Vec<String>>,
    /// Folders or files, and their own letters.
    places: Vec<(Vec<String>, BTreeMap<String, Vec<String>>)>,
}

/// A list of sizes such as (N,d), and the names of what has them.
struct Shape {
    names: Vec<String>,
    text: String,
}

impl Letters {
    /// Parses the tables below this heading: `| letter | kind | …` for all files and `| where | letter | kind | …` for
    /// some.
    pub fn parse(text: &str, heading: &str) -> Result<Self, String> {
        let section = text.split_once(heading).ok_or_else(|| format!("no section {heading:?}"))?.1;
        let section = section.split("//! # ").next().expect("a first part");
        let mut letters = Letters { everywhere: BTreeMap::new(), places: vec![] };
        for row in section.lines().filter_map(|line| line.strip_prefix("//! |")) {
            match row.split('|').map(str::trim).collect::<Vec<_>>()[..] {
                ["letter" | "where", ..] | ["---", ..] => {}
                [names, kinds, _, _, ""] if !names.starts_with('`') => declare(&mut letters.everywhere, names, kinds)?,
                [place, names, kinds, _, ""] => {
                    let place = place.split('`').skip(1).step_by(2).map(String::from).collect();
                    let mut own = BTreeMap::new();
                    declare(&mut own, names, kinds)?;
                    letters.places.push((place, own));
                }
                _ => return Err(format!("not a row of four cells: {row}")),
            }
        }
        if letters.everywhere.is_empty() { Err("no letters".into()) } else { Ok(letters) }
    }

    /// Returns the kinds of a letter in a file. The longest path has the last word.
    fn kinds(&self, file: &str, letter: &str) -> Option<&[String]> {
        let own = self.places.iter().flat_map(|(places, own)| places.iter().map(move |place| (place, own)));
        let own = own.filter(|(place, own)| file.starts_with(place.as_str()) && own.contains_key(letter));
        let own = own.max_by_key(|(place, _)| place.len()).map(|(_, own)| &own[letter]);
        own.or_else(|| self.everywhere.get(letter)).map(Vec::as_slice)
    }

    fn fault(&self, file: &str, letter: &str, wanted: &[&str]) -> Option<String> {
        match self.kinds(file, letter) {
            None => Some(format!("{letter} is in no table of src/lib.rs")),
            Some(kinds) if kinds.iter().any(|kind| wanted.contains(&kind.as_str())) => None,
            Some(kinds) => Some(format!("{letter} is declared as {}, not as {}", kinds.join(" or "), wanted[0])),
        }
    }
}

fn declare(letters: &mut BTreeMap<String, Vec<String>>, names: &str, kinds: &str) -> Result<(), String> {
    let kinds: Vec<String> = kinds.split(", ").map(String::from).collect();
    if let Some(kind) = kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
        return Err(format!("{names}: {kind:?} is no kind of {KINDS:?}"));
    }
    for name in names.split(", ") {
        if letters.insert(name.into(), kinds.clone()).is_some() {
            return Err(format!("{name} is declared twice"));
        }
    }
    Ok(())
}

/// Returns the faults of all comments of these files.
pub fn faults(letters: &Letters, sources: &Sources) -> Vec<String> {
    let of_file = |(file, source): (&String, &String)| {
        let paragraphs = paragraphs(source).into_iter();
        paragraphs.flat_map(|paragraph| faults_of(letters, file, &paragraph)).collect::<Vec<_>>()
    };
    sources.iter().flat_map(of_file).collect()
}

/// A size: letters, words and numbers, with what stands between them.
static SIZE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[\p{Alphabetic}\u{300}-\u{36f}0-9_′²³+−·/⌊⌋⌈⌉()]+$").unwrap());
/// A letter or a word in a size.
static NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\p{Alphabetic}[\p{Alphabetic}\u{300}-\u{36f}_]*").unwrap());
/// The names before a shape: `x` or a letter, with those that stand before it in backticks.
static NAMES: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?:`[^`]*`,?\s)*(?:`[^`]*`|\S+)\s$").unwrap());
static SPAN: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"`[^`]*`").unwrap());

fn faults_of(letters: &Letters, file: &str, paragraph: &Paragraph) -> Vec<String> {
    let mut faults = vec![];
    for shape in shapes(letters, file, &paragraph.text) {
        let text = &shape.text;
        if text.contains(char::is_whitespace) {
            faults.push(format!("{text} is written without spaces"));
        }
        let sizes = NAME.find_iter(text).map(|name| name.as_str()).filter(|name| !is_word(name));
        faults
            .extend(sizes.filter_map(|size| letters.fault(file, size, &["size"])).map(|say| format!("{text}: {say}")));
        let named = shape.names.iter().map(|name| bare(name)).filter(|name| is_letter(name));
        let wrong = named.filter_map(|name| letters.fault(file, name, &["array", "any"]));
        faults.extend(wrong.map(|say| format!("{text}: {say}")));
    }
    let is_row = paragraph.text.starts_with('|');
    if !is_row && is_formula(&paragraph.text) && !shapes(letters, file, &paragraph.text).is_empty() {
        faults.push("a formula and shapes are shown as one paragraph".into());
    }
    if !is_row && paragraph.text.contains('\n') && equations(&paragraph.text) > 2 {
        faults.push("more than two formulas are shown as one paragraph".into());
    }
    faults
        .extend(unknown(letters, file, &paragraph.text).map(|letter| format!("{letter} is in no table of src/lib.rs")));
    faults.sort();
    faults.dedup();
    faults.into_iter().map(|fault| format!("{file}:{}: {fault}", paragraph.line)).collect()
}

/// Whether a name in a shape is no letter but a word.
fn is_word(name: &str) -> bool {
    name.chars().count() > 2 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// Whether a name is one letter, with its hat if it has one.
fn is_letter(name: &str) -> bool {
    let mut marks = name.chars().filter(|c| !('\u{300}'..='\u{36f}').contains(c));
    marks.next().is_some_and(char::is_alphabetic) && marks.next().is_none()
}

/// Returns the letter that a gradient, a prime or an index belongs to.
fn bare(name: &str) -> &str {
    let name = name.split(['\\', '[']).next().expect("a first part").trim_end_matches('′');
    let letter = name.strip_prefix('d').filter(|rest| !rest.is_empty());
    letter.unwrap_or(name)
}

/// The signs between the two sides of a formula.
const EQUALS: [&str; 4] = [" = ", " += ", " −= ", " ← "];

/// Whether something is computed here, outside of code.
fn is_formula(text: &str) -> bool {
    equations(text) > 0 || ["∂", "Σ"].iter().any(|sign| SPAN.replace_all(text, "").contains(sign))
}

/// Counts the formulas in a text, outside of code.
fn equations(text: &str) -> usize {
    let text = SPAN.replace_all(text, "");
    EQUALS.iter().map(|sign| text.matches(sign).count()).sum()
}

/// A capital that stands by itself, perhaps as the gradient of something, perhaps with an index.
static CAPITAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:^|[^\p{Alphabetic}\d_`'’.-])d?(\p{Lu}[\u{300}-\u{36f}]*)(?:[^\p{Alphabetic}\d_'’.-]|[ᵀₕ]|$)")
        .unwrap()
});

/// "A" as a word.
static ARTICLE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?:^|\s)A \p{Ll}{2}").unwrap());

/// Returns the capitals in a formula that no table has.
fn unknown(letters: &Letters, file: &str, text: &str) -> impl Iterator<Item = String> {
    let text = SPAN.replace_all(text, "").into_owned();
    let lines = text.lines().filter(|line| equations(line) > 0);
    let capitals = lines.flat_map(|line| CAPITAL.captures_iter(line).map(|found| found[1].to_string()));
    let capitals = capitals.filter(|letter| letter != "A" || !ARTICLE.is_match(&text));
    let unknown = capitals.filter(|letter| letters.kinds(file, letter).is_none());
    unknown.collect::<Vec<_>>().into_iter()
}

/// Returns the shapes in a paragraph: what stands in parentheses behind a space and can only be sizes.
fn shapes(letters: &Letters, file: &str, text: &str) -> Vec<Shape> {
    let spans: Vec<_> = SPAN.find_iter(text).map(|span| span.range()).collect();
    let opened = text.match_indices('(').map(|(at, _)| at).filter(|at| !spans.iter().any(|span| span.contains(at)));
    opened.filter_map(|at| shape(letters, file, &text[..at], &text[at..])).collect()
}

fn shape(letters: &Letters, file: &str, before: &str, text: &str) -> Option<Shape> {
    if before.ends_with(|c: char| c.is_alphanumeric() || "_])′∗·".contains(c)) {
        return None;
    }
    let text = &text[..=closing(text)?];
    let inside = &text[1..text.len() - 1];
    let sizes: Vec<&str> = top_level(inside);
    let names = NAMES.find(before).map_or("", |names| names.as_str());
    let names: Vec<String> =
        names.split([',', ' ', '\n', '`']).filter(|name| !name.is_empty()).map(String::from).collect();
    let one = sizes.len() == 1;
    // One size alone is a shape behind a name: `bias` (d).
    let is_named = before.ends_with("` ") || names.last().is_some_and(|name| is_letter(bare(name)));
    let letter = |size: &str| letters.kinds(file, size).is_some_and(|kinds| kinds.iter().any(|kind| kind == "size"));
    let spaced = sizes.iter().any(|size| size.contains(char::is_whitespace));
    let is_shape = sizes.iter().all(|size| SIZE.is_match(size.trim()))
        && sizes.iter().any(|size| size.contains(char::is_alphabetic))
        && (!one || is_named && !spaced && (letter(inside) || before.ends_with("` ")))
        && (!spaced
            || NAME.find_iter(inside).any(|name| letter(name.as_str()))
                && sizes.iter().all(|size| is_size(letters, file, size)));
    is_shape.then(|| Shape { names, text: text.into() })
}

fn is_size(letters: &Letters, file: &str, size: &str) -> bool {
    let size = size.trim();
    !size.contains(char::is_whitespace)
        && NAME.find_iter(size).all(|name| is_word(name.as_str()) || letters.kinds(file, name.as_str()).is_some())
}

/// Returns the place of the parenthesis that closes the first.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    text.char_indices().find_map(|(at, c)| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        (depth == 0).then_some(at)
    })
}

/// Splits at the commas that are in no parentheses.
fn top_level(text: &str) -> Vec<&str> {
    let (mut depth, mut parts, mut start) = (0, vec![], 0);
    for (at, c) in text.char_indices() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if c == ',' && depth == 0 {
            parts.push(&text[start..at]);
            start = at + 1;
        }
    }
    parts.push(&text[start..]);
    parts
}
