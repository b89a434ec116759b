//! Hostile versions of a model folder's `tokenizer.json`.

use super::{cases, damaged, edits, fields};
use clipwright::text::Tokenizer;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;

/// Returns a small valid tokenizer: letters, an unknown token, and the two that frame a caption.
fn sound() -> Value {
    let vocabulary: Value = (b'a'..=b'z').enumerate().map(|(i, c)| (char::from(c).to_string(), json!(i))).collect();
    let mut vocabulary = vocabulary;
    for (token, id) in [("ab", 26), ("<unk>", 27), ("<s>", 28), ("</s>", 29)] {
        vocabulary[token] = json!(id);
    }
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": { "type": "Sequence", "normalizers": [{ "type": "Lowercase" }, { "type": "Replace", "pattern": { "Regex": "\\s+" }, "content": " " }] },
        "pre_tokenizer": { "type": "WhitespaceSplit" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }, { "SpecialToken": { "id": "</s>", "type_id": 0 } }],
            "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
            "special_tokens": { "<s>": { "id": "<s>", "ids": [28], "tokens": ["<s>"] }, "</s>": { "id": "</s>", "ids": [29], "tokens": ["</s>"] } },
        },
        "decoder": null,
        "model": { "type": "BPE", "unk_token": "<unk>", "fuse_unk": false, "vocab": vocabulary, "merges": ["a b"] },
    })
}

fn written(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// A tokenizer that opens must take any text and give ids below its own number of ids.
fn look(bytes: &[u8]) {
    let (_folder, path) = written(bytes);
    let Ok(tokenizer) = Tokenizer::open(&path) else { return };
    for text in ["", "a cab", "Ünïcödé \0 \u{10ffff}", "<s></s><unk>", "日本語 👩‍👩‍👧"] {
        let caption = tokenizer.encode(text, 8);
        assert!((1..=8).contains(&caption.ids.len()));
        assert!(caption.ids.iter().all(|&id| (id as usize) < tokenizer.vocabulary()), "{caption:?}");
    }
}

fn error_of(json: &Value) -> String {
    let (_folder, path) = written(json.to_string().as_bytes());
    Tokenizer::open(&path).map(|_| ()).unwrap_err().to_string()
}

fn value() -> impl Strategy<Value = Value> {
    let unusual = [
        Value::Null,
        json!(""),
        json!("a"),
        json!("("),
        json!("((a{1000}){1000}){1000}"),
        json!(0),
        json!(-1),
        json!(4294967295u64),
        json!(u64::MAX),
        json!(1e300),
        json!([]),
        json!([[]]),
        json!(["a", ""]),
        json!({}),
        json!(true),
        json!({ "type": "Precompiled", "precompiled_charsmap": "AAAA" }),
        json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true }),
        json!({ "type": "Metaspace", "replacement": "", "prepend_scheme": "first", "split": true }),
        json!({ "type": "Unigram", "unk_id": 7, "vocab": [["a", -1.0]] }),
        json!({ "type": "WordPiece", "vocab": { "a": 0 }, "unk_token": "x", "continuing_subword_prefix": "##", "max_input_chars_per_word": 0 }),
        json!({ "type": "WordLevel", "vocab": {}, "unk_token": "" }),
        json!({ "type": "BertProcessing", "sep": ["", 4294967295u64], "cls": ["", 0] }),
        json!({ "type": "FixedLength", "length": 0 }),
        json!({ "type": "Strip", "strip_left": true, "strip_right": true }),
        json!({ "type": "Prepend", "prepend": "é" }),
    ];
    prop::sample::select(unusual.to_vec())
}

/// The tests that other seeds can be given.
pub const TESTS: &[fn()] = &[damaged_files_are_survived, any_fields_are_survived];

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn damaged_files_are_survived(edits in edits()) {
        look(&damaged(sound().to_string().as_bytes(), &edits));
    }

    #[test]
    fn any_fields_are_survived(changes in prop::collection::vec((any::<prop::sample::Index>(), value()), 1..3)) {
        let mut json = sound();
        for (which, value) in changes {
            let mut found = vec![];
            fields("", &json, &mut found);
            // The text has many letters, all of them the same.
            found.retain(|at| !at.starts_with("/model/vocab/") || at.len() > 14);
            *json.pointer_mut(&found[which.index(found.len())]).unwrap() = value;
        }
        look(json.to_string().as_bytes());
    }
}

#[test]
fn a_sound_file_is_opened() {
    let (_folder, path) = written(sound().to_string().as_bytes());
    let tokenizer = Tokenizer::open(&path).unwrap();
    assert_eq!(tokenizer.encode("cab é", 8).ids, [28, 2, 26, 27, 29]);
    assert_eq!(tokenizer.vocabulary(), 30);
}

/// The library that reads the files panics on these, and the panic becomes an error.
#[test]
fn files_that_the_library_gives_up_on_are_refused() {
    let mut precompiled = sound();
    precompiled["normalizer"] = json!({ "type": "Precompiled", "precompiled_charsmap": "AAAA" });
    let mut prefix = sound();
    prefix["model"]["continuing_subword_prefix"] = json!("##");
    for json in [precompiled, prefix] {
        assert!(error_of(&json).contains("tokenizer.json"), "{}", error_of(&json));
    }
}

/// An id beyond the vocabulary would be a row beyond the model's table.
#[test]
fn tokens_of_the_frame_count_as_vocabulary() {
    let mut json = sound();
    json["post_processor"]["special_tokens"]["</s>"]["ids"] = json!([1_000_000]);
    let (_folder, path) = written(json.to_string().as_bytes());
    assert_eq!(Tokenizer::open(&path).unwrap().vocabulary(), 1_000_001);
}

/// The rare characters that are tried on opening have a token here, but others have none.
#[test]
fn characters_without_a_token_are_left_out() {
    let mut json = sound();
    json["model"] = json!({
        "type": "WordLevel", "unk_token": "<none>",
        "vocab": { "\u{1}": 0, "\u{e000}": 1, "\u{1f9ff}": 2, "\u{10ffff}": 3, "ÿ": 4, "a": 5 },
    });
    let (_folder, path) = written(json.to_string().as_bytes());
    let tokenizer = Tokenizer::open(&path).unwrap();
    assert_eq!(tokenizer.encode("a ☃ ÿ", 8).ids, [28, 5, 4, 29]);
    assert_eq!(tokenizer.encode("☃", 8).ids, [28, 29]);
}
