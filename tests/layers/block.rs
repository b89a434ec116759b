use super::shapes::{OFFSETS, block_spec, dropping, packed, sizes};
use crate::support::{
    gradcheck::{Layer, Pass},
    oracle,
    trees::poisoned,
};
use clipwright::layers::Keep;
use clipwright::layers::block::{self, Saved, Scratch, Size};
use clipwright::layers::sequences::Sequences;

fn check(size: &Size, sequences: &Sequences) {
    let (rows, ranges, dropout) = (sequences.rows(), sequences.ranges(), sequences.depth(1, 2, false));
    Layer::new(format!("{size:?}, {ranges:?}, {dropout:?}"), block_spec(size), [("x", rows, size.width)]).check(
        |p, [x]| oracle::block(p, size, ranges, dropout, x),
        |Pass { p, x: [x], y, dy, dx: [mut dx], mut g }| {
            let saved = &mut poisoned(&Saved::dims(size, rows, Keep::All));
            let scratch = || poisoned(&Scratch::dims(size, rows));
            block::forward(&p, size, ranges, dropout, x, y, saved, &mut scratch());
            dx.assign(&dy);
            block::backward(&p, size, ranges, dropout, x, dx, saved, &mut scratch(), &mut g);
        },
    );
}

#[test]
fn every_entry() {
    for (size, offsets) in sizes().zip(OFFSETS.into_iter().cycle()) {
        check(&size, &packed(offsets, size.causal));
        check(&size, &dropping(packed(OFFSETS[3], size.causal), 0.5));
    }
}
