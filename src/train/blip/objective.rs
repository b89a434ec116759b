//! The objective, step by step.

use super::all_texts::AllTexts;
use super::batch::Batch;
use super::contrast::{Direction, one_direction};
use super::drops::{Drops, Stream};
use super::grounded::{Grounded, Weights};
use super::mean::{Mean, count};
use super::momentum::Momentum;
use super::negatives::{Compared, Negatives, Rule};
use super::options::{Options, Stage};
use super::queue::Queue;
use super::towers::Towers;
use super::trained::{self, MAX_TEMP, Trained};
use crate::layers::{floats, normalize, rows, rows_mut};
use crate::loss::positives::Positives;
use crate::models::Keep;
use crate::models::blip::{Blip, Config, Model, Parts};
use crate::params::{self, Params, Spec};
use crate::train::metric::Metric;
use crate::train::objective::{Objective, Saved, State, StepId};
use crate::train::world::World;
use crate::tree::{Arena, Dim, tree};
use kernels::in_pool;
use ndarray::ArrayView2;
use std::ops::Range;

tree! {
    /// This rank's features as the encoders give them, their norms, the features of unit length, those of the momentum
    /// copy, and the gradients of the features of unit length and of those that the encoders gave.
    ///
    /// `image_norm`, `text_norm` (B,1); all others (B,e)
    Features {
        image, text, image_norm, text_norm, images, texts, momentum_images, momentum_texts, dimages, dtexts, dimage, dtext,
    }
}

impl Features<Dim> {
    fn dims(n: usize, embed_dim: usize) -> Self {
        let (rows, norm) = (Dim(n, embed_dim), Dim(n, 1));
        Features {
            image: rows,
            text: rows,
            image_norm: norm,
            text_norm: norm,
            images: rows,
            texts: rows,
            momentum_images: rows,
            momentum_texts: rows,
            dimages: rows,
            dtexts: rows,
            dimage: rows,
            dtext: rows,
        }
    }
}

/// What the other ranks sent. One rank by itself exchanges nothing.
#[derive(Default)]
struct Gathered {
    momentum_images: Vec<f32>,
    momentum_texts: Vec<f32>,
    images: Vec<f32>,
    texts: Vec<f32>,
    pictures: Vec<u64>,
}

/// The losses of a batch.
#[derive(Default)]
struct Losses {
    /// What each of this rank's shards contributes to ITC, and to the gradient of the temperature.
    of_shards: Vec<(f32, f32)>,
    /// The sum over the shards of all ranks, once it is known.
    itc: f64,
    /// Columns that a row of ITC chooses among.
    columns: usize,
    /// The mean over the judged pairs.
    itm: Mean,
    /// The mean over the predicted tokens.
    lm: Mean,
}

/// A BLIP in training, with every buffer that a step needs.
pub struct BlipObjective {
    config: Config,
    options: Options,
    grad_checkpointing: bool,
    params: Params<Trained<Spec>>,
    momentum: Momentum,
    queue: Queue,
    towers: Towers,
    grounded: Grounded,
    drops: Drops,
    features: Arena,
    contrast: Arena,
    gathered: Gathered,
    /// Those of each shard.
    positives: Vec<Positives>,
    /// The numbers of ITC's columns.
    columns: Vec<u64>,
    negatives: Negatives,
    all_texts: AllTexts,
    /// How many pairs of this step the momentum copy has embedded.
    followed: usize,
    alpha: f32,
    losses: Losses,
}

impl BlipObjective {
    /// Makes an objective whose momentum copy begins as the model, and whose queue begins with random directions.
    ///
    /// # Panics
    /// If the model lacks parts: pre-training needs all of them, retrieval an encoder and the heads.
    #[track_caller]
    pub fn new(model: &Model, options: Options, seed: u64) -> Self {
        let parts = model.config.parts;
        let fits = parts == Parts::Pretrained || (options.stage == Stage::Retrieval && parts == Parts::Matcher);
        assert!(fits, "a {parts:?} cannot be trained for {:?}", options.stage);
        let params = trained::begin(model);
        BlipObjective {
            config: model.config,
            options,
            grad_checkpointing: false,
            momentum: Momentum::new(&params),
            params,
            queue: Queue::new(options.queue, model.config.embed_dim, seed),
            towers: Towers::default(),
            grounded: Grounded::default(),
            drops: Drops::new(options.rates),
            features: Arena::default(),
            contrast: Arena::default(),
            gathered: Gathered::default(),
            positives: vec![],
            columns: vec![],
            negatives: Negatives::default(),
            all_texts: AllTexts::default(),
            followed: 0,
            alpha: f32::NAN,
            losses: Losses::default(),
        }
    }

    /// Keeps the [inputs](Keep::Inputs) alone of both encoders' blocks if `on` says so. Texts that look at pictures keep
    /// all, since each of their passes goes backward at once.
    #[must_use]
    pub fn grad_checkpointing(self, on: bool) -> Self {
        BlipObjective { grad_checkpointing: on, ..self }
    }

    /// Returns a copy of the model as it is now.
    pub fn model(&self) -> Model {
        trained::model(self.config, &self.params)
    }

    /// Returns the temperature as it is now.
    pub fn temp(&self) -> f32 {
        self.params.view().temp[0]
    }

    /// Returns the momentum copy of the encoders and their projections.
    pub fn momentum(&self) -> &Params<Blip<Spec>> {
        &self.momentum.params
    }

    /// Returns the negatives of the last batch.
    pub fn negatives(&self) -> &Negatives {
        &self.negatives
    }

    /// Lists for each shard the columns that each row should choose, in the queue and in the batch of all ranks behind it.
    fn fill_positives(&mut self, n: usize, id: StepId) {
        let BlipObjective { options, queue, positives, columns, .. } = self;
        let (keys, first) = (queue.keys(), queue.len() + id.place(0, n) as usize);
        positives.resize_with(id.shards, Positives::default);
        columns.clear();
        columns.extend(0..keys.len() as u64);
        for (positives, shard) in positives.iter_mut().zip(id.shards_of(n)) {
            let own = first + shard.start..first + shard.end;
            match options.stage {
                Stage::Pretraining => {
                    if (positives.own(), positives.columns()) != (own.clone(), keys.len()) {
                        *positives = Positives::diagonal_of(own, keys.len());
                    }
                }
                Stage::Retrieval => positives.fill_for(own, keys, columns),
            }
        }
    }

    /// Goes from features to ITC, and back to the gradients of this rank's features.
    fn contrast(&mut self, n: usize, weight: f32, id: StepId) {
        let BlipObjective { config, params, queue, features, contrast, positives, alpha, losses, .. } = self;
        let mut f = features.carve(&Features::dims(n, config.embed_dim));
        let temp = params.view().temp[0];
        losses.of_shards.clear();
        losses.columns = queue.keys().len();
        for (positives, shard) in positives.iter().zip(id.shards_of(n)) {
            let images = Direction {
                rows: rows(f.images.view(), &shard),
                momentum: rows(f.momentum_images.view(), &shard),
                columns: queue.texts(),
                drows: rows_mut(f.dimages.view_mut(), &shard),
            };
            let mut dtemp = 0.0;
            let mut loss = one_direction(images, positives, temp, *alpha, weight, contrast, &mut dtemp);
            let texts = Direction {
                rows: rows(f.texts.view(), &shard),
                momentum: rows(f.momentum_texts.view(), &shard),
                columns: queue.images(),
                drows: rows_mut(f.dtexts.view_mut(), &shard),
            };
            loss += one_direction(texts, positives, temp, *alpha, weight, contrast, &mut dtemp);
            losses.of_shards.push((loss, dtemp));
        }
        normalize::backward(f.images.view(), f.image_norm.view(), f.dimages.view(), f.dimage);
        normalize::backward(f.texts.view(), f.text_norm.view(), f.dtexts.view(), f.dtext);
    }

    /// Draws the negatives of this rank's part of the batch, and learns the others' texts and which pictures they drew.
    fn draw<W: World>(&mut self, batch: &Batch, id: StepId, world: &W) {
        let BlipObjective { config, options, params, queue, features, gathered, negatives, all_texts, .. } = self;
        let f = features.carve(&Features::dims(batch.len(), config.embed_dim));
        let (images, texts) = (f.images.view(), f.texts.view());
        let (momentum_images, momentum_texts, pictures) = queue.batch();
        let (images_of_texts, texts_of_images) = match options.stage {
            Stage::Pretraining => (momentum_images, momentum_texts),
            Stage::Retrieval => {
                let whole = |features| ArrayView2::from_shape(momentum_images.dim(), features).expect("as many");
                let images = world.all_gather(floats(images), &mut gathered.images);
                (whole(images), whole(world.all_gather(floats(texts), &mut gathered.texts)))
            }
        };
        let rule = Rule { stage: options.stage, pictures, temp: params.view().temp[0], id, uniforms: batch.uniforms };
        let compared = Compared { images, texts, texts_of_images, images_of_texts };
        in_pool(|| negatives.draw(compared, &rule));
        negatives.exchange(world);
        all_texts.gather(world, batch.texts);
    }
}

impl<W: World> Objective<W> for BlipObjective {
    type Tree = Trained<Spec>;
    type Batch<'a> = Batch<'a>;

    fn params(&self) -> &Params<Trained<Spec>> {
        &self.params
    }

    fn saved(&mut self) -> (&mut Params<Trained<Spec>>, State<'_>) {
        let momentum = ("momentum", Saved::Floats(&mut self.momentum.params.flat));
        let state = [momentum].into_iter().chain(self.queue.saved());
        (&mut self.params, state.map(|(name, saved)| (name.into(), saved)).collect())
    }

    fn pictures(batch: &Batch) -> usize {
        batch.len()
    }

    /// Clamps the temperature, and moves the momentum copy before it embeds anything.
    fn prepare(&mut self, batch: &Batch, id: StepId) {
        batch.check();
        let temp = params::view_mut(&self.params.spec, &mut self.params.flat).temp;
        temp[0] = temp[0].clamp(self.options.min_temp, MAX_TEMP);
        self.momentum.follow(&self.params.flat, self.options.momentum);
        (self.followed, self.alpha) = (0, self.options.alpha_at(id.step));
        self.drops.begin(batch.len(), id);
    }

    /// Embeds these pairs, first by the momentum copy unless it has done so in this step.
    fn forward(&mut self, batch: &Batch, range: Range<usize>, keep: Keep, _: StepId) {
        let keep = keep.checkpointed(self.grad_checkpointing);
        let BlipObjective { config, params, momentum, towers, drops, features, followed, .. } = self;
        let drops = |images, texts| [drops.images(images, &range), drops.texts(texts, &range)];
        let Features { image, text, image_norm, text_norm, momentum_images, momentum_texts, .. } =
            &mut features.carve(&Features::dims(batch.len(), config.embed_dim));
        let [mut image, mut text] = [image, text].map(|features| rows_mut(features.view_mut(), &range));
        if *followed < range.end {
            // The model's features and norms come later, so that there is room for the copy's.
            let out = [image.view_mut(), text.view_mut()];
            let (p, drops) = (&momentum.params.view(), drops(Stream::MomentumImages, Stream::MomentumTexts));
            towers.forward(p, config, batch, &range, Keep::Nothing, drops, out);
            for (features, unit, norm) in [(&image, momentum_images, image_norm), (&text, momentum_texts, text_norm)] {
                let (unit, norm) = (rows_mut(unit.view_mut(), &range), rows_mut(norm.view_mut(), &range));
                normalize::forward(features.view(), unit, norm);
            }
            *followed = range.end;
        }
        let drops = drops(Stream::Images, Stream::Texts);
        towers.forward(&params.view().blip, config, batch, &range, keep, drops, [image, text]);
    }

    /// Goes from features to ITC and back, and draws the negatives of ITM.
    fn loss(&mut self, batch: &Batch, id: StepId, world: &W) {
        let n = batch.len();
        let all = n * world.size();
        let BlipObjective { config, queue, features, gathered, .. } = self;
        let f = features.carve(&Features::dims(n, config.embed_dim));
        in_pool(|| {
            normalize::forward(f.image.view(), f.images, f.image_norm);
            normalize::forward(f.text.view(), f.texts, f.text_norm);
        });
        queue.append(
            world.all_gather(floats(f.momentum_images.view()), &mut gathered.momentum_images),
            world.all_gather(floats(f.momentum_texts.view()), &mut gathered.momentum_texts),
            world.all_gather(batch.pictures, &mut gathered.pictures),
        );
        self.fill_positives(n, id);
        in_pool(|| self.contrast(n, 0.5 / all as f32, id));
        self.draw(batch, id, world);
        let pairs = (n + self.negatives.judged()) as u64;
        let tokens = batch.wanted(0..n, 1.0).map(|wanted| wanted.count(&self.config)).sum();
        let [_, [pairs, tokens]] = count(world, [pairs, tokens]);
        self.losses.itm.begin(pairs, id.shards);
        self.losses.lm.begin(tokens, id.shards);
    }

    fn backward_loss(&self, shard: usize, g: &mut Trained<&mut [f32]>) {
        g.temp[0] += self.losses.of_shards[shard].1;
    }

    /// Goes backward through both encoders for these pairs, and forward and backward through everything that looks at
    /// these pictures.
    fn backward(&mut self, batch: &Batch, range: Range<usize>, id: StepId, g: &mut Trained<&mut [f32]>) {
        let BlipObjective { config, params, towers, grounded, drops, features, negatives, all_texts, losses, .. } =
            self;
        let f = features.carve(&Features::dims(batch.len(), config.embed_dim));
        let (p, g) = (&params.view().blip, &mut g.blip);
        let weights = Weights { pair: losses.itm.weight(), token: losses.lm.weight() };
        towers.backward_texts(p, config, rows(f.dtext.view(), &range), g);
        let pairs = (&*negatives, all_texts.captions(), weights);
        let [matched, written] = grounded.backward(p, config, (batch, range.clone()), pairs, drops, towers, g);
        towers.backward_images(p, config, rows(batch.images, &range), rows(f.dimage.view(), &range), g);
        let shard = id.shard_of(range.start, batch.len());
        losses.itm.add(shard, matched);
        losses.lm.add(shard, written);
    }

    /// Returns the losses of all ranks' pairs.
    fn losses(&mut self, world: &W) -> Vec<Metric> {
        let Losses { of_shards, itc, columns, itm, lm } = &mut self.losses;
        let (own, mut memory): (Vec<f64>, _) = (of_shards.iter().map(|(loss, _)| f64::from(*loss)).collect(), vec![]);
        *itc = world.all_gather(&own, &mut memory).iter().sum();
        itm.finish(world);
        lm.finish(world);
        let entropy = |share: f64| if share > 0.0 { -share * share.ln() } else { 0.0 };
        let matching = self.queue.batch().2.len() as f64 / itm.items() as f64;
        let mut losses = vec![
            Metric::new("loss", *itc + itm.loss() + lm.loss()),
            Metric::new("loss_itc", *itc).against_chance((*columns as f64).ln()),
            Metric::new("loss_itm", itm.loss()).against_chance(entropy(matching) + entropy(1.0 - matching)),
        ];
        if self.config.parts.has_decoder() && lm.items() > 0 {
            losses.push(Metric::new("loss_lm", lm.loss()).against_chance(lm.chance(self.config.text.vocab_size)));
        }
        losses
    }

    /// Replaces the oldest features of the queue by the batch's.
    fn updated(&mut self, _: StepId) {
        self.queue.enqueue();
    }

    fn metrics(&self) -> Vec<Metric> {
        let Losses { itm, lm, .. } = &self.losses;
        let accuracies = [itm.accuracy("accuracy_itm"), lm.accuracy("accuracy_lm")];
        let numbers = [Metric::new("temperature", self.temp()), Metric::new("alpha", self.alpha)];
        numbers.into_iter().chain(accuracies.into_iter().flatten()).collect()
    }
}
