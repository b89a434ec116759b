//! What a search needs of a model.

use ndarray::ArrayView2;

/// A language model that a search asks for the next token.
///
/// Rows must not influence each other. The beams of one request begin as one row, that of its prompt, and part in the
/// first [`advance`](Decoder::advance), where several rows have the same parent.
pub trait Decoder {
    /// Reads the prompts, one a request and each of its own length, and returns the logits behind the last token of
    /// each.
    ///
    /// returns (requests,V)
    fn start(&mut self, prompts: &[&[u32]]) -> ArrayView2<'_, f32>;

    /// Goes on: row r continues row `parents[r]` of the last call with `tokens[r]`. A row that nobody names is gone.
    ///
    /// Requests keep their order, and the rows of one stand together, in any order of their parents.
    ///
    /// `parents`, `tokens` (rows), returns (rows,V)
    fn advance(&mut self, parents: &[usize], tokens: &[u32]) -> ArrayView2<'_, f32>;
}
