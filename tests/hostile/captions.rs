//! Hostile captions, patterns of file names and lists of texts.

use super::{cases, promptly};
use clipwright::datasets::braces::expand;
use clipwright::text::{Tokenizer, clean};
use proptest::prelude::*;
use std::sync::LazyLock;

static CLIP: LazyLock<Tokenizer> = LazyLock::new(Tokenizer::clip);

/// Pieces of text that cleaning and splitting have rules for, and others.
const PIECES: [&str; 24] = [
    "&amp;",
    "&",
    "amp;",
    "&#",
    "x41;",
    "&#0;",
    "&#x110000;",
    "&EACUTE;",
    "<",
    "Ã©",
    "â€™",
    "Â",
    "\u{feff}",
    "\u{fb03}",
    "\u{ff21}",
    "e\u{301}",
    "'s",
    "<start_of_text>",
    "<end_of_text>",
    "\u{10ffff}",
    "\0",
    "\u{202e}",
    "İ",
    "Σ",
];

/// The tests that other seeds can be given.
pub const TESTS: &[fn()] = &[any_mixture_is_cleaned_and_framed, any_list_of_braces_is_answered];

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn any_mixture_is_cleaned_and_framed(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40), context in 2..80usize) {
        let text = pieces.concat();
        let _ = clean(&text);
        let caption = CLIP.encode(&text, context);
        prop_assert!(caption.ids.len() <= context && caption.ids.len() >= 2);
    }

    #[test]
    fn any_list_of_braces_is_answered(parts in prop::collection::vec(
        prop_oneof![
            Just("{".to_owned()), Just("}".to_owned()), Just(",".to_owned()), Just("..".to_owned()),
            "[0-9]{1,22}", Just("{0..9}".to_owned()), Just("::".to_owned()), Just("é".to_owned()),
        ],
        0..12,
    )) {
        if let Ok(names) = expand(&parts.concat()) {
            prop_assert!((1..=1_000_000).contains(&names.len()));
        }
    }
}

/// Nested entities need a repair for each layer, which reads all the rest: without a limit, time would be quadratic.
#[test]
fn entities_within_entities_are_not_uncovered_for_ever() {
    let text = format!("&{}lt;", "amp;".repeat(100_000));
    assert!(promptly(|| clean(&text)).starts_with("&amp;"));
    // Text that was garbled as often as it happens in practice is repaired.
    assert_eq!(clean("a &amp;amp;amp;lt; b"), "a < b");
}

#[test]
fn ranges_of_too_many_files_are_refused() {
    for pattern in ["{0..999999999999}", "{0..18446744073709551615}", "{0..9}{0..9}{0..9}{0..9}{0..9}{0..9}{0..9}"] {
        let error = promptly(|| expand(pattern)).unwrap_err().to_string();
        assert!(error.contains("a million"), "{error}");
    }
    assert_eq!(expand("{18446744073709551614..18446744073709551615}").unwrap().len(), 2);
}

/// A range is padded to the width of its longest end, and the standard library panics for widths from 65,536 on.
#[test]
fn a_number_of_a_hundred_thousand_digits_is_a_name() {
    let pattern = format!("{{0..{}1}}", "0".repeat(100_000));
    let error = promptly(|| expand(&pattern)).unwrap_err().to_string();
    assert!(error.contains("longer than a path"), "{}", error.len());
}

/// Each pair of braces is a step of the recursion, which holds a copy of the rest.
#[test]
fn braces_within_braces_do_not_fill_the_stack() {
    for pattern in [format!("{}a{}", "{".repeat(50_000), "}".repeat(50_000)), "{a}".repeat(40_000)] {
        assert!(promptly(|| expand(&pattern)).unwrap_err().to_string().contains("pairs of braces"));
    }
}
