//! BLIP's objective against the original's: losses, all gradients, the weights by which negatives are drawn, momentum
//! weights, queues, a step of AdamW and the loss behind it.

use super::blip::{json, model, original, with_io};
use super::golden::{GRADIENT, Io, OUTPUT, close, close_step, row};
use clipwright::models::blip::{Blip, Model};
use clipwright::optim::adamw::{Decay, Hyper};
use clipwright::params::{Params, Spec, for_each};
use clipwright::train::blip::negatives::Draw;
use clipwright::train::blip::{Batch, BlipObjective, Options, Rates, Stage};
use clipwright::train::metric::Metric;
use clipwright::train::objective::Saved;
use clipwright::train::step::{Trainer, TrainerOptions};
use clipwright::tree::Path as TreePath;
use ndarray::Array2;
use safetensors::tensor::TensorView;
use safetensors::{SafeTensors, serialize_to_file};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Returns what `take` gives for every tensor of a model's file, loaded as a model.
fn loaded<'a>(folder: &Path, take: impl Fn(&str) -> Option<(String, TensorView<'a>)>) -> Model {
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let weights = SafeTensors::deserialize(&bytes).unwrap();
    let tensors: Vec<_> = weights.names().into_iter().filter_map(take).collect();
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("model.safetensors");
    serialize_to_file(tensors, None, &path).unwrap();
    model(folder, &path)
}

/// Reads the trained parameters, or their gradients, of a file that has shared tensors once, and the temperature's.
fn trained(folder: &Path, file: &str) -> (Params<Blip<Spec>>, f32) {
    let bytes = fs::read(folder.join(file)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let twin = |name: &str| {
        let shared = name.strip_prefix("text_decoder.bert.").map(|rest| format!("text_encoder.{rest}"));
        shared.unwrap_or_else(|| match name {
            "text_decoder.cls.predictions.decoder.weight" => "text_encoder.embeddings.word_embeddings.weight".into(),
            "text_decoder.cls.predictions.decoder.bias" => "text_decoder.cls.predictions.bias".into(),
            name => name.into(),
        })
    };
    let model = loaded(folder, |name| {
        let tensor = tensors.tensor(name).or_else(|_| tensors.tensor(&twin(name))).ok()?;
        Some((name.to_string(), tensor))
    });
    (model.params, scalar(&tensors, "temp"))
}

fn scalar(tensors: &SafeTensors, name: &str) -> f32 {
    f32::from_le_bytes(tensors.tensor(name).unwrap().data().try_into().unwrap())
}

/// Reads the momentum copy of a file, laid out as the objective's.
fn momentum(folder: &Path, file: &str, spec: &Blip<Spec>) -> Vec<f32> {
    let [weights, momentum] = ["model.safetensors", file].map(|file| fs::read(folder.join(file)).unwrap());
    let [weights, momentum] = [&weights, &momentum].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    let copy = loaded(folder, |name| match name.split_once('.') {
        Some(("itm_head", _)) => Some((name.into(), weights.tensor(name).unwrap())),
        Some((part, rest)) => {
            let tensor = momentum.tensor(&format!("{part}_m.{rest}")).ok()?;
            Some((name.into(), tensor))
        }
        None => None,
    });
    let mut flat = vec![f32::NAN; clipwright::params::len(spec)];
    for_each(spec, &TreePath::ROOT, |path, _, range| {
        for_each(&copy.params.spec, &TreePath::ROOT, |other, _, from| {
            if path.to_string() == other.to_string() {
                flat[range.clone()].copy_from_slice(&copy.params.flat[from]);
            }
        });
    });
    assert!(flat.iter().all(|x| x.is_finite()), "a leaf of the momentum copy is missing");
    flat
}

/// The queues of a file (queue,e), its keys and the place of the oldest.
struct Queues {
    images: Vec<f32>,
    texts: Vec<f32>,
    keys: Option<Vec<u64>>,
    next: u64,
}

fn queues(folder: &Path, file: &str) -> Queues {
    let bytes = fs::read(folder.join(file)).unwrap();
    let io = Io(SafeTensors::deserialize(&bytes).unwrap());
    let columns = |name: &str| io.matrix(name).t().iter().copied().collect();
    let has = |name: &str| io.0.tensor(name).is_ok();
    let keys = has("idx_queue").then(|| io.integers("idx_queue").concat().into_iter().map(|key| key as u64).collect());
    let next = if has("queue_ptr") { "queue_ptr" } else { "ptr_queue" };
    Queues { images: columns("image_queue"), texts: columns("text_queue"), keys, next: io.integers(next)[0][0] as u64 }
}

/// Everything of a trainer that is saved, so that another one goes on from there.
#[derive(Clone)]
enum Stored {
    Floats(Vec<f32>),
    Count(u64),
    Keys(Vec<u64>),
}

fn snapshot(trainer: &mut Trainer<BlipObjective>) -> Vec<(String, Stored)> {
    let value = |saved| match saved {
        Saved::Floats(values) => Stored::Floats(values.to_vec()),
        Saved::Count(count) => Stored::Count(*count),
        Saved::Keys(keys) => Stored::Keys(keys.to_vec()),
    };
    trainer.state().into_iter().map(|(name, saved)| (name, value(saved))).collect()
}

fn restore(trainer: &mut Trainer<BlipObjective>, values: &[(String, Stored)]) {
    for (name, saved) in trainer.state() {
        match (saved, values.iter().find(|(other, _)| *other == name).map(|(_, value)| value)) {
            (Saved::Floats(to), Some(Stored::Floats(from))) => to.copy_from_slice(from),
            (Saved::Count(to), Some(Stored::Count(from))) => *to = *from,
            (Saved::Keys(to), Some(Stored::Keys(from))) => to.copy_from_slice(from),
            (_, None) => {}
            _ => panic!("{name} is of another kind"),
        }
    }
}

/// Returns a trainer in the state that the reference was in before its step.
fn trainer(folder: &Path, meta: &Value, stage: Stage, alpha: f32) -> Trainer<BlipObjective> {
    let model = model(folder, &folder.join("model.safetensors"));
    let number = |of: &Value, default: f64| of.as_f64().unwrap_or(default) as f32;
    let momentum_share = number(&meta["momentum"], f64::NAN);
    let queue = meta["queue_size"].as_u64().unwrap() as usize;
    let rates = Rates::default();
    let options = Options { stage, momentum: momentum_share, queue, alpha, rates, ..Options::pretraining(0) };
    let adamw = &meta["adamw"];
    let hyper = Hyper {
        beta1: number(&adamw["betas"][0], 0.9),
        beta2: number(&adamw["betas"][1], 0.999),
        eps: number(&adamw["eps"], 1e-8),
        weight_decay: number(&adamw["weight_decay"], 0.05),
    };
    let objective = BlipObjective::new(&model, options, 1);
    let mut trainer = Trainer::new(objective, TrainerOptions::new(hyper).decay(Decay::All));
    let copy = momentum(folder, "model.safetensors", &trainer.objective().momentum().spec);
    let Queues { images, texts, keys, next } = queues(folder, "model.safetensors");
    let mut values = vec![
        ("objective.momentum".to_string(), Stored::Floats(copy)),
        ("objective.image_queue".into(), Stored::Floats(images)),
        ("objective.text_queue".into(), Stored::Floats(texts)),
        ("objective.queue_next".into(), Stored::Count(next)),
    ];
    values.extend(keys.map(|keys| ("objective.queue_keys".into(), Stored::Keys(keys))));
    restore(&mut trainer, &values);
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let temp = scalar(&SafeTensors::deserialize(&bytes).unwrap(), "temp");
    for (name, saved) in trainer.state() {
        if let (true, Saved::Floats(params)) = (name == "params", saved) {
            *params.last_mut().unwrap() = temp;
        }
    }
    trainer
}

#[track_caller]
fn check_losses(losses: &[Metric], io: &Io, prefix: &str) {
    for (name, theirs) in [("loss_itc", "loss_ita"), ("loss_itm", "loss_itm"), ("loss_lm", "loss_lm")] {
        let Some(loss) = losses.iter().find(|loss| loss.name == name) else {
            assert!(io.0.tensor(&format!("{prefix}{theirs}")).is_err(), "{name}");
            continue;
        };
        let expected = f64::from(io.scalar(&format!("{prefix}{theirs}")));
        let apart = (loss.value - expected).abs();
        assert!(apart <= f64::from(OUTPUT) * expected.max(1.0), "{prefix}{name}: {} and {expected}", loss.value);
    }
}

/// The shares by which negatives are drawn. A row of the reference may have any sum.
fn check_weights(name: &str, draw: &Draw, io: &Io) {
    let shares = |weights: Array2<f32>| {
        let sums = weights.sum_axis(ndarray::Axis(1)).insert_axis(ndarray::Axis(1));
        weights / &sums
    };
    let ours = draw.weights.mapv(|weight| weight as f32);
    close(name, &shares(ours), &shares(io.matrix(name)), OUTPUT);
    (0..draw.drawn.len()).for_each(|i| assert_eq!(draw.weights[[i, i]], 0.0, "{name}: a pair is no negative"));
}

fn drawn(draw: &Draw) -> Vec<i64> {
    draw.drawn.iter().map(|drawn| drawn.unwrap() as i64).collect()
}

/// Returns numbers by which these negatives are drawn.
fn uniforms(draw: &Draw, wanted: &[i64]) -> Vec<f64> {
    let middle = |(row, &wanted): (usize, &i64)| {
        let (weights, wanted) = (draw.weights.row(row), wanted as usize);
        let before: f64 = weights.iter().take(wanted).sum();
        (before + weights[wanted] / 2.0) / weights.sum()
    };
    wanted.iter().enumerate().map(middle).collect()
}

fn check(folder: &Path, io: &Io, stage: Stage) {
    let meta = json(&folder.join("meta.json"));
    let (images, _) = io.pictures("image");
    let texts = io.texts("input_ids", "attention_mask");
    let n = images.nrows();
    let pictures = match stage {
        Stage::Retrieval => io.integers("idx").concat().into_iter().map(|key| key as u64).collect(),
        Stage::Pretraining => vec![0; n],
    };
    let numbers = io.0.tensor("uniform").unwrap();
    let numbers: Vec<f64> = numbers.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
    let batch = Batch { images: images.view(), texts: texts.captions(), pictures: &pictures, uniforms: Some(&numbers) };
    let (grads, dtemp) = trained(folder, "grads.safetensors");
    let trainer = |alpha| self::trainer(folder, &meta, stage, alpha);
    for micro_batch in [n, 2, 1] {
        let mut trainer = trainer(io.scalar("alpha"));
        let losses = trainer.gradients(&batch, micro_batch);
        check_losses(&losses, io, "");
        let negatives = trainer.objective().negatives();
        check_weights("weights_t2i", &negatives.images, io);
        check_weights("weights_i2t", &negatives.texts, io);
        assert_eq!(drawn(&negatives.images), io.integers("neg_image").concat());
        assert_eq!(drawn(&negatives.texts), io.integers("neg_text").concat());
        for_each(&grads.spec, &TreePath::ROOT, |path, _, range| {
            let ours = row(&trainer.flat_grads()[range.clone()]);
            close(&path.to_string(), &ours, &row(&grads.flat[range]), GRADIENT);
        });
        close("temp", &row(&trainer.flat_grads()[grads.flat.len()..]), &row(&[dtemp]), GRADIENT);
        check_momentum(&trainer, folder);
        let lr = meta["adamw"]["lr"].as_f64().unwrap_or_default() as f32;
        trainer.update(lr);
        check_queues(&mut trainer, folder);
        if folder.join("after_adamw_step.safetensors").is_file() {
            check_step(&trainer, folder, (&grads, dtemp), lr);
            let alpha = io.scalar("second.alpha");
            check_second(self::trainer(folder, &meta, stage, alpha), &snapshot(&mut trainer), &batch, io);
        }
    }
}

/// Momentum weights after the forward pass, where the reference has them.
fn check_momentum(trainer: &Trainer<BlipObjective>, folder: &Path) {
    let bytes = fs::read(folder.join("after_forward.safetensors")).unwrap();
    let after = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(temp(trainer), scalar(&after, "temp"));
    if after.names().iter().any(|name| name.starts_with("vision_proj_m.")) {
        let copy = trainer.objective().momentum();
        let theirs = momentum(folder, "after_forward.safetensors", &copy.spec);
        for_each(&copy.spec, &TreePath::ROOT, |path, _, range| {
            close(&format!("momentum {path}"), &row(&copy.flat[range.clone()]), &row(&theirs[range]), 1e-6);
        });
    }
}

/// The queues with the batch in them.
fn check_queues(trainer: &mut Trainer<BlipObjective>, folder: &Path) {
    let Queues { images, texts, keys, next } = queues(folder, "after_forward.safetensors");
    for (name, saved) in trainer.state() {
        match (&*name, saved) {
            ("objective.image_queue", Saved::Floats(ours)) => close(&name, &row(ours), &row(&images), OUTPUT),
            ("objective.text_queue", Saved::Floats(ours)) => close(&name, &row(ours), &row(&texts), OUTPUT),
            ("objective.queue_keys", Saved::Keys(ours)) => keys.iter().for_each(|keys| assert_eq!(ours, keys)),
            ("objective.queue_next", Saved::Count(ours)) => assert_eq!(*ours, next),
            _ => {}
        }
    }
}

fn check_step(trainer: &Trainer<BlipObjective>, folder: &Path, (grads, dtemp): (&Params<Blip<Spec>>, f32), lr: f32) {
    let (after, after_temp) = trained(folder, "after_adamw_step.safetensors");
    let (ours, hyper) = (trainer.objective().model().params, (lr, Hyper::BLIP.eps));
    for_each(&after.spec, &TreePath::ROOT, |path, _, range| {
        let (theirs, g) = (&after.flat[range.clone()], &grads.flat[range.clone()]);
        close_step(&path.to_string(), &ours.flat[range], theirs, g, hyper);
    });
    close_step("temp", &[temp(trainer)], &[after_temp], &[dtemp], hyper);
}

fn temp(trainer: &Trainer<BlipObjective>) -> f32 {
    trainer.objective().temp()
}

fn check_second(mut trainer: Trainer<BlipObjective>, state: &[(String, Stored)], batch: &Batch, io: &Io) {
    restore(&mut trainer, state);
    // A first try only gives the weights.
    trainer.gradients(batch, batch.len());
    let wanted = ["second.neg_image", "second.neg_text"].map(|name| io.integers(name).concat());
    let negatives = trainer.objective().negatives();
    let numbers = [uniforms(&negatives.images, &wanted[0]), uniforms(&negatives.texts, &wanted[1])].concat();
    restore(&mut trainer, state);
    let losses = trainer.gradients(&Batch { uniforms: Some(&numbers), ..*batch }, batch.len());
    check_losses(&losses, io, "second.");
}

#[test]
fn pretraining_is_that_of_the_original() {
    for folder in original("momentum", "queue_ptr") {
        with_io(&folder, |io| check(&folder, io, Stage::Pretraining));
    }
}

#[test]
fn retrieval_training_is_that_of_the_original() {
    for folder in original("momentum", "ptr_queue") {
        with_io(&folder, |io| check(&folder, io, Stage::Retrieval));
    }
}
