//! Locked towers, features that are computed once, teachers, and learning rates by name: each saving gives the bits of
//! the plain computation.

use crate::support::tiny::{Batch, config, resnet};
use clipwright::batches::FeatureCache;
use clipwright::models::Captions;
use clipwright::models::clip::{Config, Model, Tower, visual::Visual};
use clipwright::optim::adamw::Hyper;
use clipwright::optim::lr_factors::LrFactors;
use clipwright::params::{for_each, view_mut};
use clipwright::train::clip::{ClipObjective, Pairs, Teacher};
use clipwright::train::objective::Objective;
use clipwright::train::step::{Trainer, TrainerOptions};
use clipwright::train::world::{Alone, Threads, World};
use clipwright::tree::Path;
use ndarray::{Array2, s};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

const N: usize = 37;

fn model(config: &Config) -> Model {
    Model::new(config.clone(), 1)
}

fn trainer(objective: ClipObjective) -> Trainer<ClipObjective> {
    Trainer::new(objective, TrainerOptions::new(Hyper::VIT))
}

fn is_frozen(trainer: &Trainer<ClipObjective>, path: &Path) -> bool {
    Objective::<Alone>::frozen(trainer.objective(), path)
}

/// The backward pass stops above the locked groups. What is trained gets the gradient of the whole backward pass, in
/// every bit, and what is locked gets none.
#[test]
fn a_backward_pass_that_stops_is_the_whole_one_without_what_is_locked() {
    let config = config(36);
    let batch = Batch::of(&config, N, 3);
    for micro_batch in [N, 20] {
        let mut plain = trainer(ClipObjective::new(model(&config)));
        let losses = plain.gradients(&batch.pairs(), micro_batch);
        for (tower, unlocked) in (0..=5).map(|n| (Tower::Image, n)).chain((0..=4).map(|n| (Tower::Text, n))) {
            let mut locked = trainer(ClipObjective::new(model(&config)).lock(tower, unlocked));
            assert_eq!(locked.gradients(&batch.pairs(), micro_batch), losses, "{tower:?}, {unlocked} unlocked");
            let (mut frozen, mut trained) = (0, 0);
            for_each(&plain.objective().model().params.spec, &Path::ROOT, |path, _, range| {
                let (own, whole) = (&locked.flat_grads()[range.clone()], &plain.flat_grads()[range]);
                if is_frozen(&locked, path) {
                    frozen += 1;
                    assert!(own.iter().all(|g| *g == 0.0), "{path} is locked, {tower:?}, {unlocked} unlocked");
                } else {
                    trained += 1;
                    assert!(own == whole, "{path}, {tower:?}, {unlocked} unlocked, {micro_batch} at a time");
                }
            });
            assert!(trained > 1 && (frozen > 0) == (unlocked < tower.groups(&config)));
        }
    }
}

/// Only what is unlocked moves, statistics included.
#[test]
fn locked_groups_of_a_resnet_stay_with_their_statistics() {
    let config = resnet(8);
    let batch = Batch::of(&config, 12, 0);
    for unlocked in 0..=6 {
        let before = model(&config).params.flat;
        let mut locked = trainer(ClipObjective::new(model(&config)).lock(Tower::Image, unlocked));
        locked.gradients(&batch.pairs(), 5);
        locked.update(1e-3);
        let params = &locked.objective().model().params;
        for_each(&params.spec, &Path::ROOT, |path, spec, range| {
            let Some(group) = Tower::Image.group(&config, path) else { return };
            let stays = before[range.clone()] == params.flat[range];
            // A gradient may be so small that nothing moves, but statistics always do.
            assert!(stays || group + unlocked >= 6, "{path} moved with {unlocked} unlocked");
            assert!(!stays || !spec.is_buffer() || group + unlocked < 6, "{path} stays with {unlocked} unlocked");
        });
    }
}

/// Random pairs of a small set of examples, in an order that depends on the step.
struct Examples {
    images: Array2<f32>,
    ids: Vec<u32>,
    offsets: Vec<usize>,
    keys: Vec<u64>,
}

impl Examples {
    fn new(config: &Config, step: usize) -> Self {
        let all = Batch::of(config, 60, 5);
        let pairs = all.pairs();
        let chosen: Vec<usize> = (0..N).map(|i| (i * 7 + step * 11) % 60).collect();
        let images = Array2::from_shape_fn((N, pairs.images.ncols()), |(i, j)| pairs.images[[chosen[i], j]]);
        let (mut ids, mut offsets) = (vec![], vec![0]);
        for &i in &chosen {
            ids.extend(&pairs.captions.ids[pairs.captions.offsets[i]..pairs.captions.offsets[i + 1]]);
            offsets.push(ids.len());
        }
        let keys = chosen.iter().map(|&i| i as u64).collect();
        Examples { images, ids, offsets, keys }
    }

    /// Leaves the pixels of those examples out whose features are known.
    fn without_known(mut self, cache: &FeatureCache) -> Self {
        for (mut row, &key) in self.images.rows_mut().into_iter().zip(&self.keys) {
            if cache.contains(key) {
                row.fill(f32::NAN);
            }
        }
        self
    }

    fn pairs(&self) -> Pairs<'_> {
        Pairs {
            images: self.images.view(),
            captions: Captions { ids: &self.ids, offsets: &self.offsets },
            concepts: &self.keys,
            caption_keys: &self.keys,
            examples: &self.keys,
            teacher_images: Some(self.images.view()),
        }
    }
}

fn cache(config: &Config) -> Arc<FeatureCache> {
    Arc::new(FeatureCache::new(60, config.embed_dim, 1 << 20))
}

/// Trains for some steps, of which only those from `first` on have the cache; returns losses and parameters.
fn trained(
    objective: impl Fn() -> ClipObjective,
    config: &Config,
    images: Option<&Arc<FeatureCache>>,
    micro_batch: usize,
) -> (Vec<f64>, Vec<f32>) {
    let mut trainer = trainer(objective());
    let losses = (0..5).map(|step| {
        let examples = Examples::new(config, step);
        let examples = match images {
            Some(cache) => examples.without_known(cache),
            None => examples,
        };
        let loss = trainer.gradients(&examples.pairs(), micro_batch)[0].value;
        trainer.update(1e-3);
        loss
    });
    let losses = losses.collect();
    (losses, trainer.objective().model().params.flat.to_vec())
}

/// Features of a locked tower are the same bits from the cache, from a cache that is too small, and computed anew in every
/// step; and with any size of micro-batches.
#[test]
fn features_that_are_kept_change_no_bit() {
    for config in [config(36), resnet(8)] {
        for tower in [Tower::Image, Tower::Text] {
            for micro_batch in [N, 10] {
                let locked = || ClipObjective::new(model(&config)).lock(tower, 0);
                let plain = trained(locked, &config, None, micro_batch);
                let small = Arc::new(FeatureCache::new(7, config.embed_dim, 1 << 20));
                for cache in [cache(&config), small] {
                    let known = (tower == Tower::Image).then_some(&cache);
                    let kept = trained(|| locked().cache(tower, cache.clone()), &config, known, micro_batch);
                    assert!(kept == plain, "{tower:?}, {micro_batch} at a time");
                    assert!(cache.contains(7) && cache.max_rows() <= 60);
                    // A second run has all features from the start, as if it had been resumed with another history.
                    let again = trained(|| locked().cache(tower, cache.clone()), &config, known, micro_batch);
                    assert!(again == plain, "{tower:?}, known from the start");
                }
            }
        }
    }
}

/// In a ViT nothing depends on the statistics of a batch, so a locked tower gives the features of one in training.
#[test]
fn a_locked_tower_gives_the_features_of_a_trained_one() {
    let config = config(36);
    let pairs = Batch::of(&config, N, 3);
    let text_grads = |objective: ClipObjective| {
        let mut trainer = trainer(objective);
        trainer.gradients(&pairs.pairs(), N);
        let grads = trainer.grads().text;
        grads.token_embedding.iter().chain(grads.text_projection).copied().collect::<Vec<f32>>()
    };
    let free = text_grads(ClipObjective::new(model(&config)));
    assert!(free == text_grads(ClipObjective::new(model(&config)).lock(Tower::Image, 0)));
}

fn taught(config: &Config, caches: [Option<Arc<FeatureCache>>; 2]) -> ClipObjective {
    let teacher = Config { embed_dim: 20, ..config.clone() };
    let [images, texts] = caches;
    let mut teacher = Model::new(teacher, 9);
    view_mut(&teacher.params.spec, &mut teacher.params.flat).logit_scale[0] = 2.0;
    ClipObjective::new(model(config)).teacher(Teacher::new(teacher, images, texts))
}

/// A teacher's features may be kept, micro-batches may be of any size, and ranks may share the batch.
#[test]
fn a_teacher_is_the_same_however_its_features_come() {
    let config = config(36);
    let plain = trained(|| taught(&config, [None, None]), &config, None, N);
    let kept = || [Some(()); 2].map(|_| Some(Arc::new(FeatureCache::new(60, 20, 1 << 20))));
    assert!(trained(|| taught(&config, kept()), &config, None, N) == plain);
    assert!(plain.1 != trained(|| ClipObjective::new(model(&config)), &config, None, N).1, "it teaches something");

    let examples = Examples::new(&config, 0);
    let gradients = |n: usize, micro_batch, caches| {
        let mut trainer = trainer(taught(&config, caches));
        (trainer.gradients(&part(&examples.pairs(), 0..n), micro_batch), trainer.flat_grads().to_vec())
    };
    let (losses, whole) = gradients(N, N, [None, None]);
    let names: Vec<_> = losses.iter().map(|loss| &*loss.name).collect();
    assert_eq!(names[..3], ["loss", "loss_contrast", "loss_distill"]);
    assert!((losses[0].value - losses[1].value - losses[2].value).abs() < 1e-5, "{losses:?}");
    let (same, accumulated) = gradients(N, 10, kept());
    assert!((same[0].value - losses[0].value).abs() <= 1e-6 * losses[0].value);
    close("accumulated", &accumulated, &whole);

    let learn = |world: Threads| {
        let (own, pairs) = (36 / world.size(), examples.pairs());
        let pairs = part(&pairs, world.rank() * own..(world.rank() + 1) * own);
        let options = TrainerOptions::new(Hyper::VIT).shards(2);
        let mut trainer = Trainer::among(world, taught(&config, [None, None]), options);
        let losses = trainer.gradients(&pairs, 18);
        trainer.update(1e-3);
        (losses, trainer.objective().model().params.flat.to_vec())
    };
    let alone = Threads::run(1, learn).remove(0);
    let (losses, _) = gradients(36, 18, [None, None]);
    assert!((alone.0[0].value - losses[0].value).abs() <= 1e-6 * losses[0].value, "two shards");
    assert!(Threads::run(2, learn).iter().all(|rank| *rank == alone), "the same bits on two ranks");
}

/// Returns some of the pairs.
fn part<'a>(all: &Pairs<'a>, range: Range<usize>) -> Pairs<'a> {
    Pairs {
        images: all.images.slice_move(s![range.clone(), ..]),
        captions: all.captions.slice(range.clone()),
        concepts: &all.concepts[range.clone()],
        caption_keys: &all.caption_keys[range.clone()],
        examples: &all.examples[range.clone()],
        teacher_images: all.teacher_images.map(|images| images.slice_move(s![range, ..])),
    }
}

#[track_caller]
fn close(what: &str, given: &[f32], expected: &[f32]) {
    let largest = expected.iter().fold(0f32, |max, g| max.max(g.abs()));
    let apart = given.iter().zip(expected).fold(0f32, |max, (a, b)| max.max((a - b).abs()));
    assert!(largest > 0.0 && apart <= 1e-5 * largest, "{what}: {apart} apart, of {largest}");
}

/// The rate of a parameter is the product of what its name matches and of its layer's decay.
#[test]
fn rates_fall_towards_the_input_and_by_name() {
    let config = config(36);
    let model = model(&config);
    let factors = ["visual.*=0.5", "*.bias=0", "logit_scale=3"].map(|text| text.parse().unwrap());
    let factors = LrFactors::new(factors.into(), &model.params.spec).unwrap();
    let objective = ClipObjective::new(model).rates(factors, [0.5, 0.25]);
    let mut given = HashMap::new();
    for_each(&objective.model().params.spec, &Path::ROOT, |path, _, _| {
        given.insert(path.to_string(), Objective::<Alone>::lr_factor(&objective, path));
    });
    let expected = [
        ("logit_scale", 3.0),
        ("text_projection", 1.0),
        ("ln_final.weight", 0.25),
        ("transformer.resblocks.1.mlp.c_fc.weight", 0.25),
        ("transformer.resblocks.0.mlp.c_fc.bias", 0.0),
        ("token_embedding.weight", 0.25 * 0.25 * 0.25),
        ("visual.proj", 0.5),
        ("visual.ln_post.weight", 0.25),
        ("visual.transformer.resblocks.0.ln_1.weight", 0.5 * 0.125),
        ("visual.conv1.weight", 0.5 * 0.0625),
    ];
    for (name, factor) in expected {
        assert_eq!(given[name], factor, "{name}");
    }

    // A step with these rates moves each parameter as far as a step with its own rate.
    let examples = Examples::new(&config, 0);
    let mut mixed = trainer(objective);
    mixed.gradients(&examples.pairs(), N);
    mixed.update(1e-2);
    let mut plain = trainer(ClipObjective::new(self::model(&config)));
    plain.gradients(&examples.pairs(), N);
    plain.update(0.5e-2);
    let (mixed, plain) = (&mixed.objective().model().params, &plain.objective().model().params);
    assert!(mixed.view().text.text_projection != plain.view().text.text_projection);
    let (Visual::Vit(mixed), Visual::Vit(plain)) = (mixed.view().visual, plain.view().visual) else {
        panic!("two ViTs")
    };
    assert!(mixed.proj == plain.proj, "half of the rate");
}
