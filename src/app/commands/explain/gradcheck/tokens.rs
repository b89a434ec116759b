//! The embedding of tokens: chapter 8.

use super::layer::{Layer, Term, of, read, write, zeros};
use crate::layers::token_embed;
use crate::tour::chain_rule::Matrix;
use crate::tour::tokens::sum_by_row;
use ndarray::Array2;

/// The tokens of two captions, and the place of each.
const IDS: [usize; 6] = [3, 1, 3, 5, 2, 3];
const PLACES: [usize; 6] = [0, 1, 2, 3, 0, 1];

pub(super) const TOKENS: Layer = Layer {
    name: "tokens",
    chapter: "8, tour::tokens",
    formula: "xₙ = row idₙ of the table + row placeₙ of the positions",
    tensors: &[("table", 6, 3), ("positions", 4, 3)],
    forward: |at| crate::tour::tokens::token_embed(&at[0], &at[1], &IDS, &PLACES),
    backward: |at, dy| vec![sum_by_row(at[0].len(), &IDS, dy), sum_by_row(at[1].len(), &PLACES, dy)],
    fast: |at, dy| {
        let ([table, positions], [mut dtable, mut dpositions]) = (of(at), zeros(of(at)));
        let (ids, places) = (IDS.map(|id| id as u32), PLACES.map(|place| place as u32));
        let mut y = Array2::zeros(dy.raw_dim());
        token_embed::forward(&read(table), &read(positions), &ids, &places, y.view_mut());
        token_embed::backward(&ids, &places, dy, write(&mut dtable), write(&mut dpositions));
        (y, vec![dtable, dpositions])
    },
    terms: &[
        Term {
            name: "repeated-tokens",
            formula: "all but the last dxₙ of a token: dtable = dxₙ instead of dtable += dxₙ",
            leave_out: |_, dy, g| keep_last(&mut g[0], &IDS, dy),
        },
        Term {
            name: "repeated-places",
            formula: "all but the last dxₙ of a place: dpositions = dxₙ instead of dpositions += dxₙ",
            leave_out: |_, dy, g| keep_last(&mut g[1], &PLACES, dy),
        },
    ],
};

/// dtable of row indexₙ ← dxₙ, one after the other
fn keep_last(dtable: &mut Matrix, index: &[usize], dx: &Matrix) {
    index.iter().zip(dx).for_each(|(&row, dx)| dtable[row].clone_from(dx));
}
