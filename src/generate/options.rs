//! What is asked of a search, and the errors of what cannot be.

use thiserror::Error;

/// The most beams of a search. Hundreds already find no better texts than ten.
pub const MAX_BEAMS: usize = 1024;

/// What is asked of a search. Lengths count every token: the prompt, what follows and the end token.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The token that ends a text.
    pub end: u32,
    /// A text is not ended before it has this many tokens without the end token.
    pub min_length: usize,
    /// A text that has this many tokens is ended without the end token.
    pub max_length: usize,
    /// The scores of tokens that the text already has are divided by this if positive, else multiplied; 1 changes none.
    pub repetition_penalty: f32,
    /// Beams are compared by sum / length^this: 0 compares sums, 1 means; larger values favour longer texts. Only beam
    /// searches read it.
    pub length_penalty: f32,
    /// A beam search stops as soon as it has as many ended texts as beams, though open ones may be better.
    pub early_stopping: bool,
    /// How the next token is chosen.
    pub search: Search,
}

/// The choice of the next token.
#[derive(Clone, Debug, PartialEq)]
pub enum Search {
    /// The likeliest.
    Greedy,
    /// The best of several texts that are followed at the same time.
    Beams { beams: usize, style: BeamStyle },
    /// At random (nucleus sampling: Holtzman et al. 2020, section 3.1).
    Sample {
        /// The logits are divided by this: below 1 the likely become likelier.
        temperature: f32,
        /// Only this many of the likeliest tokens can be drawn, and those that are as likely as the last of them.
        top_k: usize,
        /// Of these, only as many of the likeliest as together have this probability: the one that reaches it is the
        /// last. 1 excludes none.
        top_p: f32,
        /// Each request draws by the seed, its own number and the length of its text, and so gets the same text in any
        /// batch and on any number of threads.
        seed: u64,
    },
}

/// How a beam search compares texts of different lengths. Both keep as many ended texts as there are beams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeamStyle {
    /// The search of transformers 4.15, by which BLIP's captions were evaluated. The length of a text is that of prompt
    /// and text without the end token. With a prompt it favours shorter texts than the other style does.
    Original,
    /// The search of transformers 5. The length is that of what follows the prompt, with the end token.
    Transformers,
}

impl Options {
    /// Asks for a greedy search without penalties.
    pub fn new(end: u32, max_length: usize) -> Self {
        Options {
            end,
            min_length: 0,
            max_length,
            repetition_penalty: 1.0,
            length_penalty: 1.0,
            early_stopping: false,
            search: Search::Greedy,
        }
    }

    /// Checks the options by themselves.
    ///
    /// # Errors
    /// Returns the first option that makes no sense.
    pub fn check(&self) -> Result<(), GenerateError> {
        positive("repetition penalty", self.repetition_penalty)?;
        if !self.length_penalty.is_finite() {
            return Err(GenerateError::LengthPenalty(self.length_penalty));
        }
        if self.min_length > self.max_length {
            return Err(GenerateError::Lengths { min_length: self.min_length, max_length: self.max_length });
        }
        match self.search {
            Search::Beams { beams, .. } if !(1..=MAX_BEAMS).contains(&beams) => Err(GenerateError::Beams(beams)),
            Search::Sample { top_k: 0, .. } => Err(GenerateError::TopK),
            Search::Sample { top_p, .. } if !(top_p > 0.0 && top_p <= 1.0) => Err(GenerateError::TopP(top_p)),
            Search::Sample { temperature, .. } => positive("temperature", temperature),
            _ => Ok(()),
        }
    }
}

fn positive(name: &'static str, value: f32) -> Result<(), GenerateError> {
    if value > 0.0 && value.is_finite() { Ok(()) } else { Err(GenerateError::NotPositive { name, value }) }
}

/// Why there was no search. Requests are counted from 0.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum GenerateError {
    #[error("a search has 1 to {MAX_BEAMS} beams, not {0}")]
    Beams(usize),
    #[error("top-k is 0, which leaves nothing to draw from")]
    TopK,
    #[error("top-p is {0}, which is no probability above 0 and up to 1")]
    TopP(f32),
    #[error("the {name} is {value}, which is no number above 0")]
    NotPositive { name: &'static str, value: f32 },
    #[error("the length penalty is {0}, which is no number")]
    LengthPenalty(f32),
    #[error("a least length of {min_length} tokens is above the greatest, {max_length}")]
    Lengths { min_length: usize, max_length: usize },
    #[error("the prompt of request {request} has no tokens")]
    EmptyPrompt { request: usize },
    #[error("the prompt of request {request} has {prompt} tokens, so that nothing can follow it within {max_length}")]
    NoRoom { request: usize, prompt: usize, max_length: usize },
    #[error("the end token is {end}, but the model knows {vocabulary} tokens")]
    EndToken { end: u32, vocabulary: usize },
}
