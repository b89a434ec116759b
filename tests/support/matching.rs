//! A small model with the habits of BLIP: contrast with features of a momentum copy and a queue, and a head that says
//! whether a picture and a text match, asked of every pair and of two negatives for each, drawn from the whole batch.

use super::random;
use clipwright::Write;
use clipwright::layers::linear::{self, Linear};
use clipwright::layers::{Keep, normalize};
use clipwright::params::{Init, Params, Spec};
use clipwright::train::metric::Metric;
use clipwright::train::objective::{Objective, Saved, State, StepId};
use clipwright::train::world::Alone;
use clipwright::tree::tree;
use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate, s};
use rand::RngExt;
use std::ops::Range;

/// Numbers of a picture, of a text, of an embedding, and of the head's hidden layer.
const PICTURE: usize = 9;
const TEXT: usize = 7;
const EMBED: usize = 6;
const HIDDEN: usize = 8;
/// Number of features in the queue.
const QUEUE: usize = 20;
const TEMPERATURE: f32 = 0.2;
/// Share of the momentum copy that is kept in a step.
const MOMENTUM: f32 = 0.9;
/// Keys of the two uses of randomness.
const TEXTS: u64 = 0;
const PICTURES: u64 = 1;

tree! {
    /// Both towers, and the head that reads a picture's features and a text.
    Net { image: Linear, text: Linear, look: Linear, read: Linear, score: Linear }
}

pub struct Batch {
    pictures: Array2<f32>,
    texts: Array2<f32>,
}

impl Batch {
    pub fn random(n: usize, seed: u64) -> Self {
        Batch { pictures: random::matrix((n, PICTURE), 100 + seed), texts: random::matrix((n, TEXT), 200 + seed) }
    }
}

pub struct Matching {
    pub params: Params<Net<Spec>>,
    /// The momentum copy, which follows the image tower.
    momentum: Params<Linear<Spec>>,
    /// Features of earlier batches, the oldest at `queue_start`.
    queue: Array2<f32>,
    queue_start: u64,
    /// Picture features, momentum features and text embeddings of the batch, and the norms of the text embeddings.
    image: Array2<f32>,
    keys: Array2<f32>,
    texts: Array2<f32>,
    text_norm: Array2<f32>,
    /// The gradient of text features.
    dtext: Array2<f32>,
    /// The drawn negatives of each pair: a text for its picture and a picture for its text.
    drawn: Vec<(usize, usize)>,
    /// The pictures whose activations are kept.
    kept: Range<usize>,
    contrast: f64,
    matching: f64,
}

impl Matching {
    pub fn new(seed: u64) -> Self {
        let linear = |inputs, outputs| Linear::spec(inputs, outputs, Init::Const(0.0), Init::Const(0.0));
        let spec = Net {
            image: linear(PICTURE, EMBED),
            text: linear(TEXT, EMBED),
            look: linear(EMBED, HIDDEN),
            read: linear(TEXT, HIDDEN),
            score: linear(HIDDEN, 1),
        };
        let mut momentum = Params::zeros(linear(PICTURE, EMBED));
        let params = random::params(spec, seed);
        momentum.flat.copy_from_slice(&params.flat[..PICTURE * EMBED + EMBED]);
        let empty = Array2::zeros((0, 0));
        Matching {
            params,
            momentum,
            queue: normalize::unit(random::matrix((QUEUE, EMBED), seed).view()),
            queue_start: 0,
            image: empty.clone(),
            keys: empty.clone(),
            texts: empty.clone(),
            text_norm: empty.clone(),
            dtext: empty,
            drawn: vec![],
            kept: 0..0,
            contrast: f64::NAN,
            matching: f64::NAN,
        }
    }

    pub fn drawn(&self) -> &[(usize, usize)] {
        &self.drawn
    }

    /// Returns the features that texts are contrasted with.
    fn candidates(&self) -> Array2<f32> {
        concatenate(Axis(0), &[self.keys.view(), self.queue.view()]).unwrap()
    }

    /// Draws one text for every picture and one picture for every text, never its own and the likelier the more
    /// similar.
    fn draw(&mut self, id: StepId) {
        let similar =
            normalize::unit(self.image.view()).dot(&self.texts.t()).mapv(|s| f64::from(s / TEMPERATURE).exp());
        let one = |of: ndarray::ArrayView1<f64>, own: usize, purpose: u64| {
            let weights = of.indexed_iter().map(|(j, &w)| if j == own { 0.0 } else { w });
            let mut left = id.rng(&[purpose, own as u64]).random::<f64>() * weights.clone().sum::<f64>();
            let passed = |weight| {
                left -= weight;
                left < 0.0
            };
            weights.map(passed).position(|found| found).expect("less than all of it")
        };
        let n = self.image.nrows();
        self.drawn = (0..n).map(|i| (one(similar.row(i), i, TEXTS), one(similar.column(i), i, PICTURES))).collect();
    }

    /// Returns every pair with one of these pictures: picture, text, and whether they match.
    fn pairs(&self, range: Range<usize>) -> Vec<(usize, usize, bool)> {
        let own = range.clone().flat_map(|i| [(i, i, true), (i, self.drawn[i].0, false)]);
        let others = self.drawn.iter().enumerate().filter(|(_, drawn)| range.contains(&drawn.1));
        own.chain(others.map(|(text, drawn)| (drawn.1, text, false))).collect()
    }
}

fn selected(rows: &Array2<f32>, indices: impl Iterator<Item = usize>) -> Array2<f32> {
    rows.select(Axis(0), &indices.collect::<Vec<_>>())
}

impl Objective for Matching {
    type Tree = Net<Spec>;
    type Batch<'a> = Batch;

    fn params(&self) -> &Params<Net<Spec>> {
        &self.params
    }

    fn saved(&mut self) -> (&mut Params<Net<Spec>>, State<'_>) {
        let more = vec![
            ("momentum".into(), Saved::Floats(&mut self.momentum.flat)),
            ("queue".into(), Saved::Floats(self.queue.as_slice_mut().unwrap())),
            ("queue_start".into(), Saved::Count(&mut self.queue_start)),
        ];
        (&mut self.params, more)
    }

    fn pictures(batch: &Batch) -> usize {
        batch.pictures.nrows()
    }

    fn prepare(&mut self, batch: &Batch, _: StepId) {
        let followed = &self.params.flat[..self.momentum.flat.len()];
        for (copy, p) in self.momentum.flat.iter_mut().zip(followed) {
            *copy = MOMENTUM * *copy + (1.0 - MOMENTUM) * p;
        }
        let n = batch.pictures.nrows();
        let nan = || Array2::from_elem((n, EMBED), f32::NAN);
        (self.image, self.keys, self.texts, self.dtext) = (nan(), nan(), nan(), nan());
        self.text_norm = Array2::from_elem((n, 1), f32::NAN);
        (self.contrast, self.matching) = (f64::NAN, f64::NAN);
    }

    fn forward(&mut self, batch: &Batch, range: Range<usize>, keep: Keep, _: StepId) {
        let rows = s![range.clone(), ..];
        let (p, pictures, texts) = (self.params.view(), batch.pictures.slice(rows), batch.texts.slice(rows));
        linear::forward(&p.image, pictures, self.image.slice_mut(rows));
        let mut features = Array2::zeros((range.len(), EMBED));
        linear::forward(&self.momentum.view(), pictures, features.view_mut());
        self.keys.slice_mut(rows).assign(&normalize::unit(features.view()));
        linear::forward(&p.text, texts, features.view_mut());
        normalize::forward(features.view(), self.texts.slice_mut(rows), self.text_norm.slice_mut(rows));
        self.kept = if keep == Keep::All { range } else { 0..0 };
    }

    /// −log softmax of each text's similarity with its own picture's momentum features, among all and the queue.
    fn loss(&mut self, _: &Batch, id: StepId, _: &Alone) {
        let (n, candidates) = (self.texts.nrows(), self.candidates());
        let logits = self.texts.dot(&candidates.t()) / TEMPERATURE;
        let exps = logits.mapv(|s| f64::from(s).exp());
        let sums: Array1<f64> = exps.sum_axis(Axis(1));
        self.contrast = (0..n).map(|j| sums[j].ln() - f64::from(logits[[j, j]])).sum::<f64>() / n as f64;
        let mut dlogits = (exps / sums.insert_axis(Axis(1))).mapv(|p| p as f32);
        (0..n).for_each(|j| dlogits[[j, j]] -= 1.0);
        let dtexts = dlogits.dot(&candidates) / (TEMPERATURE * n as f32);
        normalize::backward(self.texts.view(), self.text_norm.view(), dtexts.view(), self.dtext.view_mut());
        self.draw(id);
        self.matching = 0.0;
    }

    /// h = tanh(look(picture) + read(text)), z = score(h); the mean of −log σ(±z) over 3N pairs.
    fn backward(&mut self, batch: &Batch, range: Range<usize>, _: StepId, g: &mut Net<&mut [f32]>) {
        assert_eq!(self.kept, range, "the last to go forward");
        let (p, pairs, n) = (self.params.view(), self.pairs(range.clone()), self.image.nrows());
        let pictures = selected(&self.image, pairs.iter().map(|pair| pair.0));
        let texts = selected(&batch.texts, pairs.iter().map(|pair| pair.1));
        let hidden = || Array2::<f32>::zeros((pairs.len(), HIDDEN));
        let (mut looked, mut read, mut z) = (hidden(), hidden(), Array2::zeros((pairs.len(), 1)));
        linear::forward(&p.look, pictures.view(), looked.view_mut());
        linear::forward(&p.read, texts.view(), read.view_mut());
        let h = (looked + read).mapv(f32::tanh);
        linear::forward(&p.score, h.view(), z.view_mut());
        let mut dz = Array2::zeros((pairs.len(), 1));
        for ((z, dz), &(.., fits)) in z.iter().zip(&mut dz).zip(&pairs) {
            let wrong = f64::from(if fits { -z } else { *z });
            self.matching += (1.0 + wrong.exp()).ln() / (3 * n) as f64;
            let towards = if fits { -1.0 } else { 1.0 };
            *dz = (towards / (1.0 + (-wrong).exp()) / (3 * n) as f64) as f32;
        }
        let (mut dh, mut dpictures) = (hidden(), Array2::<f32>::zeros(pictures.raw_dim()));
        linear::backward(&p.score, h.view(), dz.view(), Write::Set, dh.view_mut(), &mut g.score);
        let dh = dh * h.mapv(|h| 1.0 - h * h);
        linear::backward(&p.look, pictures.view(), dh.view(), Write::Set, dpictures.view_mut(), &mut g.look);
        linear::backward_params(texts.view(), dh.view(), &mut g.read);
        let mut dimage = Array2::<f32>::zeros((range.len(), EMBED));
        for (&(picture, ..), d) in pairs.iter().zip(dpictures.rows()) {
            dimage.row_mut(picture - range.start).zip_mut_with(&d, |sum, d| *sum += d);
        }
        let rows = s![range, ..];
        linear::backward_params(batch.pictures.slice(rows), dimage.view(), &mut g.image);
        linear::backward_params(batch.texts.slice(rows), self.dtext.slice(rows), &mut g.text);
    }

    fn losses(&mut self, _: &Alone) -> Vec<Metric> {
        let chance = ((self.keys.nrows() + QUEUE) as f64).ln();
        vec![
            Metric::new("loss", self.contrast + self.matching),
            Metric::new("loss_contrast", self.contrast).against_chance(chance),
            Metric::new("loss_match", self.matching).against_chance(3f64.ln() - 2.0 / 3.0 * 2f64.ln()),
        ]
    }

    /// Replaces the oldest features of the queue by the batch's momentum features.
    fn updated(&mut self, _: StepId) {
        for key in self.keys.rows() {
            self.queue.row_mut(self.queue_start as usize).assign(&key);
            self.queue_start = (self.queue_start + 1) % QUEUE as u64;
        }
    }
}

/// Computes the loss by its definition; momentum features, the queue and the drawn negatives are those of `at`.
pub fn oracle(p: &Net<&[f64]>, batch: &Batch, at: &Matching) -> f64 {
    let linear = |p: &Linear<&[f64]>, x: ArrayView2<f64>| {
        let w = ArrayView2::from_shape((p.bias.len(), x.ncols()), p.weight).unwrap();
        x.dot(&w.t()) + ndarray::ArrayView1::from(p.bias)
    };
    let (pictures, texts) = (batch.pictures.mapv(f64::from), batch.texts.mapv(f64::from));
    let (images, n) = (linear(&p.image, pictures.view()), pictures.nrows());
    let features = linear(&p.text, texts.view());
    let norms = features.map_axis(Axis(1), |row| row.dot(&row).sqrt()).insert_axis(Axis(1));
    let logits = (features / norms).dot(&at.candidates().mapv(f64::from).t()) / f64::from(TEMPERATURE);
    let contrast = |j: usize| logits.row(j).mapv(f64::exp).sum().ln() - logits[[j, j]];
    let matching = |picture: usize, text: usize, sign: f64| {
        let (picture, text) = (images.slice(s![picture..=picture, ..]), texts.slice(s![text..=text, ..]));
        let h = (linear(&p.look, picture) + linear(&p.read, text)).mapv(f64::tanh);
        (1.0 + (-sign * linear(&p.score, h.view())[[0, 0]]).exp()).ln()
    };
    let pairs = |i: usize| matching(i, i, 1.0) + matching(i, at.drawn[i].0, -1.0) + matching(at.drawn[i].1, i, -1.0);
    (0..n).map(|i| contrast(i) + pairs(i) / 3.0).sum::<f64>() / n as f64
}
