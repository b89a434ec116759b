use super::shapes::{INIT, OFFSETS, sizes};
use crate::support::{
    gradcheck::{Layer, Pass},
    oracle,
    trees::poisoned,
};
use clip::layers::attention::{self, Attention, Saved, Scratch};

#[test]
fn every_entry() {
    for (size, offsets) in sizes().flat_map(|size| OFFSETS.map(|offsets| (size, offsets))) {
        let (shape, width, rows) = (size.attention(offsets), size.width, offsets[offsets.len() - 1]);
        let (spec, given) = (Attention::spec(width, INIT, INIT), [("x", rows, width), ("residual", rows, width)]);
        Layer::new(format!("attention, width {width}, {shape:?}"), spec, given).check(
            |p, [x, residual]| oracle::attention(p, shape, x) + residual,
            |Pass { p, x: [x, residual], y, dy, dx: [dx, mut dresidual], mut g }| {
                let saved = &mut poisoned(&Saved::dims(rows, width, size.heads));
                attention::forward(&p, shape, x, residual, y, saved);
                attention::backward(&p, shape, x, saved, dy, dx, &mut poisoned(&Scratch::dims(rows, width)), &mut g);
                dresidual.assign(&dy);
            },
        );
    }
}
