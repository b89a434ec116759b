//! Tests of the tokenizer against OpenCLIP's, and of its own promises.

use clipwright::text::clean::clean;
use clipwright::text::tokenizer::{END_OF_TEXT, START_OF_TEXT, Tokenizer};
use proptest::prelude::*;
use serde::Deserialize;
use std::sync::LazyLock;

static CLIP: LazyLock<Tokenizer> = LazyLock::new(Tokenizer::clip);

#[derive(Deserialize)]
struct Golden {
    text: String,
    ids: Vec<u32>,
    padded77: Vec<u32>,
}

#[test]
fn equals_openclip_on_every_golden_string() {
    let rows: Vec<Golden> = serde_json::from_str(include_str!("../golden/tokenizer.json")).unwrap();
    assert_eq!(rows.len(), 36);
    for row in rows {
        let whole = CLIP.encode(&row.text, 1000);
        assert_eq!(whole.ids[1..whole.ids.len() - 1], row.ids, "{:?}", row.text);
        let mut padded = CLIP.encode(&row.text, 77);
        assert_eq!(padded.truncated, row.ids.len() > 75, "{:?}", row.text);
        padded.ids.resize(77, 0);
        assert_eq!(padded.ids, row.padded77, "{:?}", row.text);
    }
}

/// The trace of a caption has the ids of the caption, and every word's merges lead to its tokens.
#[test]
fn traces_are_what_is_encoded() {
    let rows: Vec<Golden> = serde_json::from_str(include_str!("../golden/tokenizer.json")).unwrap();
    let texts = rows.iter().map(|row| row.text.as_str());
    for text in texts.chain(["<start_of_text>a", "a <END_OF_TEXT> dog", "", "antidisestablishmentarianism 🦄"]) {
        let trace = CLIP.trace(text);
        let ids: Vec<u32> = trace.tokens().iter().map(|token| token.id).collect();
        assert_eq!(ids, CLIP.encode(text, 1000).ids, "{text:?}");
        assert!(trace.is_merged && trace.cleaned == clean(text), "{text:?}");
        for word in trace.words.iter().filter(|word| word.text != "<start_of_text>") {
            assert_eq!(word.letters.len(), word.text.len(), "a letter for each byte: {word:?}");
            assert_eq!(word.merges.len() + word.tokens.len(), word.letters.len(), "{word:?}");
            let tokens: Vec<&str> = word.tokens.iter().map(|token| token.text.as_str()).collect();
            assert_eq!(word.merges.last().map_or(&word.letters, |merge| &merge.parts), &tokens);
        }
    }
    let ranks =
        |word: &str| -> Vec<usize> { CLIP.trace(word).words[0].merges.iter().map(|merge| merge.rank).collect() };
    // The numbers of lines in OpenAI's file of merges.
    assert_eq!((ranks("cat"), ranks("photo")), (vec![24, 1856], vec![19, 94, 304, 613]));
}

#[test]
fn a_caption_ends_at_its_first_end_of_text() {
    let ids = CLIP.encode("a <END_OF_TEXT> dog", 77).ids;
    assert_eq!(ids, [START_OF_TEXT, 320, END_OF_TEXT]);
    assert_eq!(CLIP.encode("<start_of_text>a", 77).ids, [START_OF_TEXT, START_OF_TEXT, 320, END_OF_TEXT]);
}

#[test]
fn a_caption_that_just_fits_is_not_truncated() {
    let exact = CLIP.encode("a dog", 4);
    assert_eq!((exact.ids.as_slice(), exact.truncated), ([START_OF_TEXT, 320, 1929, END_OF_TEXT].as_slice(), false));
    let cut = CLIP.encode("a dog", 3);
    assert_eq!((cut.ids.as_slice(), cut.truncated), ([START_OF_TEXT, 320, END_OF_TEXT].as_slice(), true));
}

proptest! {
    #[test]
    fn any_text_gives_a_framed_row(text in "\\PC{0,80}|.{0,80}", context in 2usize..90) {
        let ids = CLIP.encode(&text, context).ids;
        prop_assert!(ids.len() >= 2 && ids.len() <= context);
        prop_assert_eq!(ids[0], START_OF_TEXT);
        prop_assert_eq!(ids.iter().position(|&id| id == END_OF_TEXT), Some(ids.len() - 1));
        prop_assert_eq!(clean(&clean(&text)).is_empty(), clean(&text).is_empty());
    }
}
