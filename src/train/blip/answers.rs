//! Fine-tuning to answer questions about pictures (Li et al. 2022, section 5.3).
//!
//! The image-grounded encoder reads a question. The decoder writes its answers in view of the rows that leave the
//! encoder; it does not look at the picture itself. Both have parameters of their own.
//!
//! ```text
//! loss = Σ weight · (sum of the smoothed cross-entropy of the answer's tokens) / number of questions
//! ```
//!
//! The weight of an answer is the share of people who gave it. A long answer counts more than a short one, since its
//! tokens are added and not averaged.
//!
//! # Derivation
//! The decoder's keys and values come from the question's rows, so their gradient is that of the encoder's output, and
//! goes on through the encoder's keys and values to the picture.

use super::drops::Stream;
use super::mean::count;
use super::options::Rates;
use super::passes::{KeysAndGradient, Memory, keys, pass};
use super::tuned::Tuned;
use super::vision::Seen;
use super::writing::Wanted;
use crate::layers::rows;
use crate::layers::sequences::Pool;
use crate::models::blip::sights::{Sights, SightsMut};
use crate::models::blip::text::{self, Workspace};
use crate::models::blip::{Blip, Model, Parts};
use crate::models::{Captions, Keep, Packed};
use crate::params::{Params, Spec};
use crate::train::metric::Metric;
use crate::train::objective::{Objective, State, StepId};
use crate::train::world::World;
use crate::tree::Arena;
use kernels::Write;
use ndarray::ArrayView2;
use std::ops::Range;

/// B pictures, a question about each, and its answers.
#[derive(Clone, Copy, Debug)]
pub struct AnswerBatch<'a> {
    /// The pictures (B,3·height·width), normalised.
    pub images: ArrayView2<'a, f32>,
    /// The questions, one for each picture. `[ENC]` replaces the first token of each.
    pub questions: Captions<'a>,
    /// The answers, those to one question together. `[DEC]` replaces the first token of each; the last one ends it.
    pub answers: Captions<'a>,
    /// The answers to each question, end to end and at least one each.
    pub answers_of: &'a [Range<usize>],
    /// What each answer counts.
    pub weights: &'a [f32],
}

impl AnswerBatch<'_> {
    /// Panics unless there is a question for each picture, an answer to each question, and a weight for each answer.
    #[track_caller]
    fn check(&self) {
        let n = self.images.nrows();
        assert_eq!((self.questions.len(), self.answers_of.len()), (n, n), "questions and answers of {n} pictures");
        let mut end = 0;
        for (i, answers) in self.answers_of.iter().enumerate() {
            assert!(answers.start == end && answers.end > end, "answers {answers:?} to question {i}, from {end} on");
            end = answers.end;
        }
        assert_eq!((self.answers.len(), self.weights.len()), (end, end), "{end} answers and weights");
        assert!((0..end).all(|i| self.answers.of(i).len() >= 2), "an answer has a first and a last token");
    }

    /// Returns the answers to these questions.
    fn answers_to(&self, questions: &Range<usize>) -> Range<usize> {
        let answers = &self.answers_of[questions.clone()];
        answers.first().map_or(0, |first| first.start)..answers.last().map_or(0, |last| last.end)
    }

    fn wanted(&self, answers: Range<usize>, weight: f32) -> impl Iterator<Item = Wanted<'_>> + Clone {
        answers.map(move |i| Wanted { text: self.answers.of(i), given: 1, weight: weight * self.weights[i] })
    }
}

/// A model that learns to answer, with every buffer that a step needs.
pub struct AnswerObjective {
    tuned: Tuned,
    reading: Reading,
    /// The place of this rank's first answer among those of all ranks.
    first_answer: u64,
}

/// What reading questions needs.
#[derive(Default)]
struct Reading {
    questions: Packed,
    /// The rows of each question, the answers to it, and the place of each answer.
    rows: Vec<Range<usize>>,
    answers_of: Vec<Range<usize>>,
    places: Vec<u32>,
    workspace: Workspace,
    leaving: Arena,
    keys: Arena,
}

impl Reading {
    /// Takes the questions of a micro-batch and what belongs to them.
    fn fill(&mut self, batch: &AnswerBatch, range: &Range<usize>, encode: u32, first_answer: u64) {
        let answers = batch.answers_to(range);
        self.questions.fill(encode, range.clone().map(|i| &batch.questions.of(i)[1..]));
        self.rows.clear();
        self.rows.extend(self.questions.captions().offsets.windows(2).map(|pair| pair[0]..pair[1]));
        self.answers_of.clear();
        let own = |of: &Range<usize>| of.start - answers.start..of.end - answers.start;
        self.answers_of.extend(batch.answers_of[range.clone()].iter().map(own));
        self.places.clear();
        self.places.extend(answers.map(|i| (first_answer + i as u64) as u32));
    }
}

impl AnswerObjective {
    /// Makes an objective that begins with this model.
    ///
    /// # Panics
    /// If the model is not one that answers questions.
    #[track_caller]
    pub fn new(model: &Model, rates: Rates) -> Self {
        let tuned = Tuned::new(model, Parts::Answerer, rates);
        AnswerObjective { tuned, reading: Reading::default(), first_answer: 0 }
    }

    /// Keeps the [inputs](Keep::Inputs) alone of the image encoder's blocks if `on` says so.
    #[must_use]
    pub fn grad_checkpointing(mut self, on: bool) -> Self {
        self.tuned.grad_checkpointing = on;
        self
    }

    /// Returns a copy of the model as it is now.
    pub fn model(&self) -> Model {
        self.tuned.model()
    }
}

impl<W: World> Objective<W> for AnswerObjective {
    type Tree = Blip<Spec>;
    type Batch<'a> = AnswerBatch<'a>;

    fn params(&self) -> &Params<Blip<Spec>> {
        &self.tuned.params
    }

    fn saved(&mut self) -> (&mut Params<Blip<Spec>>, State<'_>) {
        (&mut self.tuned.params, vec![])
    }

    fn pictures(batch: &AnswerBatch) -> usize {
        batch.images.nrows()
    }

    fn prepare(&mut self, batch: &AnswerBatch, id: StepId) {
        batch.check();
        self.tuned.drops.begin(batch.images.nrows(), id);
    }

    fn forward(&mut self, batch: &AnswerBatch, range: Range<usize>, keep: Keep, _: StepId) {
        self.tuned.forward(batch.images, &range, keep);
    }

    /// Counts the questions and answers of all ranks.
    fn loss(&mut self, batch: &AnswerBatch, id: StepId, world: &W) {
        let [questions, answers] = [batch.questions.len() as u64, batch.answers.len() as u64];
        let [[_, before], [all, _]] = count(world, [questions, answers]);
        self.tuned.mean.begin(all, id.shards);
        self.first_answer = before;
    }

    /// Goes forward through the encoder, forward and backward through the decoder, and backward through both encoders.
    fn backward(&mut self, batch: &AnswerBatch, range: Range<usize>, id: StepId, g: &mut Blip<&mut [f32]>) {
        let AnswerObjective { tuned, reading, first_answer } = self;
        let Tuned { config, params, drops, vision, writer, scratch, picture_rows, one_each, mean, .. } = tuned;
        reading.fill(batch, &range, config.text.ids.encode, *first_answer);
        let Reading { questions, rows: question_rows, answers_of, places, workspace, leaving, keys: arena } = reading;
        let p = &params.view();
        let (encoder, shape) = (p.encoder().expect("a text encoder"), config.encoder());
        let Seen { tokens, dtokens } = vision.seen(&config.vit(), range.len());
        let KeysAndGradient { keys, mut dkeys } = keys(encoder.shared, &shape, tokens, arena);
        let sights = Sights { texts: one_each, rows: picture_rows };
        let seen = SightsMut { sights, keys: &keys.view(), write: Write::Set, dkeys: &mut dkeys };
        let how = (Pool::All, drops.texts(Stream::Questions, &range));
        let memory = Memory { workspace, leaving, scratch };
        let wanted = batch.wanted(batch.answers_to(&range), mean.weight());
        // The encoder's gradients are taken out while the decoder adds to its own.
        let mut g_encoder = g.text_encoder.take().expect("a text encoder");
        let (texts, g_text) = (questions.captions(), g_encoder.as_mut());
        let sums = pass(encoder, &shape, texts, seen, how, memory, g_text, |states, mut dstates, _, scratch| {
            dstates.fill(0.0);
            let sights = Sights { texts: answers_of, rows: question_rows };
            let dropout = drops.texts_at(Stream::Written, places);
            writer.backward(p, config, wanted, (states, dstates), sights, dropout, scratch, g)
        });
        // in the forward pass: keys = tokens W_kvᵀ + b_kv, once a block
        text::backward_keys(encoder.shared, tokens, &dkeys, dtokens, &mut g_encoder.shared);
        g.text_encoder = Some(g_encoder);
        let images = rows(batch.images, &range);
        vision.backward(&p.visual_encoder, &config.vit(), images, scratch, &mut g.visual_encoder);
        mean.add(id.shard_of(range.start, batch.images.nrows()), sums);
    }

    /// Returns the loss of all ranks' questions.
    fn losses(&mut self, world: &W) -> Vec<Metric> {
        self.tuned.losses(world)
    }

    /// Returns the share of the answers' tokens that were found likeliest, each counting as its answer does.
    fn metrics(&self) -> Vec<Metric> {
        self.tuned.metrics()
    }
}
