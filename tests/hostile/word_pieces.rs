//! Hostile versions of the files that a model folder's WordPiece tokenizer is read from.

use super::{cases, damaged, edits};
use clipwright::text::WordPiece;
use proptest::prelude::*;
use serde_json::json;

const VOCABULARY: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##a\n##b\ncab\n";

/// Returns small valid files: the vocabulary, its configuration, the added tokens, and all in one.
fn sound() -> [(&'static str, String); 4] {
    let config = json!({
        "do_lower_case": true, "strip_accents": null, "cls_token": { "content": "[CLS]" }, "sep_token": "[SEP]",
        "added_tokens_decoder": { "0": { "content": "[PAD]" }, "10": { "content": "[DEC]" } },
    });
    let all = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "normalizer": { "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": { "type": "BertProcessing", "cls": ["[CLS]", 2], "sep": ["[SEP]", 3] },
        "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": { "[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "a": 5, "##b": 6 } },
    });
    [
        ("vocab.txt", VOCABULARY.into()),
        ("tokenizer_config.json", config.to_string()),
        ("added_tokens.json", json!({ "[ENC]": 11 }).to_string()),
        ("tokenizer.json", all.to_string()),
    ]
}

/// Writes the files, one of them damaged. A tokenizer that opens must take any text and any ids.
fn look(damage: usize, bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    // The last file stands alone, and goes before the others where it exists.
    for (at, (name, text)) in sound().iter().enumerate().filter(|(at, _)| *at < 3 || damage == 3) {
        let bytes = if at == damage { bytes } else { text.as_bytes() };
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let Ok(Some(words)) = WordPiece::open(folder.path(), 10, 11) else { return false };
    for text in ["", "a cab", "Ünïcödé \0 \u{10ffff}", "[SEP][DEC] [CLS]", "日本語 👩‍👩‍👧"] {
        let ids = words.encode_enc(text, 8);
        assert!((2..=8).contains(&ids.len()));
        assert!(ids.iter().all(|&id| (id as usize) < words.vocabulary()), "{ids:?}");
        assert!(words.prompt(text, 3).len() <= 3);
        words.decode(&ids);
    }
    words.decode(&[0, 7, 10, 11, 12, u32::MAX]);
    true
}

/// The tests that other seeds can be given.
pub const TESTS: &[fn()] = &[damaged_files_are_survived];

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn damaged_files_are_survived(which in 0..4usize, edits in edits()) {
        look(which, &damaged(sound()[which].1.as_bytes(), &edits));
    }
}

#[test]
fn sound_files_are_opened() {
    for (which, (_, text)) in sound().iter().enumerate() {
        assert!(look(which, text.as_bytes()));
    }
}
