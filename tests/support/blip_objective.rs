//! BLIP's objective by its definition in f64, and random batches for it.

use super::blip_passes::Texts;
use super::oracle::{activation, layer_norm, linear, normalize, patch_embed, post_norm, token_embed};
use super::oracle_models::{sequences, stack};
use super::random;
use clipwright::layers::cross_attention;
use clipwright::layers::linear::Linear;
use clipwright::layers::sequences::Pool;
use clipwright::models::blip::head::Head;
use clipwright::models::blip::text::{self, TextRef};
use clipwright::models::blip::{Blip, Config, vit};
use clipwright::train::blip::negatives::Negatives;
use clipwright::train::blip::trained::Trained;
use clipwright::train::blip::{Batch, Stage};
use ndarray::{Array2, ArrayView2, Axis, concatenate, s};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// Pictures, texts of different lengths, and keys of which some are equal.
pub struct Pairs {
    pub images: Array2<f32>,
    pub texts: Texts,
    pub pictures: Vec<u64>,
}

impl Pairs {
    /// Makes n pairs; any two share a picture with a chance of one in `n`.
    pub fn random(config: &Config, n: usize, seed: u64) -> Self {
        let mut rng = Pcg64::seed_from_u64(seed);
        let (ids, vocabulary) = (config.text.ids, config.text.vocab_size as u32);
        let mut text = || {
            let words = rng.random_range(0..config.text.positions - 2);
            let words = (0..words).map(|_| rng.random_range(3..vocabulary - 2));
            [ids.cls].into_iter().chain(words.collect::<Vec<_>>()).chain([ids.end]).collect()
        };
        let texts = Texts::new((0..n).map(|_| text()).collect::<Vec<Vec<u32>>>());
        let images = random::matrix((n, config.vit().grid.image_len()), seed + 1);
        let pictures = (0..n).map(|_| rng.random_range(0..n as u64)).collect();
        Pairs { images, texts, pictures }
    }

    pub fn batch(&self) -> Batch<'_> {
        let Pairs { images, texts, pictures } = self;
        Batch { images: images.view(), texts: texts.captions(), pictures, uniforms: None }
    }
}

/// What is constant to the gradient.
pub struct Fixed<'a> {
    pub stage: Stage,
    pub alpha: f64,
    pub temp: f64,
    /// The momentum copy, as a model of the same sizes.
    pub momentum: &'a Blip<&'a [f64]>,
    /// The queues (Q,e), and the keys of their pictures.
    pub images: Array2<f64>,
    pub texts: Array2<f64>,
    pub keys: Vec<u64>,
    pub negatives: &'a Negatives,
}

/// Returns ITC, ITM and LM.
pub fn losses(p: &Trained<&[f64]>, config: &Config, batch: &Batch, fixed: &Fixed) -> [f64; 3] {
    let pixels = batch.images.mapv(f64::from);
    let tokens = tokens(&p.blip, &config.vit(), pixels.view());
    let itc = contrast(p, config, batch, tokens.view(), pixels.view(), fixed);
    let lm = if p.blip.text_decoder.is_some() { writing(&p.blip, config, batch, &tokens) } else { 0.0 };
    [itc, matching(&p.blip, config, batch, &tokens, fixed.negatives), lm]
}

fn tokens(p: &Blip<&[f64]>, shape: &vit::Shape, pixels: ArrayView2<f64>) -> Array2<f64> {
    let (p, each) = (&p.visual_encoder, shape.grid.tokens());
    let sequences = sequences((0..=pixels.nrows()).map(|i| i * each), Pool::All);
    stack(&p.transformer, &p.norm, &shape.size, &sequences, patch_embed(&p.embed, shape.grid, pixels))
}

/// Returns the rows behind the last block of one text.
fn states(p: TextRef<&[f64]>, shape: &text::Shape, ids: &[u32], picture: Option<ArrayView2<f64>>) -> Array2<f64> {
    let embeddings = &p.shared.embeddings;
    let sequences = sequences([0, ids.len()].into_iter(), Pool::All);
    let (table, positions) = (embeddings.word_embeddings, embeddings.position_embeddings);
    let x = token_embed(table, positions, shape.size.width, ids, &sequences);
    let x = layer_norm(&embeddings.ln, shape.size.eps, x.view());
    let rows = 0..picture.map_or(0, |picture| picture.nrows());
    p.attention.iter().zip(&p.shared.layers).fold(x, |x, (attention, rest)| {
        let queries = sequences.ranges();
        let look = cross_attention::Shape {
            queries,
            source: std::slice::from_ref(&rows),
            heads: shape.size.heads,
            dropout: None,
        };
        let look = picture.map(|picture| (look, picture));
        post_norm(attention, rest, &shape.size, sequences.ranges(), look, None, x.view())
    })
}

/// Returns text i, which begins with another token.
fn begun(batch: &Batch, i: usize, first: u32) -> Vec<u32> {
    let range = batch.texts.offsets[i] + 1..batch.texts.offsets[i + 1];
    [&[first], &batch.texts.ids[range]].concat()
}

/// Returns unit-length features of pictures and texts.
fn features(p: &Blip<&[f64]>, config: &Config, batch: &Batch, tokens: ArrayView2<f64>) -> [Array2<f64>; 2] {
    let each = config.vit().grid.tokens();
    let class = tokens.slice(s![..;each, ..]);
    let first: Vec<Array2<f64>> = (0..batch.len())
        .map(|i| {
            let ids = begun(batch, i, config.text.ids.cls);
            states(p.encoder().unwrap(), &config.encoder(), &ids, None).slice_move(s![..1, ..])
        })
        .collect();
    let first = concatenate(Axis(0), &first.iter().map(|row| row.view()).collect::<Vec<_>>()).unwrap();
    let images = linear(p.vision_proj.as_ref().unwrap(), class);
    let texts = linear(p.text_proj.as_ref().unwrap(), first.view());
    [normalize(images.view()), normalize(texts.view())]
}

fn softmax(scores: &Array2<f64>) -> Array2<f64> {
    let exp = scores.mapv(f64::exp);
    &exp / &exp.sum_axis(Axis(1)).insert_axis(Axis(1))
}

fn contrast(
    p: &Trained<&[f64]>,
    config: &Config,
    batch: &Batch,
    tokens: ArrayView2<f64>,
    pixels: ArrayView2<f64>,
    fixed: &Fixed,
) -> f64 {
    let [images, texts] = features(&p.blip, config, batch, tokens);
    let momentum = self::tokens(fixed.momentum, &config.vit(), pixels);
    let [g_images, g_texts] = features(fixed.momentum, config, batch, momentum.view());
    let columns =
        |batch: &Array2<f64>, queue: &Array2<f64>| concatenate(Axis(0), &[batch.view(), queue.view()]).unwrap();
    let keys = [batch.pictures, &fixed.keys].concat();
    let hard = Array2::from_shape_fn((batch.len(), keys.len()), |(i, j)| match fixed.stage {
        Stage::Pretraining => f64::from(u8::from(i == j)),
        Stage::Retrieval => f64::from(u8::from(keys[i] == keys[j])),
    });
    let hard = &hard / &hard.sum_axis(Axis(1)).insert_axis(Axis(1));
    let direction = |f: &Array2<f64>, g: &Array2<f64>, columns: Array2<f64>| {
        let soft = softmax(&(g.dot(&columns.t()) / fixed.temp));
        let targets = soft * fixed.alpha + &hard * (1.0 - fixed.alpha);
        let scores = f.dot(&columns.t()) / p.temp[0];
        -(targets * softmax(&scores).mapv(f64::ln)).sum() / batch.len() as f64
    };
    let to_texts = direction(&images, &g_images, columns(&g_texts, &fixed.texts));
    let to_images = direction(&texts, &g_texts, columns(&g_images, &fixed.images));
    (to_texts + to_images) / 2.0
}

/// Returns the tokens of picture i.
fn picture<'a>(config: &Config, tokens: &'a Array2<f64>, i: usize) -> ArrayView2<'a, f64> {
    let each = config.vit().grid.tokens();
    tokens.slice(s![i * each..(i + 1) * each, ..])
}

/// The mean cross-entropy over every pair, every text with its drawn picture, and every picture with its drawn text.
fn matching(p: &Blip<&[f64]>, config: &Config, batch: &Batch, tokens: &Array2<f64>, negatives: &Negatives) -> f64 {
    let pairs = (0..batch.len()).map(|i| (i, i, 1));
    let images = negatives.images.drawn.iter().enumerate().filter_map(|(text, drawn)| Some((text, (*drawn)?, 0)));
    let texts = negatives.texts.drawn.iter().enumerate().filter_map(|(image, drawn)| Some(((*drawn)?, image, 0)));
    let pairs: Vec<(usize, usize, usize)> = pairs.chain(images).chain(texts).collect();
    let loss = |&(text, image, class): &(usize, usize, usize)| {
        let ids = begun(batch, text, config.text.ids.encode);
        let y = states(p.encoder().unwrap(), &config.encoder(), &ids, Some(picture(config, tokens, image)));
        let logits = linear(p.itm_head.as_ref().unwrap(), y.slice(s![..1, ..]));
        -softmax(&logits)[[0, class]].ln()
    };
    pairs.iter().map(loss).sum::<f64>() / pairs.len() as f64
}

/// The mean over all predicted tokens of the cross-entropy with label smoothing.
fn writing(p: &Blip<&[f64]>, config: &Config, batch: &Batch, tokens: &Array2<f64>) -> f64 {
    let (decoder, shape, vocabulary) = (p.decoder().unwrap(), config.decoder(), config.text.vocab_size as f64);
    let Head { dense, ln, bias } = &p.text_decoder.as_ref().unwrap().head;
    let (mut sum, mut count) = (0.0, 0);
    for i in 0..batch.len() {
        let ids = begun(batch, i, config.text.ids.decode);
        let y = states(decoder, &shape, &ids, Some(picture(config, tokens, i)));
        let act = activation(shape.size.activation, &linear(dense, y.view()));
        let t = layer_norm(ln, shape.size.eps, act.view());
        let output = Linear { weight: decoder.shared.embeddings.word_embeddings, bias };
        let log_p = softmax(&linear(&output, t.view())).mapv(f64::ln);
        for (row, &next) in ids[1..].iter().enumerate() {
            sum -= 0.9 * log_p[[row, next as usize]] + 0.1 * log_p.row(row).sum() / vocabulary;
            count += 1;
        }
    }
    sum / f64::from(count)
}
