use super::shapes::{LONG, OFFSETS, block_spec, dropping, packed, sizes};
use crate::support::{
    gradcheck::{Layer, Pass},
    oracle,
    trees::poisoned,
};
use clipwright::layers::Keep;
use clipwright::layers::block::{Block, Size};
use clipwright::layers::pooled_block::{self, Saved, Scratch};
use clipwright::layers::sequences::Sequences;
use clipwright::params::Spec;
use ndarray::{Array2, ArrayView2};

fn layer(size: &Size, sequences: &Sequences) -> Layer<Block<Spec>, 1> {
    let name = format!("pooled, {size:?}, {:?}, {:?}", sequences.ranges(), sequences.depth(1, 2, true));
    Layer::new(name, block_spec(size), [("x", sequences.rows(), size.width)])
}

fn oracle(size: &Size, sequences: &Sequences) -> impl Fn(&Block<&[f64]>, [ArrayView2<f64>; 1]) -> Array2<f64> {
    |p, [x]| {
        let dropout = sequences.depth(1, 2, false);
        oracle::pooled(sequences, &oracle::block(p, size, sequences.ranges(), dropout, x))
    }
}

fn pass(size: &Size, sequences: &Sequences) -> impl FnOnce(Pass<Block<Spec>, 1>) {
    |Pass { p, x: [x], y, dy, dx: [dx], mut g }| {
        let saved = &mut poisoned(&Saved::dims(size, x.nrows(), sequences.len(), Keep::All));
        let scratch = || poisoned(&Scratch::dims(size, x.nrows(), sequences.len()));
        let dropout = sequences.depth(1, 2, true);
        pooled_block::forward(&p, size, sequences, dropout, x, y, saved, &mut scratch());
        let mut dy = dy.to_owned();
        pooled_block::backward(&p, size, sequences, dropout, x, dy.view_mut(), dx, saved, &mut scratch(), &mut g);
    }
}

#[test]
fn every_entry() {
    for (size, offsets) in sizes().zip(OFFSETS.into_iter().cycle()) {
        for sequences in [packed(offsets, size.causal), dropping(packed(OFFSETS[3], size.causal), 0.5)] {
            layer(&size, &sequences).check(oracle(&size, &sequences), pass(&size, &sequences));
        }
    }
}

#[test]
fn long_sequences() {
    for size in sizes() {
        let sequences = packed(LONG, size.causal);
        layer(&size, &sequences).check_directions(oracle(&size, &sequences), pass(&size, &sequences));
    }
}
