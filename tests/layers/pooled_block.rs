use super::shapes::{OFFSETS, block_spec, packed, sizes};
use crate::support::{
    gradcheck::{Layer, Pass},
    oracle,
    trees::poisoned,
};
use clip::layers::pooled_block::{self, Saved, Scratch};

#[test]
fn every_entry() {
    for (size, offsets) in sizes().zip(OFFSETS.into_iter().cycle()) {
        let sequences = &packed(offsets, size.causal);
        let rows = sequences.rows();
        Layer::new(format!("pooled, {size:?}, {offsets:?}"), block_spec(&size), [("x", rows, size.width)]).check(
            |p, [x]| oracle::pooled(sequences, &oracle::block(p, &size, offsets, x)),
            |Pass { p, x: [x], y, dy, dx: [dx], mut g }| {
                let saved = &mut poisoned(&Saved::dims(&size, rows, sequences.len()));
                let scratch = || poisoned(&Scratch::dims(&size, rows, sequences.len()));
                pooled_block::forward(&p, &size, sequences, x, y, saved, &mut scratch());
                let mut dy = dy.to_owned();
                pooled_block::backward(&p, &size, sequences, x, dy.view_mut(), dx, saved, &mut scratch(), &mut g);
            },
        );
    }
}
