//! Reading of a model's own `tokenizer.json`, as Hugging Face's libraries write it.

use crate::files;
use crate::text::error::{TokenizerError, TokenizerFileError};
use crate::text::trace::{Merges, Token, Trace, Word};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use tokenizers::{Encoding, ModelWrapper, NormalizedString, Normalizer, Tokenizer};

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
        encode(&self.pipeline, text)
            .or_else(|_| encode(&self.pipeline, &self.readable(text)))
            .unwrap_or_else(|_| vec![self.start_of_text, self.end_of_text])
    }

    /// Returns the characters that the file can encode.
    fn readable(&self, text: &str) -> String {
        text.chars().filter(|c| encode(&self.pipeline, c.encode_utf8(&mut [0; 4])).is_ok()).collect()
    }

    /// Returns how a caption becomes its tokens, of which none is cut off. Those behind `last` are not read.
    pub(crate) fn trace(&self, text: &str, last: Option<u32>) -> Trace {
        let encoded = |text: &str| caught(|| self.pipeline.encode(text, true));
        let readable = self.readable(text);
        let encoding = encoded(text).map(|encoding| (encoding, text));
        let encoding = encoding.or_else(|_| encoded(&readable).map(|encoding| (encoding, readable.as_str())));
        let token = |id| Token { id, text: self.pipeline.id_to_token(id).unwrap_or_default() };
        let frame = [self.start_of_text, self.end_of_text].map(token);
        let mut trace = Trace { cleaned: String::new(), words: vec![], is_merged: false, frame };
        if let Ok((encoding, text)) = encoding {
            (trace.cleaned, trace.words) = (self.normalized(text), words(&encoding, text, last));
        }
        if let ModelWrapper::BPE(model) = self.pipeline.get_model() {
            let merges = Merges::of(model);
            trace.words.iter_mut().for_each(|word| merges.explain(word));
            trace.is_merged = true;
        }
        trace
    }

    /// Returns the text as the file cleans it.
    fn normalized(&self, text: &str) -> String {
        let mut cleaned = NormalizedString::from(text);
        let normalized = self.pipeline.get_normalizer().map(|normalizer| caught(|| normalizer.normalize(&mut cleaned)));
        if matches!(normalized, Some(Err(_))) { text.to_owned() } else { cleaned.get().to_owned() }
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

/// Returns the words of an encoded text, which are what the frame is not, up to the token `last`.
fn words(encoding: &Encoding, text: &str, last: Option<u32>) -> Vec<Word> {
    let mut words: Vec<(u32, Word)> = vec![];
    let (ids, tokens, offsets) = (encoding.get_ids(), encoding.get_tokens(), encoding.get_offsets());
    let inside = 1..ids.len().saturating_sub(1);
    for i in inside.take_while(|&i| Some(ids[i]) != last) {
        let token = Token { id: ids[i], text: tokens[i].clone() };
        let (number, (start, end)) = (encoding.get_word_ids()[i].unwrap_or(u32::MAX), offsets[i]);
        let text = text.get(start..end).unwrap_or_default();
        match words.last_mut() {
            Some((last, word)) if *last == number => {
                word.text.push_str(text);
                word.tokens.push(token);
            }
            _ => {
                let word = Word { text: text.to_owned(), letters: vec![], merges: vec![], tokens: vec![token] };
                words.push((number, word));
            }
        }
    }
    words.into_iter().map(|(_, word)| word).collect()
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
