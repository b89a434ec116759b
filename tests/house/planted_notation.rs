//! Planted faults of notation, which the checks must find, and good comments, which they must not report.

use crate::docs::{Paragraph, paragraphs};
use crate::graph::Sources;
use crate::letters::Letters;
use crate::notation::faults;

const TABLE: &str = "
//! # Notation
//! | letter | kind | meaning | in code |
//! |---|---|---|---|
//! | N, O, I, B | size | rows and so on | |
//! | d, H | size | width, heads | |
//! | x, y | array | input and output | `x`, `y` |
//! | W | array | weights | |
//! | S, T̂ | array | scores, captions | |
//! | s | number | scale | |
//! | Σ | sign | sum | |
//!
//! | where | letter | kind | meaning |
//! |---|---|---|---|
//! | `src/product` | B, C | array | as in BLAS |
//! | `src/product` | K | size | depth |
//!
//! # The house
//! | T | no | letter | |
";

/// Returns the faults of a file with this source, without its name.
fn told_in(file: &str, source: &str) -> Vec<String> {
    let letters = Letters::parse(TABLE, "# Notation").unwrap();
    let told = faults(&letters, &Sources::from([(file.to_string(), source.to_string())]));
    told.into_iter().map(|fault| fault.trim_start_matches(file).trim_start_matches(':').to_string()).collect()
}

fn told(source: &str) -> Vec<String> {
    told_in("src/layer.rs", source)
}

#[test]
fn good_comments_are_no_faults() {
    let good = [
        "/// y = x Wᵀ + b\n///\n/// `x` (N,I), `W` (O,I), `y` (N,O)",
        "//! ```text\n//! y = x Wᵀ\n//! dW += dyᵀ x\n//! ```\n//!\n//! rows x (N,I), weights W (O,I)",
        "    /// `xs[i]` (N,3d), `dx` (B·(1+N),d), `bias` (d), `lse` (H,N), captions T̂ (N,d)",
        "/// Pictures (B,height′,⌊width/stride⌋,O) are given, or (requests,N).",
        "/// The point (x, y) of f(x,y), named by (seed, step), at [`tile`](Self::tile) (see there).",
        "/// ```\n/// let y = f((q, z)); // Q = (Q,E)\n/// ```",
        "/// A layer has no bias.\nlet shape = (Q, E);",
        "/// | `W` (O,I) | y = x Wᵀ |",
        "/// Only `q = (Q,E)` in code.",
    ];
    for source in good {
        assert_eq!(told(source), Vec::<String>::new(), "{source}");
    }
}

#[test]
fn a_size_is_in_the_table_and_is_one_there() {
    assert_eq!(told("\n/// `x` (N,E)"), ["2: (N,E): E is in no table of src/lib.rs"]);
    assert_eq!(told("/// `x` (S,d)"), ["1: (S,d): S is declared as array, not as size"]);
    assert_eq!(told("/// `x` (N,3s²)"), ["1: (N,3s²): s is declared as number, not as size"]);
    assert_eq!(told("/// `x` (N,dv)"), ["1: (N,dv): dv is in no table of src/lib.rs"]);
    assert_eq!(told("/// `bias` (T̂)"), ["1: (T̂): T̂ is declared as array, not as size"]);
    assert_eq!(told("// the packed (3q,d) matrix"), ["1: (3q,d): q is in no table of src/lib.rs"]);
    assert_eq!(told("/// `x` (N, d)"), ["1: (N, d): written without spaces"]);
}

#[test]
fn what_has_a_shape_is_declared_as_an_array() {
    assert_eq!(told("/// `N` (O,d)"), ["1: (O,d): N is declared as size, not as array"]);
    assert_eq!(told("/// `x`, `ds` (O,d)"), ["1: (O,d): s is declared as number, not as array"]);
    assert_eq!(told("/// rows Z (O,d)"), ["1: (O,d): Z is in no table of src/lib.rs"]);
}

#[test]
fn a_place_has_letters_of_its_own() {
    assert_eq!(told_in("src/product/tile.rs", "/// operands B (K,N), C (O,N)"), Vec::<String>::new());
    assert_eq!(told_in("src/product/tile.rs", "/// `x` (B,d)"), ["1: (B,d): B is declared as array, not as size"]);
    assert_eq!(told("/// `x` (K,d)"), ["1: (K,d): K is in no table of src/lib.rs"]);
}

#[test]
fn formulas_and_shapes_have_lines_of_their_own() {
    let mixed = "a formula and shapes are shown as one paragraph";
    let sources = [
        "/// y = x Wᵀ\n/// `x` (N,I), `y` (N,O)",
        "/// y = x Wᵀ, `x` (N,I)",
        "//! With rows x (N,d), the sum\n//! is Σ x.",
        "/// ```text\n/// y = x Wᵀ        x (N,I)\n/// ```",
        "/// * y = x Wᵀ\n///   for x (N,I)",
    ];
    for source in sources {
        let told = told(source);
        assert!(told.len() == 1 && told[0].ends_with(mixed), "{source}: {told:?}");
    }
    let many = "/// y = x Wᵀ, so dx = dy W,\n/// dW = dyᵀ x.";
    assert_eq!(told(many), ["1: more than two formulas are shown as one paragraph"]);
}

#[test]
fn a_capital_in_a_formula_is_in_the_table() {
    assert_eq!(told("/// y = x Eᵀ"), ["1: E is in no table of src/lib.rs"]);
    assert_eq!(told("/// ```text\n/// dS = dE + S\n/// ```"), ["2: E is in no table of src/lib.rs"]);
}

#[test]
fn paragraphs_are_those_of_rustdoc() {
    let source =
        "//! one\n//! two\n//!\n//! # Title\n//! three\n//! * item\n//!   goes on\n//! * other\n\nfn f() {} // no
/// ```text\n/// a\n/// b\n/// ```\n/// four\n// five\n/// ```\n/// code\n/// ```";
    let texts = paragraphs(source).into_iter().map(|Paragraph { line, text }| format!("{line} {text}"));
    let texts: Vec<_> = texts.map(|text| text.replace('\n', "|")).collect();
    let expected = ["1 one|two", "4 # Title", "5 three", "6 * item|goes on", "8 * other", "12 a"];
    assert_eq!(texts[..6], expected);
    assert_eq!(texts[6..], ["13 b", "15 four", "16 five"]);
}

#[test]
fn the_tables_are_read_whole() {
    let error = |from: &str, to: &str| Letters::parse(&TABLE.replace(from, to), "# Notation").err().unwrap();
    assert_eq!(error("| W |", "| x |"), "x is declared twice");
    assert!(error("| W | array", "| W | matrix").contains("W: \"matrix\" is no kind of"));
    assert!(error("| scale | |", "| scale |").starts_with("not a row of four cells"));
    assert!(Letters::parse(TABLE, "# Letters").is_err());
}
