//! Reading of a model's own `tokenizer.json`, as Hugging Face's libraries write it, or of a SigLIP's `spiece.model`.

use crate::files;
use crate::text::clean::canonical;
use crate::text::error::{TokenizerError, TokenizerFileError};
use crate::text::sentence_piece;
use crate::text::trace::{Merges, Token, Trace, Word};
use std::borrow::Cow;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use tokenizers::{Encoding, ModelWrapper, NormalizedString, Normalizer, Tokenizer};

/// Characters that a vocabulary may lack; every file must encode them when it is opened.
const RARE: &str = "\u{1} \u{e000} \u{1f9ff} \u{10ffff} ÿ";

/// The file's pipeline and the tokens that frame a caption.
pub(crate) struct TokenizerFile {
    pub(super) pipeline: Tokenizer,
    /// The token that opens a caption. A SigLIP's captions have none.
    pub(super) start_of_text: Option<u32>,
    pub(super) end_of_text: u32,
    cleaning: Cleaning,
    /// The largest token id.
    pub(super) largest: u32,
    /// The ids that no text has, in ascending order.
    special: Vec<u32>,
}

/// What a text goes through before the file's own pipeline.
#[derive(Clone, Copy)]
enum Cleaning {
    None,
    /// Small letters, as SigLIP 2 was trained with. Its tokenizer does not see to it.
    Lower,
    /// What SigLIP's texts were [cleaned](canonical) by.
    Canonical,
}

/// The tokens that end a SigLIP's texts, what they are filled up with, and how they are cleaned: those of the first
/// generation, whose vocabulary is T5's, and of the second, whose vocabulary is Gemma's.
const SIGLIP: [(&str, &str, Cleaning); 2] =
    [("</s>", "</s>", Cleaning::Canonical), ("<eos>", "<pad>", Cleaning::Lower)];

impl TokenizerFile {
    /// Reads the file and checks it.
    pub(crate) fn open(path: &Path) -> Result<Self, TokenizerError> {
        Self::read(path)?.and_then(Self::of).map_err(invalid(path))
    }

    /// Reads the file of a SigLIP, and returns with it the token that its texts are filled up with.
    pub(crate) fn open_siglip(path: &Path) -> Result<(Self, u32), TokenizerError> {
        Self::read(path)?.and_then(Self::of_siglip).map_err(invalid(path))
    }

    fn read(path: &Path) -> Result<Result<Tokenizer, TokenizerFileError>, TokenizerError> {
        let bytes = files::read(path).map_err(|source| TokenizerError::Io { path: path.into(), source })?;
        Ok(if path.extension().is_some_and(|extension| extension == "model") {
            caught(|| Ok(sentence_piece::read(&bytes))).flatten()
        } else {
            // `from_bytes` is generic, so calling it would compile the whole reader once more in this crate.
            caught(|| std::str::from_utf8(&bytes)?.parse())
        })
    }

    /// Checks that the pipeline has one of the two ends and accepts any character. CLIP's own vocabulary, which `train` takes
    /// for a new model, has neither: its captions are framed as a CLIP's are, and filled up with zeros as OpenCLIP does it.
    fn of_siglip(mut pipeline: Tokenizer) -> Result<(Self, u32), TokenizerFileError> {
        if pipeline.token_to_id("<|endoftext|>").is_some() {
            return Self::of(pipeline).map(|file| (file, 0));
        }
        pipeline.with_padding(None);
        pipeline.with_truncation(None).map_err(TokenizerFileError::Refused)?;
        let id = |token| pipeline.token_to_id(token);
        let known = SIGLIP.iter().find_map(|&(end, pad, cleaning)| Some((id(end)?, id(pad)?, cleaning)));
        let (end_of_text, padding, cleaning) = known.ok_or(TokenizerFileError::NoEnd)?;
        encode(&pipeline, RARE, false)?;
        Ok((Self::framed(pipeline, None, end_of_text, cleaning), padding))
    }

    /// Checks that the pipeline frames a caption with two tokens and accepts any character.
    pub(super) fn of(mut pipeline: Tokenizer) -> Result<Self, TokenizerFileError> {
        // Captions are packed without padding, and `encode_into` cuts them.
        pipeline.with_padding(None);
        pipeline.with_truncation(None).map_err(TokenizerFileError::Refused)?;
        let framed = encode(&pipeline, "", true)?;
        let [start_of_text, end_of_text] = framed[..] else {
            return Err(TokenizerFileError::Frame { tokens: framed.len() });
        };
        // A file without a token for unknown characters is refused now, not when the first such character comes.
        encode(&pipeline, RARE, true)?;
        Ok(Self::framed(pipeline, Some(start_of_text), end_of_text, Cleaning::None))
    }

    fn framed(pipeline: Tokenizer, start_of_text: Option<u32>, end_of_text: u32, cleaning: Cleaning) -> Self {
        // The tokens that frame a caption need not be in the vocabulary.
        let frame = || start_of_text.into_iter().chain([end_of_text]);
        let largest = pipeline.get_vocab(true).into_values().chain(frame()).max().unwrap_or(0);
        let added = pipeline.get_added_tokens_decoder().into_iter();
        let mut special: Vec<u32> = added.filter(|(_, token)| token.special).map(|(id, _)| id).collect();
        special.extend(frame());
        special.sort_unstable();
        Self { pipeline, start_of_text, end_of_text, cleaning, largest, special }
    }

    /// Returns the tokens that frame a caption.
    pub(super) fn frame(&self) -> Vec<u32> {
        self.start_of_text.into_iter().chain([self.end_of_text]).collect()
    }

    /// Returns the text as the pipeline wants it.
    fn cleaned<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.cleaning {
            Cleaning::None => text.into(),
            Cleaning::Lower => text.to_lowercase().into(),
            Cleaning::Canonical => canonical(text).into(),
        }
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerFileError> {
        let mut ids = encode(&self.pipeline, text, self.start_of_text.is_some())?;
        ids.extend(Some(self.end_of_text).filter(|_| self.start_of_text.is_none()));
        Ok(ids)
    }

    /// Returns whether a token is no part of a text.
    pub(super) fn is_special(&self, id: u32) -> bool {
        self.special.binary_search(&id).is_ok()
    }

    /// Returns all of the caption's tokens, framed. Characters that the file cannot encode are left out.
    pub(super) fn ids(&self, text: &str) -> Vec<u32> {
        let text = self.cleaned(text);
        self.encode(&text).or_else(|_| self.encode(&self.readable(&text))).unwrap_or_else(|_| self.frame())
    }

    /// Returns the characters that the file can encode.
    fn readable(&self, text: &str) -> String {
        text.chars().filter(|c| self.encode(c.encode_utf8(&mut [0; 4])).is_ok()).collect()
    }

    /// Returns how a caption becomes its tokens, of which none is cut off. Those behind `last` are not read.
    pub(crate) fn trace(&self, text: &str, last: Option<u32>) -> Trace {
        let text = &*self.cleaned(text);
        let is_framed = self.start_of_text.is_some();
        let encoded = |text: &str| caught(|| self.pipeline.encode(text, is_framed));
        let readable = self.readable(text);
        let encoding = encoded(text).map(|encoding| (encoding, text));
        let encoding = encoding.or_else(|_| encoded(&readable).map(|encoding| (encoding, readable.as_str())));
        let token = |id| Token { id, text: self.pipeline.id_to_token(id).unwrap_or_default() };
        let (start, end) = (self.start_of_text.map(token), token(self.end_of_text));
        let mut trace = Trace { cleaned: String::new(), words: vec![], is_merged: false, start, end };
        if let Ok((encoding, text)) = encoding {
            let inside = if is_framed { 1..encoding.len().saturating_sub(1) } else { 0..encoding.len() };
            (trace.cleaned, trace.words) = (self.normalized(text), words(&encoding, inside, text, last));
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

/// Returns the words of an encoded text, whose tokens are `inside` of the frame, up to the token `last`.
fn words(encoding: &Encoding, inside: Range<usize>, text: &str, last: Option<u32>) -> Vec<Word> {
    let mut words: Vec<(u32, Word)> = vec![];
    let (ids, tokens, offsets) = (encoding.get_ids(), encoding.get_tokens(), encoding.get_offsets());
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

fn encode(pipeline: &Tokenizer, text: &str, is_framed: bool) -> Result<Vec<u32>, TokenizerFileError> {
    caught(|| pipeline.encode_fast(text, is_framed)).map(|encoding| encoding.get_ids().to_vec())
}

fn invalid(path: &Path) -> impl FnOnce(TokenizerFileError) -> TokenizerError {
    |source| TokenizerError::Invalid { path: path.into(), source }
}

/// Runs a call into the library and turns its errors, and its panics on malformed files, into errors of ours.
fn caught<T>(run: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, TokenizerFileError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(outcome) => outcome.map_err(TokenizerFileError::Refused),
        Err(_) => Err(TokenizerFileError::GaveUp),
    }
}
