//! BLIP-base at 384 pixels: a block that looks at pictures, captions of 3 beams and 20 tokens, matches of texts of 12
//! tokens.

use crate::Bench;
use crate::rates::Rates;
use clipwright::embed::write;
use clipwright::generate::{BeamStyle, Options, Request, Search, Text};
use clipwright::layers::cross_attention::{Shape, keys};
use clipwright::layers::post_norm::{
    self, At, Block, BlockMut, Look, LookMut, Looks, Part, Rest, Saved, Scratch as BlockScratch, SelfAttention,
};
use clipwright::layers::{Keep, sequences::Pool, sequences::Sequences};
use clipwright::models::Captions;
use clipwright::models::blip::model::{Inference, Source};
use clipwright::models::blip::{Blip, Config, Model, Parts};
use clipwright::params::{Init, Params, view_mut};
use clipwright::random::normals;
use clipwright::tree::Arena;
use clipwright::weights::Read;
use criterion::{Criterion, Throughput};
use kernels::Write;
use ndarray::{Array2, s};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::ops::Range;

/// What is timed.
pub const BENCHES: &[Bench] = &[post_norm_block, captions, matches];

/// Tokens of a picture of 384 pixels.
const TOKENS: usize = 577;
/// Tokens of a text that is matched.
const WORDS: usize = 12;
/// Tokens of a caption.
const CAPTION: usize = 20;

fn normal(rows: usize, cols: usize) -> Array2<f32> {
    normals((rows, cols), rows as u64)
}

/// Returns `count` ranges of this length, end to end.
fn runs(count: usize, length: usize) -> Vec<Range<usize>> {
    (0..count).map(|i| i * length..(i + 1) * length).collect()
}

/// One post-norm block, forward and backward: 32 texts look at 4 pictures.
fn post_norm_block(c: &mut Criterion<Rates>) {
    let size = Config::base(Parts::Matcher).encoder().size;
    let (texts, pictures, width) = (32, 4, size.width);
    let rows = texts * WORDS;
    let attention = Params::init(SelfAttention::spec(width, Init::Normal(0.03)), 0);
    let rest = Params::init(Rest::spec(&size, width, Init::Normal(0.03)), 1);
    let (own, shared) = (attention.view(), rest.view());
    let block = || Block { attention: &own, rest: &shared };
    let mut sequences = Sequences::default();
    sequences.fill((0..=texts).map(|i| i * WORDS), Pool::All);
    let (queries, source) = (runs(pictures, rows / pictures), runs(pictures, TOKENS));
    let look_shape = Shape { queries: &queries, source: &source, heads: size.heads, dropout: None };
    let (x, u) = (normal(rows, width), normal(pictures * TOKENS, width));
    let (mut y, mut dx) = (Array2::zeros(x.raw_dim()), Array2::zeros(x.raw_dim()));
    let (mut kv, mut dkv) = (Array2::zeros((u.nrows(), 2 * width)), Array2::zeros((u.nrows(), 2 * width)));
    keys(&shared.cross, u.view(), kv.view_mut());
    let part = Part { rows, pooled: None, looks: Some(Looks::AtKeys) };
    let (mut saved, mut scratch) = (Arena::default(), Arena::default());
    let mut saved = saved.carve(&Saved::dims(&size, part, Keep::All));
    let mut scratch = scratch.carve(&BlockScratch::dims(&size, part));
    let look = Look { at: At::Keys(kv.view()), shape: look_shape };
    let mut forward = |y: &mut Array2<f32>| {
        post_norm::forward(
            block(),
            &size,
            &sequences,
            Some(look),
            None,
            x.view(),
            y.view_mut(),
            &mut saved,
            &mut scratch,
        );
    };
    forward(&mut y);
    // Behind a LayerNorm with gains of 1, each row has the variance 1.
    assert!(y.rows().into_iter().all(|row| (row.var(0.0) - 1.0).abs() < 1e-3), "rows that are not normalised");

    let (d, m) = (width as u64, size.mlp_width as u64);
    let flops = 2 * rows as u64 * (6 * d * d + 2 * d * m + 2 * (TOKENS + WORDS) as u64 * d);
    let mut group = c.benchmark_group("blip: post-norm block 32×12×768, 4 pictures of 577");
    group.sample_size(10);
    group.throughput(Throughput::Elements(2 * (u.nrows() * width * 2 * width) as u64));
    let mut again = kv.clone();
    group.bench_function("keys of the pictures", |b| b.iter(|| keys(&shared.cross, u.view(), again.view_mut())));
    group.throughput(Throughput::Elements(flops));
    group.bench_function("forward", |b| b.iter(|| forward(&mut y)));
    group.throughput(Throughput::Elements(2 * flops));
    let (mut g_own, mut g_rest) = (vec![0.0; attention.flat.len()], vec![0.0; rest.flat.len()]);
    group.bench_function("backward", |b| {
        let (mut g_own, mut g_rest) = (view_mut(&attention.spec, &mut g_own), view_mut(&rest.spec, &mut g_rest));
        b.iter(|| {
            let g = BlockMut { attention: &mut g_own, rest: &mut g_rest };
            let look = LookMut { kv: kv.view(), shape: look_shape, write: Write::Set, dkv: dkv.view_mut() };
            let dy = x.view();
            let (x, dx) = (x.view(), dx.view_mut());
            post_norm::backward(block(), &size, &sequences, Some(look), None, x, dy, dx, &saved, &mut scratch, g);
        });
    });
    group.finish();
}

fn captions(c: &mut Criterion<Rates>) {
    let config = Config::base(Parts::Captioner);
    let weights = Model::new(config, 0).params.into_weights();
    let (p, mut buffers) = (weights.view(), Inference::default());
    let images = normal(8, config.vit().grid.image_len());
    let mut group = c.benchmark_group("blip: BLIP-base captions, 3 beams, 20 tokens");
    group.sample_size(10);
    let together = caption(&mut buffers, &p, &config, &images);
    for n in [1, 8] {
        let images = images.slice(s![..n, ..]).to_owned();
        let texts = caption(&mut buffers, &p, &config, &images);
        assert!(texts.iter().zip(&together).all(|(a, b)| a.ids == b.ids), "a caption depends on its neighbours");
        group.bench_function(format!("{n}"), |b| b.iter(|| caption(&mut buffers, &p, &config, &images)));
    }
    group.finish();
}

/// Writes a caption of exactly [`CAPTION`] tokens for each picture.
fn caption(buffers: &mut Inference, p: &Blip<impl Read>, config: &Config, images: &Array2<f32>) -> Vec<Text> {
    let ids = config.text.ids;
    let search = Search::Beams { beams: 3, style: BeamStyle::Original };
    let options = Options { min_length: CAPTION, search, ..Options::new(ids.end, CAPTION) };
    let (prompt, seen) = ([ids.decode], buffers.look(p, config, images.view()));
    let requests: Vec<_> = (0..images.nrows() as u64).map(|number| Request { prompt: &prompt, number }).collect();
    write(buffers, p, config, &seen, &requests, &options).expect("options that make sense")
}

fn matches(c: &mut Criterion<Rates>) {
    let config = Config::base(Parts::Matcher);
    let weights = Model::new(config, 0).params.into_weights();
    let (p, mut buffers) = (weights.view(), Inference::default());
    let images = normal(1, config.vit().grid.image_len());
    let mut rng = Pcg64::seed_from_u64(0);
    let mut ids: Vec<u32> = (0..32 * WORDS).map(|_| rng.random_range(1000..30_000)).collect();
    ids.iter_mut().step_by(WORDS).for_each(|id| *id = config.text.ids.encode);
    let offsets: Vec<usize> = (0..=32).map(|i| i * WORDS).collect();
    let mut judge = |seen: &Source, n: usize| {
        let texts = Captions { ids: &ids[..n * WORDS], offsets: &offsets[..=n] };
        buffers.match_logits(&p, &config, seen, texts, std::slice::from_ref(&(0..n)))
    };
    let seen = Inference::default().look(&p, &config, images.view());
    let (one, all) = (judge(&seen, 1), judge(&seen, 32));
    assert!((&one - &all.slice(s![..1, ..])).iter().all(|off| off.abs() < 1e-4), "a match depends on its neighbours");
    let mut group = c.benchmark_group("blip: BLIP-base matches of one picture");
    group.sample_size(10);
    let mut eyes = Inference::default();
    for n in [1, 32] {
        group.bench_function(format!("{n} texts of {WORDS} tokens"), |b| {
            b.iter(|| judge(&eyes.look(&p, &config, images.view()), n));
        });
    }
    group.finish();
}
