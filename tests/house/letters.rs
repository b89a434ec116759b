//! The tables of letters.

use std::collections::BTreeMap;

/// The kinds of things that letters stand for.
const KINDS: [&str; 8] = ["size", "array", "tree", "number", "index", "function", "sign", "any"];

/// Letters, each with its kinds.
type Kinds = BTreeMap<String, Vec<String>>;

/// What each letter stands for, with the letters that only some files have.
pub struct Letters {
    everywhere: Kinds,
    /// Folders or files, and their own letters.
    places: Vec<(Vec<String>, Kinds)>,
}

impl Letters {
    /// Parses the tables below this heading: `| letter | kind | …` for all files and `| where | letter | kind | …` for
    /// some.
    pub fn parse(text: &str, heading: &str) -> Result<Self, String> {
        let section = text.split_once(heading).ok_or_else(|| format!("no section {heading:?}"))?.1;
        let section = section.split("//! # ").next().expect("a first part");
        let mut letters = Letters { everywhere: Kinds::new(), places: vec![] };
        for row in section.lines().filter_map(|line| line.strip_prefix("//! |")) {
            match row.split('|').map(str::trim).collect::<Vec<_>>()[..] {
                ["letter" | "where", ..] | ["---", ..] => {}
                [names, kinds, _, _, ""] if !names.starts_with('`') => declare(&mut letters.everywhere, names, kinds)?,
                [place, names, kinds, _, ""] => {
                    let place = place.split('`').skip(1).step_by(2).map(String::from).collect();
                    let mut own = Kinds::new();
                    declare(&mut own, names, kinds)?;
                    letters.places.push((place, own));
                }
                _ => return Err(format!("not a row of four cells: {row}")),
            }
        }
        if letters.everywhere.is_empty() { Err("no letters".into()) } else { Ok(letters) }
    }

    /// Returns all letters that stand for the same thing in every file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.everywhere.keys().map(String::as_str)
    }

    /// Returns the kinds of a letter in a file. The longest path has the last word.
    pub fn kinds(&self, file: &str, letter: &str) -> Option<&[String]> {
        let own = self.places.iter().flat_map(|(places, own)| places.iter().map(move |place| (place, own)));
        let own = own.filter(|(place, own)| file.starts_with(place.as_str()) && own.contains_key(letter));
        let own = own.max_by_key(|(place, _)| place.len()).map(|(_, own)| &own[letter]);
        own.or_else(|| self.everywhere.get(letter)).map(Vec::as_slice)
    }

    /// Returns what is wrong with a letter that should be of one of these kinds.
    pub fn fault(&self, file: &str, letter: &str, wanted: &[&str]) -> Option<String> {
        match self.kinds(file, letter) {
            None => Some(format!("{letter} is in no table of src/lib.rs")),
            Some(kinds) if kinds.iter().any(|kind| wanted.contains(&kind.as_str())) => None,
            Some(kinds) => Some(format!("{letter} is declared as {}, not as {}", kinds.join(" or "), wanted[0])),
        }
    }
}

fn declare(letters: &mut Kinds, names: &str, kinds: &str) -> Result<(), String> {
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
