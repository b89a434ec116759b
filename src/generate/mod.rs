//! Writing texts with a language model: greedily, by beams, or by sampling. Nothing here knows a model.
//!
//! A search asks a [`Decoder`] for the logits of the next token and answers with the rows to go on with. All requests of
//! a batch step together, and none influences another: each ends when it ends, and what has ended costs nothing.
//!
//! | file | what it knows |
//! |---|---|
//! | [`options`] | how to search |
//! | `scores` | the penalties and limits that change logits, log-probabilities, the best of many |
//! | `single` | one text a request: greedy search and sampling |
//! | `beams` | several texts a request: beam search in both published forms |

mod beams;
pub mod options;
pub mod scores;
mod single;

pub use options::{BeamStyle, Options, OptionsError, Search};

use ndarray::ArrayView2;

/// A language model that a search asks for the next token.
pub trait Decoder {
    /// Reads the prompts, one for each request, and returns the logits behind the last token of each.
    ///
    /// returns (requests,V)
    fn start(&mut self, prompts: &[&[u32]]) -> ArrayView2<'_, f32>;

    /// Goes on: row r continues row `parents[r]` of the call before with `tokens[r]`. Rows that nobody continues are
    /// gone.
    ///
    /// returns (rows,V)
    fn advance(&mut self, parents: &[usize], tokens: &[u32]) -> ArrayView2<'_, f32>;
}

/// A text to be written.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The tokens that the text begins with.
    pub prompt: &'a [u32],
    /// What tells this request's random draws from those of others; nothing else changes them.
    pub key: u64,
}

/// A text that was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// All tokens, the prompt's and the end token included, unless the length ran out before it.
    pub ids: Vec<u32>,
    /// What the search went by: the sum of the log-probabilities of the tokens behind the prompt, which beam search
    /// divides by a power of the length.
    pub score: f32,
}

/// Writes one text for each request.
///
/// # Errors
/// Returns an error if an option makes no sense, or if a prompt is empty or leaves no room below the largest length.
pub fn search(
    decoder: &mut impl Decoder,
    requests: &[Request],
    options: &Options,
) -> Result<Vec<Generated>, OptionsError> {
    options.check()?;
    for request in requests {
        let prompt = request.prompt.len();
        if prompt == 0 || prompt >= options.max_length {
            return Err(OptionsError::Prompt { prompt, max_length: options.max_length });
        }
    }
    if requests.is_empty() {
        return Ok(vec![]);
    }
    Ok(match options.search {
        Search::Greedy | Search::Sample { .. } => single::search(decoder, requests, options),
        Search::Beams { count, style, .. } => beams::search(decoder, requests, options, count, style),
    })
}
