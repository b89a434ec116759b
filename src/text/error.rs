//! The errors of opening a tokenizer.

use crate::counted::{counted, there_are};
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a tokenizer cannot be used. Every message names the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenizerError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: not a tokenizer that can be used: {source}")]
    Invalid { path: PathBuf, source: TokenizerFileError },
}

/// What is wrong with a file that holds no tokenizer that can be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenizerFileError {
    /// The library that reads the file refuses it.
    #[error(transparent)]
    Refused(Box<dyn std::error::Error + Send + Sync>),
    #[error("the library that reads it gave up")]
    GaveUp,
    #[error("it frames a caption with {}, not with two", counted(*tokens, "token"))]
    Frame { tokens: usize },
    #[error("none of its tokens is </s> or <eos>, by one of which a SigLIP's texts end")]
    NoEnd,
    #[error("not a vocabulary of SentencePiece")]
    NotSentencePiece,
    #[error("its model is of kind {kind} and not a unigram model, which SigLIP's are")]
    NotUnigram { kind: u64 },
    #[error("it has no token for unknown characters")]
    NoUnknown,
    #[error(transparent)]
    Utf8(#[from] std::str::Utf8Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("its model is not WordPiece, which BERT's tokenizers are")]
    NotWordPiece,
    #[error("[DEC] and [ENC] have the same id, {id}")]
    SameId { id: u32 },
    #[error("{token} has the id {own} here and {id} in the model's configuration")]
    OwnId { token: &'static str, own: u32, id: u32 },
    #[error("the id {id} of {token} in the model's configuration is {other:?} here")]
    OtherToken { token: &'static str, id: u32, other: String },
    #[error("lines {} and {} are both {token:?}", lines[0], lines[1])]
    Twice { lines: [u32; 2], token: String },
    #[error("no line in it is {token:?}")]
    NoLine { token: String },
    #[error("an added token has the id {id:?}")]
    TokenId { id: String },
    #[error("the added token {token:?} cannot have the id {id}: {} in front of it", there_are(*before, "token"))]
    AddedId { token: String, id: u32, before: usize },
}
