//! BLIP's objectives by their definitions in f64, and random batches for them.

use super::blip_passes::Texts;
use super::oracle::{activation, layer_norm, linear, normalize, patch_embed, post_norm, token_embed};
use super::oracle_models::{sequences, stack};
use super::philox::dropped;
use super::random;
use clipwright::layers::cross_attention;
use clipwright::layers::dropout::{Pass, Site};
use clipwright::layers::linear::Linear;
use clipwright::layers::sequences::Pool;
use clipwright::models::Captions;
use clipwright::models::blip::head::Head;
use clipwright::models::blip::text::{self, TextRef};
use clipwright::models::blip::{Blip, Config, vit};
use clipwright::train::blip::negatives::Negatives;
use clipwright::train::blip::trained::Trained;
use clipwright::train::blip::{AnswerBatch, Batch, CaptionBatch, Rates, Stage};
use clipwright::train::objective::StepId;
use ndarray::{Array2, ArrayView2, Axis, concatenate, s};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::ops::Range;

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
        let texts = texts(config, n, &mut rng);
        let images = random::matrix((n, config.vit().grid.image_len()), seed + 1);
        let pictures = (0..n).map(|_| rng.random_range(0..n as u64)).collect();
        Pairs { images, texts, pictures }
    }

    pub fn batch(&self) -> Batch<'_> {
        let Pairs { images, texts, pictures } = self;
        Batch { images: images.view(), texts: texts.captions(), pictures, uniforms: None }
    }

    /// Returns how many tokens of each text are given, from its first one to all but its last.
    pub fn given(&self) -> Vec<usize> {
        self.texts.rows().iter().enumerate().map(|(i, rows)| 1 + i % (rows.len() - 1)).collect()
    }

    pub fn captions<'a>(&'a self, given: &'a [usize]) -> CaptionBatch<'a> {
        CaptionBatch { images: self.images.view(), captions: self.texts.captions(), given }
    }
}

/// Returns texts of different lengths.
fn texts(config: &Config, n: usize, rng: &mut Pcg64) -> Texts {
    let (ids, vocabulary) = (config.text.ids, config.text.vocab_size as u32);
    let mut text = || {
        let words = rng.random_range(0..config.text.positions - 2);
        let words = (0..words).map(|_| rng.random_range(3..vocabulary - 2));
        [ids.cls].into_iter().chain(words.collect::<Vec<_>>()).chain([ids.end]).collect()
    };
    Texts::new((0..n).map(|_| text()).collect::<Vec<Vec<u32>>>())
}

/// Pictures, a question about each, and one to three answers with different weights.
pub struct Questions {
    pub images: Array2<f32>,
    pub questions: Texts,
    pub answers: Texts,
    pub answers_of: Vec<Range<usize>>,
    pub weights: Vec<f32>,
}

impl Questions {
    pub fn random(config: &Config, n: usize, seed: u64) -> Self {
        let mut rng = Pcg64::seed_from_u64(seed);
        let questions = texts(config, n, &mut rng);
        let ends: Vec<usize> = (0..n).map(|i| (0..=i).map(|i| 1 + i * i % 3).sum()).collect();
        let answers = texts(config, ends[n - 1], &mut rng);
        let answers_of = (0..n).map(|i| if i == 0 { 0 } else { ends[i - 1] }..ends[i]).collect();
        let weights = (0..ends[n - 1]).map(|_| rng.random_range(0.1..1.0)).collect();
        let images = random::matrix((n, config.vit().grid.image_len()), seed + 1);
        Questions { images, questions, answers, answers_of, weights }
    }

    pub fn batch(&self) -> AnswerBatch<'_> {
        let Questions { images, questions, answers, answers_of, weights } = self;
        let (images, questions, answers) = (images.view(), questions.captions(), answers.captions());
        AnswerBatch { images, questions, answers, answers_of, weights }
    }
}

/// What one step drops.
#[derive(Clone, Copy)]
pub struct Drops {
    pub rates: Rates,
    pub id: StepId,
}

/// The streams of the passes, by number.
const IMAGES: u64 = 0;
const TEXTS: u64 = 1;
const MOMENTUM: u64 = 2;
const PAIRS: u64 = 4;
const QUESTIONS: u64 = 5;
const WRITTEN: u64 = 6;

impl Drops {
    /// Returns what a text drops of which this is the place in the batch.
    fn text(&self, stream: u64, place: usize) -> OneText {
        OneText { rate: self.rates.dropout, key: self.id.key(&[2, stream]), place: place as u32 }
    }
}

/// What is dropped of one text.
struct OneText {
    rate: f32,
    key: u64,
    place: u32,
}

/// What is constant to the gradient.
pub struct Fixed<'a> {
    pub stage: Stage,
    pub alpha: f64,
    pub temp: f64,
    /// The momentum copy, as a model of the same sizes.
    pub momentum: &'a Blip<&'a [f64]>,
    /// The queues (queue,e), and the keys of their pictures.
    pub images: Array2<f64>,
    pub texts: Array2<f64>,
    pub keys: Vec<u64>,
    pub negatives: &'a Negatives,
    pub drops: Drops,
}

/// Returns ITC, ITM and LM.
pub fn losses(p: &Trained<&[f64]>, config: &Config, batch: &Batch, fixed: &Fixed) -> [f64; 3] {
    let pixels = batch.images.mapv(f64::from);
    let tokens = tokens(&p.blip, &config.vit(), pixels.view(), &fixed.drops, IMAGES);
    let itc = contrast(p, config, batch, tokens.view(), pixels.view(), fixed);
    let given = vec![1; batch.len()];
    let captions = CaptionBatch { images: batch.images, captions: batch.texts, given: &given };
    let has_decoder = p.blip.text_decoder.is_some();
    let lm = if has_decoder { writing(&p.blip, config, &captions, &tokens, &fixed.drops) } else { 0.0 };
    [itc, matching(&p.blip, config, batch, &tokens, fixed), lm]
}

/// Returns the loss of captions.
pub fn captions(p: &Blip<&[f64]>, config: &Config, batch: &CaptionBatch, drops: &Drops) -> f64 {
    let tokens = tokens(p, &config.vit(), batch.images.mapv(f64::from).view(), drops, IMAGES);
    writing(p, config, batch, &tokens, drops)
}

/// Returns the loss of answers.
pub fn answers(p: &Blip<&[f64]>, config: &Config, batch: &AnswerBatch, drops: &Drops) -> f64 {
    let tokens = tokens(p, &config.vit(), batch.images.mapv(f64::from).view(), drops, IMAGES);
    let mut sum = 0.0;
    for (i, answers) in batch.answers_of.iter().enumerate() {
        let (ids, look) = (begun(&batch.questions, i, config.text.ids.encode), picture(config, &tokens, i));
        let dropout = drops.text(QUESTIONS, i);
        let question = states(p.encoder().unwrap(), &config.encoder(), &ids, Some(look), dropout);
        for answer in answers.clone() {
            let ids = begun(&batch.answers, answer, config.text.ids.decode);
            let losses = written(p, config, &ids, question.view(), drops.text(WRITTEN, answer));
            sum += f64::from(batch.weights[answer]) * losses.iter().sum::<f64>();
        }
    }
    sum / batch.answers_of.len() as f64
}

fn tokens(p: &Blip<&[f64]>, shape: &vit::Shape, pixels: ArrayView2<f64>, drops: &Drops, stream: u64) -> Array2<f64> {
    let (p, each) = (&p.visual_encoder, shape.grid.tokens());
    let mut sequences = sequences((0..=pixels.nrows()).map(|i| i * each), Pool::All);
    let places: Vec<u32> = (0..pixels.nrows() as u32).collect();
    sequences.drop(Some(Pass { rate: drops.rates.depth, key: drops.id.key(&[2, stream]), places: &places }));
    stack(&p.transformer, &p.norm, &shape.size, &sequences, patch_embed(&p.embed, shape.grid, pixels))
}

/// Returns the rows behind the last block of one text.
fn states(
    p: TextRef<&[f64]>,
    shape: &text::Shape,
    ids: &[u32],
    picture: Option<ArrayView2<f64>>,
    dropout: OneText,
) -> Array2<f64> {
    let embeddings = &p.shared.embeddings;
    let mut sequences = sequences([0, ids.len()].into_iter(), Pool::All);
    let OneText { rate, key, place } = dropout;
    sequences.drop(Some(Pass { rate, key, places: &[place] }));
    let (table, positions) = (embeddings.word_embeddings, embeddings.position_embeddings);
    let x = token_embed(table, positions, shape.size.width, ids, &sequences);
    let x = layer_norm(&embeddings.ln, shape.size.eps, x.view());
    let x = dropped(sequences.dropout(0, false), Site::Embedding, x);
    let rows = 0..picture.map_or(0, |picture| picture.nrows());
    p.attention.iter().zip(&p.shared.layers).enumerate().fold(x, |x, (i, (attention, rest))| {
        let queries = sequences.ranges();
        let look = cross_attention::Shape {
            queries,
            source: std::slice::from_ref(&rows),
            heads: shape.size.heads,
            dropout: None,
        };
        let look = picture.map(|picture| (look, picture));
        let dropout = sequences.dropout(i, false);
        post_norm(attention, rest, &shape.size, sequences.ranges(), look, dropout, x.view())
    })
}

/// Returns text i, which begins with another token.
fn begun(texts: &Captions, i: usize, first: u32) -> Vec<u32> {
    let range = texts.offsets[i] + 1..texts.offsets[i + 1];
    [&[first], &texts.ids[range]].concat()
}

/// Returns unit-length features of pictures and texts.
fn features(
    p: &Blip<&[f64]>,
    config: &Config,
    batch: &Batch,
    tokens: ArrayView2<f64>,
    (drops, stream): (&Drops, u64),
) -> [Array2<f64>; 2] {
    let each = config.vit().grid.tokens();
    let class = tokens.slice(s![..;each, ..]);
    let first: Vec<Array2<f64>> = (0..batch.len())
        .map(|i| {
            let (ids, dropout) = (begun(&batch.texts, i, config.text.ids.cls), drops.text(stream, i));
            states(p.encoder().unwrap(), &config.encoder(), &ids, None, dropout).slice_move(s![..1, ..])
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
    let drops = &fixed.drops;
    let [images, texts] = features(&p.blip, config, batch, tokens, (drops, TEXTS));
    let momentum = self::tokens(fixed.momentum, &config.vit(), pixels, drops, IMAGES + MOMENTUM);
    let [g_images, g_texts] = features(fixed.momentum, config, batch, momentum.view(), (drops, TEXTS + MOMENTUM));
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

/// The mean cross-entropy over every pair, every text with its drawn picture, and every picture with its drawn text. A
/// pair that is drawn both ways is the same in both, dropout included.
fn matching(p: &Blip<&[f64]>, config: &Config, batch: &Batch, tokens: &Array2<f64>, fixed: &Fixed) -> f64 {
    let Fixed { negatives, drops, .. } = fixed;
    let mut pairs: Vec<(usize, usize, usize, usize)> = (0..batch.len()).map(|i| (i, i, 1, 3 * i)).collect();
    for (text, drawn) in negatives.images.drawn.iter().enumerate() {
        pairs.extend(drawn.map(|image| (text, image, 0, 3 * text + 1)));
    }
    for (image, drawn) in negatives.texts.drawn.iter().enumerate() {
        pairs.extend(drawn.map(|text| {
            let both = negatives.images.drawn[text] == Some(image);
            (text, image, 0, if both { 3 * text + 1 } else { 3 * image + 2 })
        }));
    }
    let loss = |&(text, image, class, place): &(usize, usize, usize, usize)| {
        let (ids, dropout) = (begun(&batch.texts, text, config.text.ids.encode), drops.text(PAIRS, place));
        let look = Some(picture(config, tokens, image));
        let y = states(p.encoder().unwrap(), &config.encoder(), &ids, look, dropout);
        let logits = linear(p.itm_head.as_ref().unwrap(), y.slice(s![..1, ..]));
        -softmax(&logits)[[0, class]].ln()
    };
    pairs.iter().map(loss).sum::<f64>() / pairs.len() as f64
}

/// The mean over all targets of the cross-entropy with label smoothing.
fn writing(p: &Blip<&[f64]>, config: &Config, batch: &CaptionBatch, tokens: &Array2<f64>, drops: &Drops) -> f64 {
    let mut losses = vec![];
    for (i, given) in batch.given.iter().enumerate() {
        let ids = begun(&batch.captions, i, config.text.ids.decode);
        let dropout = drops.text(WRITTEN, i);
        losses.extend(written(p, config, &ids, picture(config, tokens, i), dropout).split_off(given - 1));
    }
    losses.iter().sum::<f64>() / losses.len() as f64
}

/// Returns the cross-entropy with label smoothing of each token behind the first.
fn written(p: &Blip<&[f64]>, config: &Config, ids: &[u32], source: ArrayView2<f64>, dropout: OneText) -> Vec<f64> {
    let (decoder, shape, vocabulary) = (p.decoder().unwrap(), config.decoder(), config.text.vocab_size as f64);
    let Head { dense, ln, bias } = &p.text_decoder.as_ref().unwrap().head;
    let y = states(decoder, &shape, ids, Some(source), dropout);
    let act = activation(shape.size.activation, &linear(dense, y.view()));
    let t = layer_norm(ln, shape.size.eps, act.view());
    let output = Linear { weight: decoder.shared.embeddings.word_embeddings, bias };
    let log_p = softmax(&linear(&output, t.view())).mapv(f64::ln);
    let loss =
        |(row, &next): (usize, &u32)| -(0.9 * log_p[[row, next as usize]] + 0.1 * log_p.row(row).sum() / vocabulary);
    ids[1..].iter().enumerate().map(loss).collect()
}
