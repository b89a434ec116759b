//! What a BLIP may be asked for, and why it cannot do it.

use crate::generate::GenerateError;
use crate::models::blip::Parts;

/// What a model may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Captions of pictures.
    Caption,
    /// Answers to questions about pictures.
    Answer,
    /// How well texts fit pictures, or the embeddings of both.
    Match,
}

impl Task {
    /// Checks that a model with these parts can do the task.
    ///
    /// # Errors
    /// Returns an error if it has not got the parts.
    pub fn check(self, parts: Parts) -> Result<(), BlipError> {
        let does = match self {
            Task::Caption => matches!(parts, Parts::Captioner | Parts::Pretrained),
            Task::Answer => parts == Parts::Answerer,
            Task::Match => parts.has_heads(),
        };
        if does { Ok(()) } else { Err(BlipError::Lacks { parts, task: self }) }
    }
}

/// Why a model cannot do what it was asked for.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BlipError {
    #[error("this BLIP is {}, and {}", what(*parts), needs(*task))]
    Lacks { parts: Parts, task: Task },
    #[error(transparent)]
    Generate(#[from] GenerateError),
    #[error("texts of {max_length} tokens, and the model's are at most {positions}")]
    TooLong { max_length: usize, positions: usize },
}

/// Says what a model with these parts is.
fn what(parts: Parts) -> &'static str {
    match parts {
        Parts::Captioner => "a captioner",
        Parts::Matcher => "one for retrieval, which writes nothing",
        Parts::Answerer => "one that answers questions",
        Parts::Pretrained => "a pre-trained one",
    }
}

/// Says what kinds of models do a task.
fn needs(task: Task) -> &'static str {
    match task {
        Task::Caption => "only captioners and pre-trained models write captions",
        Task::Answer => "only models made for it answer questions",
        Task::Match => "only models for retrieval and pre-trained ones compare pictures with texts",
    }
}
