use super::shapes::{OFFSETS, block_spec, ranges, sizes};
use crate::support::{
    gradcheck::{Layer, Pass},
    oracle,
    trees::poisoned,
};
use clipwright::layers::Keep;
use clipwright::layers::block::{self, Saved, Scratch};

#[test]
fn every_entry() {
    for (size, offsets) in sizes().zip(OFFSETS.into_iter().cycle()) {
        let (rows, ranges) = (offsets[offsets.len() - 1], &ranges(offsets));
        Layer::new(format!("{size:?}, {offsets:?}"), block_spec(&size), [("x", rows, size.width)]).check(
            |p, [x]| oracle::block(p, &size, ranges, x),
            |Pass { p, x: [x], y, dy, dx: [mut dx], mut g }| {
                let saved = &mut poisoned(&Saved::dims(&size, rows, Keep::All));
                let scratch = || poisoned(&Scratch::dims(&size, rows));
                block::forward(&p, &size, ranges, None, x, y, saved, &mut scratch());
                dx.assign(&dy);
                block::backward(&p, &size, ranges, None, x, dx, saved, &mut scratch(), &mut g);
            },
        );
    }
}
