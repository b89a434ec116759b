//! What texts look at by cross-attention.

use crate::layers::cross_attention;
use crate::layers::post_norm::{At, Looks};
use crate::tree::{Dim, tree};
use kernels::Write;
use ndarray::{ArrayView2, ArrayViewMut2};
use std::ops::Range;

tree! {
    /// Keys and values of the rows that texts look at, or their gradients, one matrix a block.
    ///
    /// `kv[i]` (rows of the source, 2d)
    Keys { kv: [_] }
}

/// What the texts of a batch look at. Texts that look at one picture stand together.
#[derive(Clone, Copy, Debug)]
pub struct Sights<'a> {
    /// The texts that look at each picture, as numbers of texts.
    pub texts: &'a [Range<usize>],
    /// The rows of each picture in the source.
    pub rows: &'a [Range<usize>],
}

/// In which form texts see what they look at. What is learnt from has keys and values.
#[derive(Clone, Copy)]
pub enum Attended<'a> {
    /// Keys and values of the source.
    Keys(&'a Keys<ArrayView2<'a, f32>>),
    /// The rows (M,D) of the source themselves, of which no keys and values are made.
    Tokens(ArrayView2<'a, f32>),
}

/// What the texts of a batch look at, and where the gradient of its keys and values goes.
pub struct SightsMut<'a, 'b> {
    pub sights: Sights<'a>,
    pub keys: &'a Keys<ArrayView2<'a, f32>>,
    pub write: Write,
    pub dkeys: &'a mut Keys<ArrayViewMut2<'b, f32>>,
}

impl<'a> Keys<ArrayViewMut2<'a, f32>> {
    /// Views the keys and values to read them.
    pub fn view(&self) -> Keys<ArrayView2<'_, f32>> {
        Keys { kv: self.kv.iter().map(|kv| kv.view()).collect() }
    }
}

impl<'a> Attended<'a> {
    /// Returns what one block sees.
    pub(super) fn at<'b>(self, block: usize) -> At<'b>
    where
        'a: 'b,
    {
        match self {
            Attended::Keys(keys) => At::Keys(keys.kv[block].reborrow()),
            Attended::Tokens(tokens) => At::Tokens(tokens.reborrow()),
        }
    }

    /// Returns what a block keeps of the look.
    pub(super) fn looks(self, sights: Sights) -> Looks {
        match self {
            Attended::Keys(_) => Looks::AtKeys,
            Attended::Tokens(tokens) => {
                let longest = sights.rows.iter().map(|rows| rows.len()).max();
                Looks::AtTokens(Dim(longest.unwrap_or(0), tokens.ncols()))
            }
        }
    }
}

impl<'a> Sights<'a> {
    /// Returns which of these query rows look at which rows.
    pub(super) fn shape<'b>(self, queries: &'b [Range<usize>], heads: usize) -> cross_attention::Shape<'b>
    where
        'a: 'b,
    {
        cross_attention::Shape { queries, source: self.rows, heads, dropout: None }
    }
}
