//! Reading of a vocabulary as SentencePiece writes it (`spiece.model`), a protocol buffer:
//!
//! ```text
//! ModelProto      1: pieces…     2: TrainerSpec     3: NormalizerSpec
//! SentencePiece   1: text        2: score           3: kind, 1 if it is left out
//! TrainerSpec     3: kind of model, 1 (unigram) if it is left out
//! NormalizerSpec  2: table of characters
//! ```
//!
//! Source: `sentencepiece_model.proto` of google/sentencepiece.

use crate::text::error::TokenizerFileError;
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::{NormalizerWrapper, Precompiled, Sequence, Strip};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::{AddedToken, Tokenizer};

/// The kinds of pieces that this reader tells apart.
const NORMAL: u64 = 1;
const UNKNOWN: u64 = 2;
const CONTROL: u64 = 3;
/// The kind of models that a vocabulary is for.
const UNIGRAM: u64 = 1;

/// Makes the pipeline of a unigram model from the bytes of its file (Kudo 2018): the segmentation of a text whose pieces
/// have the largest sum of log probabilities.
pub(super) fn read(bytes: &[u8]) -> Result<Tokenizer, TokenizerFileError> {
    let (mut pieces, mut unknown, mut control, mut table) = (vec![], None, vec![], &[][..]);
    for field in Fields(bytes) {
        match field? {
            (1, Value::Bytes(piece)) => {
                let (text, score, kind) = self::piece(piece)?;
                match kind {
                    UNKNOWN => unknown = Some(pieces.len()),
                    CONTROL => control.push(AddedToken::from(text.clone(), true)),
                    _ => {}
                }
                pieces.push((text, f64::from(score)));
            }
            (2, Value::Bytes(trainer)) => check_unigram(trainer)?,
            (3, Value::Bytes(normalizer)) => table = table_of(normalizer)?,
            _ => {}
        }
    }
    let unknown = unknown.ok_or(TokenizerFileError::NoUnknown)?;
    let model = Unigram::from(pieces, Some(unknown), false).map_err(TokenizerFileError::Refused)?;
    let mut pipeline = Tokenizer::new(model);
    let mut normalizers = vec![];
    if !table.is_empty() {
        let table = Precompiled::from(table).map_err(|error| TokenizerFileError::Refused(error.into()))?;
        normalizers.push(NormalizerWrapper::Precompiled(table));
    }
    normalizers.push(NormalizerWrapper::StripNormalizer(Strip::new(true, true)));
    pipeline.with_normalizer(Some(Sequence::new(normalizers))).map_err(TokenizerFileError::Refused)?;
    pipeline.with_pre_tokenizer(Some(Metaspace::new('▁', PrependScheme::Always, true)));
    pipeline.add_special_tokens(control).map_err(TokenizerFileError::Refused)?;
    Ok(pipeline)
}

/// Returns the text, the score and the kind of a piece.
fn piece(bytes: &[u8]) -> Result<(String, f32, u64), TokenizerFileError> {
    let mut piece = (String::new(), 0.0, NORMAL);
    for field in Fields(bytes) {
        match field? {
            (1, Value::Bytes(text)) => piece.0 = std::str::from_utf8(text)?.into(),
            (2, Value::Bytes(&[a, b, c, d])) => piece.1 = f32::from_le_bytes([a, b, c, d]),
            (3, Value::Number(kind)) => piece.2 = kind,
            _ => {}
        }
    }
    Ok(piece)
}

fn check_unigram(trainer: &[u8]) -> Result<(), TokenizerFileError> {
    for field in Fields(trainer) {
        match field? {
            (3, Value::Number(UNIGRAM)) => {}
            (3, Value::Number(kind)) => return Err(TokenizerFileError::NotUnigram { kind }),
            _ => {}
        }
    }
    Ok(())
}

/// Returns the table by which characters are replaced, which may be empty.
fn table_of(normalizer: &[u8]) -> Result<&[u8], TokenizerFileError> {
    let mut table = &[][..];
    for field in Fields(normalizer) {
        if let (2, Value::Bytes(bytes)) = field? {
            table = bytes;
        }
    }
    Ok(table)
}

/// The value of a field: a number, or the bytes of a text, a message or a float.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The numbers and values of a message's fields.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), TokenizerFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or(TokenizerFileError::NotSentencePiece);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            1 => Value::Bytes(self.0.split_off(..8)?),
            2 => {
                let len = usize::try_from(self.number()?).ok()?;
                Value::Bytes(self.0.split_off(..len)?)
            }
            5 => Value::Bytes(self.0.split_off(..4)?),
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    /// Takes a number of seven bits a byte, the lowest first.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.0.split_off_first()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}
