use super::shapes::{INIT, OFFSETS, dropping, sizes};
use crate::support::{
    compare::assert_close,
    gradcheck::{Layer, Pass},
    oracle,
    oracle_models::sequences,
    random,
    trees::{Pair, poisoned},
};
use clipwright::Write;
use clipwright::layers::Keep;
use clipwright::layers::block::Size;
use clipwright::layers::cross_attention::{self, CrossAttention, Shape};
use clipwright::layers::layer_norm::LayerNorm;
use clipwright::layers::mlp::Mlp;
use clipwright::layers::post_norm::{
    self, At, Block, BlockMut, Look, LookMut, Looks, Part, Rest, Saved, Scratch, SelfAttention,
};
use clipwright::layers::sequences::{Pool, Sequences};
use clipwright::params::{Params, Spec, view_mut};
use clipwright::tree::{Dim, Path, Tree, tree};
use clipwright::weights::Weight;
use ndarray::{Array2, ArrayView2};
use std::ops::Range;

type Parts<T> = Pair<SelfAttention<T>, Rest<T>>;

/// The width of what is looked at, and its rows.
const SOURCE: (usize, usize) = (7, 9);

fn spec(size: &Size) -> Parts<Spec> {
    Pair("attention", SelfAttention::spec(size.width, INIT), "rest", Rest::spec(size, SOURCE.0, INIT))
}

/// The first text looks at rows 0..4, all others at the next five.
fn looks(sequences: &Sequences, pooled: bool) -> (Vec<Range<usize>>, Vec<Range<usize>>) {
    let (first, rows) = (sequences.ranges()[0].end, sequences.rows());
    let queries = if pooled { vec![0..1, 1..sequences.len()] } else { vec![0..first, first..rows] };
    (queries, vec![0..4, 4..9])
}

/// Checks every entry of a block that looks at something, and whose pooled rows, or all rows, leave.
fn check_looking(size: &Size, sequences: &Sequences, pool: Pool) {
    let (rows, width, pooled) = (sequences.rows(), size.width, pool != Pool::All);
    let (every, leaving) = (looks(sequences, false), looks(sequences, pooled));
    let [every, leaving] =
        [&every, &leaving].map(|(queries, source)| Shape { queries, source, heads: size.heads, dropout: None });
    let part = Part { rows, pooled: pooled.then_some(sequences.len()), looks: Some(Looks::AtKeys) };
    let name = format!("{size:?}, {:?}, {pool:?}, looking, {:?}", sequences.ranges(), sequences.dropout(2, pooled));
    let inputs = [("x", rows, width), ("source", SOURCE.1, SOURCE.0)];
    Layer::new(name, spec(size), inputs).check(
        |Pair(_, attention, _, rest), [x, source]: [ArrayView2<f64>; 2]| {
            let (look, dropout) = (Some((every, source)), sequences.dropout(2, false));
            oracle::pooled(sequences, &oracle::post_norm(attention, rest, size, sequences.ranges(), look, dropout, x))
        },
        |Pass { p: Pair(_, attention, _, rest), x: [x, source], y, dy, dx: [dx, mut dsource], g }| {
            let Pair(_, mut g_attention, _, mut g_rest) = g;
            let saved = &mut poisoned(&Saved::dims(size, part, Keep::All));
            let scratch = || poisoned(&Scratch::dims(size, part));
            let mut kv = Array2::from_elem((SOURCE.1, 2 * width), f32::NAN);
            let mut dkv = kv.clone();
            cross_attention::keys(&rest.cross, source, kv.view_mut());
            let look = Look { at: At::Keys(kv.view()), shape: leaving };
            let block = || Block { attention: &attention, rest: &rest };
            post_norm::forward(
                block(),
                size,
                sequences,
                Some(look),
                sequences.dropout(2, pooled),
                x,
                y,
                saved,
                &mut scratch(),
            );
            let look = Some(LookMut { kv: kv.view(), shape: leaving, write: Write::Set, dkv: dkv.view_mut() });
            let g = BlockMut { attention: &mut g_attention, rest: &mut g_rest };
            post_norm::backward(
                block(),
                size,
                sequences,
                look,
                sequences.dropout(2, pooled),
                x,
                dy,
                dx,
                saved,
                &mut scratch(),
                g,
            );
            dsource.fill(0.0);
            cross_attention::backward_keys(&rest.cross, source, dkv.view(), dsource, &mut g_rest.cross);
        },
    );
}

tree!(Mute { attention: SelfAttention, mlp: Mlp, mlp_ln: LayerNorm });
tree!(Unused { cross: CrossAttention, cross_ln: LayerNorm });

/// Checks every entry of a block that looks at nothing, whose cross-attention is neither read nor moved.
fn check_alone(size: &Size, sequences: &Sequences, pool: Pool) {
    let Pair(_, attention, _, Rest { cross, cross_ln, mlp, mlp_ln }) = spec(size);
    let unused = Params::zeros(Unused { cross, cross_ln });
    let (rows, pooled) = (sequences.rows(), pool != Pool::All);
    let part = Part { rows, pooled: pooled.then_some(sequences.len()), looks: None };
    let name = format!("{size:?}, {:?}, {pool:?}, alone, {:?}", sequences.ranges(), sequences.dropout(2, pooled));
    Layer::new(name, Mute { attention, mlp, mlp_ln }, [("x", rows, size.width)]).check(
        |p, [x]| {
            let Mute { attention, mlp, mlp_ln } = p.map(&Path::ROOT, &mut |_, leaf| *leaf);
            let Unused { cross, cross_ln } = unused.spec.map(&Path::ROOT, &mut |_, _| &[][..]);
            let rest = Rest { cross, cross_ln, mlp, mlp_ln };
            let dropout = sequences.dropout(2, false);
            let y = oracle::post_norm(&attention, &rest, size, sequences.ranges(), None, dropout, x);
            oracle::pooled(sequences, &y)
        },
        |Pass { p: Mute { attention, mlp, mlp_ln }, x: [x], y, dy, dx: [dx], g }| {
            let Unused { cross, cross_ln } = unused.view();
            let rest = Rest { cross, cross_ln, mlp, mlp_ln };
            let mut none = Params::zeros(unused.spec.clone());
            let Unused { cross, cross_ln } = view_mut(&unused.spec, &mut none.flat);
            let Mute { attention: mut g_attention, mlp, mlp_ln } = g;
            let mut g_rest = Rest { cross, cross_ln, mlp, mlp_ln };
            let saved = &mut poisoned(&Saved::dims(size, part, Keep::All));
            let scratch = || poisoned(&Scratch::dims(size, part));
            let block = || Block { attention: &attention, rest: &rest };
            let dropout = sequences.dropout(2, pooled);
            post_norm::forward(block(), size, sequences, None, dropout, x, y, saved, &mut scratch());
            let g = BlockMut { attention: &mut g_attention, rest: &mut g_rest };
            post_norm::backward(block(), size, sequences, None, dropout, x, dy, dx, saved, &mut scratch(), g);
            assert!(none.flat.iter().all(|&g| g == 0.0));
        },
    );
}

#[test]
fn every_entry() {
    for (i, size) in sizes().enumerate() {
        let offsets = OFFSETS[i % OFFSETS.len()];
        for pool in [Pool::All, if size.causal { Pool::Last } else { Pool::First }] {
            for (offsets, rate) in [(offsets, 0.0), (OFFSETS[2], 0.3)] {
                let sequences = dropping(sequences(offsets.iter().copied(), pool), rate);
                check_alone(&size, &sequences, pool);
                if sequences.len() > 1 {
                    check_looking(&size, &sequences, pool);
                }
            }
        }
    }
}

/// Rows that look at the tokens of a source become what they become where they look at its keys and values.
#[test]
fn looking_at_tokens_is_looking_at_keys() {
    for (i, size) in sizes().enumerate() {
        let offsets = OFFSETS[i % OFFSETS.len()];
        for pool in [Pool::All, if size.causal { Pool::Last } else { Pool::First }] {
            let sequences = sequences(offsets.iter().copied(), pool);
            let pooled = (pool != Pool::All).then_some(sequences.len());
            if sequences.len() < 2 {
                continue;
            }
            let weights = random::params(spec(&size), 1).into_weights();
            let source = random::matrix((SOURCE.1, SOURCE.0), 2);
            let x = random::matrix((sequences.rows(), size.width), 3);
            let mut kv = Array2::from_elem((SOURCE.1, 2 * size.width), f32::NAN);
            cross_attention::keys(&weights.view().3.cross, source.view(), kv.view_mut());
            let (queries, rows) = looks(&sequences, pooled.is_some());
            let shape = Shape { queries: &queries, source: &rows, heads: size.heads, dropout: None };
            let run = |p: Parts<Weight>, at, looks| {
                let part = Part { rows: sequences.rows(), pooled, looks: Some(looks) };
                let saved = &mut poisoned(&Saved::dims(&size, part, Keep::Nothing));
                let scratch = &mut poisoned(&Scratch::dims(&size, part));
                let mut y = Array2::zeros((pooled.unwrap_or(sequences.rows()), size.width));
                let (block, look) = (Block { attention: &p.1, rest: &p.3 }, Some(Look { at, shape }));
                post_norm::forward(block, &size, &sequences, look, None, x.view(), y.view_mut(), saved, scratch);
                y
            };
            let expected = run(weights.view(), At::Keys(kv.view()), Looks::AtKeys);
            let tokens = run(weights.view(), At::Tokens(source.view()), Looks::AtTokens(Dim(5, SOURCE.0)));
            assert_close(&format!("{size:?}, {pool:?}"), tokens.view(), expected.view());
        }
    }
}
