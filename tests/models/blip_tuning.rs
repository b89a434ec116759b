//! Fine-tuning for captions and for answers: the gradient is that of the loss, and neither the size of micro-batches, nor
//! the number of threads or ranks, nor a stop in between changes what is learnt.

use super::blip_objective::RATES;
use crate::support::blip_objective::{Drops, Pairs, Questions, answers, captions};
use crate::support::blip_passes::tiny;
use crate::support::compare::{TOLERANCE, to_f64};
use crate::support::gradcheck::check_directions;
use clipwright::models::blip::{Blip, Model, Parts, spec};
use clipwright::optim::adamw::{Decay, Hyper};
use clipwright::params::{Params, Spec, view};
use clipwright::train::blip::{AnswerBatch, AnswerObjective, CaptionBatch, CaptionObjective, Rates};
use clipwright::train::metric::Metric;
use clipwright::train::objective::{Objective, StepId};
use clipwright::train::run_folder::RunFolder;
use clipwright::train::step::{Trainer, TrainerOptions};
use clipwright::train::world::{Threads, World};
use ndarray::s;
use rayon::ThreadPoolBuilder;
use std::ops::Range;

/// Number of pictures in a batch.
const N: usize = 7;
const SEED: u64 = 4;

fn options() -> TrainerOptions {
    TrainerOptions::new(Hyper { eps: 1e-2, ..Hyper::BLIP }).decay(Decay::All).seed(SEED)
}

/// What is learnt in a step: loss, gradient and accuracy.
struct Learnt {
    loss: f64,
    gradient: Vec<f32>,
    accuracy: f64,
    /// The parameters after a step.
    params: Vec<f32>,
}

fn learn<O: Objective<W> + Send, W: World>(
    trainer: &mut Trainer<O, W>,
    batch: &O::Batch<'_>,
    micro_batch: usize,
) -> Learnt {
    let losses: Vec<Metric> = trainer.gradients(batch, micro_batch);
    assert!(losses.len() == 1 && losses[0].name == "loss" && losses[0].chance.unwrap() > 0.0, "{losses:?}");
    let gradient = trainer.flat_grads().to_vec();
    let metrics = trainer.update(1e-2).metrics;
    assert_eq!(metrics[0].name, "accuracy");
    let params = trainer.objective().params().flat.to_vec();
    Learnt { loss: losses[0].value, gradient, accuracy: metrics[0].value, params }
}

/// Checks the second step of a run, whose draws are not those of the first.
fn check_gradient<O: Objective<Tree = Blip<Spec>> + Send>(
    name: &str,
    objective: impl Fn() -> O,
    batch: &O::Batch<'_>,
    rates: Rates,
    oracle: impl Fn(&Blip<&[f64]>, &Drops) -> f64,
) {
    for micro_batch in [N, 3] {
        let mut trainer = Trainer::new(objective(), options());
        learn(&mut trainer, batch, N);
        let Params { spec, flat } = trainer.objective().params().clone();
        let point = to_f64(&flat);
        let Learnt { loss, gradient, .. } = learn(&mut trainer, batch, micro_batch);
        let drops = Drops { rates, id: StepId { seed: SEED, step: 1, rank: 0, shards: 1 } };
        let at = |point: &[f64]| oracle(&view(&spec, point), &drops);
        let expected = at(&point);
        assert!((loss - expected).abs() <= TOLERANCE * expected, "{name}: {loss} and {expected}");
        check_directions(&format!("{name}, {micro_batch} at a time"), TOLERANCE, &point, &to_f64(&gradient), at);
    }
}

#[test]
fn the_gradient_is_that_of_the_loss() {
    for rates in RATES {
        let (model, pairs) = captioner();
        let given = pairs.given();
        let batch = pairs.captions(&given);
        let oracle = |p: &Blip<&[f64]>, drops: &Drops| captions(p, &model.config, &batch, drops);
        check_gradient("captions", || CaptionObjective::new(&model, rates), &batch, rates, oracle);

        let (model, questions) = answerer();
        let batch = questions.batch();
        let oracle = |p: &Blip<&[f64]>, drops: &Drops| answers(p, &model.config, &batch, drops);
        check_gradient("answers", || AnswerObjective::new(&model, rates), &batch, rates, oracle);
    }
}

fn captioner() -> (Model, Pairs) {
    let model = tiny(Parts::Captioner);
    let pairs = Pairs::random(&model.config, N, 9);
    (model, pairs)
}

fn answerer() -> (Model, Questions) {
    let model = tiny(Parts::Answerer);
    let questions = Questions::random(&model.config, N, 9);
    (model, questions)
}

fn check_micro_batches<O: Objective + Send>(objective: impl Fn() -> O, batch: &O::Batch<'_>) {
    let step = |micro_batch| learn(&mut Trainer::new(objective(), options()), batch, micro_batch);
    let whole = step(N);
    (1..N).chain([N + 1]).for_each(|micro_batch| same(&whole, &step(micro_batch)));
}

#[track_caller]
fn same(a: &Learnt, b: &Learnt) {
    assert!((a.loss - b.loss).abs() <= 1e-6 * a.loss, "losses {} and {}", a.loss, b.loss);
    assert!((a.accuracy - b.accuracy).abs() < 1e-6, "accuracies {} and {}", a.accuracy, b.accuracy);
    same_gradients(&a.gradient, &b.gradient);
}

#[track_caller]
fn same_gradients(a: &[f32], b: &[f32]) {
    let largest = a.iter().fold(0f32, |max, g| max.max(g.abs()));
    let apart = a.iter().zip(b).fold(0f32, |max, (a, b)| max.max((a - b).abs()));
    assert!(apart <= 1e-5 * largest, "gradients are {apart} apart, of {largest}");
}

#[test]
fn every_micro_batch_size_is_the_big_batch() {
    for rates in RATES {
        let (model, pairs) = captioner();
        check_micro_batches(|| CaptionObjective::new(&model, rates), &pairs.captions(&pairs.given()));
        let (model, questions) = answerer();
        check_micro_batches(|| AnswerObjective::new(&model, rates), &questions.batch());
    }
}

/// Returns the parameters and moments of some steps, as bits.
fn bits<O: Objective + Send>(trainer: &mut Trainer<O>, batch: &O::Batch<'_>, steps: Range<u64>) -> Vec<u32> {
    steps.for_each(|_| drop(learn(trainer, batch, 3)));
    trainer.objective().params().flat.iter().map(|x| x.to_bits()).collect()
}

/// The sizes are large enough that kernels cut their work into pieces.
fn larger(parts: Parts) -> Model {
    let mut config = tiny(parts).config;
    config.vision.image_size = [32, 32];
    (config.vision.width, config.vision.mlp_width) = (96, 200);
    (config.text.width, config.text.mlp_width) = (96, 200);
    Model::new(config, 1)
}

#[track_caller]
fn check_threads<O: Objective + Send>(objective: impl Fn(bool) -> O + Sync, batch: &O::Batch<'_>) {
    let run = |threads, checkpointing| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| bits(&mut Trainer::new(objective(checkpointing), options()), batch, 0..2))
    };
    let one = run(1, false);
    assert!(one == run(2, false) && one == run(5, false) && one == run(2, true));
}

#[test]
fn neither_threads_nor_checkpointing_change_a_bit() {
    let model = larger(Parts::Captioner);
    let pairs = Pairs::random(&model.config, N, 1);
    let captioner = |on| CaptionObjective::new(&model, RATES[1]).grad_checkpointing(on);
    check_threads(captioner, &pairs.captions(&pairs.given()));
    let model = larger(Parts::Answerer);
    let answerer = |on| AnswerObjective::new(&model, RATES[1]).grad_checkpointing(on);
    check_threads(answerer, &Questions::random(&model.config, N, 1).batch());
}

/// Another model is resumed into, so that a value which is not restored is noticed.
#[track_caller]
fn check_resumed<O: Objective + Send>(objective: impl Fn(&Model) -> O, model: &Model, batch: &O::Batch<'_>) {
    let path = tempfile::tempdir().unwrap();
    let folder = RunFolder { path: path.path().into() };
    let whole = bits(&mut Trainer::new(objective(model), options()), batch, 0..3);
    let mut stopped = Trainer::new(objective(model), options());
    bits(&mut stopped, batch, 0..1);
    folder.save(stopped.state()).unwrap();
    let other = Model { config: model.config, params: Params::init(spec(&model.config), 77) };
    let mut resumed = Trainer::new(objective(&other), options());
    folder.load(resumed.state()).unwrap();
    assert!(whole == bits(&mut resumed, batch, 1..3));
}

#[test]
fn a_run_that_was_stopped_ends_in_the_same_bits() {
    for rates in RATES {
        let (model, pairs) = captioner();
        check_resumed(|model| CaptionObjective::new(model, rates), &model, &pairs.captions(&pairs.given()));
        let (model, questions) = answerer();
        check_resumed(|model| AnswerObjective::new(model, rates), &model, &questions.batch());
    }
}

/// Checks that two shards have the gradient of the whole batch, and on two ranks the same bits as on one. `learn(world,
/// options, own, micro_batch)` learns what these pictures of a batch of 2N teach.
#[track_caller]
fn check_ranks(learn: impl Fn(Threads, TrainerOptions, Range<usize>, usize) -> Learnt + Sync) {
    let on = |ranks: usize, shards: usize, micro_batch: usize| {
        let options = options().shards(shards);
        let own = |rank: usize| rank * 2 * N / ranks..(rank + 1) * 2 * N / ranks;
        Threads::run(ranks, |world| learn(world.clone(), options, own(world.rank()), micro_batch))
    };
    let (whole, parts) = (on(1, 1, 2 * N).remove(0), on(1, 2, 3).remove(0));
    same(&whole, &parts);
    for rank in on(2, 2, 3) {
        assert_eq!((rank.loss, rank.accuracy), (parts.loss, parts.accuracy));
        assert!(rank.params == parts.params, "the same bits on two ranks");
    }
}

#[test]
fn ranks_caption_as_one() {
    let model = tiny(Parts::Captioner);
    let pairs = Pairs::random(&model.config, 2 * N, 2);
    let given = pairs.given();
    let CaptionBatch { images, captions, .. } = pairs.captions(&given);
    for rates in RATES {
        check_ranks(|world, options, own, micro_batch| {
            let (images, captions) = (images.slice(s![own.clone(), ..]), captions.slice(own.clone()));
            let batch = CaptionBatch { images, captions, given: &given[own] };
            learn(&mut Trainer::among(world, CaptionObjective::new(&model, rates), options), &batch, micro_batch)
        });
    }
}

#[test]
fn ranks_answer_as_one() {
    let model = tiny(Parts::Answerer);
    let questions = Questions::random(&model.config, 2 * N, 2);
    let AnswerBatch { images, questions: asked, answers, answers_of, weights } = questions.batch();
    for rates in RATES {
        check_ranks(|world, options, own, micro_batch| {
            let given = answers_of[own.start].start..answers_of[own.end - 1].end;
            let shift = |of: &Range<usize>| of.start - given.start..of.end - given.start;
            let answers_of: Vec<_> = answers_of[own.clone()].iter().map(shift).collect();
            let batch = AnswerBatch {
                images: images.slice(s![own.clone(), ..]),
                questions: asked.slice(own),
                answers: answers.slice(given.clone()),
                answers_of: &answers_of,
                weights: &weights[given],
            };
            learn(&mut Trainer::among(world, AnswerObjective::new(&model, rates), options), &batch, micro_batch)
        });
    }
}

/// A model that finds every token equally likely has the loss that is called chance, and one that was taught has learnt.
#[test]
fn losses_begin_at_chance_and_accuracies_grow() {
    let flat = |parts| {
        let mut model = tiny(parts);
        model.params.flat.fill(0.0);
        model
    };
    let (_, pairs) = captioner();
    let given = pairs.given();
    let mut trainer = Trainer::new(CaptionObjective::new(&flat(Parts::Captioner), Rates::default()), options());
    let loss = trainer.gradients(&pairs.captions(&given), 3).remove(0);
    assert!((loss.value - loss.chance.unwrap()).abs() < 1e-5, "{loss:?}");
    assert!((loss.value - 70f64.ln()).abs() < 1e-5, "{loss:?}");
    let (_, questions) = answerer();
    let mut trainer = Trainer::new(AnswerObjective::new(&flat(Parts::Answerer), Rates::default()), options());
    let loss = trainer.gradients(&questions.batch(), 3).remove(0);
    assert!((loss.value / loss.chance.unwrap() - 1.0).abs() < 1e-5, "{loss:?}");

    let (model, pairs) = captioner();
    let options = TrainerOptions::new(Hyper { eps: 1e-6, ..Hyper::BLIP });
    let mut trainer = Trainer::new(CaptionObjective::new(&model, Rates::default()), options);
    let mut step = || {
        let loss = trainer.gradients(&pairs.captions(&given), N)[0].value;
        (loss, trainer.update(2e-3).metrics[0].value)
    };
    let (first, last) = (step(), (0..150).map(|_| step()).last().unwrap());
    assert!(last.0 < 0.7 * first.0 && last.1 > first.1 + 0.5, "from {first:?} to {last:?}");
    assert!(last.0 > 0.739, "the entropy of a smoothed target over 70 tokens");
}

#[test]
#[should_panic(expected = "the parts of the model")]
fn a_model_for_another_task_is_refused() {
    CaptionObjective::new(&tiny(Parts::Answerer), Rates::default());
}

#[test]
#[should_panic(expected = "a caption has a token that is given, and one behind them")]
fn a_prompt_leaves_something_to_learn() {
    let (model, pairs) = captioner();
    let given: Vec<usize> = pairs.texts.rows().iter().map(|rows| rows.len()).collect();
    Trainer::new(CaptionObjective::new(&model, Rates::default()), options()).gradients(&pairs.captions(&given), N);
}

#[test]
#[should_panic(expected = "answers 1..1 to question 1, from 1 on")]
fn every_question_has_an_answer() {
    let (model, questions) = answerer();
    let mut answers_of = questions.answers_of.clone();
    answers_of[1].end = 1;
    let batch = AnswerBatch { answers_of: &answers_of, ..questions.batch() };
    Trainer::new(AnswerObjective::new(&model, Rates::default()), options()).gradients(&batch, N);
}

#[test]
#[should_panic(expected = "dropout with a rate of 1, not from 0 to below 1")]
fn a_rate_leaves_something() {
    CaptionObjective::new(&tiny(Parts::Captioner), Rates { dropout: 1.0, depth: 0.0 });
}
