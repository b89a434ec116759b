//! A model's own `tokenizer.json`, as Hugging Face's libraries write it.

use crate::text::error::TokenizerError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use tokenizers::Tokenizer;

/// Characters that a vocabulary may lack.
const RARE: &str = "\u{1} \u{e000} \u{1f9ff} \u{10ffff} ÿ";

/// The file's pipeline, and how it closes a caption.
pub struct TokenizerFile {
    pipeline: Tokenizer,
    start_of_text: u32,
    end_of_text: u32,
    /// The largest id it can give.
    pub(super) largest: u32,
}

impl TokenizerFile {
    pub fn open(path: &Path) -> Result<Self, TokenizerError> {
        let invalid = |reason: String| TokenizerError::Invalid { path: path.into(), reason };
        let bytes = std::fs::read(path).map_err(|source| TokenizerError::Io { path: path.into(), source })?;
        // Not `from_bytes`, which is generic: all of the reader would be compiled once more, here.
        let mut pipeline: Tokenizer = caught(|| std::str::from_utf8(&bytes)?.parse()).map_err(invalid)?;
        // A caption has as many rows as tokens, and is cut below.
        pipeline.with_padding(None);
        pipeline.with_truncation(None).map_err(|e| invalid(e.to_string()))?;
        let framed = encode(&pipeline, "").map_err(invalid)?;
        let [start_of_text, end_of_text] = framed[..] else {
            return Err(invalid(format!("it frames a caption with {} tokens, not with two", framed.len())));
        };
        // Whether unknown characters have a token shows here, not when the first one is met.
        encode(&pipeline, RARE).map_err(invalid)?;
        // The two that frame a caption need not be in the vocabulary.
        let known = pipeline.get_vocab(true).into_values();
        let largest = known.chain([start_of_text, end_of_text]).max().unwrap_or(0);
        Ok(Self { pipeline, start_of_text, end_of_text, largest })
    }

    /// Appends the caption's tokens up to the first end of text, and returns whether it was truncated. Characters that
    /// the file has no token for, and says nothing else about, are left out.
    pub fn encode_into(&self, text: &str, context_length: usize, ids: &mut Vec<u32>) -> bool {
        let readable = || text.chars().filter(|c| encode(&self.pipeline, c.encode_utf8(&mut [0; 4])).is_ok());
        let all = encode(&self.pipeline, text)
            .or_else(|_| encode(&self.pipeline, &readable().collect::<String>()))
            .unwrap_or_else(|_| vec![self.start_of_text, self.end_of_text]);
        let end = all.iter().position(|&id| id == self.end_of_text).unwrap_or(all.len());
        let kept = end.min(context_length - 1);
        ids.extend_from_slice(&all[..kept]);
        ids.push(self.end_of_text);
        kept < end
    }
}

fn encode(pipeline: &Tokenizer, text: &str) -> Result<Vec<u32>, String> {
    caught(|| pipeline.encode_fast(text, true)).map(|encoding| encoding.get_ids().to_vec())
}

/// What the library says. Of some files that are not as it expects it says so by a panic.
fn caught<T>(run: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err("the library that reads it gave up".into()),
    }
}
