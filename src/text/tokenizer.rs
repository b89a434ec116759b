//! CLIP's byte-pair tokenizer: 49,408 tokens, lower-case, words closed by `</w>`.
//!
//! A caption is cleaned ([`super::clean()`]) and split into words. The UTF-8 bytes of each word are written in an
//! alphabet of 256 printable letters, and the published merges join neighbouring letters, best merge first, until none
//! applies (Sennrich et al. 2016; Radford et al. 2019 for the bytes). The vocabulary is, in this order: the 256
//! letters, the same 256 at the end of a word, one token per merge, start of text, end of text.
//!
//! The result equals that of OpenCLIP's `SimpleTokenizer` token for token; as there, `<start_of_text>` and
//! `<end_of_text>` are recognised inside a caption.

use crate::text::clean::clean;
use crate::text::error::TokenizerError;
use crate::text::ranks::{Part, Ranks};
use crate::text::tokenizer_file::TokenizerFile;
use crate::text::trace::{Merges, Token, Trace, Word};
use flate2::read::GzDecoder;
use regex::Regex;
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::{LazyLock, RwLock};
use tokenizers::Model;
use tokenizers::models::bpe::{BPE, Vocab};

/// Number of tokens in CLIP's vocabulary.
pub const VOCABULARY: usize = 49_408;
/// The token that opens every caption.
pub const START_OF_TEXT: u32 = 49_406;
/// The token that closes every caption. The text tower's output is read at the first one.
pub const END_OF_TEXT: u32 = 49_407;

/// How the two tokens are written.
const START: &str = "<start_of_text>";
const END: &str = "<end_of_text>";

/// The pattern of a word: a run of letters, one digit, a run of anything else, or an English clitic.
const WORDS: &str = r"(?i)<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+";
const MERGES: &[u8] = include_bytes!("../../data/bpe/merges.txt.gz");
/// Largest number of words whose tokens are cached. By Zipf's law these words cover nearly all text, and the memory is
/// bounded for any input.
const MAX_CACHED_WORDS: usize = 1 << 16;
/// Longest cached word in bytes.
const MAX_CACHED_LENGTH: usize = 64;

/// The number of tokens that are one letter, inside of a word or at its end. Those of the merges follow.
const LETTERS: u32 = 512;
/// What the last letter of a word is followed by.
const SUFFIX: &str = "</w>";

/// The list of merges, best first, one a line.
static LIST: LazyLock<String> = LazyLock::new(|| {
    let mut text = String::new();
    GzDecoder::new(MERGES).read_to_string(&mut text).expect("the embedded merges are intact");
    text
});

/// CLIP's tokens by id, without start and end of text, and its merges, best first.
pub(crate) struct Vocabulary {
    pub tokens: Vec<String>,
    pub merges: Vec<(String, String)>,
}

impl Vocabulary {
    /// Returns CLIP's published vocabulary.
    pub(crate) fn clip() -> Self {
        let merges: Vec<(String, String)> = LIST
            .lines()
            .map(|line| line.split_once(' ').expect("a merge is two tokens"))
            .map(|(left, right)| (left.to_owned(), right.to_owned()))
            .collect();
        let alphabet = alphabet();
        let tokens = (alphabet.iter().map(|(_, letter)| letter.to_string()))
            .chain(alphabet.iter().map(|(_, letter)| format!("{letter}{SUFFIX}")))
            .chain(merges.iter().map(|(left, right)| format!("{left}{right}")))
            .collect();
        Self { tokens, merges }
    }
}

/// A tokenised caption, unpadded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caption {
    /// The token ids from [`START_OF_TEXT`] to the first [`END_OF_TEXT`], both included.
    pub ids: Vec<u32>,
    /// Whether the caption did not fit the context and lost its end.
    pub truncated: bool,
}

/// A tokenizer turns text into token ids. Threads can share it by reference.
pub struct Tokenizer {
    kind: Kind,
    /// What captions are filled up with to the context length, if padding is a part of the model's input.
    padding: Option<u32>,
}

enum Kind {
    Clip(Box<ClipTokenizer>),
    File(Box<TokenizerFile>),
}

struct ClipTokenizer {
    words: Regex,
    /// The letter that stands for each byte, and its token inside of a word.
    letters: [(char, u32); 256],
    ranks: Ranks,
    /// What merges long words and shows its merges. It is made when it is first needed.
    library: LazyLock<BPE>,
    cache: RwLock<HashMap<String, Box<[u32]>>>,
}

impl Tokenizer {
    /// Builds the tokenizer of every OpenAI and OpenCLIP model with a native text tower.
    pub fn clip() -> Self {
        let mut letters = [('\0', 0); 256];
        alphabet().iter().zip(0..).for_each(|(&(byte, letter), id)| letters[usize::from(byte)] = (letter, id));
        let words = Regex::new(WORDS).expect("a valid pattern");
        let (ranks, library) = (Ranks::of(&LIST), LazyLock::new(library as fn() -> BPE));
        let clip = ClipTokenizer { words, letters, ranks, library, cache: RwLock::default() };
        Self { kind: Kind::Clip(Box::new(clip)), padding: None }
    }

    /// Returns the same tokenizer for a text tower that reads whole contexts: OpenCLIP fills them up with zeros.
    #[must_use]
    pub fn padded(self) -> Self {
        Self { padding: Some(0), ..self }
    }

    /// Opens a model's own `tokenizer.json`. It must open and close a caption with one token each.
    ///
    /// # Errors
    /// Returns a [`TokenizerError`] that names the file.
    pub fn open(path: &Path) -> Result<Self, TokenizerError> {
        TokenizerFile::open(path).map(|file| Self { kind: Kind::File(Box::new(file)), padding: None })
    }

    /// Opens a SigLIP's own `tokenizer.json` or `spiece.model`. Its texts are cleaned as their authors do, closed by one
    /// token, and filled up to the context length, which is a part of the model's input.
    ///
    /// # Errors
    /// Returns a [`TokenizerError`] that names the file.
    pub fn open_siglip(path: &Path) -> Result<Self, TokenizerError> {
        let (file, padding) = TokenizerFile::open_siglip(path)?;
        Ok(Self { kind: Kind::File(Box::new(file)), padding: Some(padding) })
    }

    /// Opens the tokenizer of a text tower: its own, in a file, or else CLIP's. `is_padded` tells a tower that reads whole
    /// contexts, as SigLIP's do.
    ///
    /// # Errors
    /// Returns a [`TokenizerError`] that names the file.
    pub fn of_tower(own: Option<&Path>, is_padded: bool) -> Result<Self, TokenizerError> {
        match own {
            Some(path) if is_padded => Self::open_siglip(path),
            Some(path) => Self::open(path),
            None if is_padded => Ok(Self::clip().padded()),
            None => Ok(Self::clip()),
        }
    }

    /// Returns the token that closes every caption.
    pub fn end_of_text(&self) -> u32 {
        match &self.kind {
            Kind::Clip(_) => END_OF_TEXT,
            Kind::File(file) => file.end_of_text,
        }
    }

    /// Returns the number of token ids: one more than the largest.
    pub fn vocabulary(&self) -> usize {
        match &self.kind {
            Kind::Clip(_) => VOCABULARY,
            Kind::File(file) => file.largest as usize + 1,
        }
    }

    /// Returns the token of an id, as the vocabulary writes it.
    pub fn token(&self, id: u32) -> Option<String> {
        match &self.kind {
            Kind::Clip(clip) => match id {
                START_OF_TEXT => Some(START.into()),
                END_OF_TEXT => Some(END.into()),
                id => clip.library.id_to_token(id),
            },
            Kind::File(file) => file.pipeline.id_to_token(id),
        }
    }

    /// Returns what captions are filled up with, if padding is a part of the model's input.
    pub fn padding(&self) -> Option<u32> {
        self.padding
    }

    /// Returns whether every token of the other tokenizer is one of these, with the same id, and captions are filled up
    /// alike.
    pub fn has_tokens_of(&self, other: &Tokenizer) -> bool {
        let ((own, own_frame), (others, frame)) = (self.tokens(), other.tokens());
        self.padding == other.padding
            && own_frame == frame
            && others.iter().all(|(token, id)| own.get(token) == Some(id))
    }

    /// Returns the ids of all tokens but the two that frame a caption, and these two, whose names differ.
    fn tokens(&self) -> (HashMap<String, u32>, Vec<u32>) {
        let (mut tokens, frame) = match &self.kind {
            Kind::Clip(_) => {
                (Vocabulary::clip().tokens.into_iter().zip(0..).collect(), vec![START_OF_TEXT, END_OF_TEXT])
            }
            Kind::File(file) => {
                let tokens: HashMap<String, u32> = file.pipeline.get_vocab(true).into_iter().collect();
                (tokens, file.frame())
            }
        };
        tokens.retain(|_, id| !frame.contains(id));
        (tokens, frame)
    }

    /// Tokenises a caption into at most `context_length` tokens; a longer caption is cut and closed. If padding is a part
    /// of the model's input, there are as many.
    ///
    /// # Panics
    /// Panics if `context_length` is below 2 and so has no room for the two tokens that frame a caption.
    pub fn encode(&self, text: &str, context_length: usize) -> Caption {
        let mut ids = Vec::new();
        let truncated = self.encode_into(text, context_length, &mut ids);
        Caption { ids, truncated }
    }

    /// Returns how a caption becomes its tokens, of which none is cut off.
    pub fn trace(&self, text: &str) -> Trace {
        match &self.kind {
            Kind::Clip(clip) => clip.trace(text),
            Kind::File(file) => file.trace(text, Some(file.end_of_text)),
        }
    }

    /// Appends the caption's tokens to a batch of packed rows and returns whether the caption was truncated.
    ///
    /// # Panics
    /// Panics if `context_length` is below 2.
    #[track_caller]
    pub(crate) fn encode_into(&self, text: &str, context_length: usize, ids: &mut Vec<u32>) -> bool {
        assert!(context_length >= 2, "a context of {context_length} has no room for start and end of text");
        let start = ids.len();
        let is_cut = match &self.kind {
            Kind::Clip(clip) => clip.encode_into(text, context_length, ids),
            Kind::File(file) => file.encode_into(text, context_length, ids),
        };
        if let Some(padding) = self.padding {
            ids.resize(start + context_length, padding);
        }
        is_cut
    }
}

impl ClipTokenizer {
    fn encode_into(&self, text: &str, context_length: usize, ids: &mut Vec<u32>) -> bool {
        let start = ids.len();
        ids.push(START_OF_TEXT);
        let text = clean(text);
        for word in self.words.find_iter(&text) {
            match word.as_str() {
                START => ids.push(START_OF_TEXT),
                // The reference reads the output at the first end of text, so what follows it has no effect.
                END => break,
                word => self.push_word(word, ids),
            }
            if ids.len() - start >= context_length {
                ids.truncate(start + context_length);
                ids[start + context_length - 1] = END_OF_TEXT;
                return true;
            }
        }
        ids.push(END_OF_TEXT);
        false
    }

    fn trace(&self, text: &str) -> Trace {
        let (cleaned, merges) = (clean(text), Merges::of(&self.library));
        let frame = [(START_OF_TEXT, START), (END_OF_TEXT, END)];
        let [start, end] = frame.map(|(id, text)| Token { id, text: text.to_owned() });
        let word = |text: &str| {
            let mut word = Word { text: text.to_owned(), letters: vec![], merges: vec![], tokens: vec![] };
            if text == start.text {
                word.tokens.push(start.clone());
                return word;
            }
            let mut ids = vec![];
            self.push_word(text, &mut ids);
            let token = |id| self.library.id_to_token(id).expect("an id of the vocabulary");
            word.tokens = ids.into_iter().map(|id| Token { id, text: token(id) }).collect();
            merges.explain(&mut word);
            word
        };
        let words = self.words.find_iter(&cleaned).map(|word| word.as_str());
        let words = words.take_while(|word| *word != end.text).map(word).collect();
        Trace { cleaned, words, is_merged: true, start: Some(start), end }
    }

    fn push_word(&self, word: &str, ids: &mut Vec<u32>) {
        if let Some(known) = self.cache.read().expect("no thread panics here").get(word) {
            ids.extend_from_slice(known);
            return;
        }
        if word.len() > MAX_CACHED_LENGTH {
            return ids.extend(self.long(word));
        }
        let tokens = self.short(word);
        ids.extend_from_slice(&tokens);
        let mut cache = self.cache.write().expect("no thread panics here");
        if cache.len() < MAX_CACHED_WORDS {
            cache.insert(word.to_owned(), tokens);
        }
    }
}

impl ClipTokenizer {
    /// Returns the tokens of a short word.
    fn short(&self, word: &str) -> Box<[u32]> {
        let letters = word.bytes().map(|byte| self.letters[usize::from(byte)]);
        let mut parts: Vec<Part> = letters.map(|(letter, id)| Part { id, text: letter.into() }).collect();
        if let Some(last) = parts.last_mut() {
            last.id += LETTERS / 2;
            last.text.push_str(SUFFIX);
        }
        self.ranks.tokens(parts, LETTERS)
    }

    /// Returns the tokens of a word of any length.
    fn long(&self, word: &str) -> Vec<u32> {
        let letters: String = word.bytes().map(|byte| self.letters[usize::from(byte)].0).collect();
        let tokens = self.library.tokenize(&letters).expect("the vocabulary has every letter");
        tokens.iter().map(|token| token.id).collect()
    }
}

/// Makes the library's tables of tokens and merges.
fn library() -> BPE {
    let Vocabulary { tokens, merges } = Vocabulary::clip();
    let vocabulary: Vocab = tokens.into_iter().zip(0..).collect();
    BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .end_of_word_suffix(SUFFIX.to_owned())
        .cache_capacity(0)
        .build()
        .expect("the embedded merges are consistent")
}

/// Returns the 256 bytes in the vocabulary's order, each with the letter that represents it: printable Latin-1 stands
/// for itself, and the other 68 bytes take the letters from U+0100 on.
fn alphabet() -> Vec<(u8, char)> {
    let printable = |&byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let itself = (0..=255).filter(printable).map(|byte| (byte, char::from(byte)));
    let others = (0..=255).filter(|byte| !printable(byte)).zip('\u{100}'..);
    itself.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words are the texts of all tokens, alone and behind each other, and the bytes of other alphabets.
    #[test]
    fn short_words_are_merged_as_long_ones() {
        let tokenizer = Tokenizer::clip();
        let Kind::Clip(clip) = &tokenizer.kind else { panic!("CLIP's own") };
        let tokens = Vocabulary::clip().tokens;
        let word = |i: usize| tokens[i % tokens.len()].trim_end_matches(SUFFIX);
        for i in 0..tokens.len() {
            for word in [word(i).to_owned(), format!("{}{}", word(i), word(i * 7919 + 13)), "é".repeat(i % 30)] {
                assert_eq!(*clip.short(&word), clip.long(&word), "{word}");
            }
        }
    }

    /// The cache limits the number of its words, so their length must be limited as well.
    #[test]
    fn long_words_are_not_kept() {
        let tokenizer = Tokenizer::clip();
        let Kind::Clip(clip) = &tokenizer.kind else { panic!("CLIP's own") };
        for (letters, kept) in [(MAX_CACHED_LENGTH, 1), (MAX_CACHED_LENGTH + 1, 1), (400_000, 1)] {
            assert!(tokenizer.encode(&"x".repeat(letters), 5).ids.len() > 2);
            assert_eq!(clip.cache.read().unwrap().len(), kept, "{letters}");
        }
    }
}
