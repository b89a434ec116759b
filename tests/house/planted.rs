//! Planted faults, which the rules must find, and allowed imports, which they must not report.

use crate::graph::{Import, Sources, imports};
use crate::rules::{misplaced, rings, table, trespasses};

const HOUSE: &str = "
//! # The house
//! Words.
//!
//! | room | knows | may import |
//! |---|---|---|
//! | `kernels/` | numbers | nothing |
//! | `tree`, `params` | names | `kernels` |
//! | `layers/` | layers | `tree` |
//! | `app/` | all | everything above |
//!
//! # Another
//! | `no` | table | of ours |
";

/// Returns the imports between these files, of which `src/lib.rs` is the root and declares the others.
fn read(files: &[(&str, &str)]) -> Vec<Import> {
    let sources: Sources = files.iter().map(|&(file, source)| (file.to_string(), source.to_string())).collect();
    let kernels = sources.contains_key("kernels/src/lib.rs").then_some(("kernels", "kernels/src/lib.rs"));
    let roots: Vec<_> = kernels.into_iter().chain([("clipwright", "src/lib.rs")]).collect();
    imports(&sources, &roots, &[("kernels", "kernels")])
}

/// Returns `from:line → to` of each import.
fn arrows(files: &[(&str, &str)]) -> Vec<String> {
    let arrow = |Import { from, line, to, .. }: Import| format!("{from}:{line} → {to}");
    let mut arrows: Vec<String> = read(files).into_iter().map(arrow).collect();
    arrows.sort();
    arrows
}

/// Returns the faults of a house of three rooms, in which all files but this one are empty.
fn faults(file: &str, source: &str) -> Vec<String> {
    let mut files = vec![
        ("kernels/src/lib.rs", "pub fn sum() {}"),
        ("src/lib.rs", "mod tree; mod params; mod layers; mod app; pub use app::Program;"),
        ("src/tree.rs", "pub struct Tree;"),
        ("src/params.rs", ""),
        ("src/layers/mod.rs", "pub mod linear; mod norm; pub use norm::{Norm as LayerNorm, layer};"),
        ("src/layers/linear.rs", "pub struct Linear;"),
        ("src/layers/norm.rs", "pub struct Norm; pub fn layer() {}"),
        ("src/app/mod.rs", "pub struct Program;"),
    ];
    files.iter_mut().filter(|(name, _)| *name == file).for_each(|entry| entry.1 = source);
    let (rooms, imports) = (table(HOUSE, "# The house").unwrap(), read(&files));
    [trespasses(&rooms, &imports), rings(&imports)].concat()
}

#[test]
fn imports_downwards_are_no_faults() {
    assert!(faults("src/app/mod.rs", "use crate::layers::linear; use kernels::sum; pub struct Program;").is_empty());
    assert!(faults("src/layers/linear.rs", "use crate::{params, tree::Tree}; pub struct Linear;").is_empty());
    assert!(faults("src/params.rs", "fn f() { kernels::sum() }").is_empty());
    assert!(faults("src/tree.rs", "#[cfg(test)] mod tests { use crate::app::Program; } pub struct Tree;").is_empty());
    assert!(
        faults("src/tree.rs", "// crate::app::Program\nconst TEXT: &str = \"crate::app\"; pub struct Tree;").is_empty()
    );
}

#[test]
fn an_import_upwards_is_told_with_its_place_and_the_rule() {
    let told = |file, source| faults(file, source).join("\n");
    assert_eq!(
        told("src/tree.rs", "\nuse std::fmt;\nuse crate::{params, layers::linear::Linear};"),
        "src/tree.rs:3: `crate::layers::linear::Linear` is in src/layers/linear.rs, but `tree` may import: `kernels`"
    );
    // Imports by a path in the middle of code, in a macro, by another name, and through a re-export are found.
    let ways = [
        "fn f() { crate::layers::linear::Linear; }",
        "fn f() { assert!(crate::layers::linear::Linear == 1) }",
        "use crate::layers as below; fn f(x: below::linear::Linear) {}",
        "use super::layers::linear::{self as other};",
        "use crate::layers::*; fn f(x: linear::Linear) {}",
    ];
    for way in ways {
        assert!(told("src/params.rs", way).contains("is in src/layers/linear.rs, but `params`"), "{way}");
    }
    assert!(told("src/params.rs", "use crate::layers::LayerNorm;").contains("is in src/layers/norm.rs"));
    assert!(told("src/params.rs", "use crate::Program;").contains("is in src/app/mod.rs"));
    assert!(told("src/layers/mod.rs", "pub mod linear; mod norm; pub use crate::Program;").contains("`layers` may"));
}

#[test]
fn a_ring_is_told_once_and_whole() {
    let files = [
        ("src/lib.rs", "mod a; mod b; mod c; mod d;"),
        ("src/a.rs", "use crate::b::B;"),
        ("src/b.rs", "\nuse super::c; fn f() { c::g() } pub struct B;"),
        ("src/c.rs", "pub fn g() { crate::a::f() }"),
        ("src/d.rs", "use crate::{a, b, c};"),
    ];
    let expected = "no two files import each other, but here is a ring:
    src/a.rs:1: `crate::b::B` is in src/b.rs
    src/b.rs:2: `super::c` is in src/c.rs
    src/c.rs:1: `crate::a::f` is in src/a.rs";
    assert_eq!(rings(&read(&files)), [expected]);
}

#[test]
fn a_parent_that_only_re_exports_is_looked_through() {
    let files = [
        ("src/lib.rs", "pub mod a; pub use a::Name;"),
        ("src/a/mod.rs", "mod x; mod y; pub use x::Name; pub(crate) use y::*;"),
        ("src/a/x.rs", "use super::other; pub struct Name;"),
        ("src/a/y.rs", "pub fn other() {}"),
    ];
    assert_eq!(arrows(&files), ["src/a/x.rs:1 → src/a/y.rs"]);
    assert!(rings(&read(&files)).is_empty());
    // With code of its own, the file is like others.
    let mut files = files;
    files[1].1 = "mod x; mod y; pub use x::Name; pub fn other() { y::other() } fn f() -> x::Name { Name }";
    assert_eq!(rings(&read(&files)).len(), 1);
}

#[test]
fn tests_in_files_of_their_own_are_left_out() {
    let files = [("src/lib.rs", "mod a; #[cfg(test)]\n#[rustfmt::skip]\nmod tests;"), ("src/a.rs", "")];
    assert!(arrows(&files).is_empty());
}

#[test]
fn the_table_is_the_whole_house_and_grows_upwards() {
    let rooms = table(HOUSE, "# The house").unwrap();
    let files =
        ["src/lib.rs", "src/tree.rs", "src/params.rs", "src/attic/mod.rs", "src/app/mod.rs", "kernels/src/lib.rs"];
    let files = files.map(String::from);
    assert_eq!(misplaced(&rooms, files.iter()), ["attic is in no room", "room layers has no files"]);
    let upwards = HOUSE.replace("| nothing |", "| `app` |");
    assert!(table(&upwards, "# The house").is_err_and(|error| error.contains("which is no room below it")));
    assert!(table(HOUSE, "# No house").is_err());
}
