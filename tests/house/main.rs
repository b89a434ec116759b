//! Tests of the house: every file imports only what the table in `src/lib.rs` allows, and no two files import each
//! other.

mod docs;
mod graph;
mod letters;
mod notation;
mod planted;
mod planted_notation;
mod rules;
mod source;

use graph::{Sources, imports};
use letters::Letters;
use rules::{misplaced, rings, table, trespasses};
use std::fs;
use std::path::Path;

/// The crates and their roots.
const ROOTS: [(&str, &str); 4] = [
    ("kernels", "kernels/src/lib.rs"),
    ("clipwright", "src/lib.rs"),
    ("bin/train", "src/bin/train.rs"),
    ("bin/clipwright", "src/bin/clipwright.rs"),
];

/// The names by which code calls a crate, each with the crate.
const ALIASES: [(&str, &str); 3] =
    [("kernels", "kernels"), ("clipwright_kernels", "kernels"), ("clipwright", "clipwright")];

const HEADING: &str = "# The house";

#[test]
fn every_room_imports_what_the_table_says_and_no_file_imports_itself_around_a_ring() {
    let mut sources = Sources::new();
    ["src", "kernels/src"].iter().for_each(|folder| collect(folder, &mut sources));
    let rooms = table(&sources["src/lib.rs"], HEADING).unwrap();
    let imports = imports(&sources, &ROOTS, &ALIASES);
    let faults = [misplaced(&rooms, sources.keys()), trespasses(&rooms, &imports), rings(&imports)].concat();
    assert!(imports.len() > 100, "only {} imports read", imports.len());
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

const NOTATION: &str = "# Notation";

#[test]
fn every_letter_means_what_the_table_says_and_shapes_have_lines_of_their_own() {
    let mut sources = Sources::new();
    ["src", "kernels", "tests/support"].iter().for_each(|folder| collect(folder, &mut sources));
    let letters = Letters::parse(&sources["src/lib.rs"], NOTATION).unwrap();
    let faults = notation::faults(&letters, &sources);
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// The tour has a table of its own, as a book has, and its letters are the crate's.
#[test]
fn the_letters_of_the_tour_are_in_the_table() {
    let mut sources = Sources::new();
    collect("src", &mut sources);
    let letters = Letters::parse(&sources["src/lib.rs"], NOTATION).unwrap();
    let known: Vec<&str> = letters.names().collect();
    let section = sources["src/tour/mod.rs"].split_once("# Letters").expect("a section").1;
    let rows = section.lines().filter_map(|line| line.strip_prefix("//! | ")).skip(1);
    let of_tour: Vec<&str> = rows.flat_map(|row| row.split(" | ").next().expect("a cell").split(", ")).collect();
    let missing: Vec<_> = of_tour.iter().filter(|letter| !known.contains(letter)).collect();
    assert!(of_tour.len() > 50 && missing.is_empty(), "of {} letters {missing:?} are missing", of_tour.len());
}

/// A program of its own, which is no part of the house.
const BUILD_SCRIPT: &str = "src/build.rs";

/// Collects all Rust files below a folder of the repository.
fn collect(folder: &str, sources: &mut Sources) {
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            collect(&path, sources);
        } else if path.ends_with(".rs") && path != BUILD_SCRIPT {
            sources.insert(path, fs::read_to_string(entry.path()).unwrap());
        }
    }
}
