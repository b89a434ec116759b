//! Reading of a model's own `tokenizer.json`, as Hugging Face's libraries write it.

use crate::files;
use crate::text::error::{TokenizerError, TokenizerFileError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use tokenizers::Tokenizer;

/// Characters that a vocabulary may lack; every file must encode them when it is opened.
const RARE: &str = "\u{1} \u{e000} \u{1f9ff} \u{10ffff} ÿ";

/// The file's pipeline and the tokens that frame a caption.
pub(crate) struct TokenizerFile {
    pub(super) pipeline: Tokenizer,
    pub(super) start_of_text: u32,
    pub(super) end_of_text: u32,
    /// The largest token id.
    pub(super) largest: u32,
    /// The ids that no text has, in ascending order.
    special: Vec<u32>,
}

impl TokenizerFile {
    /// Reads the file and checks it.
    pub(crate) fn open(path: &Path) -> Result<Self, TokenizerError> {
        let bytes = files::read(path).map_err(|source| TokenizerError::Io { path: path.into(), source })?;
        // `from_bytes` is generic, so calling it would compile the whole reader once more in this crate.
        let pipeline = caught(|| std::str::from_utf8(&bytes)?.parse());
        pipeline.and_then(Self::of).map_err(|source| TokenizerError::Invalid { path: path.into(), source })
    }

    /// Checks that the pipeline frames a caption with two tokens and accepts any character.
    pub(super) fn of(mut pipeline: Tokenizer) -> Result<Self, TokenizerFileError> {
        // Captions are packed without padding, and `encode_into` cuts them.
        pipeline.with_padding(None);
        pipeline.with_truncation(None).map_err(TokenizerFileError::Refused)?;
        let framed = encode(&pipeline, "")?;
        let [start_of_text, end_of_text] = framed[..] else {
            return Err(TokenizerFileError::Frame { tokens: framed.len() });
        };
        // A file without a token for unknown characters is refused now, not when the first such character comes.
        encode(&pipeline, RARE)?;
        // The two tokens that frame a caption need not be in the vocabulary.
        let known = pipeline.get_vocab(true).into_values();
        let largest = known.chain([start_of_text, end_of_text]).max().unwrap_or(0);
        let added = pipeline.get_added_tokens_decoder().into_iter();
        let mut special: Vec<u32> = added.filter(|(_, token)| token.special).map(|(id, _)| id).collect();
        special.extend([start_of_text, end_of_text]);
        special.sort_unstable();
        Ok(Self { pipeline, start_of_text, end_of_text, largest, special })
    }

    /// Returns whether a token is no part of a text.
    pub(super) fn is_special(&self, id: u32) -> bool {
        self.special.binary_search(&id).is_ok()
    }

    /// Returns all of the caption's tokens, framed. Characters that the file cannot encode are left out.
    pub(super) fn ids(&self, text: &str) -> Vec<u32> {
        let readable = || text.chars().filter(|c| encode(&self.pipeline, c.encode_utf8(&mut [0; 4])).is_ok());
        encode(&self.pipeline, text)
            .or_else(|_| encode(&self.pipeline, &readable().collect::<String>()))
            .unwrap_or_else(|_| vec![self.start_of_text, self.end_of_text])
    }

    /// Appends the caption's tokens up to the first end of text and returns whether the caption was truncated.
    pub(crate) fn encode_into(&self, text: &str, context_length: usize, ids: &mut Vec<u32>) -> bool {
        let all = self.ids(text);
        let end = all.iter().position(|&id| id == self.end_of_text).unwrap_or(all.len());
        let kept = end.min(context_length - 1);
        ids.extend_from_slice(&all[..kept]);
        ids.push(self.end_of_text);
        kept < end
    }
}

fn encode(pipeline: &Tokenizer, text: &str) -> Result<Vec<u32>, TokenizerFileError> {
    caught(|| pipeline.encode_fast(text, true)).map(|encoding| encoding.get_ids().to_vec())
}

/// Runs a call into the library and turns its errors, and its panics on malformed files, into errors of ours.
fn caught<T>(run: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, TokenizerFileError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => outcome.map_err(TokenizerFileError::Refused),
        Err(_) => Err(TokenizerFileError::GaveUp),
    }
}
