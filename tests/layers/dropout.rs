//! Dropout of whole text Transformers and stochastic depth of whole image encoders: what is dropped depends on names
//! alone.

use super::shapes::dropping;
use crate::support::{
    compare::{assert_close, assert_leaves_close},
    gradcheck::{self, Layer},
    oracle, oracle_models, philox, random,
    trees::poisoned_arena,
};
use clipwright::Write;
use clipwright::layers::block::Size;
use clipwright::layers::cross_attention;
use clipwright::layers::dropout::{self, Pass, Site, Unit};
use clipwright::layers::patch_embed::Grid;
use clipwright::layers::sequences::{Pool, Sequences};
use clipwright::models::blip::sights::{Attended, Sights, SightsMut};
use clipwright::models::blip::text::{self, Text};
use clipwright::models::blip::vit::{self, Vit};
use clipwright::models::{Captions, Keep, Workspace};
use clipwright::params::{self, Params, Spec};
use clipwright::random::key;
use clipwright::tree::Arena;
use kernels::Activation;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, concatenate, s};
use rayon::ThreadPoolBuilder;
use std::ops::Range;

const SITES: [Site; 6] =
    [Site::Attention, Site::AttentionOutput, Site::Cross, Site::CrossOutput, Site::Mlp, Site::Embedding];

/// Texts of different lengths, of which the first looks at rows 0..4 and the others at the next five.
const OFFSETS: [usize; 5] = [0, 2, 11, 16, 19];
const TEXTS: usize = OFFSETS.len() - 1;
const LOOKS: [Range<usize>; 2] = [0..1, 1..TEXTS];
const SOURCE: [Range<usize>; 2] = [0..4, 4..9];

/// The places of the texts in the batch of a step.
const PLACES: [u32; TEXTS] = [40, 7, 0, 23];

fn size(width: usize, causal: bool) -> Size {
    Size { width, mlp_width: 21, heads: 5, layers: 3, activation: Activation::Gelu, causal, eps: 0.03 }
}

fn text_shape(width: usize, causal: bool) -> text::Shape {
    text::Shape { vocab_size: 12, positions: 9, source: 7, size: size(width, causal) }
}

fn ids() -> Vec<u32> {
    (0..OFFSETS[TEXTS] as u32).map(|i| i * i % 11).collect()
}

fn pass(rate: f32, places: &[u32]) -> Pass<'_> {
    Pass { rate, key: key(&[1, 2, 3]), places }
}

/// Runs some of the texts forward and backward.
fn pass_texts(
    p: &Text<&[f32]>,
    shape: &text::Shape,
    (texts, pool): (Range<usize>, Pool),
    dropout: Option<Pass>,
    source: ArrayView2<f32>,
    dy: ArrayView2<f32>,
    mut y: ArrayViewMut2<f32>,
    dsource: ArrayViewMut2<f32>,
    g: &mut Text<&mut [f32]>,
) {
    let (ids, (mut keys, mut dkeys)) = (ids(), (Arena::default(), Arena::default()));
    let captions = Captions { ids: &ids, offsets: &OFFSETS[texts.start..=texts.end] };
    let own = |i: usize| i.clamp(texts.start, texts.end) - texts.start;
    let looks = LOOKS.map(|range| own(range.start)..own(range.end));
    let sights = Sights { texts: &looks, rows: &SOURCE };
    let (keys, dkeys) = (&mut keys.carve(&shape.keys(9)), &mut dkeys.carve(&shape.keys(9)));
    text::keys(&p.shared, source, keys);
    let keys = keys.view();
    let (mut workspace, seen, how) =
        (text::Workspace::default(), Some((sights, Attended::Keys(&keys))), (pool, Keep::All));
    text::forward(p.as_ref(), shape, captions, seen, how, dropout, y.view_mut(), &mut workspace, &mut poisoned_arena());
    let seen = Some(SightsMut { sights, keys: &keys, write: Write::Set, dkeys });
    text::backward(p.as_ref(), shape, captions, seen, pool, dy, &mut workspace, &mut poisoned_arena(), g.as_mut());
    text::backward_keys(&p.shared, source, dkeys, dsource, &mut g.shared);
}

/// The states of all texts, and the gradients of the source and of all parameters.
#[derive(Debug, PartialEq)]
struct Outcome(Array2<f32>, Array2<f32>, Vec<f32>);

/// Runs all texts in micro-batches that end at these texts.
fn outcome(p: &Params<Text<Spec>>, shape: &text::Shape, pool: Pool, rate: Option<f32>, ends: &[usize]) -> Outcome {
    let width = shape.size.width;
    let source = random::matrix((9, 7), 2);
    let dy = random::matrix((pool.rows(OFFSETS[TEXTS], TEXTS), width), 3);
    let (mut y, mut dsource) = (Array2::from_elem(dy.dim(), f32::NAN), Array2::zeros(source.dim()));
    let (mut g, mut start) = (vec![0.0; p.flat.len()], 0);
    for &end in ends {
        let rows = if pool == Pool::All { OFFSETS[start]..OFFSETS[end] } else { start..end };
        let dropout = rate.map(|rate| pass(rate, &PLACES[start..end]));
        let (dy, y) = (dy.slice(s![rows.clone(), ..]), y.slice_mut(s![rows, ..]));
        let g = &mut params::view_mut(&p.spec, &mut g);
        pass_texts(&p.view(), shape, (start..end, pool), dropout, source.view(), dy, y, dsource.view_mut(), g);
        start = end;
    }
    Outcome(y, dsource, g)
}

fn cases() -> impl Iterator<Item = (text::Shape, Pool)> {
    [(false, Pool::All), (false, Pool::First), (true, Pool::All), (true, Pool::Last)]
        .into_iter()
        .map(|(causal, pool)| (text_shape(10, causal), pool))
}

/// The rows that leave of blocks(m ∘ ln(word + position))
fn text_oracle(p: &Text<&[f64]>, shape: &text::Shape, sequences: &Sequences, source: ArrayView2<f64>) -> Array2<f64> {
    let (embeddings, size) = (&p.shared.embeddings, &shape.size);
    let (words, positions) = (embeddings.word_embeddings, embeddings.position_embeddings);
    let x = oracle::token_embed(words, positions, size.width, &ids(), sequences);
    let x = oracle::layer_norm(&embeddings.ln, size.eps, x.view());
    let mut x = philox::dropped(sequences.dropout(0, false), Site::Embedding, x);
    let queries = LOOKS.map(|texts| OFFSETS[texts.start]..OFFSETS[texts.end]);
    let look = cross_attention::Shape { queries: &queries, source: &SOURCE, heads: size.heads, dropout: None };
    for (i, (attention, rest)) in p.attention.iter().zip(&p.shared.layers).enumerate() {
        let (look, dropout) = (Some((look, source)), sequences.dropout(i, false));
        x = oracle::post_norm(attention, rest, size, sequences.ranges(), look, dropout, x.view());
    }
    oracle::pooled(sequences, &x)
}

#[test]
fn whole_texts() {
    for (shape, pool) in cases() {
        for rate in [0.1, 0.5] {
            let mut sequences = oracle_models::sequences(OFFSETS.into_iter(), pool);
            sequences.drop(Some(pass(rate, &PLACES)));
            let name = format!("{shape:?}, {pool:?}, {rate}");
            Layer::new(name, shape.spec(false), [("source", 9, 7)]).check_directions(
                |p, [source]| text_oracle(p, &shape, &sequences, source),
                |gradcheck::Pass { p, x: [source], y, dy, dx: [mut dsource], mut g }| {
                    dsource.fill(0.0);
                    let dropout = Some(pass(rate, &PLACES));
                    pass_texts(&p, &shape, (0..TEXTS, pool), dropout, source, dy, y, dsource, &mut g);
                },
            );
        }
    }
}

#[test]
fn a_rate_of_zero_changes_no_bit() {
    for (shape, pool) in cases() {
        let p = random::params(shape.spec(false), 1);
        let plain = outcome(&p, &shape, pool, None, &[TEXTS]);
        assert_eq!(plain, outcome(&p, &shape, pool, Some(0.0), &[TEXTS]));
        assert_ne!(plain, outcome(&p, &shape, pool, Some(0.1), &[TEXTS]));
    }
}

#[test]
fn the_same_again_and_on_any_number_of_threads() {
    for pool in [Pool::All, Pool::Last] {
        let shape = text_shape(320, true);
        let p = random::params(shape.spec(false), 1);
        let run = || outcome(&p, &shape, pool, Some(0.1), &[TEXTS]);
        let first = run();
        for threads in [1, 1, 2, 5] {
            let again = ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run);
            assert!(first == again, "{threads} threads, {pool:?}");
        }
    }
}

#[test]
fn texts_in_any_micro_batches() {
    for (shape, pool) in cases() {
        let p = random::params(shape.spec(false), 1);
        let Outcome(y, dsource, g) = outcome(&p, &shape, pool, Some(0.3), &[TEXTS]);
        for ends in [&[1, TEXTS][..], &[2, TEXTS], &[1, 2, 3, TEXTS]] {
            let Outcome(y_cut, dsource_cut, g_cut) = outcome(&p, &shape, pool, Some(0.3), ends);
            assert_close("y", y_cut.view(), y.view());
            assert_close("dsource", dsource_cut.view(), dsource.view());
            assert_leaves_close(&p.spec, &g_cut, &g);
        }
    }
}

/// Returns the tokens of pictures and the parameters' gradients.
fn pictures(
    p: &Params<Vit<Spec>>,
    shape: &vit::Shape,
    images: ArrayView2<f32>,
    places: &[u32],
    rate: f32,
) -> (Array2<f32>, Vec<f32>) {
    let mut y = Array2::from_elem((images.nrows() * shape.grid.tokens(), shape.size.width), f32::NAN);
    let (dy, mut g) = (Array2::ones(y.dim()), vec![0.0; p.flat.len()]);
    let (mut workspace, how, out) = (Workspace::default(), (Pool::All, Keep::All), y.view_mut());
    let (p, g_view, depth) = (p.view(), &mut params::view_mut(&p.spec, &mut g), Some(pass(rate, places)));
    vit::forward(&p, shape, images, how, depth, out, &mut workspace, &mut poisoned_arena());
    vit::backward(&p, shape, images, dy.view(), &mut workspace, &mut poisoned_arena(), g_view);
    (y, g)
}

#[test]
fn pictures_in_any_micro_batches() {
    let shape = vit::Shape { grid: Grid::square(6, 2), size: size(10, false) };
    let p = random::params(shape.spec(), 1);
    let images = random::matrix((6, shape.grid.image_len()), 2);
    let places = [9, 3, 100, 0, 1, 2];
    let part =
        |range: Range<usize>, rate| pictures(&p, &shape, images.slice(s![range.clone(), ..]), &places[range], rate);
    let (y, g) = part(0..6, 0.5);
    let (one, two) = (part(0..2, 0.5), part(2..6, 0.5));
    assert_close("tokens", concatenate![Axis(0), one.0, two.0].view(), y.view());
    let sum: Vec<f32> = one.1.iter().zip(&two.1).map(|(a, b)| a + b).collect();
    assert_leaves_close(&p.spec, &sum, &g);
    assert_ne!(part(0..6, 0.0).0, y);
}

/// Returns a mask, as zeros and ones, of a site of many rows in layer i.
fn kept(key: u64, i: usize, site: Site) -> Vec<bool> {
    let mut sequences = oracle_models::sequences((0..=400).map(|s| 5 * s), Pool::All);
    sequences.drop(Some(Pass { rate: 0.5, key, places: &(0..400).collect::<Vec<_>>() }));
    let mut x = Array2::ones((2000, 40));
    dropout::apply(dropout::at(sequences.dropout(i, false), site), x.view_mut());
    x.iter().map(|&x| x != 0.0).collect()
}

/// Half of the values are kept in two streams or in neither, give or take 4.5 standard deviations.
#[test]
fn sites_layers_steps_and_passes_are_unrelated() {
    let mut streams = vec![];
    for (step, pass) in [(0, 0), (0, 1), (1, 0)] {
        for i in [0, 1, 11] {
            streams.extend(SITES.map(|site| kept(key(&[42, step, pass]), i, site)));
        }
    }
    for (i, a) in streams.iter().enumerate() {
        let n = a.len() as f64;
        for b in &streams[..i] {
            let same = a.iter().zip(b).filter(|(a, b)| a == b).count() as f64;
            assert!((same - n / 2.0).abs() < 4.5 * (n / 4.0).sqrt(), "{same} of {n} agree");
        }
    }
}

/// From the first block to the last the rate grows from none to the whole, and a sequence is dropped as a whole, in
/// either branch for itself.
#[test]
fn depth_grows() {
    let sequences = dropping(oracle_models::sequences((0..=3000).map(|s| 2 * s), Pool::First), 0.3);
    assert!(sequences.depth(0, 4, false).is_none() && sequences.depth(0, 1, false).is_none());
    for (i, rate) in [(1, 0.1), (2, 0.2), (3, 0.3_f64)] {
        let branches = [Site::AttentionOutput, Site::Mlp].map(|site| {
            let [all, leaving] = [(false, 6000), (true, 3000)].map(|(leaving, rows)| {
                let dropout = dropout::at(sequences.depth(i, 4, leaving), site).unwrap();
                assert_eq!(dropout.unit, Unit::Sequence);
                let mut x = Array2::ones((rows, 3));
                dropout::apply(Some(dropout), x.view_mut());
                x
            });
            for (s, x) in leaving.rows().into_iter().enumerate() {
                assert!(all.slice(s![2 * s..2 * s + 2, ..]).iter().chain(x).all(|&m| m == x[0]));
                assert!(x[0] == 0.0 || (f64::from(x[0]) - 1.0 / (1.0 - rate)).abs() < 1e-4);
            }
            leaving.column(0).mapv(|m| m == 0.0)
        });
        let [a, b] = &branches;
        let count = |x: usize| x as f64 / 3000.0;
        let within = |share: f64, p: f64| (share - p).abs() < 4.0 * (p * (1.0 - p) / 3000.0).sqrt();
        assert!(branches.iter().all(|x| within(count(x.iter().filter(|&&dropped| dropped).count()), rate)));
        assert!(within(count(a.iter().zip(b).filter(|(a, b)| **a && **b).count()), rate * rate));
    }
}

#[test]
#[should_panic(expected = "dropout: places of sequences")]
fn every_sequence_has_a_place() {
    oracle_models::sequences([0, 2, 5].into_iter(), Pool::All).drop(Some(pass(0.1, &[0])));
}

/// The known answers of Random123, the authors' library (`kat_vectors`, philox4x32 10).
#[test]
fn the_definition_gives_the_known_answers() {
    let max = u32::MAX;
    let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
    for (counter, key, answer) in [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([max; 4], [max; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (pi, [0xa409_3822, 0x299f_31d0], [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
    ] {
        assert_eq!(philox::philox(counter, key), answer);
    }
}
