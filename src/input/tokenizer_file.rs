//! A model's own `tokenizer.json`, as Hugging Face's libraries write it.

use super::InputError;
use std::path::Path;
use tokenizers::Tokenizer;

/// Characters that a vocabulary may lack.
const RARE: &str = "\u{1} \u{e000} \u{1f9ff} \u{10ffff} ÿ";

/// The file's pipeline, and how it closes a caption.
pub struct TokenizerFile {
    pipeline: Tokenizer,
    end_of_text: u32,
    /// The largest id it can give.
    pub(super) largest: u32,
}

impl TokenizerFile {
    pub fn open(path: &Path) -> Result<Self, InputError> {
        let invalid = |reason: String| InputError::Tokenizer { path: path.into(), reason };
        let bytes = std::fs::read(path).map_err(InputError::io(path))?;
        let mut pipeline = Tokenizer::from_bytes(&bytes).map_err(|e| invalid(e.to_string()))?;
        // A caption has as many rows as tokens, and is cut below.
        pipeline.with_padding(None);
        pipeline.with_truncation(None).map_err(|e| invalid(e.to_string()))?;
        let framed = pipeline.encode_fast("", true).map_err(|e| invalid(e.to_string()))?;
        let [_, end_of_text] = *framed.get_ids() else {
            return Err(invalid(format!("it frames a caption with {} tokens, not with two", framed.len())));
        };
        // Whether unknown characters have a token shows here, not when the first one is met.
        pipeline.encode_fast(RARE, true).map_err(|e| invalid(e.to_string()))?;
        let largest = pipeline.get_vocab(true).into_values().max().unwrap_or(0);
        Ok(Self { pipeline, end_of_text, largest })
    }

    /// Appends the caption's tokens up to the first end of text, and returns whether it was truncated.
    pub fn encode_into(&self, text: &str, context_length: usize, ids: &mut Vec<u32>) -> bool {
        let encoding = self.pipeline.encode_fast(text, true).expect("any text has tokens, as was tried when opened");
        let all = encoding.get_ids();
        let end = all.iter().position(|&id| id == self.end_of_text).unwrap_or(all.len());
        let kept = end.min(context_length - 1);
        ids.extend_from_slice(&all[..kept]);
        ids.push(self.end_of_text);
        kept < end
    }
}
