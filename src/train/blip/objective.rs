//! The objective, step by step.

use super::batch::Batch;
use super::contrast::{Direction, one_direction};
use super::grounded::{Grounded, Weights, predicted_tokens};
use super::momentum::Momentum;
use super::negatives::{Compared, Negatives, Rule};
use super::options::{Options, Stage};
use super::queue::Queue;
use super::towers::Towers;
use super::trained::{self, MAX_TEMP, MIN_TEMP, Trained};
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
    images: Vec<f32>,
    texts: Vec<f32>,
    pictures: Vec<u64>,
    counts: Vec<u64>,
}

/// The losses of this rank's part of a batch, and what they are means of.
#[derive(Clone, Copy, Default)]
struct Losses {
    itc: f64,
    itm: f64,
    lm: f64,
    /// Columns that a row of ITC chooses among.
    columns: usize,
    /// Judged pairs of this rank, and of all.
    pairs: [u64; 2],
    /// Predicted tokens of this rank, and of all.
    tokens: [u64; 2],
}

/// A BLIP in training, with every buffer that a step needs.
pub struct BlipObjective {
    config: Config,
    options: Options,
    params: Params<Trained<Spec>>,
    momentum: Momentum,
    queue: Queue,
    towers: Towers,
    grounded: Grounded,
    features: Arena,
    contrast: Arena,
    gathered: Gathered,
    positives: Positives,
    negatives: Negatives,
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
            momentum: Momentum::new(&params),
            params,
            queue: Queue::new(options.queue, model.config.embed_dim, seed),
            towers: Towers::default(),
            grounded: Grounded::default(),
            features: Arena::default(),
            contrast: Arena::default(),
            gathered: Gathered::default(),
            positives: Positives::default(),
            negatives: Negatives::default(),
            followed: 0,
            alpha: f32::NAN,
            losses: Losses::default(),
        }
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

    /// Lists the columns that each row should choose, in the queue and in the batch of all ranks behind it.
    fn fill_positives(&mut self, own: Range<usize>) {
        let keys = self.queue.keys();
        match self.options.stage {
            Stage::Pretraining => {
                if (self.positives.own(), self.positives.columns()) != (own.clone(), keys.len()) {
                    self.positives = Positives::diagonal_of(own, keys.len());
                }
            }
            Stage::Retrieval => {
                let places: Vec<u64> = (0..keys.len() as u64).collect();
                self.positives.fill_for(own, keys, &places);
            }
        }
    }

    /// Goes from features to ITC, and back to the gradients of this rank's features.
    fn contrast(&mut self, n: usize, weight: f32, dtemp: &mut f32) {
        let BlipObjective { config, params, queue, features, contrast, positives, alpha, .. } = self;
        let f = features.carve(&Features::dims(n, config.embed_dim));
        let temp = params.view().temp[0];
        let images = Direction {
            rows: f.images.view(),
            momentum: f.momentum_images.view(),
            columns: queue.texts(),
            drows: f.dimages,
        };
        let mut loss = one_direction(images, positives, temp, *alpha, weight, contrast, dtemp);
        let texts = Direction {
            rows: f.texts.view(),
            momentum: f.momentum_texts.view(),
            columns: queue.images(),
            drows: f.dtexts,
        };
        loss += one_direction(texts, positives, temp, *alpha, weight, contrast, dtemp);
        let f = features.carve(&Features::dims(n, config.embed_dim));
        normalize::backward(f.images.view(), f.image_norm.view(), f.dimages.view(), f.dimage);
        normalize::backward(f.texts.view(), f.text_norm.view(), f.dtexts.view(), f.dtext);
        self.losses = Losses { itc: f64::from(loss / (2.0 * n as f32 * weight)), ..Losses::default() };
        self.losses.columns = queue.keys().len();
    }

    /// Draws the negatives of this rank's part of the batch.
    fn draw(&mut self, batch: &Batch, id: StepId, rank: usize) {
        let (n, temp) = (batch.len(), self.temp());
        let f = self.features.carve(&Features::dims(n, self.config.embed_dim));
        let (images, texts) = (f.images.view(), f.texts.view());
        let (images_of_texts, texts_of_images) = match self.options.stage {
            Stage::Pretraining => (f.momentum_images.view(), f.momentum_texts.view()),
            Stage::Retrieval => (images, texts),
        };
        let rule = Rule {
            stage: self.options.stage,
            pictures: batch.pictures,
            temp,
            first: rank * n,
            id,
            uniforms: batch.uniforms,
        };
        self.negatives.draw(Compared { images, texts, texts_of_images, images_of_texts }, &rule);
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
        temp[0] = temp[0].clamp(MIN_TEMP, MAX_TEMP);
        self.momentum.follow(&self.params.flat, self.options.momentum);
        (self.followed, self.alpha) = (0, self.options.alpha_at(id.step));
    }

    /// Embeds these pairs, first by the momentum copy unless it has done so in this step.
    fn forward(&mut self, batch: &Batch, range: Range<usize>, keep: Keep, _: StepId) {
        let BlipObjective { config, params, momentum, towers, features, followed, .. } = self;
        let Features { image, text, image_norm, text_norm, momentum_images, momentum_texts, .. } =
            &mut features.carve(&Features::dims(batch.len(), config.embed_dim));
        let [mut image, mut text] = [image, text].map(|features| rows_mut(features.view_mut(), &range));
        if *followed < range.end {
            // The model's features and norms come later, so that there is room for the copy's.
            let out = [image.view_mut(), text.view_mut()];
            towers.forward(&momentum.params.view(), config, batch, &range, Keep::Nothing, out);
            for (features, unit, norm) in [(&image, momentum_images, image_norm), (&text, momentum_texts, text_norm)] {
                let (unit, norm) = (rows_mut(unit.view_mut(), &range), rows_mut(norm.view_mut(), &range));
                normalize::forward(features.view(), unit, norm);
            }
            *followed = range.end;
        }
        towers.forward(&params.view().blip, config, batch, &range, keep, [image, text]);
    }

    /// Goes from features to ITC and back, and draws the negatives of ITM.
    fn loss(&mut self, batch: &Batch, id: StepId, world: &W, g: &mut Trained<&mut [f32]>) {
        let (n, rank) = (batch.len(), world.rank());
        let all = n * world.size();
        let BlipObjective { config, queue, features, gathered, .. } = self;
        let f = features.carve(&Features::dims(n, config.embed_dim));
        in_pool(|| {
            normalize::forward(f.image.view(), f.images, f.image_norm);
            normalize::forward(f.text.view(), f.texts, f.text_norm);
        });
        queue.append(
            world.all_gather(floats(f.momentum_images.view()), &mut gathered.images),
            world.all_gather(floats(f.momentum_texts.view()), &mut gathered.texts),
            world.all_gather(batch.pictures, &mut gathered.pictures),
        );
        let own = queue.len() + rank * n;
        self.fill_positives(own..own + n);
        in_pool(|| {
            self.contrast(n, 0.5 / all as f32, &mut g.temp[0]);
            self.draw(batch, id, rank);
        });
        let drawn = [&self.negatives.images, &self.negatives.texts].map(|draw| draw.drawn.iter().flatten().count());
        let pairs = (n + drawn[0] + drawn[1]) as u64;
        let counts = [pairs, predicted_tokens(batch, &self.config) as u64];
        let of_all = world.all_gather(&counts, &mut self.gathered.counts).chunks(2);
        let [all_pairs, all_tokens] = of_all.fold([0; 2], |sum, counts| [sum[0] + counts[0], sum[1] + counts[1]]);
        (self.losses.pairs, self.losses.tokens) = ([counts[0], all_pairs], [counts[1], all_tokens]);
    }

    /// Goes backward through both encoders for these pairs, and forward and backward through everything that looks at
    /// these pictures.
    fn backward(&mut self, batch: &Batch, range: Range<usize>, _: StepId, g: &mut Trained<&mut [f32]>) {
        let BlipObjective { config, params, towers, grounded, features, negatives, losses, .. } = self;
        let f = features.carve(&Features::dims(batch.len(), config.embed_dim));
        let (p, g) = (&params.view().blip, &mut g.blip);
        let [pairs, tokens] = [losses.pairs, losses.tokens].map(|counts| counts.map(|count| count.max(1) as f64));
        let weights = Weights { pair: (1.0 / pairs[1]) as f32, token: (1.0 / tokens[1]) as f32 };
        towers.backward_texts(p, config, rows(f.dtext.view(), &range), g);
        let seen = towers.seen(config, range.len());
        let parts = grounded.backward(p, config, (batch, range.clone()), negatives, weights, seen, g);
        towers.backward_images(p, config, rows(batch.images, &range), rows(f.dimage.view(), &range), g);
        // The mean of this rank is over its own pairs and tokens.
        losses.itm += f64::from(parts[0]) * pairs[1] / pairs[0];
        losses.lm += f64::from(parts[1]) * tokens[1] / tokens[0];
    }

    /// Returns the losses of this rank's pairs.
    fn losses(&self) -> Vec<Metric> {
        let Losses { itc, itm, lm, columns, pairs: [pairs, _], tokens: [tokens, _] } = self.losses;
        let entropy = |share: f64| if share > 0.0 { -share * share.ln() } else { 0.0 };
        let matching = self.negatives.texts.drawn.len() as f64 / pairs as f64;
        let mut losses = vec![
            Metric::new("loss", itc + itm + lm),
            Metric::new("loss_itc", itc).against_chance((columns as f64).ln()),
            Metric::new("loss_itm", itm).against_chance(entropy(matching) + entropy(1.0 - matching)),
        ];
        if self.config.parts.has_decoder() && tokens > 0 {
            losses.push(Metric::new("loss_lm", lm).against_chance((self.config.text.vocab_size as f64).ln()));
        }
        losses
    }

    /// Replaces the oldest features of the queue by the batch's.
    fn updated(&mut self, _: StepId) {
        self.queue.enqueue();
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![Metric::new("temperature", self.temp()), Metric::new("alpha", self.alpha)]
    }
}
