//! A step of V shards has the same bits on any number of ranks: weights, moments, losses and running statistics, with
//! accumulation, clipping and several positives. A run that is saved on some ranks goes on with others.

use crate::support::tiny::{Batch, config, resnet};
use clipwright::models::clip::Config;
use clipwright::models::clip::model::Model;
use clipwright::optim::adamw::Hyper;
use clipwright::params;
use clipwright::train::clip::{ClipObjective, Pairs};
use clipwright::train::metric::Metric;
use clipwright::train::objective::Saved;
use clipwright::train::run_folder::RunFolder;
use clipwright::train::step::{Trainer, TrainerOptions};
use clipwright::train::world::slices::{CHUNK_PIECES, Slices};
use clipwright::train::world::threads::Call;
use clipwright::train::world::{Threads, World};
use ndarray::s;
use std::path::Path;

const SHARDS: usize = 4;
/// Number of pairs of a shard; fewer than 17 rows would take another product.
const SHARD: usize = 19;
const MICRO_BATCH: usize = 8;
const STEPS: u64 = 5;

/// What a rank has after some steps.
struct Trained {
    losses: Vec<Metric>,
    state: Vec<(String, Vec<u32>)>,
    calls: Vec<Call>,
}

/// Both image towers, both losses, and dropped patches. Their parameters are more than four pieces, so that each of four
/// ranks moves some of them.
fn configs() -> [Config; 4] {
    let mut configs = [config(80), resnet(8), config(80).siglip(), config(80)];
    configs[1].text_cfg.width = 80;
    configs[3].vision_cfg.patch_dropout = 0.5;
    configs
}

/// Takes the steps from `first` on, with this rank's part of each batch; the run is loaded before, or saved behind.
fn train(
    config: &Config,
    world: Threads,
    steps: std::ops::Range<u64>,
    from: Option<&Path>,
    to: Option<&Path>,
) -> Trained {
    let own = SHARDS / world.size() * SHARD;
    let range = world.rank() * own..(world.rank() + 1) * own;
    let options = TrainerOptions::new(Hyper::VIT).max_norm(0.5).shards(SHARDS);
    let objective = ClipObjective::new(Model::new(config.clone(), 1));
    let mut trainer = Trainer::among(world.clone(), objective, options);
    let folder = |path: &Path| RunFolder { path: path.into() };
    if let Some(from) = from {
        folder(from).load(trainer.state()).unwrap();
    }
    let mut losses = vec![];
    for step in steps {
        let batch = Batch::of(config, SHARDS * SHARD, step);
        let all = batch.pairs();
        let pairs = Pairs {
            images: all.images.slice(s![range.clone(), ..]),
            captions: all.captions.slice(range.clone()),
            concepts: &all.concepts[range.clone()],
            caption_keys: &all.caption_keys[range.clone()],
            examples: &all.examples[range.clone()],
            teacher_images: None,
        };
        losses.extend(trainer.gradients(&pairs, MICRO_BATCH));
        let update = trainer.update(1e-3);
        assert!(update.grad_norm > 0.5, "clipped");
        losses.push(Metric::new("grad_norm", update.grad_norm));
        losses.extend(update.metrics);
    }
    let rank = world.rank();
    if let (Some(to), state) = (to, trainer.state())
        && rank == 0
    {
        folder(to).save(state).unwrap();
    }
    let bits = |saved| match saved {
        Saved::Floats(values) => values.iter().map(|x| x.to_bits()).collect(),
        Saved::Count(count) => vec![*count as u32],
        Saved::Keys(keys) => keys.iter().map(|&key| key as u32).collect(),
    };
    let state = trainer.state().into_iter().map(|(name, saved)| (name, bits(saved))).collect();
    Trained { losses, state, calls: world.calls() }
}

#[test]
fn any_number_of_ranks_has_the_same_bits() {
    for config in configs() {
        let on = |ranks| Threads::run(ranks, |world| train(&config, world, 0..STEPS, None, None));
        let alone = on(1).remove(0);
        for ranks in [2, 4] {
            let trained = on(ranks);
            for rank in &trained {
                assert!(rank.losses == alone.losses, "{ranks} ranks: the same losses");
                for ((name, bits), (_, expected)) in rank.state.iter().zip(&alone.state) {
                    assert!(bits == expected, "{ranks} ranks: {name}");
                }
                assert!(rank.calls == trained[0].calls, "all ranks exchange the same things");
            }
        }
    }
}

#[test]
fn a_run_goes_on_with_other_ranks() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [first, second] = folders.each_ref().map(|folder| folder.path());
    for config in configs() {
        let whole = Threads::run(1, |world| train(&config, world, 0..STEPS, None, None)).remove(0);
        Threads::run(4, |world| train(&config, world, 0..2, None, Some(first)));
        Threads::run(1, |world| train(&config, world, 2..3, Some(first), Some(second)));
        let resumed = Threads::run(2, |world| train(&config, world, 3..STEPS, Some(second), None));
        assert!(resumed.iter().all(|rank| rank.state == whole.state), "four ranks, then one, then two");
    }
}

/// What a rank sends in a step, as the documentation says: features, keys, log-sum-exps and losses, then twice its share
/// of the parameters.
#[test]
fn the_bytes_of_a_step_are_known() {
    let ([config, ..], ranks) = (configs(), 4);
    let on = |steps: u64| Threads::run(ranks, |world| train(&config, world, 0..steps, None, None)).remove(0).calls;
    let sent = |calls: &[Call], name| calls.iter().filter(|call| call.0 == name).map(|call| call.1).sum::<usize>();
    let (none, one) = (on(0), on(1));
    let step = |name| sent(&one, name) - sent(&none, name);
    let p = params::count(&clipwright::models::clip::model::spec(&config));
    let slice = 4 * Slices::new(p, ranks).of(0).map(|range| range.len()).sum::<usize>();
    assert!(p < CHUNK_PIECES * kernels::reduce::PIECE, "one chunk");
    assert_eq!(step("all_to_all"), ranks * slice, "the gradients, up to whole pieces");
    let (features, keys, lse) = (2 * SHARD * 4 * config.embed_dim, 2 * SHARD * 8, 2 * SHARD * 4);
    let (losses, squares) = (2 * 8, 8 * slice / 4 / kernels::reduce::PIECE);
    assert_eq!(step("all_gather"), features + keys + lse + losses + squares + slice);
}
