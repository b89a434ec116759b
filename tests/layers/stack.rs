//! The stack of either tower by itself, whichever rows leave it.

use super::shapes::{INIT, OFFSETS, Towers, dropping, sizes};
use crate::support::{
    compare::{assert_close, assert_leaves_close},
    gradcheck::{Layer, Pass},
    oracle_models::{self, sequences},
    random,
    trees::{Pair, poisoned},
};
use clipwright::layers::Keep;
use clipwright::layers::block::{BlockInit, Size};
use clipwright::layers::layer_norm::LayerNorm;
use clipwright::layers::sequences::{Pool, Sequences};
use clipwright::models::clip::visual;
use clipwright::models::stack::{self, Saved, Scratch, Stack, StackMut, Transformer};
use clipwright::params::{self, Params, Spec};
use clipwright::tree::Dim;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};

const POOLS: [Pool; 3] = [Pool::First, Pool::Last, Pool::All];

/// A tower's parameters between its embedding and its projection.
type Parts<T> = Pair<Transformer<T>, LayerNorm<T>>;

fn parts(transformer: Transformer<Spec>, ln: LayerNorm<Spec>) -> Parts<Spec> {
    Pair("transformer", transformer, "ln", ln)
}

/// The stacks of CLIP's towers, and the one row of each sequence that CLIP reads of them.
fn stacks_of_clip(layers: usize) -> [(Size, Parts<Spec>, Pool); 2] {
    let config = Towers::new(layers, true).config;
    let (visual::Shape::Vit(image), text) = (config.vision(), config.text()) else { unreachable!("a ViT") };
    let (p_image, p_text) = (image.spec(), text.spec());
    [
        (image.size, parts(p_image.transformer, p_image.ln_post), Pool::First),
        (text.size, parts(p_text.transformer, p_text.ln_final), Pool::Last),
    ]
}

fn dims(size: &Size, sequences: &Sequences, pool: Pool, keep: Keep) -> Saved<Dim> {
    Saved::dims(size, sequences.rows(), sequences.len(), pool, keep)
}

fn forward(
    Pair(_, transformer, _, ln): &Parts<&[f32]>,
    size: &Size,
    sequences: &Sequences,
    pool: Pool,
    x: ArrayView2<f32>,
    y: ArrayViewMut2<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
) {
    let scratch = &mut poisoned(&Scratch::dims(size, sequences.rows(), sequences.len(), pool));
    saved.xs[0].assign(&x);
    stack::forward(Stack { resblocks: &transformer.resblocks, ln }, size, sequences, y, saved, scratch);
}

/// Returns dx.
fn backward(
    Pair(_, transformer, _, ln): &Parts<&[f32]>,
    size: &Size,
    sequences: &Sequences,
    pool: Pool,
    dy: ArrayView2<f32>,
    saved: &Saved<ArrayViewMut2<f32>>,
    Pair(_, g_transformer, _, g_ln): &mut Parts<&mut [f32]>,
) -> Array2<f32> {
    let scratch = &mut poisoned(&Scratch::dims(size, sequences.rows(), sequences.len(), pool));
    let p = Stack { resblocks: &transformer.resblocks, ln };
    let g = StackMut { resblocks: &mut g_transformer.resblocks, ln: g_ln };
    stack::backward(p, size, sequences, 0, dy, saved, scratch, g);
    scratch.dx.to_owned()
}

/// Every entry where there is one block, a few directions where there are more.
#[track_caller]
fn check(size: &Size, spec: Parts<Spec>, offsets: &[usize], pool: Pool, rate: f32) {
    let sequences = dropping(sequences(offsets.iter().copied(), pool), rate);
    let name = format!("{pool:?} of {size:?}, {offsets:?}, {rate}");
    let layer = Layer::new(name, spec, [("x", sequences.rows(), size.width)]);
    let oracle = |Pair(_, transformer, _, ln): &Parts<&[f64]>, [x]: [ArrayView2<f64>; 1]| {
        oracle_models::stack(transformer, ln, size, &sequences, x.to_owned())
    };
    let pass = |Pass { p, x: [x], y, dy, dx: [mut dx], mut g }: Pass<Parts<Spec>, 1>| {
        let saved = &mut poisoned(&dims(size, &sequences, pool, Keep::All));
        forward(&p, size, &sequences, pool, x, y, saved);
        dx.assign(&backward(&p, size, &sequences, pool, dy, saved, &mut g));
    };
    match size.layers {
        1 => layer.check(oracle, pass),
        _ => layer.check_directions(oracle, pass),
    }
}

#[test]
fn every_entry() {
    for (size, offsets) in sizes().zip(OFFSETS.into_iter().cycle()) {
        let init = BlockInit { in_proj: INIT, out_proj: INIT, c_fc: INIT, c_proj: INIT };
        let spec = || parts(Transformer::spec(&size, &init), LayerNorm::spec(size.width));
        check(&size, spec(), offsets, Pool::All, 0.0);
    }
}

#[test]
fn the_stacks_of_clip() {
    for (pool, rate) in POOLS.into_iter().flat_map(|pool| [(pool, 0.0), (pool, 0.5)]) {
        for (size, spec, _) in (1..=3).flat_map(stacks_of_clip).filter(|(size, ..)| fits(size, pool)) {
            check(&size, spec, &[0, 2, 11, 16], pool, rate);
        }
    }
}

/// Under a causal mask the first row has seen nothing.
fn fits(size: &Size, pool: Pool) -> bool {
    !(size.causal && pool == Pool::First)
}

/// y, dx and the parameters' gradients of a stack that gives out these rows. In between, `spoil` may change what is kept.
fn run(
    p: &Params<Parts<Spec>>,
    size: &Size,
    sequences: &Sequences,
    (pool, keep): (Pool, Keep),
    x: ArrayView2<f32>,
    dy: ArrayView2<f32>,
    spoil: impl FnOnce(&mut Saved<ArrayViewMut2<f32>>),
) -> (Array2<f32>, Array2<f32>, Vec<f32>) {
    let saved = &mut poisoned(&dims(size, sequences, pool, keep));
    let mut y = Array2::from_elem(dy.dim(), f32::NAN);
    let mut g = vec![0.0; p.flat.len()];
    forward(&p.view(), size, sequences, pool, x, y.view_mut(), saved);
    spoil(saved);
    let dx = backward(&p.view(), size, sequences, pool, dy, saved, &mut params::view_mut(&p.spec, &mut g));
    (y, dx, g)
}

/// The pooled rows of all are the pooled way's, and so are the gradients if no other row has one.
#[test]
fn all_rows_hold_the_pooled_ones() {
    for (size, spec, pool) in (1..=3).flat_map(stacks_of_clip) {
        let p = random::params(spec, 1);
        for offsets in OFFSETS {
            let [one, all] = [pool, Pool::All].map(|pool| sequences(offsets.iter().copied(), pool));
            let rows: Vec<usize> = one.pooled().iter().map(|&row| row as usize).collect();
            let x = random::matrix((one.rows(), size.width), 2);
            let dy = random::matrix((rows.len(), size.width), 3);
            let mut dy_all = Array2::zeros(x.dim());
            rows.iter().zip(dy.rows()).for_each(|(&row, dy)| dy_all.row_mut(row).assign(&dy));

            let (y, dx, g) = run(&p, &size, &one, (pool, Keep::All), x.view(), dy.view(), |_| {});
            let (y_all, dx_all, g_all) = run(&p, &size, &all, (Pool::All, Keep::All), x.view(), dy_all.view(), |_| {});
            assert_close("y", y_all.select(Axis(0), &rows).view(), y.view());
            assert_close("dx", dx_all.view(), dx.view());
            assert_leaves_close(&p.spec, &g_all, &g);
        }
    }
}

#[test]
fn keeping_nothing_or_every_state_changes_no_bit() {
    for (size, spec, _) in (1..=4).flat_map(stacks_of_clip) {
        let p = random::params(spec, 1);
        for pool in POOLS.into_iter().filter(|&pool| fits(&size, pool)) {
            let sequences = sequences([0, 2, 11, 16].into_iter(), pool);
            let (rows, count) = (sequences.rows(), sequences.len());
            let x = random::matrix((rows, size.width), 2);
            let y = |dims: Saved<_>| {
                let mut y = Array2::from_elem((pool.rows(rows, count), size.width), f32::NAN);
                forward(&p.view(), &size, &sequences, pool, x.view(), y.view_mut(), &mut poisoned(&dims));
                y
            };
            let kept = y(dims(&size, &sequences, pool, Keep::All));
            assert_eq!(kept, y(dims(&size, &sequences, pool, Keep::Nothing)), "{pool:?} of {size:?}");
            assert_eq!(kept, y(Saved::of_states(&size, rows, count, pool)), "{pool:?} of {size:?}");
        }
    }
}

/// What the inputs give again has the bits that were not kept, whether branches are dropped or not.
#[test]
fn keeping_the_inputs_changes_no_bit() {
    for (size, spec, _) in (1..=4).flat_map(stacks_of_clip) {
        let p = random::params(spec, 1);
        for (pool, rate) in
            POOLS.into_iter().filter(|&pool| fits(&size, pool)).flat_map(|pool| [(pool, 0.0), (pool, 0.5)])
        {
            for offsets in OFFSETS {
                let sequences = dropping(sequences(offsets.iter().copied(), pool), rate);
                let x = random::matrix((sequences.rows(), size.width), 2);
                let dy = random::matrix((sequences.pooled().len(), size.width), 3);
                let [all, inputs] = [Keep::All, Keep::Inputs]
                    .map(|keep| run(&p, &size, &sequences, (pool, keep), x.view(), dy.view(), |_| {}));
                assert!(all == inputs, "{pool:?} of {size:?}, {offsets:?}, {rate}");
            }
        }
    }
}

/// Each backward pass here reads what the last block has left, as if it had not been computed again.
#[test]
fn what_another_block_left_is_noticed() {
    for (size, spec, pool) in stacks_of_clip(3) {
        let (p, sequences) = (random::params(spec, 1), sequences([0, 2, 11, 16].into_iter(), pool));
        let x = random::matrix((sequences.rows(), size.width), 2);
        let dy = random::matrix((sequences.pooled().len(), size.width), 3);
        let run = |keep, spoil: fn(&mut Saved<ArrayViewMut2<f32>>)| {
            run(&p, &size, &sequences, (pool, keep), x.view(), dy.view(), spoil)
        };
        let inputs = run(Keep::Inputs, |_| {});
        let stale: [fn(&mut Saved<ArrayViewMut2<f32>>); 2] = [
            |saved| {
                let [first, last] = &mut saved.blocks[..] else { panic!("two whole blocks") };
                first.attn.qkv.assign(&last.attn.qkv);
            },
            |saved| {
                let [first, last] = &mut saved.blocks[..] else { panic!("two whole blocks") };
                first.ff.preact.assign(&last.ff.preact);
            },
        ];
        for spoil in stale {
            let (y, dx, g) = run(Keep::All, spoil);
            assert!(y == inputs.0 && dx != inputs.1 && g != inputs.2, "{size:?}");
        }
    }
}

#[test]
#[should_panic(expected = "a backward pass through 3 blocks, of which 2 have kept their input")]
fn a_backward_pass_behind_inference_is_refused() {
    let [(size, spec, pool), _] = stacks_of_clip(3);
    let sequences = sequences([0, 2, 5].into_iter(), pool);
    let (x, dy) = (random::matrix((5, size.width), 2), random::matrix((2, size.width), 3));
    run(&random::params(spec, 1), &size, &sequences, (pool, Keep::Nothing), x.view(), dy.view(), |_| {});
}

#[test]
#[should_panic(expected = "under a causal mask only the last row")]
fn the_first_row_under_a_causal_mask_is_refused() {
    let [_, (size, spec, _)] = stacks_of_clip(1);
    let sequences = sequences([0, 2, 5].into_iter(), Pool::First);
    let (x, dy) = (random::matrix((5, size.width), 2), random::matrix((2, size.width), 3));
    run(&random::params(spec, 1), &size, &sequences, (Pool::First, Keep::All), x.view(), dy.view(), |_| {});
}

#[test]
#[should_panic(expected = "a stack that gives out other rows")]
fn buffers_for_other_rows_are_refused() {
    let [(size, spec, pool), _] = stacks_of_clip(1);
    let (p, sequences) = (random::params(spec, 1), sequences([0, 2, 5].into_iter(), pool));
    let x = random::matrix((5, size.width), 2);
    let saved = &mut poisoned(&dims(&size, &sequences, Pool::All, Keep::All));
    let mut y = Array2::zeros(x.dim());
    forward(&p.view(), &size, &sequences, Pool::All, x.view(), y.view_mut(), saved);
}
