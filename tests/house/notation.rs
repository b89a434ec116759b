//! The checks of comments against the tables of letters.

use crate::docs::{Paragraph, paragraphs};
use crate::graph::Sources;
use crate::letters::Letters;
use regex::{Captures, Regex};
use std::sync::LazyLock;

/// Code in a line.
static SPAN: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"`[^`]*`").unwrap());

/// Sizes in parentheses behind a space. A size is made of letters, words and numbers.
static SHAPE: LazyLock<Regex> = LazyLock::new(|| {
    let part = r"[\p{Alphabetic}\u{300}-\u{36f}0-9_′²³+−·/⌊⌋⌈⌉]";
    let size = format!(r"(?:{part}|\({part}+\))+");
    Regex::new(&format!(r"(?:^|\s)(\({size}(?:, ?{size})*\))")).unwrap()
});

/// A letter or a word in a size.
static NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\p{Alphabetic}[\p{Alphabetic}\u{300}-\u{36f}_]*").unwrap());

/// What has a shape: names in backticks, or a letter.
static NAMES: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?:`[^`]*`,?\s)*(?:`[^`]*`|\S+)$").unwrap());

/// A capital by itself, perhaps as a gradient, perhaps with an index.
static CAPITAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:^|[^\p{Alphabetic}\d_'’.-])d?(\p{Lu}[\u{300}-\u{36f}]*)(?:[^\p{Alphabetic}\d_'’.-]|[ᵀₕ]|$)")
        .unwrap()
});

/// "A" as a word.
static ARTICLE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?:^|\s)A \p{Ll}{2}").unwrap());

/// What stands between the two sides of a formula.
const EQUALS: [&str; 4] = [" = ", " += ", " −= ", " ← "];

/// Returns the faults of all comments of these files.
pub fn faults(letters: &Letters, sources: &Sources) -> Vec<String> {
    let of_file = |(file, source): (&String, &String)| {
        let of_paragraph = |Paragraph { line, text }: Paragraph| {
            let faults = Check { letters, file }.faults(&text);
            faults.into_iter().map(|fault| format!("{file}:{line}: {fault}")).collect::<Vec<_>>()
        };
        paragraphs(source).into_iter().flat_map(of_paragraph).collect::<Vec<_>>()
    };
    sources.iter().flat_map(of_file).collect()
}

/// The letters of one file.
struct Check<'a> {
    letters: &'a Letters,
    file: &'a str,
}

impl Check<'_> {
    fn faults(&self, text: &str) -> Vec<String> {
        let (shapes, said) = (self.shapes(text), SPAN.replace_all(text, ""));
        let mut faults: Vec<String> =
            shapes.iter().flat_map(|(names, shape)| self.faults_of_shape(names, shape)).collect();
        let (is_row, formulas) = (text.starts_with('|'), formulas(&said));
        let is_formula = formulas > 0 || said.contains(['∂', 'Σ']);
        if !is_row && is_formula && !shapes.is_empty() {
            faults.push("a formula and shapes are shown as one paragraph".into());
        }
        if !is_row && formulas > 2 && text.contains('\n') {
            faults.push("more than two formulas are shown as one paragraph".into());
        }
        faults.extend(self.unknown(&said));
        faults
    }

    fn faults_of_shape(&self, names: &str, shape: &str) -> Vec<String> {
        let spaced = shape.contains(' ').then(|| "written without spaces".into());
        let sizes = NAME.find_iter(shape).map(|name| name.as_str()).filter(|name| !is_word(name));
        let sizes = sizes.filter_map(|size| self.letters.fault(self.file, size, &["size"]));
        let names = names.split([',', ' ', '\n', '`']).map(bare).filter(|name| is_letter(name));
        let names = names.filter_map(|name| self.letters.fault(self.file, name, &["array", "any"]));
        spaced.into_iter().chain(sizes).chain(names).map(|fault| format!("{shape}: {fault}")).collect()
    }

    /// Returns the shapes in a paragraph, each behind the names of what has it.
    fn shapes(&self, text: &str) -> Vec<(String, String)> {
        let text = SPAN.replace_all(text, |code: &Captures| code[0].replace('(', "["));
        let shapes = SHAPE.captures_iter(&text).map(|found| {
            let found = found.get(1).expect("the parentheses");
            let names = NAMES.find(text[..found.start()].trim_end()).map_or("", |names| names.as_str());
            (names.to_string(), found.as_str().to_string())
        });
        shapes.filter(|(names, shape)| self.is_shape(names, shape)).collect()
    }

    /// Whether what stands in parentheses are sizes, and not a remark or a point.
    fn is_shape(&self, names: &str, shape: &str) -> bool {
        let parts: Vec<&str> = NAME.find_iter(shape).map(|name| name.as_str()).collect();
        let is_size =
            |name: &&str| self.letters.kinds(self.file, name).is_some_and(|kinds| kinds.contains(&"size".into()));
        if shape.contains(' ') {
            let is_known = |name: &&str| is_word(name) || self.letters.kinds(self.file, name).is_some();
            parts.iter().any(is_size) && parts.iter().all(is_known)
        } else if shape.contains(',') {
            !parts.is_empty()
        } else {
            // One size is a shape behind a name: `bias` (d), b (V).
            let letter = names.split_whitespace().last().is_some_and(|name| is_letter(bare(name)));
            !parts.is_empty() && (names.ends_with('`') || letter && parts.iter().all(is_size))
        }
    }

    /// Returns the faults of capitals in formulas that no table has.
    fn unknown(&self, text: &str) -> Vec<String> {
        let capitals = text.lines().filter(|line| formulas(line) > 0).flat_map(|line| CAPITAL.captures_iter(line));
        let capitals = capitals.map(|found| found.get(1).expect("the capital").as_str());
        let capitals = capitals.filter(|&letter| letter != "A" || !ARTICLE.is_match(text));
        let known = |letter| self.letters.kinds(self.file, letter).is_some();
        capitals
            .filter(|letter| !known(letter))
            .map(|letter| format!("{letter} is in no table of src/lib.rs"))
            .collect()
    }
}

fn formulas(text: &str) -> usize {
    EQUALS.iter().map(|sign| text.matches(sign).count()).sum()
}

/// Whether a size is a word, not a letter.
fn is_word(name: &str) -> bool {
    name.len() > 2 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// Whether a name is one letter, with its hat if it has one.
fn is_letter(name: &str) -> bool {
    let mut letters = name.chars().filter(|c| !('\u{300}'..='\u{36f}').contains(c));
    letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none()
}

/// Returns the letter that a gradient, a prime or an index belongs to.
fn bare(name: &str) -> &str {
    let name = name.split(['\\', '[']).next().expect("a first part").trim_end_matches('′');
    name.strip_prefix('d').filter(|rest| !rest.is_empty()).unwrap_or(name)
}
