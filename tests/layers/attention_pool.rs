use crate::support::gradcheck::{Layer, Pass, START};
use crate::support::{oracle, trees::poisoned};
use clipwright::layers::attention_pool::{self, AttentionPool, Saved, Scratch, Shape};
use clipwright::layers::{pictures, pictures_mut};
use clipwright::params::{Role, Spec};
use rayon::ThreadPoolBuilder;

/// Sizes: pictures, rows, columns; channels, heads, e.
const SHAPES: [(usize, usize, usize, usize, usize, usize); 5] =
    [(1, 1, 1, 4, 2, 3), (3, 2, 2, 6, 1, 5), (2, 1, 3, 10, 5, 1), (2, 3, 2, 12, 3, 7), (5, 2, 1, 9, 9, 4)];

fn shape(pixels: usize, channels: usize, heads: usize, embed_dim: usize) -> Shape {
    Shape { pixels, channels, heads, embed_dim }
}

fn run(shape: &Shape, dim: (usize, usize, usize, usize), pass: Pass<AttentionPool<Spec>, 1>) {
    let Pass { p, x: [x], y, dy, dx: [dx], mut g } = pass;
    let (saved, scratch) = (&mut poisoned(&Saved::dims(shape, dim.0)), &mut poisoned(&Scratch::dims(shape, dim.0)));
    attention_pool::forward(&p, shape, pictures(x, dim), y, saved);
    attention_pool::backward(&p, shape, dy, pictures_mut(dx, dim), saved, scratch, &mut g);
    assert!(g.k_proj.bias.iter().all(|&g| g == START), "the same number for all keys: no gradient");
}

/// The keys' bias has no gradient, so the test treats it like a buffer.
fn spec(shape: &Shape) -> AttentionPool<Spec> {
    let mut spec = shape.spec();
    spec.k_proj.bias.role = Role::Statistic;
    spec
}

#[test]
fn every_entry() {
    for (n, h, w, channels, heads, embed_dim) in SHAPES {
        let shape = shape(h * w, channels, heads, embed_dim);
        Layer::new(format!("{shape:?}"), spec(&shape), [("x", n * h * w, channels)])
            .check(|p, [x]| oracle::attention_pool(p, &shape, x), |pass| run(&shape, (n, h, w, channels), pass));
    }
}

/// The check with more tokens and channels than a tile of a product has.
#[test]
fn wide() {
    let (n, h, w, channels, heads, embed_dim) = (3, 7, 5, 96, 6, 33);
    let shape = shape(h * w, channels, heads, embed_dim);
    Layer::new("wide", spec(&shape), [("x", n * h * w, channels)])
        .check_directions(|p, [x]| oracle::attention_pool(p, &shape, x), |pass| run(&shape, (n, h, w, channels), pass));
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let (n, h, w, channels, heads, embed_dim) = (5, 7, 7, 256, 4, 64);
    let shape = shape(h * w, channels, heads, embed_dim);
    let run = || {
        let p = crate::support::random::params(shape.spec(), 1);
        let (x, dy) = (
            crate::support::random::matrix((n * h * w, channels), 2),
            crate::support::random::matrix((n, embed_dim), 3),
        );
        let (mut y, mut dx, mut g) = (dy.clone(), x.clone(), p.flat.clone());
        let (saved, scratch) = (&mut poisoned(&Saved::dims(&shape, n)), &mut poisoned(&Scratch::dims(&shape, n)));
        let dim = (n, h, w, channels);
        attention_pool::forward(&p.view(), &shape, pictures(x.view(), dim), y.view_mut(), saved);
        let (dx_view, g_view) = (pictures_mut(dx.view_mut(), dim), &mut clipwright::params::view_mut(&p.spec, &mut g));
        attention_pool::backward(&p.view(), &shape, dy.view(), dx_view, saved, scratch, g_view);
        y.into_iter().chain(dx).chain(g.to_vec()).map(f32::to_bits).collect::<Vec<_>>()
    };
    let [one, two, five] =
        [1, 2, 5].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run));
    assert!(one == two && one == five);
}
