//! Writes CLIP's tokenizer as Hugging Face's `CLIPTokenizer` loads it: as `tokenizer.json`, and for versions before 5
//! as `vocab.json` and `merges.txt`.
//!
//! That tokenizer splits text as [`crate::text::tokenizer`] does, but cleans it less: it neither decodes HTML entities
//! nor repairs mojibake.

use crate::checkpoint::CheckpointError;
use crate::checkpoint::json::write_json;
use crate::files::{self, write_atomic};
use crate::models::clip::TextConfig;
use crate::models::clip::config::VOCAB_SIZE;
use crate::text::tokenizer::{END_OF_TEXT, START_OF_TEXT, Vocabulary};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The name of the file by which a model's own tokenizer is recognised.
pub const TOKENIZER: &str = "tokenizer.json";
/// The name of a SigLIP's vocabulary, as SentencePiece writes it.
pub const SENTENCE_PIECE: &str = "spiece.model";
const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";
const WORDS: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Writes the files of the tokenizer, unless the model's vocabulary is not CLIP's.
pub(crate) fn write(folder: &Path, text: &TextConfig) -> Result<(), CheckpointError> {
    if text.vocab_size != VOCAB_SIZE {
        return Ok(());
    }
    let Vocabulary { tokens, merges } = Vocabulary::clip();
    let merges: Vec<String> = merges.iter().map(|(left, right)| format!("{left} {right}")).collect();
    let tokens = tokens.into_iter().chain([START.into(), END.into()]);
    let vocabulary: Map<String, Value> = tokens.zip(0..).map(|(token, id)| (token, json!(id))).collect();
    let path = folder.join("merges.txt");
    write_atomic(&path, |out| {
        writeln!(out, "#version: 0.2")?;
        merges.iter().try_for_each(|merge| writeln!(out, "{merge}"))
    })
    .map_err(|source| CheckpointError::Io { path, source })?;
    write_json(&folder.join("vocab.json"), &Value::Object(vocabulary.clone()))?;
    write_json(&folder.join(TOKENIZER), &tokenizer(vocabulary, merges))?;
    write_json(&folder.join("tokenizer_config.json"), &config(text.context_length))?;
    write_json(&folder.join("special_tokens_map.json"), &special_tokens())
}

/// Copies the files of a model's own tokenizer, which replace those that were written for CLIP's vocabulary.
pub fn copy(tokenizer: &Path, folder: &Path) -> Result<(), CheckpointError> {
    const NAMES: [&str; 8] = [
        SENTENCE_PIECE,
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "merges.txt",
        "vocab.txt",
        TOKENIZER,
    ];
    for name in NAMES {
        let (from, to) = (tokenizer.with_file_name(name), folder.join(name));
        if from.is_file() {
            let bytes = files::read(&from).map_err(|source| CheckpointError::Io { path: from, source })?;
            let copied = write_atomic(&to, |out| out.write_all(&bytes));
            copied.map_err(|source| CheckpointError::Io { path: to, source })?;
        }
    }
    Ok(())
}

fn special_tokens() -> Value {
    json!({ "bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END })
}

fn config(context_length: usize) -> Value {
    json!({
        "tokenizer_class": "CLIPTokenizer",
        "bos_token": START,
        "eos_token": END,
        "pad_token": END,
        "unk_token": END,
        "model_max_length": context_length,
        "add_prefix_space": false,
        "do_lower_case": true,
        "errors": "replace",
    })
}

fn tokenizer(vocabulary: Map<String, Value>, merges: Vec<String>) -> Value {
    let special = |id: u32, content: &str| {
        json!({
            "id": id, "content": content, "special": true,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        })
    };
    let byte_level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [special(START_OF_TEXT, START), special(END_OF_TEXT, END)],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "NFC" },
            { "type": "Replace", "pattern": { "Regex": r"\s+" }, "content": " " },
            { "type": "Lowercase" },
        ]},
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": WORDS }, "behavior": "Removed", "invert": true },
            byte_level,
        ]},
        "post_processor": {
            "type": "RobertaProcessing", "sep": [END, END_OF_TEXT], "cls": [START, START_OF_TEXT],
            "trim_offsets": false, "add_prefix_space": false,
        },
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": END, "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": merges,
        },
    })
}
