use super::shapes::ACTIVATIONS;
use crate::support::gradcheck::{Layer, Pass};
use crate::support::{oracle, trees::poisoned};
use clipwright::layers::Keep;
use clipwright::layers::block::Size;
use clipwright::layers::map_head::{self, MapHead, Saved, Scratch};
use clipwright::params::Spec;

/// Pictures and their tokens; width, MLP width, heads.
const SHAPES: [(usize, usize, usize, usize, usize); 4] =
    [(1, 2, 4, 6, 2), (3, 5, 6, 10, 1), (2, 4, 10, 7, 5), (4, 7, 9, 21, 9)];

fn sizes() -> impl Iterator<Item = (usize, usize, Size)> {
    SHAPES.into_iter().zip(ACTIVATIONS.into_iter().cycle()).map(
        |((pictures, tokens, width, mlp_width, heads), activation)| {
            (pictures, tokens, Size { width, mlp_width, heads, layers: 1, activation, causal: false, eps: 0.03 })
        },
    )
}

fn run(size: &Size, tokens: usize, keep: Keep, pass: Pass<MapHead<Spec>, 1>) {
    let Pass { p, x: [x], y, dy, dx: [dx], mut g } = pass;
    let pictures = y.nrows();
    let saved = &mut poisoned(&Saved::dims(size, tokens, pictures, keep));
    let scratch = || poisoned(&Scratch::dims(size, tokens, pictures));
    map_head::forward(&p, size, x, y, saved, &mut scratch());
    map_head::backward(&p, size, x, dy, dx, saved, &mut scratch(), &mut g);
}

#[test]
fn every_entry() {
    for (pictures, tokens, size) in sizes() {
        for keep in [Keep::All, Keep::Inputs] {
            let what = format!("map_head, {pictures} pictures of {tokens}, {size:?}, {keep:?}");
            Layer::new(what, MapHead::spec(&size), [("x", pictures * tokens, size.width)])
                .check(|p, [x]| oracle::map_head(p, &size, tokens, x), |pass| run(&size, tokens, keep, pass));
        }
    }
}

/// The check with more tokens and a larger width than a tile of a product has.
#[test]
fn wide() {
    let (activation, causal) = (ACTIVATIONS[2], false);
    let size = Size { width: 96, mlp_width: 130, heads: 6, layers: 1, activation, causal, eps: 1e-6 };
    let (pictures, tokens) = (3, 37);
    Layer::new("wide", MapHead::spec(&size), [("x", pictures * tokens, size.width)])
        .check_directions(|p, [x]| oracle::map_head(p, &size, tokens, x), |pass| run(&size, tokens, Keep::All, pass));
}
