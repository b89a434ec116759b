//! BERT's WordPiece tokenizer, with the two tokens that BLIP adds.
//!
//! Text is stripped of control characters and accents, lower-cased and split at white space and punctuation. Each word
//! is then cut into the longest pieces of the vocabulary from left to right; pieces that continue a word are written
//! with `##` in front. A word without such a cut, or of more than 100 characters, is one `[UNK]` (Devlin et al. 2019,
//! [arXiv 1810.04805](https://arxiv.org/abs/1810.04805); the 100 is Hugging Face's). Special tokens
//! that stand in a text are recognised.
//!
//! Every text is framed as `[CLS] … [SEP]`. BLIP (Li et al. 2022, [arXiv 2201.12086](https://arxiv.org/abs/2201.12086))
//! puts another token at position 0 by the use of the text:
//!
//! | use | at position 0 | at the end | method |
//! |---|---|---|---|
//! | text alone (contrastive) | `[CLS]` | `[SEP]` | [`WordPiece::encode`] |
//! | text that looks at a picture: matching, a question | `[ENC]` | `[SEP]` | [`WordPiece::encode_enc`] |
//! | text that is learnt: a caption, an answer | `[DEC]` | `[SEP]` | [`WordPiece::encode_dec`] |
//! | text that is continued | `[DEC]` | | [`WordPiece::prompt`] |
//!
//! | file | what it knows |
//! |---|---|
//! | `folder` | a model folder's own `tokenizer.json`, or `vocab.txt` and the files beside it |
//! | `reduced` | a vocabulary of the pieces that some texts need |

mod folder;
mod reduced;

use crate::text::error::{TokenizerError, TokenizerFileError};
use crate::text::tokenizer_file::TokenizerFile;
use crate::text::trace::Trace;
use flate2::read::GzDecoder;
use folder::VocabularyFile;
pub use reduced::reduced_vocabulary;
use std::io::Read;
use std::path::Path;
use tokenizers::ModelWrapper;

/// The id of `[DEC]` in BLIP's published models: the first behind BERT's vocabulary.
pub const DEC: u32 = 30_522;
/// The id of `[ENC]` in BLIP's published models.
pub const ENC: u32 = 30_523;

const VOCABULARY: &[u8] = include_bytes!("../../../data/bert/vocab.txt.gz");

/// The blanks that decoding takes out, in this order, as Hugging Face's `clean_up_tokenization` does.
const CLEAN_UP: [(&str, &str); 10] = [
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
];

/// A WordPiece tokenizer turns text into token ids and back. Threads can share it by reference.
pub struct WordPiece {
    file: TokenizerFile,
    /// What the pieces that continue a word begin with.
    prefix: String,
    dec: u32,
    enc: u32,
}

impl WordPiece {
    /// Builds the tokenizer of every published BLIP model: `bert-base-uncased` with [`DEC`] and [`ENC`].
    pub fn blip() -> Self {
        let mut text = String::new();
        GzDecoder::new(VOCABULARY).read_to_string(&mut text).expect("the embedded vocabulary is intact");
        let added = [(DEC, "[DEC]"), (ENC, "[ENC]")].map(|(id, token)| (id, token.to_owned()));
        let mut vocabulary = VocabularyFile::uncased(&text);
        vocabulary.added = added.into();
        let file = vocabulary.pipeline().and_then(TokenizerFile::of);
        file.and_then(|file| Self::of(file, DEC, ENC)).expect("the embedded vocabulary is consistent")
    }

    /// Builds the tokenizer of a vocabulary, one token a line, whose last two are `[DEC]` and `[ENC]`.
    ///
    /// # Errors
    /// Returns an error if the vocabulary lacks a token that frames texts, or has one twice.
    pub fn of_vocabulary(vocabulary: &str) -> Result<Self, TokenizerFileError> {
        let file = VocabularyFile::uncased(vocabulary).pipeline().and_then(TokenizerFile::of)?;
        let tokens = vocabulary.lines().count() as u32;
        Self::of(file, tokens.saturating_sub(2), tokens.saturating_sub(1))
    }

    /// Opens a model folder's own tokenizer, or returns `None` if the folder has none.
    ///
    /// It is `tokenizer.json`, or else `vocab.txt` with what `tokenizer_config.json` and `added_tokens.json` say of it.
    /// Most of these files lack `[DEC]` and `[ENC]`, so their ids are the caller's, who has them from the model's
    /// configuration.
    ///
    /// # Errors
    /// Returns a [`TokenizerError`] that names the file if it is no WordPiece tokenizer that frames a text with two
    /// tokens, or if it has other tokens at the ids of `[DEC]` and `[ENC]`.
    pub fn open(folder: &Path, dec: u32, enc: u32) -> Result<Option<Self>, TokenizerError> {
        let (json, vocabulary) = (folder.join("tokenizer.json"), folder.join("vocab.txt"));
        let (path, file) = if json.exists() {
            let file = TokenizerFile::open(&json)?;
            (json, file)
        } else if vocabulary.exists() {
            let file = folder::open(folder, &vocabulary)?;
            (vocabulary, file)
        } else {
            return Ok(None);
        };
        Self::of(file, dec, enc).map(Some).map_err(|source| TokenizerError::Invalid { path, source })
    }

    fn of(file: TokenizerFile, dec: u32, enc: u32) -> Result<Self, TokenizerFileError> {
        let ModelWrapper::WordPiece(model) = file.pipeline.get_model() else {
            return Err(TokenizerFileError::NotWordPiece);
        };
        let prefix = model.continuing_subword_prefix.clone();
        if dec == enc {
            return Err(TokenizerFileError::SameId { id: dec });
        }
        for (token, id) in [("[DEC]", dec), ("[ENC]", enc)] {
            match (file.pipeline.token_to_id(token), file.pipeline.id_to_token(id)) {
                (Some(own), _) if own != id => {
                    return Err(TokenizerFileError::OwnId { token, own, id });
                }
                (_, Some(other)) if other != token && !file.is_special(id) => {
                    return Err(TokenizerFileError::OtherToken { token, id, other });
                }
                _ => {}
            }
        }
        Ok(Self { file, prefix, dec, enc })
    }

    /// Returns the number of token ids: one more than the largest, `[DEC]` and `[ENC]` included.
    pub fn vocabulary(&self) -> usize {
        self.file.largest.max(self.dec).max(self.enc) as usize + 1
    }

    /// Returns the id of the token that opens a text, `[CLS]`.
    pub fn cls(&self) -> u32 {
        self.file.start_of_text.expect("BERT's tokenizers open a text")
    }

    /// Returns the id of the token that closes a text, `[SEP]`.
    pub fn sep(&self) -> u32 {
        self.file.end_of_text
    }

    /// Returns the id of the token that opens what the decoder writes, `[DEC]`.
    pub fn dec(&self) -> u32 {
        self.dec
    }

    /// Returns the id of the token that opens a text that looks at a picture, `[ENC]`.
    pub fn enc(&self) -> u32 {
        self.enc
    }

    /// Returns the id of a token, such as `[PAD]`, `[UNK]`, `[MASK]` or `##ing`.
    pub fn id(&self, token: &str) -> Option<u32> {
        match token {
            "[DEC]" => Some(self.dec),
            "[ENC]" => Some(self.enc),
            _ => self.file.pipeline.token_to_id(token),
        }
    }

    /// Returns the token of an id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.file.pipeline.id_to_token(id)
    }

    /// Tokenises a text as `[CLS] … [SEP]`. A text of more than `max_tokens` tokens, the two included, is cut before
    /// `[SEP]`.
    ///
    /// # Panics
    /// Panics if `max_tokens` is below 2 and so has no room for the two tokens that frame a text.
    #[track_caller]
    pub fn encode(&self, text: &str, max_tokens: usize) -> Vec<u32> {
        let mut ids = vec![];
        self.encode_into(text, max_tokens, &mut ids);
        ids
    }

    /// Returns how a text becomes the tokens of [`Self::encode`], of which none is cut off.
    pub fn trace(&self, text: &str) -> Trace {
        self.file.trace(text, None)
    }

    /// Appends the tokens of [`Self::encode`] and returns whether the text was cut.
    ///
    /// # Panics
    /// Panics if `max_tokens` is below 2.
    #[track_caller]
    pub(super) fn encode_into(&self, text: &str, max_tokens: usize, ids: &mut Vec<u32>) -> bool {
        assert!(max_tokens >= 2, "{max_tokens} tokens have no room for [CLS] and [SEP]");
        let from = ids.len();
        ids.extend(self.file.ids(text));
        let is_cut = ids.len() - from > max_tokens;
        if is_cut {
            ids.truncate(from + max_tokens - 1);
            ids.push(self.sep());
        }
        is_cut
    }

    /// Tokenises a text that looks at a picture, as `[ENC] … [SEP]`; see [`Self::encode`].
    ///
    /// # Panics
    /// Panics if `max_tokens` is below 2.
    #[track_caller]
    pub fn encode_enc(&self, text: &str, max_tokens: usize) -> Vec<u32> {
        self.encode_from(self.enc, text, max_tokens)
    }

    /// Tokenises a text that the decoder learns to write, as `[DEC] … [SEP]`; see [`Self::encode`].
    ///
    /// # Panics
    /// Panics if `max_tokens` is below 2.
    #[track_caller]
    pub fn encode_dec(&self, text: &str, max_tokens: usize) -> Vec<u32> {
        self.encode_from(self.dec, text, max_tokens)
    }

    /// Tokenises a text that the decoder continues, as `[DEC] …` of at most `max_tokens` tokens; see [`Self::encode`].
    ///
    /// # Panics
    /// Panics if `max_tokens` is 0 and so has no room for `[DEC]`.
    #[track_caller]
    pub fn prompt(&self, text: &str, max_tokens: usize) -> Vec<u32> {
        assert!(max_tokens >= 1, "0 tokens have no room for [DEC]");
        let mut ids = self.encode_dec(text, max_tokens.saturating_add(1));
        ids.pop();
        ids
    }

    #[track_caller]
    fn encode_from(&self, first: u32, text: &str, max_tokens: usize) -> Vec<u32> {
        let mut ids = self.encode(text, max_tokens);
        ids[0] = first;
        ids
    }

    /// Returns the text of token ids. Special tokens, `[UNK]` among them, and ids without a token are left out, and so
    /// are blanks before punctuation and around apostrophes.
    pub fn decode(&self, ids: &[u32]) -> String {
        let is_special = |id| id == self.dec || id == self.enc || self.file.is_special(id);
        let mut text = String::new();
        for token in ids.iter().filter(|&&id| !is_special(id)).filter_map(|&id| self.file.pipeline.id_to_token(id)) {
            match token.strip_prefix(&self.prefix) {
                Some(rest) if !text.is_empty() => text.push_str(rest),
                _ if text.is_empty() => text.push_str(&token),
                _ => text.extend([" ", &token]),
            }
        }
        CLEAN_UP.iter().fold(text, |text, (from, to)| text.replace(from, to))
    }
}
