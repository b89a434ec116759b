//! How a model in training reads captions.

use super::blip_clean::{self, MAX_CAPTION_WORDS};
use super::tokenizer::Tokenizer;
use super::wordpiece::WordPiece;
use std::sync::Arc;

/// What turns the captions of a batch into tokens.
pub trait Tokenize: Send + Sync {
    /// Appends the tokens of a caption, at most `max_tokens` with the two that frame it, and returns whether the caption
    /// lost its end.
    ///
    /// # Panics
    /// Panics if `max_tokens` is below 2.
    fn append(&self, caption: &str, max_tokens: usize, ids: &mut Vec<u32>) -> bool;
}

impl Tokenize for Tokenizer {
    fn append(&self, caption: &str, max_tokens: usize, ids: &mut Vec<u32>) -> bool {
        self.encode_into(caption, max_tokens, ids)
    }
}

/// Captions as a BLIP learns them: cleaned, behind a prompt, as `[CLS] … [SEP]`.
pub struct BlipCaptions {
    pub pieces: Arc<WordPiece>,
    /// What every caption begins with, such as "a picture of ", or nothing.
    pub prompt: String,
}

impl Tokenize for BlipCaptions {
    fn append(&self, caption: &str, max_tokens: usize, ids: &mut Vec<u32>) -> bool {
        let caption = self.prompt.clone() + &blip_clean::caption(caption, MAX_CAPTION_WORDS);
        self.pieces.encode_into(&caption, max_tokens, ids)
    }
}
