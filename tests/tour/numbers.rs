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

/// Returns the numbers of the text that are not in the code of the chapter, whatever their sign, and those of its tables
/// that do not stand there as they stand in the table.
pub fn untied(chapter: &Chapter) -> Vec<String> {
    let (prose, code) = split(&chapter.text);
    let known: Vec<f64> = numbers(&code).map(|(_, value)| value).collect();
    let cited = |value: f64| CITED.iter().any(|(name, values)| *name == chapter.name && values.contains(&value.abs()));
    let stands = |value: f64| known.iter().any(|known| known.abs() == value.abs());
    let strange = |value: f64| !is_count(value) && !stands(value) && !cited(value);
    let untied = numbers(&prose).filter(|(_, value)| strange(*value));
    let untied = untied.map(|(at, value)| format!("{}.md: {value} in {:?}", chapter.name, around(&prose, at)));
    let moved = tables(&prose).into_iter().flat_map(|table| out_of_place(&table, &known));
    untied.chain(moved.map(|fault| format!("{}.md: {fault}", chapter.name))).collect()
}

fn is_count(value: f64) -> bool {
    value.fract() == 0.0 && value.abs() <= MAX_COUNT
}

/// The tables of a text: rows of cells, and the numbers of each cell that has no words.
fn tables(prose: &str) -> Vec<Vec<Vec<Vec<f64>>>> {
    let blocks = prose.split("\n\n").filter(|block| block.starts_with('|'));
    let cell = |cell: &str| {
        let cell = cell.replace("<br>", " ").replace("&nbsp;", " ");
        let has_words = cell.split(|c: char| !c.is_alphabetic()).any(|word| word.chars().count() > 1);
        if has_words { vec![] } else { numbers(&cell).map(|(_, value)| value).collect() }
    };
    blocks.map(|block| block.lines().map(|row| row.split('|').map(cell).collect()).collect()).collect()
}

/// Row, cell of the row, number of the cell.
type Place = (usize, usize, usize);

/// Returns the numbers of a table none of whose neighbours, in the row or the column, stands beside it in the code. A
/// cell may have several numbers: the second of a cell is beside the first, and beside the second of the next cell.
fn out_of_place(table: &[Vec<Vec<f64>>], code: &[f64]) -> Vec<String> {
    let mut places = vec![];
    for (i, row) in table.iter().enumerate() {
        for (j, cell) in row.iter().enumerate() {
            places.extend((0..cell.len()).map(|k| (i, j, k)));
        }
    }
    let value = |(i, j, k): Place| table[i][j][k];
    let beside = |a, b| code.windows(2).any(|two| two == [value(a), value(b)]);
    let next = |lines: &dyn Fn(&Place) -> [usize; 3]| {
        let mut sorted = places.clone();
        sorted.sort_by_key(|place| (lines(place), *place));
        let pairs = sorted.windows(2).filter(|pair| lines(&pair[0]) == lines(&pair[1]));
        pairs.filter(|pair| beside(pair[0], pair[1])).flat_map(|pair| [pair[0], pair[1]]).collect::<Vec<_>>()
    };
    // Along a row, along the same numbers of its cells, and down the same numbers of a column.
    let in_place = [next(&|p| [p.0, 0, 0]), next(&|p| [p.0, p.2, 1]), next(&|p| [p.1, p.2, 2])].concat();
    let names_row = |place: &Place| place.1 == 1 && is_count(value(*place));
    let lost = places.iter().filter(|place| !in_place.contains(place) && !names_row(place));
    lost.map(|place| format!("{} in a table, beside {:?}", value(*place), table[place.0])).collect()
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
        let value = (1..=digits.len()).rev().find_map(|len| parse(&digits[..len]))?;
        Some((at, if is_negative(&text[..at]) { -value } else { value }))
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

/// Whether the sign in front of a number is its own, and not a subtraction.
fn is_negative(before: &str) -> bool {
    let mut before = before.chars().rev();
    matches!(before.next(), Some('-' | '−')) && !before.next().is_some_and(|c| c.is_alphanumeric() || c == ')')
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
