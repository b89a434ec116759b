//! Every number of the text is one of the code, which asserts it or begins with it. So no number of the text can change
//! alone.

use crate::book::Chapter;

/// The largest whole number that may be a mere count: "two rows", or 16 chapters.
const MAX_COUNT: f64 = 16.0;

/// Numbers that no program of the chapter has: what a paper says, what a kernel is made with, what a question supposes.
const CITED: &[(&str, &[f64])] = &[
    ("gelu", &[1.5, 3e-8]),                    // the weight of chapter 1; kernels/src/activation.rs
    ("softmax", &[32.0]),                      // MB, src/loss/cross_entropy.rs
    ("attention", &[48.0, 128.0]),             // kernels/src/attention/block.rs
    ("tokens", &[64.0]),                       // kernels/src/embedding.rs
    ("loss_curve", &[64.0, 98.0]),             // bits; src/train/watch.rs
    ("convolution", &[180.0]),                 // degrees
    ("blip", &[0.995, 0.005, 57_600.0, 20.0]), // Li et al. 2022 and 2021; words, in a question
];

/// Returns the numbers of the text that are not in the code of the chapter.
pub fn untied(chapter: &Chapter) -> Vec<String> {
    let (prose, code) = split(&chapter.text);
    let known: Vec<f64> = numbers(&code).map(|(_, value)| value).collect();
    let cited = |value| CITED.iter().any(|(name, values)| *name == chapter.name && values.contains(&value));
    let is_count = |value: f64| value.fract() == 0.0 && value <= MAX_COUNT;
    let untied = numbers(&prose).filter(|(_, value)| !is_count(*value) && !known.contains(value) && !cited(*value));
    untied.map(|(at, value)| format!("{}.md: {value} in {:?}", chapter.name, around(&prose, at))).collect()
}

/// Returns the text without code, drawings, links and sources, and the code. What `check` says of a fault is code: another
/// test runs it.
fn split(text: &str) -> (String, String) {
    let (mut prose, mut code) = (String::new(), String::new());
    let (mut in_code, mut in_drawing) = (false, false);
    let body = text.split("**Sources and proof").next().expect("a first part");
    for line in body.lines() {
        match line {
            "```rust" => in_code = true,
            "```" => in_code = false,
            "<!-- end -->" => in_drawing = false,
            _ if in_code => code.extend([line, "\n"]),
            _ if line.starts_with("<!-- drawing") => in_drawing = true,
            _ if in_drawing || line.starts_with("Previous: ") => {}
            _ => prose.extend(line.split('`').step_by(2).chain(["\n"])),
        }
    }
    (prose, code)
}

/// Returns the numbers of a text, and where they stand. 49,408 and 49_408 are one number, and `W2`, B/32 and RN50 are none.
fn numbers(text: &str) -> impl Iterator<Item = (usize, f64)> {
    let starts = text.char_indices().filter(|&(at, c)| c.is_ascii_digit() && starts_number(&text[..at]));
    starts.filter_map(|(at, _)| {
        let end =
            text[at..].find(|c: char| !c.is_ascii_digit() && !".,_e-".contains(c)).map_or(text.len(), |end| at + end);
        let digits = text[at..end].replace('_', "");
        let mut candidates = (1..=digits.len()).rev().filter_map(|len| parse(&digits[..len]));
        Some((at, candidates.next()?))
    })
}

/// Whether a digit behind this text begins a number.
fn starts_number(before: &str) -> bool {
    let mut before = before.chars().rev();
    match before.next() {
        Some('/') => !before.next().is_some_and(char::is_alphabetic),
        Some('.' | ',') => !before.next().is_some_and(|c| c.is_ascii_digit()),
        Some(c) => !c.is_alphanumeric() && c != '_' && c != '#',
        None => true,
    }
}

/// Reads 0.25, 1e-8 and 49,408.
fn parse(digits: &str) -> Option<f64> {
    let groups: Vec<_> = digits.split(',').collect();
    let thousands = groups.len() == 1 || groups[0].len() <= 3 && groups[1..].iter().all(|group| group.len() == 3);
    if !thousands || !digits.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    groups.concat().parse().ok()
}

/// The words around a place.
fn around(text: &str, at: usize) -> String {
    let start = text[..at].char_indices().rev().nth(30).map_or(0, |(start, _)| start);
    text[start..].chars().take(60).collect::<String>().replace('\n', " ")
}
