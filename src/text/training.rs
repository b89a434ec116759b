//! How a model in training reads captions.

use super::blip_clean::{self, MAX_CAPTION_WORDS, MAX_QUESTION_WORDS};
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

    /// Does the same for an answer to a question. Only those who ask questions need to know how.
    fn append_answer(&self, answer: &str, max_tokens: usize, ids: &mut Vec<u32>) -> bool {
        self.append(answer, max_tokens, ids)
    }
}

impl Tokenize for Tokenizer {
    fn append(&self, caption: &str, max_tokens: usize, ids: &mut Vec<u32>) -> bool {
        self.encode_into(caption, max_tokens, ids)
    }
}

/// Captions as a BLIP learns them: cleaned, behind a prompt, as `[CLS] … [SEP]`.
pub struct BlipCaptions {
    pub pieces: Arc<WordPiece>,
    /// What every caption begins with, such as "a picture of", or nothing.
    pub prompt: String,
}

impl Tokenize for BlipCaptions {
    fn append(&self, caption: &str, max_tokens: usize, ids: &mut Vec<u32>) -> bool {
        let caption = format!("{} {}", self.prompt, blip_clean::caption(caption, MAX_CAPTION_WORDS));
        self.pieces.encode_into(&caption, max_tokens, ids)
    }
}

/// Questions and answers as a BLIP learns them: questions are cleaned, answers are as they are.
pub struct BlipQuestions(pub Arc<WordPiece>);

impl Tokenize for BlipQuestions {
    fn append(&self, question: &str, max_tokens: usize, ids: &mut Vec<u32>) -> bool {
        self.0.encode_into(&blip_clean::question(question, MAX_QUESTION_WORDS), max_tokens, ids)
    }

    fn append_answer(&self, answer: &str, max_tokens: usize, ids: &mut Vec<u32>) -> bool {
        self.0.encode_into(answer, max_tokens, ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_and_a_caption_are_words_apart() {
        let pieces = Arc::new(WordPiece::blip());
        for (prompt, whole) in
            [("a picture of", "a picture of a camel"), ("a picture of ", "a picture of a camel"), ("", "a camel")]
        {
            let mut ids = vec![];
            let captions = BlipCaptions { pieces: Arc::clone(&pieces), prompt: prompt.into() };
            assert!(!captions.append("A camel!", 30, &mut ids));
            assert_eq!(ids, pieces.encode(whole, 30), "{prompt:?}");
        }
    }
}
