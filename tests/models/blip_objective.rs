//! BLIP's objective: its gradient is that of the loss, and neither the size of micro-batches, nor the number of threads
//! or ranks, nor a stop in between changes what is learnt.

use crate::support::blip_objective::{Drops, Fixed, Pairs, losses};
use crate::support::blip_passes::tiny;
use crate::support::compare::{TOLERANCE, to_f64};
use crate::support::gradcheck::check_directions;
use crate::support::random;
use clipwright::models::blip::{Config, Model, Parts, spec};
use clipwright::optim::adamw::{Decay, Hyper};
use clipwright::params::{self, Params, view};
use clipwright::train::blip::{Batch, BlipObjective, Options, Rates, Stage, trained};
use clipwright::train::metric::Metric;
use clipwright::train::objective::{Saved, StepId};
use clipwright::train::run_folder::RunFolder;
use clipwright::train::step::{Trainer, TrainerOptions};
use clipwright::train::world::{Threads, World};
use ndarray::{Array2, s};
use std::ops::Range;

/// Number of pairs in a batch. The queue is shorter than two batches, so that it wraps around.
const N: usize = 7;
const QUEUE: usize = 11;
const SEED: u64 = 4;
const STEPS: u64 = 3;

/// The two kinds of training, and the parts of a model that each is for.
const KINDS: [(Stage, Parts); 2] = [(Stage::Pretraining, Parts::Pretrained), (Stage::Retrieval, Parts::Matcher)];

/// Nothing is dropped, or much.
pub const RATES: [Rates; 2] = [Rates { dropout: 0.0, depth: 0.0 }, Rates { dropout: 0.2, depth: 0.4 }];

fn options(stage: Stage, rates: Rates) -> Options {
    Options { stage, momentum: 0.9, queue: QUEUE, alpha: 0.3, ramp: 0, rates, ..Options::pretraining(0) }
}

/// Both kinds at all rates.
fn kinds() -> impl Iterator<Item = ((Stage, Parts), Rates)> {
    KINDS.into_iter().flat_map(|kind| RATES.map(|rates| (kind, rates)))
}

/// The temperature is high, since a low one sharpens whatever rounding there is.
fn trainer(model: &Model, stage: Stage, rates: Rates) -> Trainer<BlipObjective> {
    let hyper = Hyper { eps: 1e-2, ..Hyper::BLIP };
    let trainer_options = TrainerOptions::new(hyper).decay(Decay::All).seed(SEED);
    begun(BlipObjective::new(model, options(stage, rates), SEED), trainer_options)
}

fn begun(objective: BlipObjective, options: TrainerOptions) -> Trainer<BlipObjective> {
    let mut trainer = Trainer::new(objective, options);
    set_temp(&mut trainer);
    trainer
}

fn set_temp<W: World>(trainer: &mut Trainer<BlipObjective, W>) {
    for (name, saved) in trainer.state() {
        if let (true, Saved::Floats(params)) = (name == "params", saved) {
            *params.last_mut().unwrap() = 0.3;
        }
    }
}

fn train(trainer: &mut Trainer<BlipObjective>, steps: Range<u64>, micro_batch: usize) {
    for step in steps {
        let pairs = Pairs::random(&trainer.objective().model().config, N, step);
        trainer.gradients(&pairs.batch(), micro_batch);
        trainer.update(1e-2);
    }
}

/// Everything that is saved, as bits.
fn bits<W: World>(trainer: &mut Trainer<BlipObjective, W>) -> Vec<(String, Vec<u64>)> {
    let bits = |saved| match saved {
        Saved::Floats(values) => values.iter().map(|x| u64::from(x.to_bits())).collect(),
        Saved::Count(count) => vec![*count],
        Saved::Keys(keys) => keys.to_vec(),
    };
    trainer.state().into_iter().map(|(name, saved)| (name, bits(saved))).collect()
}

fn rows(values: &[u64], width: usize) -> Array2<f64> {
    let values = values.iter().map(|&bits| f64::from(f32::from_bits(bits as u32))).collect();
    Array2::from_shape_vec((QUEUE, width), values).unwrap()
}

#[test]
fn the_gradient_is_that_of_the_loss() {
    for ((stage, parts), rates) in kinds() {
        let model = tiny(parts);
        let pairs = Pairs::random(&model.config, N, 9);
        for micro_batch in [N, 3] {
            let mut trainer = trainer(&model, stage, rates);
            train(&mut trainer, 0..2, N);
            let reported = trainer.gradients(&pairs.batch(), micro_batch);
            let gradient = to_f64(trainer.flat_grads());
            let state = bits(&mut trainer);
            let saved = |name: &str| &state.iter().find(|(other, _)| other == name).unwrap().1;
            let (images, texts) = (saved("objective.image_queue"), saved("objective.text_queue"));
            let point: Vec<f64> = saved("params").iter().map(|&bits| f32::from_bits(bits as u32).into()).collect();
            let objective = trainer.objective();
            let momentum = to_f64(&objective.momentum().flat);
            let width = model.config.embed_dim;
            let fixed = Fixed {
                stage,
                alpha: f64::from(0.3f32),
                temp: *point.last().unwrap(),
                momentum: &view(&objective.momentum().spec, &momentum),
                images: rows(images, width),
                texts: rows(texts, width),
                keys: saved("objective.queue_keys").clone(),
                negatives: objective.negatives(),
                drops: Drops { rates, id: StepId { seed: SEED, step: 2, rank: 0, shards: 1 } },
            };
            let table = trained::spec(&model.config);
            let parts = |point: &[f64]| losses(&view(&table, point), &model.config, &pairs.batch(), &fixed);
            let expected = parts(&point);
            for (loss, expected) in reported[1..].iter().zip(expected) {
                let apart = (loss.value - expected).abs();
                assert!(apart <= TOLERANCE * expected, "{stage:?}, {}: {} and {expected}", loss.name, loss.value);
            }
            let sum: f64 = expected.iter().sum();
            assert!((reported[0].value - sum).abs() <= TOLERANCE * sum, "{reported:?}");
            let loss = |point: &[f64]| parts(point).iter().sum();
            check_directions(&format!("{stage:?}, {micro_batch} at a time"), TOLERANCE, &point, &gradient, loss);
        }
    }
}

#[test]
fn every_micro_batch_size_is_the_big_batch() {
    for ((stage, parts), rates) in kinds() {
        let model = tiny(parts);
        let second = |micro_batch| {
            let mut trainer = trainer(&model, stage, rates);
            // The second step is compared, since momentum copy and queue then differ from their start.
            train(&mut trainer, 0..1, N);
            let losses = trainer.gradients(&Pairs::random(&model.config, N, 1).batch(), micro_batch);
            let negatives = trainer.objective().negatives();
            let drawn = [negatives.images.drawn.clone(), negatives.texts.drawn.clone()];
            (losses, trainer.flat_grads().to_vec(), drawn)
        };
        let (losses, gradient, drawn) = second(N);
        let largest = gradient.iter().fold(0f32, |max, g| max.max(g.abs()));
        for micro_batch in (1..N).chain([N + 1]) {
            let (same_losses, same_gradient, same_drawn) = second(micro_batch);
            assert_eq!(drawn, same_drawn, "{micro_batch} at a time");
            for (loss, same) in losses.iter().zip(same_losses) {
                let apart = (loss.value - same.value).abs();
                assert!(apart <= 1e-6 * loss.value, "{micro_batch} at a time: {loss:?}, {same:?}");
            }
            let apart = gradient.iter().zip(&same_gradient).fold(0f32, |max, (a, b)| max.max((a - b).abs()));
            assert!(apart <= 1e-5 * largest, "{micro_batch} at a time: {apart} apart, of {largest}");
        }
    }
}

/// The sizes are large enough that kernels cut their work into pieces.
fn larger() -> Config {
    let mut config = tiny(Parts::Pretrained).config;
    config.vision.image_size = [32, 32];
    (config.vision.width, config.vision.mlp_width, config.embed_dim) = (96, 200, 70);
    (config.text.width, config.text.mlp_width) = (96, 200);
    config
}

#[test]
fn threads_do_not_change_a_bit() {
    let model = Model::new(larger(), 1);
    let trained = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut trainer = trainer(&model, Stage::Pretraining, RATES[1]);
            train(&mut trainer, 0..2, 4);
            bits(&mut trainer)
        })
    };
    let one = trained(1);
    assert!(one == trained(2), "2 threads");
    assert!(one == trained(5), "5 threads");
}

#[test]
fn checkpointing_does_not_change_a_bit() {
    for ((stage, parts), rates) in kinds() {
        let model = tiny(parts);
        for micro_batch in [N, 3] {
            let [all, inputs] = [false, true].map(|checkpointing| {
                let objective =
                    BlipObjective::new(&model, options(stage, rates), SEED).grad_checkpointing(checkpointing);
                let mut trainer = begun(objective, TrainerOptions::new(Hyper::BLIP).seed(SEED));
                train(&mut trainer, 0..2, micro_batch);
                bits(&mut trainer)
            });
            assert!(all == inputs, "{stage:?}, {rates:?}, {micro_batch} at a time");
        }
    }
}

#[test]
fn a_run_that_was_stopped_ends_in_the_same_bits() {
    for ((stage, parts), rates) in kinds() {
        let model = tiny(parts);
        let folder = tempfile::tempdir().unwrap();
        let folder = RunFolder { path: folder.path().into() };
        std::fs::create_dir_all(&folder.path).unwrap();
        let mut whole = trainer(&model, stage, rates);
        train(&mut whole, 0..STEPS, 3);
        let mut stopped = trainer(&model, stage, rates);
        train(&mut stopped, 0..1, 3);
        folder.save(stopped.state()).unwrap();
        drop(stopped);

        // The model is another, so that a value which is not restored is noticed.
        let other = Model { config: model.config, params: Params::init(spec(&model.config), 77) };
        let mut resumed = trainer(&other, stage, rates);
        folder.load(resumed.state()).unwrap();
        train(&mut resumed, 1..STEPS, 3);
        assert!(bits(&mut whole) == bits(&mut resumed), "{stage:?}");
        let names: Vec<String> = bits(&mut whole).into_iter().map(|(name, _)| name).collect();
        let own = ["momentum", "image_queue", "text_queue", "queue_keys", "queue_next"];
        assert_eq!(names[4..], own.map(|name| format!("objective.{name}")));

        // A queue of another length is refused.
        let other = BlipObjective::new(&model, Options { queue: QUEUE + 1, ..options(stage, rates) }, SEED);
        let error = folder.load(Trainer::new(other, TrainerOptions::new(Hyper::BLIP)).state()).unwrap_err();
        assert!(error.to_string().contains("queue"), "{error}");
    }
}

/// Two shards have the negatives, losses, gradients and queue of the whole batch, and on two ranks the same bits as on one.
#[test]
fn shards_and_ranks_learn_as_one() {
    for ((stage, parts), rates) in kinds() {
        let model = tiny(parts);
        let pairs = Pairs::random(&model.config, 2 * N, 2);
        let learn = |world: Threads, shards: usize, micro_batch: usize| {
            let len = 2 * N / world.size();
            let own = world.rank() * len..(world.rank() + 1) * len;
            let images = pairs.images.slice(s![own.clone(), ..]);
            let texts = pairs.batch().texts.slice(own.clone());
            let batch = Batch { images, texts, pictures: &pairs.pictures[own], uniforms: None };
            let objective = BlipObjective::new(&model, options(stage, rates), SEED);
            let options = TrainerOptions::new(Hyper::BLIP).decay(Decay::All).seed(SEED).shards(shards);
            let mut trainer = Trainer::among(world, objective, options);
            set_temp(&mut trainer);
            learnt(&mut trainer, &batch, micro_batch)
        };
        let alone = |shards, micro_batch| Threads::run(1, |world| learn(world, shards, micro_batch)).remove(0);
        let (whole, parts) = (alone(1, 2 * N), alone(2, 3));
        assert_eq!((&whole.images, &whole.texts), (&parts.images, &parts.texts), "{stage:?}");
        let largest = whole.gradient.iter().fold(0f32, |max, g| max.max(g.abs()));
        let apart = whole.gradient.iter().zip(&parts.gradient).fold(0f32, |max, (a, b)| max.max((a - b).abs()));
        assert!(apart <= 1e-5 * largest, "{stage:?}: gradients are {apart} apart, of {largest}");
        for (loss, same) in whole.losses.iter().zip(&parts.losses) {
            assert!((loss.value - same.value).abs() < 1e-5, "{loss:?} and {same:?}");
        }
        let ranks = Threads::run(2, |world| learn(world, 2, 3));
        let drawn = |of: fn(&Learnt) -> &Vec<Option<usize>>| ranks.iter().flat_map(of).copied().collect::<Vec<_>>();
        assert_eq!((&parts.images, &parts.texts), (&drawn(|rank| &rank.images), &drawn(|rank| &rank.texts)));
        let crossing = ranks[0].images.iter().flatten().any(|&image| image >= N);
        assert!(crossing, "a text looks at a picture of the other rank");
        for rank in &ranks {
            assert!(rank.losses == parts.losses && rank.state == parts.state, "{stage:?}: the same bits on two ranks");
        }
    }
}

/// What one step learns of a batch: losses, the negatives of this rank, the gradient, and the state behind it.
struct Learnt {
    losses: Vec<Metric>,
    images: Vec<Option<usize>>,
    texts: Vec<Option<usize>>,
    gradient: Vec<f32>,
    state: Vec<(String, Vec<u64>)>,
}

fn learnt<W: World>(trainer: &mut Trainer<BlipObjective, W>, batch: &Batch, micro_batch: usize) -> Learnt {
    let mut losses = trainer.gradients(batch, micro_batch);
    let gradient = trainer.flat_grads().to_vec();
    let negatives = trainer.objective().negatives();
    let (images, texts) = (negatives.images.drawn.clone(), negatives.texts.drawn.clone());
    losses.extend(trainer.update(1e-3).metrics);
    Learnt { losses, images, texts, gradient, state: bits(trainer) }
}

/// Where every picture of a batch is the same, or there is but one, nothing can be drawn.
#[test]
fn a_batch_without_negatives_is_learnt_too() {
    for (stage, parts) in KINDS {
        let model = tiny(parts);
        for n in [1, 4] {
            let mut pairs = Pairs::random(&model.config, n, 8);
            pairs.pictures.fill(5);
            let mut trainer = trainer(&model, stage, RATES[0]);
            let losses = trainer.gradients(&pairs.batch(), 3);
            assert!(losses.iter().all(|loss| loss.value.is_finite() && loss.chance.is_none_or(f64::is_finite)));
            let drawn = trainer.objective().negatives().images.drawn.iter().flatten().count();
            assert_eq!(drawn, if n == 4 && stage == Stage::Pretraining { 4 } else { 0 });
            assert!(trainer.update(1e-3).grad_norm.is_finite());
        }
    }
}

/// A pre-trained model becomes one for each task, and goes on to give what it gave.
#[test]
fn a_pretrained_model_becomes_one_for_each_task() {
    let mut whole = tiny(Parts::Pretrained);
    whole.config.vision.width = 20;
    whole.config.vision.heads = 4;
    let whole = Model { config: whole.config, params: random::params(spec(&whole.config), 3) };
    for parts in [Parts::Matcher, Parts::Captioner, Parts::Answerer] {
        let model = whole.for_task(parts).unwrap();
        assert_eq!((model.config.parts, model.params.flat.len()), (parts, params::len(&spec(&model.config))));
        let (p, q) = (whole.params.view(), model.params.view());
        assert_eq!(p.visual_encoder.norm.weight, q.visual_encoder.norm.weight);
        if let (Some(p), Some(q)) = (p.encoder(), q.encoder()) {
            assert_eq!(p.shared.layers[2].cross.out.weight, q.shared.layers[2].cross.out.weight);
        }
        if let (Some(p), Some(q)) = (p.decoder(), q.decoder()) {
            assert_eq!(p.attention[1].attn.in_proj_weight, q.attention[1].attn.in_proj_weight);
            assert_eq!(p.shared.embeddings.word_embeddings, q.shared.embeddings.word_embeddings);
        }
    }
    let error = tiny(Parts::Captioner).for_task(Parts::Matcher).map(|_| ()).unwrap_err();
    assert!(error.starts_with("text_encoder."), "{error}");
    let error = tiny(Parts::Pretrained).for_task(Parts::Answerer).map(|_| ()).unwrap_err();
    assert!(error.starts_with("text_decoder.shared.layers.0.cross.key_value"), "{error}");
}
